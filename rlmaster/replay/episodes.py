"""Episodes of a store: where they lie, and which of them are set aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlmaster.errors import TrainingError


@dataclass(frozen=True)
class Episode:
    """Where one episode lies in the store."""

    environment: int
    first_row: int
    stop_row: int
    """One past its last row."""
    ended: bool
    """Whether it was played to its end; the newest of each environment may not be."""

    def __len__(self) -> int:
        return self.stop_row - self.first_row


def split(
    episodes: Sequence[Episode], share: float, seed: int
) -> tuple[list[Episode], list[Episode]]:
    """Set whole episodes aside, at random, until they hold a share of the frames.

    Args:
        episodes: All there are.
        share: Wanted share of held-out frames, between 0 and 1; reached or passed.
        seed: Seed of the choice.

    Returns:
        Episodes to train on and held-out ones, at least one each, in their order.

    Raises:
        TrainingError: If there are fewer than two episodes.
    """
    if len(episodes) < 2:
        raise TrainingError(
            f"{len(episodes)} episode cannot be split into training and held-out ones; collect "
            "more steps (frames.steps) or play more environments (environment.num_environments)"
        )
    num_frames = sum(map(len, episodes))
    held_out: set[int] = set()
    frames = 0
    for chosen in np.random.default_rng(seed).permutation(len(episodes))[:-1].tolist():
        held_out.add(chosen)
        frames += len(episodes[chosen])
        if frames >= share * num_frames:
            break
    return (
        [episode for number, episode in enumerate(episodes) if number not in held_out],
        [episode for number, episode in enumerate(episodes) if number in held_out],
    )
