"""The first step: which experiment."""

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.drafts.draft import ExperimentChoice, parse_experiment
from tui.messages import CommandAnswered, CommandFailed
from tui.steps.step import Step
from tui.widgets.choice_list import ChoiceList
from tui.words.plain_text import one_line


class ExperimentStep(Step):
    """Lists the scripts in `experiments/`, as the command line describes them."""

    title = "Experiment"

    def compose(self) -> ComposeResult:
        """Lay out the list, and what the highlighted one is about."""
        yield Static(id="experiments-state")
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
        self._read: dict[str, ExperimentChoice] = {}
        self._say("Reading the scripts in experiments/ ...")
        self.listen(["experiments", "--live", "--json"])

    def problem(self) -> str:
        """Ask for an experiment that can be run."""
        experiment = self._draft.experiment
        if experiment is None:
            return "Choose an experiment first."
        return f"{experiment.name} cannot be run as it is." if experiment.error else ""

    @on(CommandAnswered)
    def add_experiment(self, message: CommandAnswered) -> None:
        """Show one more; what was chosen before stays so, else the first sound one is."""
        if "file" in message.answer:
            experiment = parse_experiment(message.answer)
            self._read[experiment.file] = experiment
            self._show({**self._experiments, **self._read})

    @on(Step.AllHeard)
    def show_all(self) -> None:
        """Let go of scripts that are gone."""
        self._show(self._read)
        nothing = "There is no script in experiments/ yet: the README shows one."
        self._say("" if self._read else nothing)

    def _show(self, found: dict[str, ExperimentChoice]) -> None:
        self._experiments = dict(sorted(found.items()))
        entries = {file: _entry(experiment) for file, experiment in self._experiments.items()}
        sound = (file for file, experiment in self._experiments.items() if not experiment.error)
        chosen = self._draft.experiment.file if self._draft.experiment else None
        preferred = chosen if chosen in entries else next(sound, None)
        if preferred is not None or not found:
            self.query_one(ChoiceList).show(entries, preferred)
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
            self._draft.take(experiment)
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
    file = (f"  {one_line(Path(experiment.file).name)}", "$foreground-muted")
    return Content.assemble((experiment.name, "bold"), file, "\n  ", about)


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
