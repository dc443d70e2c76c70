"""The pictures that training drew: the newest, or any of those before."""

from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from rlmaster.experiment_data import UNDRAWN_STYLES
from tui.messages import PreviewRead
from tui.panes.pane import Pane
from tui.reading.previews import Preview, UnreadablePreviewError, read_preview
from tui.reading.run_reader import RunNews
from tui.widgets.pixel_picture import new_picture
from tui.words.plain_text import one_line

FAR = 1_000_000
NONE_YET = "No previews yet."
NONE_EVER = "No previews: nothing trains what would draw them."


class PreviewsPane(Pane):
    """Shows one picture of a run, and follows the newest until another is asked for."""

    TITLE: ClassVar[str] = "Previews"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,k,up", "step(-1)", "Before", key_display="←"),
        Binding("right,j,down", "step(1)", "After", key_display="→"),
        Binding("home", f"step(-{FAR})", "First", show=False),
        Binding("end", f"step({FAR})", "Newest", show=False),
        Binding("w", "toggle_whole", "Zoom/whole"),
    ]

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without a picture."""
        super().__init__(id=id)
        self._files: list[Path] = []
        self._place: int | None = None
        self._preview: Preview | None = None
        self._problem = ""
        self._are_to_come = True
        self._picture = new_picture("picture")

    def compose(self) -> ComposeResult:
        """Lay out the picture, or why there is none."""
        yield Static(NONE_YET, classes="placeholder")
        yield self._picture

    @property
    def is_following(self) -> bool:
        """Whether the newest picture is shown, whichever that is."""
        return self._place is None

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep the newest picture, unless another is being looked at."""
        if news.details is not None:
            self._are_to_come = news.details.row.style not in UNDRAWN_STYLES
        if news.preview_files is not None:
            self._files = news.preview_files
            if self._place is not None and self._place >= len(self._files) - 1:
                self._place = None  # those after it are gone, so it is the newest
        if self.is_following and (news.preview or news.preview_problem):
            self._keep(news.preview, news.preview_problem)

    def _keep(self, preview: Preview | None, problem: str) -> None:
        """Keep a picture, or else the one before and why there is no other."""
        self._preview = preview or self._preview
        self._problem = one_line(problem)

    def draw(self) -> None:
        """Show the picture and where it stands among all."""
        has_any = bool(self._preview or self._problem)
        placeholder = self.query_one(".placeholder", Static)
        placeholder.update(NONE_YET if self._are_to_come else NONE_EVER)
        placeholder.display = not has_any
        self._picture.display = has_any
        self.say_below("  ".join(self._legend()))
        if self._preview:
            self._picture.show(self._preview)

    def _legend(self) -> list[str]:
        if self._problem:
            return [self._problem]
        if not self._preview:
            return []
        count = len(self._files)
        place = f"newest of {count}" if self._place is None else f"{self._place + 1} of {count}"
        shown = "whole" if self._picture.whole else "zoom"
        return [one_line(Path(self._preview.name).stem), place, shown]

    def action_step(self, by: int) -> None:
        """Look at a picture before or after the present one; at the last, follow again."""
        if not self._files:
            return
        last = len(self._files) - 1
        place = max(0, min((last if self._place is None else self._place) + by, last))
        self._place = None if place == last else place
        self._read(self._files[place])

    def action_toggle_whole(self) -> None:
        """Show all of the picture, or its magnified parts."""
        self._picture.whole = not self._picture.whole
        self.draw()

    @work(thread=True, exclusive=True)
    def _read(self, path: Path) -> None:
        try:
            self.post_message(PreviewRead(path, read_preview(path)))
        except UnreadablePreviewError as error:
            self.post_message(PreviewRead(path, None, str(error)))

    @on(PreviewRead)
    def show_preview(self, message: PreviewRead) -> None:
        """Show what was asked for, unless something else has been asked for since."""
        message.stop()
        wanted = self._files[-1:] if self._place is None else self._files[self._place :][:1]
        if wanted == [message.path]:
            self._keep(message.preview, message.problem)
            self.draw()
