"""The orders in which runs are listed. In each, runs that are alike come newest first."""

from collections.abc import Mapping
from enum import StrEnum

from rlmaster.run_status import State

STATE_ORDER = (
    State.RUNNING,
    State.QUEUED,
    State.PREPARED,
    State.FAILED,
    State.LOST,
    State.STOPPED,
    State.COMPLETED,
)
"""What is under way first, then what may need a person."""
NEWEST_FIRST = "created DESC, id DESC, path DESC"


class RunOrder(StrEnum):
    """What comes first in a list of runs; what a run lacks puts it last."""

    NEWEST = "newest"
    OLDEST = "oldest"
    EXPERIMENT = "experiment"
    """By the experiment's name."""
    STATE = "state"
    PROGRESS = "progress"
    """Those of which most is done."""
    RESULT = "result"
    """Each metric by itself, its best value first."""
    CHANGED = "changed"
    """Those whose state changed last."""
    ETA = "eta"
    """Those that end soonest."""
    HOST = "host"
    GAME = "game"
    EMBEDDER = "embedder"
    AGENT = "agent"
    """Runs of one agent by how its encoder is trained."""

    @property
    def sql(self) -> str:
        """What the index sorts by."""
        first = _FIRST[self]
        return f"{first}, {NEWEST_FIRST}" if first else NEWEST_FIRST


def _by_text(column: str) -> str:
    return f"{column} = '', casefold({column})"


_FIRST: Mapping[RunOrder, str] = {
    RunOrder.NEWEST: "",
    RunOrder.OLDEST: "created, id, path",
    RunOrder.EXPERIMENT: _by_text("name"),
    RunOrder.STATE: "CASE state "
    + " ".join(f"WHEN '{state}' THEN {place}" for place, state in enumerate(STATE_ORDER))
    + " END",
    RunOrder.PROGRESS: "total <= 0, 1.0 * step / total DESC",
    RunOrder.RESULT: "value IS NULL, metric, CASE WHEN higher_is_better THEN -value ELSE value END",
    RunOrder.CHANGED: "since DESC",
    RunOrder.ETA: "is_final, eta_s IS NULL, eta_s",
    RunOrder.HOST: _by_text("host"),
    RunOrder.GAME: _by_text("game"),
    RunOrder.EMBEDDER: _by_text("embedder"),
    RunOrder.AGENT: f"{_by_text('agent')}, {_by_text('style')}",
}
