"""What the steps towards a new run have in common."""

import threading
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.containers import Vertical
from textual.message import Message

from tui.children.commands import CommandCancelledError, CommandError, CommandLine, JsonObject
from tui.drafts.draft import Draft
from tui.messages import CommandAnswered, CommandFailed, CommandSaid
from tui.threads import cancel_workers, cancelled_event


class Step(Vertical):
    """Fills in one part of a draft."""

    title: ClassVar[str]

    class Done(Message):
        """The person wants to go on."""

    class Touched(Message):
        """The person changed something, so what was wrong before may be right now."""

    class AllHeard(Message):
        """A command that answers piece by piece has come to its end."""

    def __init__(self, draft: Draft, command: CommandLine, id: str) -> None:  # noqa: A002
        """Say which draft is filled in, and how to ask the command line."""
        super().__init__(id=id)
        self._draft = draft
        self._command = command

    def enter(self) -> None:
        """Begin: called each time the step comes to the front."""

    def leave(self) -> None:
        """End what goes on in the background."""
        cancel_workers(self)

    def problem(self) -> str:
        """Return what keeps the person from going on, as a sentence; empty if nothing does."""
        return ""

    @work(thread=True, exclusive=True)
    def ask(self, arguments: Sequence[str], deadline_s: float) -> None:
        """Ask the command line in a thread."""
        self.run_command(arguments, deadline_s, cancelled_event())

    @work(thread=True, exclusive=True)
    def listen(self, arguments: Sequence[str]) -> None:
        """Ask the command line in a thread, and take its answer piece by piece."""
        cancelled = cancelled_event()

        def take(piece: JsonObject) -> None:
            if not cancelled.is_set():
                self.post_message(CommandAnswered(piece))

        try:
            self._command.stream(arguments, cancelled, take)
        except CommandCancelledError:
            return
        except CommandError as error:
            self.post_message(CommandFailed(str(error)))
        else:
            self.post_message(self.AllHeard())

    def run_command(
        self, arguments: Sequence[str], deadline_s: float, cancelled: threading.Event
    ) -> None:
        """Run a command in the calling thread; post to this step what it says and how it ends."""

        def say(line: str) -> None:
            self.post_message(CommandSaid(line))

        try:
            answer = self._command.run(arguments, cancelled, deadline_s, say)
        except CommandCancelledError:
            return
        except CommandError as error:
            self.post_message(CommandFailed(str(error), error.answer))
        else:
            self.post_message(CommandAnswered(answer))
