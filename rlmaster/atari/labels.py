"""The console's memory behind frames that were stored, by playing them again.

Shapes: N environments or streams, T steps, H and W pixels of a frame.
"""

from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import RESEED_AFTER_STEPS, environment_seed, last_seedings
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


def label_environment(
    game: str,
    protocol: Protocol,
    seed: int,
    environment: int,
    episode_start: NDArray[np.bool_],
    actions: NDArray[np.integer[Any]],
    frames: NDArray[np.uint8],
    on_progress: OnProgress | None = None,
) -> NDArray[np.uint8]:
    """Return the memory behind frames of one environment of many, by playing it alone.

    It is played from when it was last seeded, so this takes at most so long as until it is seeded
    anew, and an episode.

    Args:
        game: Name as ale-py spells it.
        protocol: How it was played.
        seed: The run's seed.
        environment: Its number, 0 to N - 1.
        episode_start: Where each row began an episode, `(T, N)`, from the first reset to the last
            of the frames.
        actions: Action chosen after each row, `(T, N)`; any where the episode was over.
        frames: The environment's last frames, all of one episode, `(B, H, W)`.
        on_progress: Called with the rows that are played, and the rows to play.

    Returns:
        Memory after each step, `(B, 128)`, as `label_frames` does.

    Raises:
        TrainingError: If this emulator shows another frame than the stored one somewhere.
    """
    first_row, stop_row = len(actions) - len(frames), len(actions)
    rows, times = last_seedings(episode_start[: first_row + 1], RESEED_AFTER_STEPS)
    seeded, times_before = int(rows[environment]), int(times[environment])
    emulator = Emulator(game, protocol, environment_seed(seed, environment, times_before))
    labels = np.empty((len(frames), 128), np.uint8)
    for row in range(seeded, stop_row):
        if episode_start[row, environment]:
            emulator.reset()
        else:
            emulator.act(int(actions[row - 1, environment]))
        if row >= first_row:
            if not np.array_equal(emulator.frame(), frames[row - first_row]):
                raise _not_as_played(row, environment)
            labels[row - first_row] = emulator.ram()
        if on_progress is not None:
            on_progress(row + 1 - seeded, stop_row - seeded)
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
        raise _not_as_played(row, int(np.argmax(differs)))


def _not_as_played(row: int, environment: int) -> TrainingError:
    return TrainingError(
        f"the stored frame in row {row:,} of environment {environment} is not what this emulator "
        "shows when its actions are played again, so its memory is not known; use the ale-py that "
        "it was collected with, or collect the frames anew"
    )
