"""The console's memory behind frames that were stored, by playing them again.

Shapes: N environments or streams, T steps, H and W pixels of a frame.
"""

from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.protocols import Protocol
from rlmaster.errors import TrainingError

OnProgress = Callable[[int, int], None]


def label_frames(
    game: str,
    protocol: Protocol,
    seed: int,
    episode_start: NDArray[np.bool_],
    actions: NDArray[np.integer[Any]],
    frames_of_row: Callable[[int], NDArray[np.uint8]],
    on_progress: OnProgress | None = None,
) -> NDArray[np.uint8]:
    """Return the memory behind frames that AtariEnvironments showed, by playing them again.

    Args:
        game: Name as ale-py spells it.
        protocol: How it was played.
        seed: The run's seed.
        episode_start: Where each row began an episode, `(T, N)`, from the first reset on.
        actions: Action chosen after each row, `(T, N)`; any where the episode was over.
        frames_of_row: Returns the stored frames of a row, `(N, H, W)`.
        on_progress: Called with the rows that are labelled, and T.

    Returns:
        Memory of each console after each step, `(T, N, 128)`. At an episode's last row it is one
        step ahead of the frame; see `Emulator.act`.

    Raises:
        TrainingError: If this emulator shows another frame than the stored one somewhere.
    """
    num_rows, num_environments = actions.shape
    environments = EmulatorEnvironments(
        game, protocol, num_environments=num_environments, seed=seed
    )
    labels = np.empty((num_rows, num_environments, 128), np.uint8)
    step = environments.reset()
    for row in range(num_rows):
        shown = step.observation[:, -1]
        _require_equal(shown, frames_of_row(row), step.episode_start, episode_start[row], row)
        labels[row] = environments.ram()
        if on_progress is not None:
            on_progress(row + 1, num_rows)
        if row + 1 < num_rows:
            step = environments.step(np.maximum(actions[row], 0).astype(np.int64))
    return labels


def label_explored(
    exploration: Exploration,
    episode_start: NDArray[np.bool_],
    frames_of_row: Callable[[int], NDArray[np.uint8]],
    on_progress: OnProgress | None = None,
) -> NDArray[np.uint8]:
    """Return the memory behind frames that an exploration showed, by exploring again.

    Args:
        exploration: One as it was at its beginning; its streams are the environments.
        episode_start: Where each row began an episode, `(T, N)`, from the first round on.
        frames_of_row: Returns the stored frames of a row, `(N, H, W)`.
        on_progress: Called with the rows that are labelled, and T.

    Returns:
        Memory of each console after each step, `(T, N, 128)`, as `label_frames` does.

    Raises:
        TrainingError: If this emulator shows another frame than the stored one somewhere.
    """
    num_rows, num_streams = episode_start.shape
    labels = np.empty((num_rows, num_streams, 128), np.uint8)
    rounds = iter(exploration.play_round, None)
    for row, (step, _, ram) in enumerate(islice(chain.from_iterable(rounds), num_rows)):
        shown = step.observation[:, -1]
        _require_equal(shown, frames_of_row(row), step.episode_start, episode_start[row], row)
        labels[row] = ram
        if on_progress is not None:
            on_progress(row + 1, num_rows)
    return labels


def _require_equal(
    shown: NDArray[np.uint8],
    stored: NDArray[np.uint8],
    starts: NDArray[np.bool_],
    stored_starts: NDArray[np.bool_],
    row: int,
) -> None:
    differs = (shown != stored).any(axis=(1, 2)) | (starts != stored_starts)
    if differs.any():
        raise TrainingError(
            f"the stored frame in row {row:,} of environment {int(np.argmax(differs))} is not what "
            "this emulator shows when its actions are played again, so its memory is not known; "
            "use the ale-py that it was collected with, or collect the frames anew"
        )
