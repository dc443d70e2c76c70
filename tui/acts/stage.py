"""What every act needs: the app to ask and tell through, the command line to act by."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what a screen answers.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from textual.app import App
from textual.screen import ModalScreen

from rlmaster.opening import open_it
from rlmaster.project import Project
from tui.children.commands import CommandCancelledError, CommandError, CommandLine, JsonObject
from tui.children.detached import Deed
from tui.settings import Settings
from tui.threads import in_thread
from tui.words.plain_text import one_line

ACT_DEADLINE_S = 900.0
"""A computer may have to be set up before a run goes on there."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Stage:
    """Where an act takes place; its methods are called in the app's thread, by a worker."""

    app: App[Any]
    project: Project
    command: CommandLine
    settings: Settings

    async def ask(self, dialog: ModalScreen[Answer]) -> Answer:
        """Show a dialog and wait for its answer."""
        return await self.app.push_screen_wait(dialog)

    async def act(self, arguments: Sequence[str]) -> JsonObject | None:
        """Run a command that changes something; where it fails, say why and return None."""
        deed = self.begin(arguments)
        return await self.answer_of(deed) if deed else None

    def begin(self, arguments: Sequence[str]) -> Deed | None:
        """Start such a command at once; if the app ends in the next moment, it goes on."""
        try:
            return Deed(self.command, arguments)
        except (CommandError, OSError) as error:
            self.complain(str(error))
            return None

    async def answer_of(self, deed: Deed) -> JsonObject | None:
        """Wait for what a command answers; where it fails, say why and return None."""
        try:
            return await in_thread(lambda cancelled: deed.answer(cancelled, ACT_DEADLINE_S))
        except CommandCancelledError:
            return None
        except CommandError as error:
            self.complain(str(error))
            return None

    def say(self, text: str, title: str = "") -> None:
        """Tell the person something in passing."""
        self.app.notify(text, title=title, markup=False)

    def complain(self, reason: str) -> None:
        """Tell the person why something was not done, by the last that was said of it."""
        last = one_line("\n".join(reversed(reason.splitlines())))
        self.app.notify(last, severity="error", markup=False)

    def copy(self, text: str, what: str) -> None:
        """Put something into the clipboard, which a terminal far away keeps as well."""
        self.app.copy_to_clipboard(text)
        self.say(f"{what} is copied: {one_line(text)}")

    async def show(self, what: str) -> None:
        """Open a file or a page; where nobody would see it, say where it is, and copy that."""
        if not await in_thread(lambda cancelled: open_it(what, cancelled)):
            self.copy(what, "There is no desktop here; its place")
