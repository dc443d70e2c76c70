"""The canonical frames of a game: what every run is measured on, whatever frames it learned from.

Half of them are of random play, half of an agent's where one is known, from fixed seeds. They are
played once on a computer and kept in `canonical/` under RLMASTER_CACHE, else under `rlmaster/` in
XDG_CACHE_HOME, which may be deleted at any time.

Shapes: N measured frames, T rows, E environments.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.atari.ball import Ball, BallBoxes, games_with_ball
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.policies import (
    Policy,
    RandomPolicy,
    ScriptedPolicy,
    WithRandomActions,
    scripted_games,
)
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.durable_files import write_atomically
from rlmaster.embedders.foreground import median_background
from rlmaster.experiment import Atari
from rlmaster.replay.frame_store import ROW_ARRAYS, Episode, FrameStore
from rlmaster.specification import digest
from rlmaster.training.evaluation import (
    BACKGROUND_FRAMES,
    MEASURED_FRAMES,
    Indices,
    MeasuredFrames,
    evenly_chosen,
)

SEED = 1_905_220_608
"""Of the play; the second half's is one more. Nobody gives it to an experiment by chance."""
ROWS = 1024
"""Rows that are played in each environment, T."""
ENVIRONMENTS = 4
"""Games side by side in each half."""
FRAMES_BEFORE = 16
"""Frames of the same episode that stand before each measured one, at least."""
RANDOM_SHARE = 0.05
"""Share of the agent's actions that are drawn instead, so that it does not repeat one game."""
RECIPE = 1
"""Raised when frames are made in another way, so that what was kept before is not used."""
RAM = "ram"

Rows = dict[str, NDArray[Any]]
"""What a FrameStore holds of each row, and the console's memory, `(T, E, ...)` each."""
OnProgress = Callable[[int], None]
"""Called with the steps that are played so far, of `CANONICAL_STEPS`."""

CANONICAL_STEPS = 2 * ROWS * ENVIRONMENTS


@dataclass(frozen=True)
class CanonicalFrames:
    """Play of a game, and which of its frames measure."""

    store: FrameStore
    """All of the play, so that each frame has what came before it."""
    indices: Indices
    """The measured frames, spread evenly over the play, `(N,)`."""
    ram: NDArray[np.uint8]
    """The console's memory at each measured frame, `(N, 128)`."""
    balls: BallBoxes | None
    """Where the ball is in each; None for a game for which that is not known."""

    def measured(self) -> MeasuredFrames:
        """Return the frames as what measures."""
        sample = self.store.frames_at(evenly_chosen(self.indices, BACKGROUND_FRAMES))
        return MeasuredFrames(self.store, self.indices, median_background(sample), self.balls)


def canonical_frames(
    atari: Atari, device: torch.device | str = "cpu", on_progress: OnProgress | None = None
) -> CanonicalFrames:
    """Return the canonical frames of a game, from the cache or, if they are not there, played.

    Args:
        atari: Names the game and its protocol; nothing else of it counts.
        device: Where the frames shall live.
        on_progress: Told how far they are played; what it raises ends it.
    """
    path = _cache_file(atari)
    rows = _read(path)
    if rows is None:
        rows = _played(atari, on_progress)
        with suppress(OSError):  # without a cache they are played again each time
            _write(path, rows)
    return _chosen(atari.game, rows, torch.device(device))


def note_of(game: str) -> str:
    """Say what is special about a game's canonical frames; nothing if nothing is."""
    if game in scripted_games():
        return ""
    return f"the canonical frames of {game} are all of random play, since no agent is known for it"


# ---------------------------------------------------------------------------------------- playing


def _played(atari: Atari, on_progress: OnProgress | None) -> Rows:
    halves = [_half(atari, number, on_progress) for number in range(2)]
    return {name: np.concatenate([half[name] for half in halves], axis=1) for name in halves[0]}


def _half(atari: Atari, number: int, on_progress: OnProgress | None) -> Rows:
    """Play the random half, number 0, or the agent's, number 1."""
    environments = EmulatorEnvironments(
        atari.game, PROTOCOLS[atari.protocol], num_environments=ENVIRONMENTS, seed=SEED + number
    )
    policy = _policy(atari.game, environments, number)
    store = FrameStore(ENVIRONMENTS, capacity_rows=ROWS)
    ram = np.empty((ROWS, ENVIRONMENTS, 128), np.uint8)
    step = environments.reset()
    for row in range(ROWS):
        ram[row] = environments.ram()
        if on_progress is not None:
            on_progress((number * ROWS + row) * ENVIRONMENTS)
        if row + 1 < ROWS:
            actions = policy.actions(step, ram[row])
            store.append(step, actions)
            step = environments.step(actions)
    store.append(step, None)
    return {**store.rows_between(0, ROWS), RAM: ram}


def _policy(game: str, environments: EmulatorEnvironments, number: int) -> Policy:
    num_actions = environments.num_actions
    if number == 0 or game not in scripted_games():
        return RandomPolicy(num_actions=num_actions, seed=SEED + number)
    script = ScriptedPolicy(game, environments.action_meanings)
    return WithRandomActions(script, RANDOM_SHARE, num_actions=num_actions, seed=SEED)


# --------------------------------------------------------------------------------------- choosing


def _chosen(game: str, rows: Rows, device: torch.device) -> CanonicalFrames:
    """Choose what measures, never an episode's last frame, whose memory is a step ahead."""
    environments = rows[RAM].shape[1]
    store = FrameStore(environments, capacity_rows=len(rows[RAM]), device=device)
    store.keep_newest({name: values for name, values in rows.items() if name != RAM})
    episodes = [_without_its_end(episode) for episode in store.episodes()]
    long_enough = [episode for episode in episodes if len(episode) > FRAMES_BEFORE]
    indices = store.frame_indices(long_enough, after=FRAMES_BEFORE)
    indices = evenly_chosen(indices, MEASURED_FRAMES)
    ram = rows[RAM].reshape(-1, 128)[indices]
    balls = Ball(game).boxes(ram) if game in games_with_ball() else None
    return CanonicalFrames(store, indices, ram, balls)


def _without_its_end(episode: Episode) -> Episode:
    return replace(episode, stop_row=episode.stop_row - 1) if episode.ended else episode


# ------------------------------------------------------------------------------------------ cache


def _cache_file(atari: Atari) -> Path:
    """Return where the frames are kept, by everything that they follow from."""
    made_of = {
        "recipe": RECIPE,
        "game": atari.game,
        "protocol": asdict(PROTOCOLS[atari.protocol]),
        "ale_py": version("ale-py"),
        "play": [SEED, ROWS, ENVIRONMENTS, RANDOM_SHARE],
        "agent": atari.game in scripted_games(),
    }
    return _cache_folder() / f"{digest(made_of)}.npz"


def _cache_folder() -> Path:
    if chosen := os.environ.get("RLMASTER_CACHE"):
        return Path(chosen) / "canonical"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative paths passed over
        base = Path("~/.cache").expanduser()
    return base / "rlmaster" / "canonical"


def _write(path: Path, rows: Rows) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def _read(path: Path) -> Rows | None:
    """Return what was kept, or None where it is missing, damaged, or something else."""
    try:
        # Numpy verifies the checksums on the way, but leaves a damaged file of its own open.
        content = io.BytesIO(path.read_bytes())
        with np.load(content, allow_pickle=False) as kept:
            rows = {name: kept[name] for name in ("frames", *ROW_ARRAYS, RAM)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shape = (ROWS, 2 * ENVIRONMENTS)
    whole = all(values.shape[:2] == shape for values in rows.values())
    return rows if whole else None
