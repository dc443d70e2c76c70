"""The columns of the list of runs: which there is room for, and what each says of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from rlmaster.run_index.order import RunOrder
from rlmaster.run_status import State
from tui.reading.run_pages import RunLine
from tui.words.plain_text import fit
from tui.words.wording import age

SIGNS: Mapping[str, str] = {
    State.PREPARED: "○",
    State.QUEUED: "◌",
    State.RUNNING: "●",
    State.COMPLETED: "✓",
    State.FAILED: "✗",
    State.STOPPED: "■",
    State.LOST: "?",
}
"""States by a sign each, which says them where there is neither colour nor room for a word."""
MARK = "◆"
"""Stands before a run that is marked."""
UNREACHABLE = "!"
"""Stands after the state of a run whose host does not answer: it may be further by now."""
LEAST_WIDTH_FOR_WORDS = 56
"""Below, a state is its sign alone."""
WIDE = 96
"""From here on a run under way has a bar of what is done."""
BAR = 9
GAP = 1


class Column(NamedTuple):
    """One column, apart from how wide it happens to be."""

    title: str
    order: RunOrder | None = None
    """How its title sorts when it is clicked."""
    at_right: bool = False
    is_quiet: bool = False


COLUMNS: Mapping[str, Column] = {
    "mark": Column(""),
    "state": Column("state", RunOrder.STATE),
    "experiment": Column("experiment", RunOrder.EXPERIMENT),
    "done": Column("done", RunOrder.PROGRESS, at_right=True),
    "eta": Column("ETA", RunOrder.ETA, at_right=True, is_quiet=True),
    "result": Column("result", RunOrder.RESULT, at_right=True),
    "standing": Column(""),
    "age": Column("age", RunOrder.NEWEST, at_right=True, is_quiet=True),
    "run": Column("run", is_quiet=True),
    "host": Column("host", RunOrder.HOST),
    "game": Column("game", RunOrder.GAME),
    "agent": Column("agent", RunOrder.AGENT),
    "embedder": Column("embedder", RunOrder.EMBEDDER),
    "why": Column("why", is_quiet=True),
}
"""From left to right."""
ALWAYS = {"mark": 1, "state": 2, "experiment": 16, "done": 5, "result": 9, "age": 4}
"""Least widths of what is shown first."""
AT_A_PINCH = ("age", "result", "done")
"""What even of that goes where the experiment's name would be cut too short, in this order."""
THEN = (
    ("standing", 1),
    ("why", 16),
    ("run", 6),
    ("agent", 17),
    ("why", 28),
    ("host", 10),
    ("eta", 7),
    ("why", 40),
    ("game", 10),
    ("embedder", 12),
)
"""What comes, or grows to at least so much, as there is room for it, in this order."""
LEAST_EXPERIMENT = 10
LONGEST_STATE = 11
EXPERIMENTS = (20, 28)
"""How wide its column is before the rationale gets more, and at most."""
LONGEST_WHY = 60
"""How wide the rationale is before the experiment's name gets more."""


@dataclass(frozen=True)
class Layout:
    """How wide each column is that is shown, in cells, from left to right."""

    widths: Mapping[str, int]

    @classmethod
    def for_width(cls, width: int, *, has_agents: bool = True) -> Self:
        """Share out a width; without agents, nothing is kept free for them.

        State, experiment, what is done, result and age are always there. As the list grows there
        come, in this order: the state's word, the sign of a best or worst result, the first line of
        the rationale, the run's six characters (all these at 80 columns), the agent, host, the time
        that is left, game and embedder. What is left over goes to the experiment's name and the
        rationale.
        """
        widths = dict(ALWAYS)
        if width >= LEAST_WIDTH_FOR_WORDS:
            widths["state"] = LONGEST_STATE
        if width >= WIDE:
            widths["done"] = BAR + 1 + ALWAYS["done"]
        for name, least in THEN:
            if name == "agent" and not has_agents:
                continue
            more = least - widths[name] if name in widths else least + GAP
            if _taken(widths) + more > width:
                break
            widths[name] = least
        for name in AT_A_PINCH:
            if _taken(widths) - widths["experiment"] + LEAST_EXPERIMENT > width:
                del widths[name]
        lacking = max(0, _taken(widths) - width)
        widths["experiment"] = max(LEAST_EXPERIMENT, widths["experiment"] - lacking)
        for name, most in (
            ("experiment", EXPERIMENTS[0]),
            ("why", LONGEST_WHY),
            ("experiment", EXPERIMENTS[1]),
            ("why", width),
        ):
            if name in widths:
                spare = max(0, width - _taken(widths))
                widths[name] = max(widths[name], min(most, widths[name] + spare))
        return cls({name: widths[name] for name in COLUMNS if name in widths})

    def column_at(self, x: int) -> str:
        """Return which column a cell of a line belongs to; the gap after one is part of it."""
        for name, width in self.widths.items():
            x -= width + GAP
            if x < 0:
                return name
        return list(self.widths)[-1]

    def titles(self, order: RunOrder) -> str:
        """Return the line of titles, with an arrow at the one that the list is sorted by."""
        texts = {name: column.title for name, column in COLUMNS.items()}
        for name, column in COLUMNS.items():
            if column.order is order:
                texts[name] += "↓"
        if order is RunOrder.OLDEST:
            texts["age"] += "↑"
        return " ".join(self.cell(name, texts[name]) for name in self.widths)

    def cell(self, name: str, text: str) -> str:
        """Cut or fill a text to its column's width, on the side where it stands."""
        width = self.widths[name]
        return fit(text.rjust(width) if COLUMNS[name].at_right else text, width)

    def cells(self, line: RunLine, now: datetime, *, marked: bool) -> dict[str, str]:
        """Return what each column says of a run, cut to its width."""
        texts = {
            "mark": MARK if marked else "",
            "state": _state(line, in_short=self.widths["state"] < LONGEST_STATE),
            "done": _done(line, self.widths.get("done", 0)),
            "age": age(line.created, now),
            "why": line.unreachable or line.why,
        }
        return {
            name: self.cell(name, texts.get(name) or getattr(line, name, ""))
            for name in self.widths
        }


def _taken(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * len(widths)


def _state(line: RunLine, *, in_short: bool) -> str:
    sign = SIGNS.get(line.state, UNREACHABLE)
    words = sign if in_short else f"{sign} {line.state}"
    return words + (UNREACHABLE if line.unreachable else "")


def _done(line: RunLine, width: int) -> str:
    """Say how much is trained, drawn where there is room; or what a run does instead."""
    has_room = width > ALWAYS["done"]
    if line.share is None:
        return line.phase if has_room else "–" * bool(line.phase)
    words = f"{int(100 * line.share)} %"
    if not has_room or line.state != State.RUNNING:
        return words
    done = int(BAR * line.share)
    return f"{'━' * done}{'─' * (BAR - done)}{words:>{width - BAR}}"
