"""The first step: which experiment."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.commands import EXPERIMENTS_DEADLINE_S
from tui.draft import ExperimentChoice, parse_experiments
from tui.messages import CommandAnswered, CommandFailed
from tui.steps.step import Step
from tui.widgets.choice_list import ChoiceList


class ExperimentStep(Step):
    """Lists the scripts in `experiments/`, as the command line describes them."""

    title = "Experiment"

    def compose(self) -> ComposeResult:
        """Lay out the list, and what the highlighted one is about."""
        yield Static("Reading the scripts in experiments/ ...", id="experiments-state")
        with Container(classes="choice-and-details"):
            yield ChoiceList(id="experiments")
            with VerticalScroll(id="experiment-details"):
                yield Static(id="experiment-text")

    def on_mount(self) -> None:
        """Begin without any."""
        self._experiments: dict[str, ExperimentChoice] = {}

    def enter(self) -> None:
        """Read the scripts again: they may have been edited."""
        self.query_one(ChoiceList).focus()
        self.ask(["experiments", "--json"], EXPERIMENTS_DEADLINE_S)

    def problem(self) -> str:
        """Ask for an experiment that can be run."""
        experiment = self._draft.experiment
        if experiment is None:
            return "Choose an experiment first."
        return f"{experiment.name} cannot be run as it is." if experiment.error else ""

    @on(CommandAnswered)
    def show_experiments(self, message: CommandAnswered) -> None:
        """List them; what cannot be run says why."""
        found = parse_experiments(message.answer)
        self._experiments = {experiment.file: experiment for experiment in found}
        sound = (experiment for experiment in found if not experiment.error)
        preferred = self._draft.experiment or next(sound, None)
        entries = {experiment.file: _entry(experiment) for experiment in found}
        self.query_one(ChoiceList).show(entries, preferred.file if preferred else None)
        self._say("" if found else "There is no script in experiments/ yet: the README shows one.")
        self.take()

    @on(CommandFailed)
    def show_failure(self, message: CommandFailed) -> None:
        """Say why nothing is listed."""
        self._say(message.reason, "$text-error")

    def _say(self, text: str, colour: str = "$foreground-muted") -> None:
        state = self.query_one("#experiments-state", Static)
        state.update(Content.styled(text, colour))
        state.display = bool(text)

    @on(OptionList.OptionHighlighted)
    def take(self) -> None:
        """Take the highlighted one, and show what it is about."""
        experiment = self._experiments.get(self.query_one(ChoiceList).chosen or "")
        if experiment is not None:
            self._draft.experiment = experiment
            self.query_one("#experiment-text", Static).update(_details(experiment))

    @on(OptionList.OptionSelected)
    def finish(self) -> None:
        """Go on with the highlighted one."""
        self.take()
        self.post_message(self.Done())


def _entry(experiment: ExperimentChoice) -> Content:
    about = (experiment.title, "$foreground-muted")
    if experiment.error:
        about = ("cannot be run", "$text-error")
    return Content.assemble((experiment.name, "bold"), "\n  ", about)


def _details(experiment: ExperimentChoice) -> Content:
    if experiment.error:
        return Content.styled(experiment.error, "$text-error")
    chosen = [
        Content.assemble((f"{path} ", "$foreground-muted"), value)
        for path, value in experiment.chosen_values.items()
    ]
    parts = [Content(experiment.description or experiment.title)]
    if chosen:
        heading = Content.styled("Differs from the defaults:", "$foreground-muted")
        parts += [Content("\n").join([heading, *chosen])]
    return Content("\n\n").join(parts)
