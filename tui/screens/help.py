"""Help: which keys do what on the screen below, what the signs mean, where everything is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from rlmaster.run_status import State
from tui.reading.run_pages import BEST, WORST
from tui.screens.acting import TEXTUALS_OWN
from tui.widgets.run_columns import MARK, UNREACHABLE
from tui.widgets.run_columns import SIGNS as STATE_SIGNS
from tui.words.wording import place, state_colour

STATES = {
    State.PREPARED: "made, and not in a queue yet",
    State.QUEUED: "waits for a free place on its computer",
    State.RUNNING: "works",
    State.COMPLETED: "has done all that was asked",
    State.FAILED: "ended with an error; its log and reason say which",
    State.STOPPED: "was asked to end and kept its work; it can be resumed",
    State.LOST: "its worker was killed or its computer restarted; it can be resumed",
}
SIGNS = {
    BEST: "the best result of the runs that may be compared with it",
    WORST: "the worst of them",
    UNREACHABLE: "its computer does not answer: the run may be further than it looks",
    MARK: "marked, so that something can be done with several runs at once",
}
HERE, EVERYWHERE = "Keys here", "Keys everywhere"
FILTERS = "words, state:failed, since:7d, standing:best, tag:ball, host:office, seed:1"


def keys_of(app: App[Any], screen: Screen[Any]) -> dict[str, dict[str, str]]:
    """Return what the keys of a screen do, of its own keys those in its footer first."""
    groups: dict[str, dict[str, str]] = {HERE: {}, EVERYWHERE: {}}
    bindings = screen.active_bindings.values()
    for active in sorted(bindings, key=lambda active: not active.binding.show):
        is_common = active.node is app or active.binding.action in TEXTUALS_OWN
        group = groups[EVERYWHERE if is_common else HERE]
        if active.enabled and (what := active.binding.description):
            group[what] = f"{group.get(what, '')} {app.get_key_display(active.binding)}".strip()
    return {title: keys for title, keys in groups.items() if keys}


class HelpScreen(ModalScreen[None]):
    """Explains the screen that it lies over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,enter,q", "dismiss", "Close"),
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
    ]

    def __init__(
        self, groups: Mapping[str, Mapping[str, str]], places: Mapping[str, Path] | None = None
    ) -> None:
        """Say what there is to explain.

        Args:
            groups: What each key or group of keys does, in groups by their titles.
            places: Where things lie, by what they are.
        """
        super().__init__()
        self._groups = groups
        self._places = places or {}

    def compose(self) -> ComposeResult:
        """Lay out the keys, then the signs and places."""
        tables = [
            *(
                _table(title, [(key, what) for what, key in keys.items()])
                for title, keys in self._groups.items()
            ),
            _states(),
            _table("Signs", list(SIGNS.items())),
            _table("Filters", [("/", FILTERS)]),
            _table("Places", [(what, place(path)) for what, path in self._places.items()]),
        ]
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "Help"
            yield Static(Content("\n\n").join(tables))

    def action_scroll_down(self) -> None:
        """Show what is further down."""
        self.query_one(VerticalScroll).scroll_down()

    def action_scroll_up(self) -> None:
        """Show what is further up."""
        self.query_one(VerticalScroll).scroll_up()


def _table(title: str, rows: Sequence[tuple[str, str]]) -> Content:
    width = max((cell_len(key) for key, _ in rows), default=0)
    lines = [
        Content.assemble((" " * (width - cell_len(key)) + key, "bold $text-accent"), f"  {what}")
        for key, what in rows
    ]
    return Content("\n").join([Content.styled(title, "bold underline"), *lines])


def _states() -> Content:
    width = max(map(len, STATES))
    lines = [
        Content.assemble(
            (f"{STATE_SIGNS[state]} {state:<{width}}", f"bold {state_colour(state)}"), f"  {what}"
        )
        for state, what in STATES.items()
    ]
    return Content("\n").join([Content.styled("States", "bold underline"), *lines])
