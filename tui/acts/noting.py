"""Acts that say something about runs: conclusion, tags; and what of them goes to the clipboard."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from rlmaster.run_folder import RunFolder
from tui.acts.actions import RunAtHand
from tui.acts.stage import Stage
from tui.screens.dialogs import LineScreen, TextScreen
from tui.threads import in_thread
from tui.words.plain_text import one_line, printable

CONCLUSION_HINT = "What was learned, in a few words? An empty text takes the conclusion back."


class Noting:
    """Writes down what people think of runs."""

    def __init__(self, stage: Stage) -> None:
        """Say where it takes place."""
        self._stage = stage

    async def conclude(self, runs: Sequence[RunAtHand]) -> None:
        """Have a conclusion written; one that was begun earlier goes on."""
        run = runs[0]
        what, settings = f"conclusion of {run.path.name}", self._stage.settings
        kept = await in_thread(lambda cancelled: _conclusion(run))
        begun = settings.written(what)
        dialog = TextScreen(
            f"Conclusion of {run.label}",
            kept if begun is None else begun,
            CONCLUSION_HINT,
            on_leave=lambda text: settings.set_aside(what, text),
        )
        words = await self._stage.ask(dialog)
        if words is None or words.strip() == kept.strip():
            return
        settings.set_aside(what, words)
        if await self._write_conclusion(run, words):
            settings.set_aside(what, "")
            self._stage.say("The conclusion is kept" if words.strip() else "It is taken back")

    async def _write_conclusion(self, run: RunAtHand, words: str) -> bool:
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
                file.write(words)
                file.flush()
                arguments = ["conclude", str(run.path), "--file", file.name, "--yes", "--json"]
                return await self._stage.act(arguments) is not None
        except OSError as error:
            self._stage.complain(
                f"The conclusion cannot be kept ({error.strerror}); make room first"
            )
            return False

    async def tag(self, runs: Sequence[RunAtHand]) -> None:
        """Have the tags of runs changed; of several, those that all of them have."""
        shared = await in_thread(lambda cancelled: _shared_tags(runs))
        whose = runs[0].label if len(runs) == 1 else f"all {len(runs)} runs"
        question = Content(f"Tags of {whose}: words with spaces between them")
        line = await self._stage.ask(LineScreen("Tags", question, one_line(" ".join(shared))))
        if line is None:
            return
        words = line.split()
        options = [f"--add={word}" for word in words if word not in shared]
        options += [f"--remove={tag}" for tag in shared if tag not in words]
        if options:
            paths = [str(run.path) for run in runs]
            if await self._stage.act(["tag", *paths, *options, "--json"]) is not None:
                self._stage.say(f"Tags of {whose}: {' '.join(words) or 'none'}")

    async def copy_path(self, runs: Sequence[RunAtHand]) -> None:
        """Put where runs lie into the clipboard."""
        paths = "\n".join(str(run.path) for run in runs)
        self._stage.copy(paths, "The path" if len(runs) == 1 else f"{len(runs)} paths")

    async def copy_command(self, runs: Sequence[RunAtHand]) -> None:
        """Put the command that shows a run into the clipboard."""
        self._stage.copy(shlex.join(["rlmaster", "show", runs[0].short_id]), "The command")


def _conclusion(run: RunAtHand) -> str:
    try:
        return printable(RunFolder(run.path).conclusion())
    except (OSError, ValueError):
        return ""


def _shared_tags(runs: Sequence[RunAtHand]) -> list[str]:
    """Return the tags that all runs have, in the order of the first."""
    tags = [_tags(run.path) for run in runs]
    return [tag for tag in tags[0] if all(tag in others for others in tags[1:])]


def _tags(path: Path) -> tuple[str, ...]:
    try:
        return RunFolder(path).tags()
    except (OSError, ValueError):
        return ()
