"""Frame sources, as an experiment names them: where the frames come from that are learned from."""

from typing import ClassVar

from pydantic import Field

from rlmaster.specification import Part

SCRIPTED_GAMES = ("breakout", "pong")
"""Games for which there is a script, as ale-py spells them."""
SCRIPTED, RANDOM = "scripted", "random"
"""Policies that nobody trained."""


class FrameSource(Part):
    """Where the frames come from that a representation is learned from."""

    held_out_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the episodes that is kept from training and measures the error, between 0 and 1."""

    def require_playable(self, game: str) -> None:
        """Refuse a game that there are no such frames of.

        Args:
            game: Name as ale-py spells it.

        Raises:
            ValueError: With what to choose instead.
        """


class PlayedFrames(FrameSource):
    """Frames that the run itself plays."""

    steps: int = Field(default=100_000, ge=100, le=100_000_000)
    """Agent steps to collect, over all environments together, at least 100."""


class RandomFrames(PlayedFrames):
    """Frames of an agent that chooses uniformly among the actions."""

    builds: ClassVar[str] = "rlmaster.training.collecting:RandomPlay"


class AgentFrames(PlayedFrames):
    """Frames of an agent that plays for points, and now and then acts at random."""

    builds: ClassVar[str] = "rlmaster.training.collecting:AgentPlay"

    policy: str = Field(default=SCRIPTED, min_length=1, max_length=200)
    """Who plays: `scripted` follows the ball of Pong or Breakout by the console's memory, `random`,
    the agent of a run (its id or a unique part of it), or a folder such as experiments/policies/x.
    """
    random_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the actions that are drawn uniformly instead, 0 to 1."""

    def require_playable(self, game: str) -> None:
        """Refuse a game without a script where the script is asked for."""
        if self.policy == SCRIPTED and game not in SCRIPTED_GAMES:
            raise ValueError(
                f"there is no scripted policy for {game}, only for {' and '.join(SCRIPTED_GAMES)}; "
                "choose one of these games, or frames.policy=random"
            )


class UniformStateFrames(PlayedFrames):
    """Frames spread over the states of the game, however rarely play comes there.

    States are kept by what their frame looks like, coarsely. Each excursion goes on at random from
    a state drawn uniformly over those looks, and adds the new ones that it meets.
    Source: Ecoffet et al. (2021), cells without domain knowledge.
    """

    builds: ClassVar[str] = "rlmaster.training.exploring:UniformStates"

    excursion_steps: int = Field(default=32, ge=4, le=10_000)
    """Agent steps that are played on from a state, 4 to 10,000."""
    cell_rows: int = Field(default=8, ge=1, le=84)
    """Height of the coarse frame whose looks tell states apart, in pixels, 1 to 84."""
    cell_columns: int = Field(default=11, ge=1, le=84)
    """Width of the coarse frame, in pixels, 1 to 84."""
    cell_levels: int = Field(default=8, ge=2, le=256)
    """Grey levels of the coarse frame, 2 to 256."""
    max_cells: int = Field(default=20_000, ge=1, le=10_000_000)
    """States that are kept at most; further new ones are not, at least 1."""


class ReplayFrames(FrameSource):
    """All frames that an earlier run kept: those that it collected, or those that its agent saw."""

    builds: ClassVar[str] = "rlmaster.training.collecting:StoredFrames"

    run: str = Field(min_length=1, max_length=200)
    """The earlier run: its id, the six characters at its end, or a part of name and id; of several
    that are called so, the completed one of the same seed.
    """
