"""What lies in a run's folder, and what has not been brought here."""

import os
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from rlmaster.run_folder import RunFolder
from rlmaster.storage import Meter
from tui.children.commands import CommandLine, JsonObject
from tui.messages import FilesMeasured
from tui.panes.pane import Pane
from tui.reading.run_overview import RunOverview
from tui.reading.run_reader import RunNews
from tui.screens.dialogs import CommandScreen
from tui.widgets.choice_list import ChoiceList
from tui.widgets.reading_list import ReadingList
from tui.words.plain_text import fit, one_line
from tui.words.wording import size

MEASURE_EVERY_S = 5.0
NAME_WIDTH = 28
MEANINGS = {
    "checkpoints/": "networks and replay position, to go on from",
    "replay/": "the frames it has collected",
    "tensorboard/": "curves and hyperparameters, for TensorBoard",
    "previews/": "pictures of what it sees",
    "videos/": "films of what it does",
    "tensors/": "what the experiment's own code keeps",
    "plots/": "figures of the report",
    "report/": "report.pdf and its source",
    "events/": "what happened, a line each",
    "requests/": "what it was asked to do",
    "log.txt": "what it has printed",
    "config.json": "the whole experiment",
    "rationale.md": "why it was made",
    "conclusion.md": "what was learned",
    "provenance.json": "code, host choice",
    "environment.json": "packages and hardware",
    "status.json": "how it stands",
    "progress.json": "how far it is",
    "attempts.jsonl": "each attempt",
    "run.json": "what it is",
    "placement.json": "where it is made",
}
PULLS = {
    "": "What a finished run leaves: videos, tensors, previews, the best checkpoint",
    "--replay": "The frames that it has collected",
    "--all": "Everything that it has written there",
}


class FilesPane(Pane):
    """Lists files and folders by their size, copies their paths, and brings more from a host."""

    TITLE: ClassVar[str] = "Files"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy_path", "Copy path"),
        Binding("p", "pull", "Pull from host"),
    ]

    def __init__(self, id: str, folder: RunFolder, command: CommandLine) -> None:  # noqa: A002
        """Say whose files they are, and how files are brought."""
        super().__init__(id=id)
        self._folder = folder
        self._command = command
        self._overview: RunOverview | None = None
        self._sizes: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        """Lay out where the run is over what is here of it."""
        yield Static(id="place")
        yield ReadingList("file-list")

    def on_mount(self) -> None:
        """Measure again from time to time."""
        self.set_interval(MEASURE_EVERY_S, self._measure_if_shown)

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep where the run is made."""
        self._overview = news.overview or self._overview

    def watch_is_shown(self) -> None:
        """Measure at once when somebody looks."""
        super().watch_is_shown()
        self._measure_if_shown()

    def _measure_if_shown(self) -> None:
        if self.is_shown and self.screen.is_current:
            self._measure()

    @work(thread=True, exclusive=True)
    def _measure(self) -> None:
        self.post_message(FilesMeasured(measured(self._folder.path)))

    @on(FilesMeasured)
    def keep_sizes(self, message: FilesMeasured) -> None:
        """Show what was measured."""
        message.stop()
        self._sizes = message.sizes
        self.draw()

    def draw(self) -> None:
        """List what is here."""
        self.query_one("#place", Static).update(self._place())
        self.query_one(ReadingList).show(
            {name: _line(name, room) for name, room in self._sizes.items()}
        )
        total = sum(self._sizes.values())
        self.say_below(f"{size(total)} in all" if self._sizes else "")
        self.refresh_bindings()

    def _place(self) -> Content:
        host = self._overview.host if self._overview else ""
        if not host:
            return Content.styled(one_line(str(self._folder.path)), "$foreground-muted")
        return Content.assemble(
            (f"made on {host}", "bold"),
            ": small files come by themselves; frames and checkpoints stay there until you press p",
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to bring files only of a run that is made elsewhere."""
        return action != "pull" or bool(self._overview and self._overview.host)

    def action_copy_path(self) -> None:
        """Copy the path of the file or folder that is pointed at."""
        name = self.query_one(ReadingList).chosen or ""
        path = str(self._folder.path / name)
        self.app.copy_to_clipboard(path)  # pyright: ignore[reportUnknownMemberType]
        self.notify(one_line(path), title="Copied", markup=False)

    def action_pull(self) -> None:
        """Ask what shall be brought."""
        self.app.push_screen(PullScreen(), self._pull)  # pyright: ignore[reportUnknownMemberType]

    def _pull(self, what: str | None) -> None:
        if what is None:
            return
        chosen = [what] if what else []
        arguments = ["pull", str(self._folder.path), *chosen, "--json"]
        dialog = CommandScreen("Pull", self._command, arguments, _what_came)
        self.app.push_screen(dialog, lambda _answer: self._measure_if_shown())  # pyright: ignore[reportUnknownMemberType]


class PullScreen(ModalScreen[str | None]):
    """Asks what shall be brought from a run's host; answers with an option of `rlmaster pull`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,p", "dismiss(None)", "Close")]

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        choices = ChoiceList("pulls")
        choices.add_class("dialog")
        choices.border_title = "Pull"
        yield choices

    def on_mount(self) -> None:
        """Begin with what one usually wants."""
        self.query_one(ChoiceList).show({what: Content(text) for what, text in PULLS.items()})

    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with what is pointed at."""
        self.dismiss(self.query_one(ChoiceList).chosen)


def measured(folder: Path) -> dict[str, int]:
    """Return the room of each file and folder in a folder, the largest first."""
    meter, found = Meter(), dict[str, int]()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                slash = "/" * entry.is_dir(follow_symlinks=False)
                found[entry.name + slash] = meter.room_bytes(Path(entry.path))
    except OSError:  # the run is gone, which the screen says by itself
        return {}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _line(name: str, room: int) -> Content:
    return Content.assemble(
        f"{size(room):>9}  ",
        (fit(one_line(name), NAME_WIDTH), "bold" if name.endswith("/") else ""),
        (f"  {MEANINGS.get(name, '')}", "$foreground-muted"),
    )


def _what_came(answer: JsonObject) -> str:
    match answer:
        case {"fetched": [*files], "fetched_bytes": int(room)}:
            return f"{len(files):,} files came ({size(room)})."
        case _:
            return ""
