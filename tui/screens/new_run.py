"""A new run, step by step: experiment, settings, why, host, launch."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from pathlib import Path
from typing import ClassVar, Self

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Static

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.children.commands import CommandLine
from tui.drafts.draft import Draft
from tui.drafts.draft_file import DraftFile
from tui.messages import Launched
from tui.steps.experiment_step import ExperimentStep
from tui.steps.host_step import HostStep
from tui.steps.launch_step import LaunchStep
from tui.steps.rationale_step import RationaleStep
from tui.steps.settings_step import SettingsStep
from tui.steps.start_step import StartStep
from tui.steps.step import Step

SIDE_BY_SIDE_WIDTH = 80
"""Columns from which on a list and its details fit next to each other."""
PROBLEM_COLOUR = "$text-error"
KEEP_S = 1.0
"""How much of a draft a crash may cost."""
WENT_ON = "This goes on with the draft of last time; ctrl+r starts afresh."
ARE_YOU_SURE = "Press ctrl+r once more to throw away what is chosen and written here."


class NewRunScreen(Screen[None]):
    """Leads through the steps; going back loses nothing, since each writes into the draft."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("ctrl+n", "next", "Next"),
        Binding("enter", "launch", "Launch"),
        Binding("ctrl+x", "cancel_launch", "Cancel launch"),
        Binding("ctrl+r", "start_afresh", "Start afresh"),
    ]

    def __init__(
        self,
        project: Project,
        command: CommandLine,
        draft: Draft,
        draft_file: DraftFile | None = None,
    ) -> None:
        """Say which draft is filled in, for which project.

        Args:
            project: Where the run is kept.
            command: How to run the command line.
            draft: What is filled in.
            draft_file: Where the draft waits while the app is closed; None for the usual place.
        """
        super().__init__()
        self._project, self._command, self._draft = project, command, draft
        run = RunFolder(Path(draft.run)) if draft.run else None
        self._file = draft_file or DraftFile(project, run)
        first = StartStep if draft.run else ExperimentStep
        self._steps: list[Step] = [
            first(draft, command, id="first-step"),
            SettingsStep(draft, command, project.runs, id="settings-step"),
            RationaleStep(draft, command, project.runs, id="rationale-step"),
            HostStep(draft, command, id="host-step"),
            LaunchStep(draft, command, id="launch-step"),
        ]
        self._kept = draft.to_data()
        self._position = 0
        self._may_start_afresh = self._is_over = False

    @classmethod
    def going_on(cls, project: Project, command: CommandLine, run: RunFolder | None = None) -> Self:
        """Go on with the draft of last time, or begin one.

        Args:
            project: Where the run is kept.
            command: How to run the command line.
            run: The run that is to be made again with changes; None for a new one.
        """
        file = DraftFile(project, run)
        draft = file.read() or (Draft.of_run(run) if run else Draft())
        return cls(project, command, draft, file)

    def compose(self) -> ComposeResult:
        """Lay out where one is, the step, and what is wrong with it."""
        yield Static(id="title")
        with ContentSwitcher(initial=self._steps[0].id):
            yield from self._steps
        yield Static(id="problem")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin where one was, and keep from now on what is chosen."""
        was_kept = not self._draft.is_blank
        furthest = len(self._steps) - 1 if self._draft.experiment else 0
        self._go_to(min(max(self._draft.step, 0), furthest))
        if was_kept:
            self._tell(WENT_ON, "$text-accent")
        self.set_interval(KEEP_S, self._keep_soon)

    def on_unmount(self) -> None:
        """Keep the draft before the app may be gone."""
        self._keep()

    def on_resize(self, event: events.Resize) -> None:
        """Lay what belongs together side by side where there is room."""
        narrow = event.size.width < SIDE_BY_SIDE_WIDTH
        self.set_class(narrow, "-narrow")
        self.query_one("#title", Static).update(self._title(is_short=narrow))

    # ------------------------------------------------------------------------------- the draft

    def _keep_soon(self) -> None:
        if self._draft.to_data() != self._kept and not self._is_over:
            self._keep_in_thread()

    @work(thread=True, exclusive=True, group="draft")
    def _keep_in_thread(self) -> None:
        self._keep()

    def _keep(self) -> None:
        data = self._draft.to_data()
        if self._is_over or data == self._kept:
            return
        self._kept = data
        if self._draft.is_blank:
            self._file.remove()
        else:
            self._file.write(data)

    @on(Launched)
    def forget_draft(self) -> None:
        """Keep no draft of what was launched."""
        self._is_over = True
        self._file.remove()

    def action_start_afresh(self) -> None:
        """Throw the draft away, once that is said twice."""
        if not self._may_start_afresh:
            self._may_start_afresh = True
            self._tell(ARE_YOU_SURE, "$text-warning")
            return
        self._is_over = True
        self._file.remove()
        run = RunFolder(Path(self._draft.run)) if self._draft.run else None
        self.app.switch_screen(NewRunScreen.going_on(self._project, self._command, run))

    # ------------------------------------------------------------------------------- the steps

    def _go_to(self, position: int) -> None:
        """Bring a step to the front."""
        self._step.leave()
        self._position = self._draft.step = position
        self._tell("")
        self.query_one(ContentSwitcher).current = self._step.id
        self.query_one("#title", Static).update(self._title(is_short=self.has_class("-narrow")))
        self._step.enter()
        self.refresh_bindings()

    def _title(self, *, is_short: bool) -> Content:
        what = "Again" if self._draft.run else "New run"
        names = [Content.styled(what, "bold")]
        for number, step in enumerate(self._steps, start=1):
            is_here = step is self._step
            text = f" {number} {step.title} " if is_here or not is_short else f"{number}"
            names.append(Content.styled(text, "bold reverse" if is_here else "dim"))
        return Content(" ").join(names)

    @property
    def _step(self) -> Step:
        return self._steps[self._position]

    @property
    def _launch_step(self) -> LaunchStep:
        return self.query_one(LaunchStep)

    def _tell(self, sentence: str, colour: str = PROBLEM_COLOUR) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(Content.styled(sentence, colour))
        problem.display = bool(sentence)
        problem.set_class(colour == PROBLEM_COLOUR, "-problem")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer each key only where it does something."""
        is_last = self._position == len(self._steps) - 1
        is_launching = is_last and self._launch_step.is_launching
        return {
            "next": not is_last,
            "launch": is_last and not is_launching,
            "cancel_launch": is_launching,
            "start_afresh": not is_launching and not self._draft.is_blank,
        }.get(action, True)

    @on(Step.Touched)
    def forget_problem(self) -> None:
        """Say no more what was wrong before."""
        if self.query_one("#problem").has_class("-problem"):
            self._tell("")

    @on(Step.Done)
    def action_next(self) -> None:
        """Go a step on, unless something is missing."""
        self._may_start_afresh = False
        if sentence := self._step.problem():
            self._tell(sentence)
        else:
            self._go_to(self._position + 1)

    def action_back(self) -> None:
        """Go a step back; from the first one, back to where one came from."""
        self._may_start_afresh = False
        if self._position == 0:
            self._step.leave()
            self._keep()
            self.dismiss()
        elif self._launch_step.is_launching:
            self._tell("The launch is under way; ctrl+x cancels it.")
        else:
            self._go_to(self._position - 1)

    def action_launch(self) -> None:
        """Launch."""
        self._tell("")
        self._launch_step.start()

    def action_cancel_launch(self) -> None:
        """End the launch."""
        self._tell("")
        self._launch_step.cancel()
