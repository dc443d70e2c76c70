"""The second step: the settings, of which any may be changed."""

from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from tui.children.commands import EXPERIMENTS_DEADLINE_S, CommandLine
from tui.drafts.draft import Draft, parse_experiment
from tui.drafts.form import (
    Form,
    FormField,
    number_of_runs_in,
    parse_fields,
    parse_problems,
    problem_of,
    set_options,
)
from tui.messages import CommandAnswered, CommandFailed, LastSettingsRead
from tui.reading.earlier_runs import read_last_settings
from tui.steps.step import Step
from tui.threads import cancelled_event
from tui.widgets.settings_list import SettingsList
from tui.widgets.settings_row import CHANGED, NOT_DEFAULT, NOT_LAST

PAUSE_S = 0.4
"""After the last change, before the command is asked whether all of them go together."""
CHECKING = "The values are being checked."
WHAT_IS_FOUND = "words of a name or its help"
LEGEND = (
    (CHANGED, "changed"),
    (NOT_DEFAULT, "not the default"),
    (NOT_LAST, "unlike the newest run"),
)


class SettingsStep(Step):
    """Shows every field of the experiment, and takes what is typed into it."""

    title = "Settings"

    def __init__(self, draft: Draft, command: CommandLine, runs: Path, id: str) -> None:  # noqa: A002
        """Say which draft is filled in, and where earlier runs lie."""
        super().__init__(draft, command, id)
        self._runs = runs
        self._form = Form([], draft.changes)
        self._shown_for: list[str] = []
        self._checked: dict[str, str] | None = None
        """The changes that the command has judged; None while it has judged nothing."""
        self._asked: dict[str, str] = {}
        self._wants_to_go_on = False
        self._failure = ""
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out what is searched for, the fields, and the help."""
        yield Static(id="settings-state")
        yield Static(id="settings-search")
        yield SettingsList(id="settings")
        with VerticalScroll(id="setting-help", can_focus=False):
            yield Static(id="setting-text")

    @property
    def _list(self) -> SettingsList:
        return self.query_one(SettingsList)

    def enter(self) -> None:
        """Read the experiment again: its script may have been edited."""
        self._wants_to_go_on, self._failure = False, ""
        self._list.focus()
        if self._shown_for != self._draft.source:
            self._form = Form([], self._draft.changes)
            self._list.show(self._form)
        self._say("Reading the experiment ...")
        self._checked, self._asked = None, {}
        self.ask(["experiments", *self._draft.source, "--json"], EXPERIMENTS_DEADLINE_S)
        if self._draft.experiment is not None:
            self._read_last(self._draft.experiment.name)

    # ------------------------------------------------------------------------ what the command says

    @on(CommandAnswered)
    def take_answer(self, message: CommandAnswered) -> None:
        """Take the fields at first, and after each change what is wrong with it."""
        if self._checked is None:
            self._form.fields = parse_fields(message.answer)
            self._draft.experiment = parse_experiment(message.answer)
            self._shown_for = self._draft.source
            self._checked = {}
            self._show()
            if self._draft.changes:
                self._check()
            return
        self._checked = self._asked
        self._form.told_problems = parse_problems(message.answer)
        self._show()
        if self._wants_to_go_on:  # where something is wrong after all, that is said then
            self._wants_to_go_on = False
            self.post_message(self.Done())

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing is known."""
        self._wants_to_go_on = False
        self._failure = message.reason
        self._say(message.reason, "$text-error")

    def _check_soon(self) -> None:
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE_S, self._check)

    def _check(self) -> None:
        """Ask the command whether all changes hold, unless one is known not to."""
        if self._checked is None or any(
            problem_of(field, self._form.text(field)) for field in self._form.fields
        ):
            return
        self._asked = dict(self._draft.changes)
        arguments = ["experiments", *self._draft.source, *set_options(self._asked), "--json"]
        self.ask(arguments, EXPERIMENTS_DEADLINE_S)

    def problem(self) -> str:
        """Return the first thing that is wrong, or that this is not known yet."""
        self._keep_what_is_typed()
        name, sentence = self._form.first_problem()
        if sentence:
            self._list.go_to(name)
            return f"{name}: {sentence}" if name else sentence
        if self._checked is None:
            return self._failure or "The experiment is being read."
        if self._checked != self._draft.changes:
            self._wants_to_go_on = True
            self._check()
            return CHECKING
        return ""

    # ---------------------------------------------------------------------------- the newest run

    @work(thread=True, exclusive=True, group="earlier")
    def _read_last(self, experiment: str) -> None:
        found = read_last_settings(self._runs, experiment, cancelled_event())
        self.post_message(LastSettingsRead(found))

    @on(LastSettingsRead)
    def show_last(self, message: LastSettingsRead) -> None:
        """Mark what differs from the newest run."""
        self._form.last_run = message.settings
        self._show()

    # ------------------------------------------------------------------------------------- changing

    @on(SettingsList.Put)
    def put(self, message: SettingsList.Put) -> None:
        """Take a value that was chosen or typed."""
        if not self._wants_to_go_on:  # else the key was meant for the next step already
            self._put(message.field, message.text)

    def _keep_what_is_typed(self) -> None:
        if self._list.typed is not None and self._list.field is not None:
            self._put(self._list.field, self._list.typed)
            self._list.action_drop()

    def _put(self, field: FormField, text: str) -> None:
        before = dict(self._draft.changes)
        self._form.put(field, text)
        if self._draft.changes != before:
            self._draft.launched = 0  # it is another grid now
        self._wants_to_go_on = False
        self.post_message(self.Touched())
        self._show()
        if self._checked != self._draft.changes:
            self._check_soon()

    # -------------------------------------------------------------------------------------- showing

    def _show(self) -> None:
        self._list.show(self._form)
        if self._form.fields:
            self._say_counts()

    def _say_counts(self) -> None:
        changed, runs = len(self._draft.changes), number_of_runs_in(self._draft.changes)
        words = [f"{changed} changed" if changed else "nothing changed"]
        words += [f"{runs} runs"] * (runs > 1)
        legend = [f"{sign} {meaning}" for sign, meaning in LEGEND]
        state = self.query_one("#settings-state", Static)
        state.update(
            Content.assemble(
                (", ".join(words), "bold"), ("   " + "  ".join(legend), "$foreground-muted")
            )
        )

    def _say(self, text: str, colour: str = "$foreground-muted") -> None:
        self.query_one("#settings-state", Static).update(Content.styled(text, colour))

    @on(SettingsList.Moved)
    def show_moved(self) -> None:
        """Explain the field that the cursor has come to, and judge what is typed into it."""
        self._show_search()
        self._show_help()

    def _show_search(self) -> None:
        search = self.query_one("#settings-search", Static)
        search.display = self._list.is_searching or bool(self._list.words.text)
        before, under, behind = self._list.words.window(max(1, self._list.size.width - 8))
        cursor = (under, "reverse" if self._list.is_searching else "")
        hint = "" if self._list.words.text else WHAT_IS_FOUND
        search.update(Content.assemble("/ ", before, cursor, behind.rstrip(), (hint, "dim")))

    def _show_help(self) -> None:
        field, typed = self._list.field, self._list.typed
        if field is None:
            text = Content("No field has these words." if self._form.fields else "")
        else:
            known = self._form.problem(field)
            problem = known if typed is None else problem_of(field, typed)
            source = "that run" if self._draft.run else "script"
            text = _help(self._form, field, problem, source)
        self.query_one("#setting-text", Static).update(text)


def _help(form: Form, field: FormField, problem: str, source: str) -> Content:
    """Say what a field means, what it may be, and what it was elsewhere."""
    elsewhere = {
        source: field.script_text,
        "default": field.default_text,
        "newest run": form.last_text(field),
    }
    known = [
        Content.assemble((f"{what} ", "$foreground-muted"), text)
        for what, text in elsewhere.items()
        if text
    ]
    lines = [
        Content.assemble((field.name, "bold"), "  ", field.help),
        Content.styled(problem, "$text-error")
        if problem
        else Content.styled(f"It must be {field.allowed}.", "$foreground-muted"),
        Content("   ").join(known),
    ]
    return Content("\n").join(lines)
