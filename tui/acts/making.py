"""Acts that make something of runs and show it: reports, films, TensorBoard."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what a worker answers.

from collections.abc import Sequence

from tui.acts.actions import RunAtHand
from tui.acts.stage import Stage
from tui.children.commands import CommandCancelledError, CommandError, JsonObject
from tui.screens.dialogs import CommandScreen
from tui.threads import cancelled_event
from tui.words.plain_text import one_line


class Making:
    """Makes reports and films, and starts TensorBoard."""

    def __init__(self, stage: Stage) -> None:
        """Say where it takes place."""
        self._stage = stage
        self._boards: dict[frozenset[str], str] = {}
        """Addresses of the TensorBoards that run, by the runs that they show."""

    async def open_report(self, runs: Sequence[RunAtHand]) -> None:
        """Open the report of a run."""
        if runs[0].report is not None:
            await self._stage.show(str(runs[0].report))

    async def make_report(self, runs: Sequence[RunAtHand]) -> None:
        """Write the report of a run from what there is now, and open it."""
        await self._make("report", ["report", str(runs[0].path), "--json"], ("pdf", "tex"), runs[0])

    async def open_film(self, runs: Sequence[RunAtHand]) -> None:
        """Open the newest film of a run."""
        if runs[0].film is not None:
            await self._stage.show(str(runs[0].film))

    async def make_film(self, runs: Sequence[RunAtHand]) -> None:
        """Film an episode as a run's networks draw it, or an agent that plays, and open that."""
        arguments = ["render", str(runs[0].path), "--json"]
        await self._make("film", arguments, ("video", "best", "strip"), runs[0])

    async def _make(
        self, what: str, arguments: Sequence[str], files: Sequence[str], run: RunAtHand
    ) -> None:
        """Run a command before one's eyes, and open the first of the files that it made."""
        dialog = CommandScreen(
            f"Making the {what} of {run.label}",
            self._stage.command,
            arguments,
            closes_itself=True,
        )
        answer = await self._stage.ask(dialog)
        made = [str(answer[key]) for key in files if answer.get(key)] if answer else []
        if made:
            await self._stage.show(made[0])

    async def tensorboard(self, runs: Sequence[RunAtHand]) -> None:
        """Start TensorBoard on runs unless it shows just these, and open its page."""
        shown = frozenset(str(run.path) for run in runs)
        if address := self._boards.get(shown):
            await self._stage.show(address)
            return
        self._stage.say("TensorBoard is starting; its page opens as soon as it answers")
        self._stage.app.run_worker(lambda: self._keep_board(shown), thread=True)

    def _keep_board(self, shown: frozenset[str]) -> None:
        """Keep a TensorBoard running until the app ends, in a thread."""
        app, cancelled = self._stage.app, cancelled_event()

        def open_page(told: JsonObject) -> None:
            self._boards[shown] = one_line(str(told.get("url")))
            app.call_from_thread(self._open_page, shown)

        try:
            arguments = ["tensorboard", *sorted(shown), "--no-open", "--json"]
            self._stage.command.stream(arguments, cancelled, open_page)
        except CommandCancelledError:
            pass
        except CommandError as error:
            self._stage.complain(str(error))
        finally:
            self._boards.pop(shown, None)

    def _open_page(self, shown: frozenset[str]) -> None:
        address = self._boards[shown]
        self._stage.say(f"TensorBoard answers at {address}")
        self._stage.app.run_worker(self._stage.show(address))
