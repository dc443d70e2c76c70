"""Several runs side by side."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.plain_text import one_line


class CompareScreen(Screen[None]):
    """Shows what several runs have in common, and what not."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(
        self, project: Project, folders: Sequence[RunFolder], clock: Callable[[], datetime]
    ) -> None:
        """Say which runs."""
        super().__init__()
        self._project = project
        self._folders = folders
        self._clock = clock

    def compose(self) -> ComposeResult:
        """Lay out."""
        yield Static(Content(", ".join(one_line(folder.short_id) for folder in self._folders)))
        yield Footer(show_command_palette=False)
