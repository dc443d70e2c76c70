"""Questions over a screen: yes or no, a line, a text; and a command that one watches."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Log, Static
from textual.worker import Worker

from tui.children.commands import CommandCancelledError, CommandError, CommandLine, JsonObject
from tui.messages import CommandAnswered, CommandFailed, CommandSaid
from tui.threads import cancelled_event
from tui.widgets.editor import Editor
from tui.words.plain_text import printable

COMMAND_DEADLINE_S = 3600.0
"""A command that one watches may set up a computer; one can always end it."""
SHOWN_LINES = 2000


class ConfirmScreen(ModalScreen[bool]):
    """Asks whether something shall be done; no key that does so stands beside one that moves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "dismiss(False)", "No", key_display="esc")
    ]

    def __init__(self, question: Content, key: str, what: str) -> None:
        """Say what is asked.

        Args:
            question: What will happen and what will be lost by it.
            key: The only key that says yes.
            what: What that key does, in a word or two.
        """
        super().__init__()
        self._question = question
        self._what = what
        self._bindings.bind(key, "dismiss(True)", what)

    def compose(self) -> ComposeResult:
        """Lay out the question over its keys."""
        with Vertical(classes="dialog question") as dialog:
            dialog.border_title = Content(self._what + "?")  # type: ignore
            with VerticalScroll():
                yield Static(self._question)
            yield Footer(show_command_palette=False, compact=True)


class LineScreen(ModalScreen[str | None]):
    """Asks for one line; answers None if the person would rather not say."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("enter", "keep", "OK"),
    ]

    def __init__(
        self, title: str, question: Content, text: str = "", *, secret: bool = False
    ) -> None:
        """Say what is asked.

        Args:
            title: What it is about.
            question: What the person needs to know to answer.
            text: What the line holds at first.
            secret: Whether nobody may read what is typed.
        """
        super().__init__()
        self._title = title
        self._question = question
        self._text = text
        self._secret = secret

    def compose(self) -> ComposeResult:
        """Lay out the question, the line and the keys."""
        with Vertical(classes="dialog question") as dialog:
            dialog.border_title = Content(self._title)  # type: ignore
            yield Static(self._question)
            yield Input(self._text, password=self._secret, compact=True)
            yield Footer(show_command_palette=False, compact=True)

    @on(Input.Submitted)
    def action_keep(self) -> None:
        """Answer with the line."""
        self.dismiss(self.query_one(Input).value)


class TextScreen(ModalScreen[str | None]):
    """Lets a person write a few words; answers None if they are not to be kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,ctrl+n", "keep", "Keep", priority=True),
        Binding("escape", "dismiss(None)", "Back", priority=True),
    ]

    def __init__(
        self,
        title: str,
        text: str,
        hint: str,
        on_leave: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Say what is to be written.

        Args:
            title: What it is about.
            text: What is written already.
            hint: What is worth writing, in a sentence.
            on_leave: Takes what was written and not kept, when the person leaves or quits.
        """
        super().__init__()
        self._title = title
        self._text = text
        self._hint = hint
        self._hand_over = on_leave
        self._written = text

    def compose(self) -> ComposeResult:
        """Lay out the hint, the editor and the keys."""
        with Vertical(classes="dialog writing") as dialog:
            dialog.border_title = Content(self._title)  # type: ignore
            yield Static(Content(self._hint), classes="hint")
            yield Editor(self._text)
            yield Footer(show_command_palette=False, compact=True)

    @on(Editor.Changed)
    def note_what_is_written(self) -> None:
        """Have it at hand, whatever closes the dialog."""
        self._written = self.query_one(Editor).text

    def action_keep(self) -> None:
        """Answer with the text."""
        self._text = self._written = self.query_one(Editor).text
        self.dismiss(self._text)

    def on_unmount(self) -> None:
        """Hand over what would be lost."""
        if self._written != self._text:
            self._hand_over(self._written)


def nothing_to_tell(answer: JsonObject) -> str:
    """Say no more of an answer than the command's lines have said."""
    return ""


class CommandScreen(ModalScreen[JsonObject | None]):
    """Runs a command and shows what it says; answers with the command's answer, if it has one.

    Closed before the end, the command goes on, and a toast says what came of it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close"),
        Binding("ctrl+x", "cancel_command", "End it"),
    ]

    def __init__(
        self,
        title: str,
        command: CommandLine,
        arguments: Sequence[str],
        tell: Callable[[JsonObject], str] = nothing_to_tell,
        *,
        closes_itself: bool = False,
    ) -> None:
        """Say what is run.

        Args:
            title: What it is about.
            command: How to run the command line.
            arguments: What comes after `rlmaster`.
            tell: Says what an answer means.
            closes_itself: Whether the screen goes as soon as there is an answer.
        """
        super().__init__()
        self._title = title
        self._command = command
        self._arguments = arguments
        self._tell = tell
        self._closes_itself = closes_itself
        self._worker: Worker[None] | None = None
        self._answer: JsonObject | None = None

    def compose(self) -> ComposeResult:
        """Lay out what the command says, how it stands and the keys."""
        with Vertical(classes="dialog watching") as dialog:
            dialog.border_title = Content(self._title)  # type: ignore
            yield Log(max_lines=SHOWN_LINES)
            yield Static("at work …", id="outcome")
            yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Start the command, which outlives this screen but not the app."""
        self.query_one(Log).can_focus = False
        # A thread cannot find the app any more once this screen is left.
        app = cast("App[object]", self.app)
        self._worker = app.run_worker(lambda: self._work(app), thread=True)

    def _work(self, app: App[object]) -> None:
        """Run the command, in a thread."""
        cancelled = cancelled_event()
        try:
            answer = self._command.run(
                self._arguments,
                cancelled,
                COMMAND_DEADLINE_S,
                self._pass_on,
            )
        except CommandCancelledError:
            self.post_message(CommandFailed("It was ended."))
        except CommandError as error:
            if not self.post_message(CommandFailed(str(error))):
                app.notify(error.reason, title=self._title, severity="error", markup=False)
        else:
            if not self.post_message(CommandAnswered(answer)):
                words = self._tell(answer) or "done"
                app.notify(words, title=self._title, markup=False)

    def _pass_on(self, line: str) -> None:
        self.post_message(CommandSaid(line))

    @on(CommandSaid)
    def show_line(self, message: CommandSaid) -> None:
        """Show what the command says."""
        self.query_one(Log).write_line(message.line)

    @on(CommandAnswered)
    def show_answer(self, message: CommandAnswered) -> None:
        """Say what came of it."""
        self._answer = message.answer
        if self._closes_itself:
            self.dismiss(message.answer)
            return
        words = printable(self._tell(message.answer)) or "Done."
        self._conclude(Content.styled(words, "$text-success"))

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing came of it; the command has said it already unless it was ended."""
        reason = printable(message.reason).rpartition("\n")[2]
        self._conclude(Content.styled(reason, "$text-error"))

    def _conclude(self, outcome: Content) -> None:
        self._worker = None
        self.query_one("#outcome", Static).update(outcome)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to end the command only while it runs."""
        return action != "cancel_command" or self._worker is not None

    def action_close(self) -> None:
        """Leave; a command that still runs goes on."""
        self.dismiss(self._answer)

    def action_cancel_command(self) -> None:
        """End the command."""
        if self._worker is not None:
            self._worker.cancel()
