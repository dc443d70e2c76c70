"""Which other run is meant."""

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList

from rlmaster.errors import RlmasterError
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import parse_query
from rlmaster.run_index.row import RunRow
from tui.messages import RunsFound
from tui.widgets.choice_list import ChoiceList
from tui.words.plain_text import one_line
from tui.words.wording import number, state_colour

MOST_RUNS = 100
HINT = "words or key:value  ⏎ takes"


class RunChoiceScreen(ModalScreen[Path | None]):
    """Asks for a run by what one types of it; answers with its folder, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close"),
        Binding("down", "move(1)", "Next", show=False, priority=True),
        Binding("up", "move(-1)", "Before", show=False, priority=True),
    ]

    def __init__(self, runs: Path, title: str, except_for: RunFolder | None = None) -> None:
        """Say what is asked.

        Args:
            runs: Where the project keeps its runs.
            title: What the run is wanted for.
            except_for: A run that is not meant.
        """
        super().__init__()
        self._runs = runs
        self._title = title
        self._except_for = except_for

    def compose(self) -> ComposeResult:
        """Lay out the line to type in over the runs that fit."""
        with Vertical(classes="dialog", id="run-choice") as dialog:
            dialog.border_title = Content(self._title)  # type: ignore
            dialog.border_subtitle = HINT
            yield Input(placeholder="type to find a run", compact=True)
            choices = ChoiceList("found-runs")
            choices.can_focus = False
            yield choices

    def on_mount(self) -> None:
        """Begin with the newest runs."""
        self._find("")

    @on(Input.Changed)
    def find(self, event: Input.Changed) -> None:
        """Look for what has been typed so far."""
        self._find(event.value)

    @work(thread=True, exclusive=True)
    def _find(self, typed: str) -> None:
        try:
            with RunIndex(self._runs) as index:
                query = parse_query(typed.split(), index.config_fields)
                self.post_message(RunsFound(typed, index.rows(query, MOST_RUNS)))
        except (RlmasterError, OSError) as error:
            self.post_message(RunsFound(typed, [], one_line(str(error))))

    @on(RunsFound)
    def show_found(self, message: RunsFound) -> None:
        """List the runs that fit, unless something else is typed by now."""
        if message.typed != self.query_one(Input).value:
            return
        self.query_one("#run-choice").border_subtitle = Content(message.problem or HINT)  # type: ignore
        unwanted = self._except_for.path if self._except_for else None
        rows = {row.path: row for row in message.rows if self._runs / row.path != unwanted}
        self.query_one(ChoiceList).show({path: _line(row) for path, row in rows.items()})
        if rows:
            self.query_one(ChoiceList).highlighted = 0

    def action_move(self, by: int) -> None:
        """Point at another run while the keys stay with what is typed."""
        choices = self.query_one(ChoiceList)
        _ = choices.action_cursor_down() if by > 0 else choices.action_cursor_up()

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def choose(self) -> None:
        """Answer with the run that is pointed at."""
        if path := self.query_one(ChoiceList).chosen:
            self.dismiss(self._runs / path)


def _line(row: RunRow) -> Content:
    return Content.assemble(
        f"{one_line(row.short_id)} {one_line(row.name)} ",
        (row.state, state_colour(row.state)),
        f" {number(row.value)} " if row.value is not None else " ",
        (one_line(row.rationale), "$foreground-muted"),
    )
