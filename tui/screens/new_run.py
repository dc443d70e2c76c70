"""A new run, step by step: experiment, why, host, launch."""

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Static

from rlmaster.project import Project
from tui.commands import CommandLine
from tui.draft import Draft
from tui.steps.experiment_step import ExperimentStep
from tui.steps.host_step import HostStep
from tui.steps.launch_step import LaunchStep
from tui.steps.rationale_step import RationaleStep
from tui.steps.step import Step

SIDE_BY_SIDE_WIDTH = 80
"""Columns from which on a list and its details fit next to each other."""


class NewRunScreen(Screen[None]):
    """Leads through the steps; going back loses nothing, since each writes into the draft."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("ctrl+n", "next", "Next"),
        Binding("enter", "launch", "Launch"),
        Binding("ctrl+x", "cancel_launch", "Cancel launch"),
    ]

    def __init__(self, project: Project, command: CommandLine, draft: Draft) -> None:
        """Say which draft is filled in, for which project."""
        super().__init__()
        self._steps: list[Step] = [
            ExperimentStep(draft, command, id="experiment-step"),
            RationaleStep(draft, command, project.runs, id="rationale-step"),
            HostStep(draft, command, id="host-step"),
            LaunchStep(draft, command, id="launch-step"),
        ]
        self._position = 0

    def compose(self) -> ComposeResult:
        """Lay out where one is, the step, and what is wrong with it."""
        yield Static(id="title")
        with ContentSwitcher(initial=self._steps[0].id):
            yield from self._steps
        yield Static(id="problem")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the first step."""
        self._go_to(0)

    def on_resize(self, event: events.Resize) -> None:
        """Lay what belongs together side by side where there is room."""
        self.set_class(event.size.width < SIDE_BY_SIDE_WIDTH, "-narrow")

    def _go_to(self, position: int) -> None:
        """Bring a step to the front."""
        self._step.leave()
        self._position = position
        self._complain("")
        self.query_one(ContentSwitcher).current = self._step.id
        self.query_one("#title", Static).update(self._title())
        self._step.enter()
        self.refresh_bindings()

    def _title(self) -> Content:
        names = [Content.styled("New run", "bold")]
        for number, step in enumerate(self._steps, start=1):
            style = "bold reverse" if step is self._step else "dim"
            names.append(Content.styled(f"{number} {step.title}", style))
        return Content("  ").join(names)

    @property
    def _step(self) -> Step:
        return self._steps[self._position]

    @property
    def _launch_step(self) -> LaunchStep:
        return self.query_one(LaunchStep)

    def _complain(self, sentence: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(Content.styled(sentence, "$text-error"))
        problem.display = bool(sentence)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer each key only where it does something."""
        is_last = self._position == len(self._steps) - 1
        is_launching = is_last and self._launch_step.is_launching
        return {
            "next": not is_last,
            "launch": is_last and not is_launching,
            "cancel_launch": is_launching,
        }.get(action, True)

    @on(Step.Done)
    def action_next(self) -> None:
        """Go a step on, unless something is missing."""
        if sentence := self._step.problem():
            self._complain(sentence)
        else:
            self._go_to(self._position + 1)

    def action_back(self) -> None:
        """Go a step back; from the first one, back to where one came from."""
        if self._position == 0:
            self._step.leave()
            self.dismiss()
        elif self._launch_step.is_launching:
            self._complain("The launch is under way; ctrl+x cancels it.")
        else:
            self._go_to(self._position - 1)

    def action_launch(self) -> None:
        """Launch."""
        self._launch_step.start()

    def action_cancel_launch(self) -> None:
        """End the launch."""
        self._complain("")
        self._launch_step.cancel()
