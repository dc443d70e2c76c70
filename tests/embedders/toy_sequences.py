"""A toy game: a bright dot on grey, which each action moves by eight pixels another way."""

import torch
from torch import Tensor

from rlmaster.replay.batches import SequenceBatch

GREY, BRIGHT = 87, 236
MOVES = torch.tensor([[0, 0], [0, 8], [8, 0], [0, -8]])
NUM_ACTIONS = len(MOVES)


def frames_with_a_dot(count: int, seed: int = 0) -> Tensor:
    """Return frames with a dot of 4x4 somewhere, `(count, 1, 84, 84)`."""
    return sequences_with_a_dot(count, 1, seed).frames


def sequences_with_a_dot(count: int, length: int, seed: int = 0) -> SequenceBatch:
    """Return sequences in which random actions move the dot, all of one batch."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(3, 7, (count, 2), generator=generator) * 8
    actions = torch.randint(NUM_ACTIONS, (count, length), generator=generator)
    frames = torch.full((count, length, 84, 84), GREY, dtype=torch.uint8)
    for step in range(length):
        for number, (row, column) in enumerate(places.tolist()):
            frames[number, step, row : row + 4, column : column + 4] = BRIGHT
        places = places + MOVES[actions[:, step]]
    batch = SequenceBatch.of_frames(frames)
    batch.actions.copy_(actions)
    return batch
