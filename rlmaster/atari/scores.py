"""What a return is worth: its place between random play and a human's.

Source: Mnih et al. (2015), extended data table 2; the scores are from DQN Zoo, as the table says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class ReferenceScores:
    """Mean returns of a game in raw points, from no-op starts and at most 108,000 frames."""

    random: float
    """Of an agent that chooses uniformly among the actions."""
    human: float
    """Of a professional tester of games; above that of the random agent."""


def reference_scores(game: str) -> ReferenceScores | None:
    """Return the scores that a game's returns are compared with.

    Args:
        game: Name as ale-py spells it, such as `ms_pacman`.

    Returns:
        None for a game that is not one of the 57 that were measured.
    """
    return _table().get(game)


def human_normalised_score(game: str, score: float) -> float | None:
    """Return (score - random) / (human - random): 0 is random play, 1 a human's.

    Args:
        game: Name as ale-py spells it.
        score: Mean return, in raw points of whole games.

    Returns:
        None for a game that is not one of the 57 that were measured.
    """
    reference = reference_scores(game)
    if reference is None:
        return None
    return (score - reference.random) / (reference.human - reference.random)


@cache
def _table() -> Mapping[str, ReferenceScores]:
    text = resources.files("rlmaster").joinpath("data/atari_scores.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    return MappingProxyType(
        {game: ReferenceScores(float(random), float(human)) for game, random, human in rows}
    )
