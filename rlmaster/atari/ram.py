"""The console's memory: which byte means what, and the memory behind frames that were stored.

Shapes: N environments, T steps, H and W pixels of a frame.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.protocols import Protocol
from rlmaster.errors import TrainingError, UsageError
from rlmaster.experiment import atari_games

OnProgress = Callable[[int, int], None]


def ram_variables(game: str) -> Mapping[str, int]:
    """Return the byte, 0 to 127, in which each variable of a game lies, by its name.

    Args:
        game: Name as ale-py spells it, such as `ms_pacman`.

    Raises:
        UsageError: If nobody has annotated the game.
    """
    tables = _tables()
    if game not in tables:
        raise UsageError(
            f"it is not known what the bytes of {game}'s memory mean; choose one of the games for "
            f"which it is: {', '.join(tables)}"
        )
    return tables[game]


def games_with_ram() -> tuple[str, ...]:
    """Return the games whose memory is annotated, as ale-py spells them."""
    return tuple(_tables())


@cache
def _tables() -> Mapping[str, Mapping[str, int]]:
    text = resources.files("rlmaster").joinpath("data/atari_ram.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    spelt = {name.replace("_", ""): name for name in atari_games()}
    tables: dict[str, dict[str, int]] = {}
    for game, variable, byte, _category in rows:
        tables.setdefault(spelt[game], {})[variable] = int(byte)
    return MappingProxyType({game: MappingProxyType(table) for game, table in tables.items()})


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
