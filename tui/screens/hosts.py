"""The computers that runs may use."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer

from rlmaster.project import Project
from tui.commands import CommandLine


class HostsScreen(Screen[None]):
    """Shows how busy each computer is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(self, project: Project, command: CommandLine) -> None:
        """Say whose computers, and how to ask the command line."""
        super().__init__()
        self._project = project
        self._command = command

    def compose(self) -> ComposeResult:
        """Lay out."""
        yield Footer(show_command_palette=False)
