"""A run's frames: what an earlier attempt sealed is loaded, the rest is collected and sealed.

Whole chunks are sealed as soon as they are full, so a kill costs at most one chunk of play. Their
borders depend on the number of rows alone: however often a run is cut, its replay is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from rlmaster.atari.collection import (
    OnProgress,
    Policy,
    collect,
    is_collected,
    play_again,
    rows_for,
)
from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.durable_files import read_json, write_json
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.experiment import Experiment, RandomFrames
from rlmaster.replay.chunk_files import MANIFEST, Chunk, ChunkFolder
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.specification import flattened, resolve
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

SOURCE = "source.json"
"""Beside the chunks: what they were collected from, and with which emulator."""


@dataclass(frozen=True)
class _Players:
    environments: AtariEnvironments
    policy: Policy


class FrameCollection:
    """Gives a run its frames, wherever the attempt before it was cut."""

    def __init__(
        self,
        experiment: Experiment,
        run: RunFolder,
        recording: Recording,
        device: torch.device,
        advance: Callable[[int], None],
        *,
        learned_from: bool,
    ) -> None:
        """Look at nothing yet.

        Args:
            experiment: Says what to collect.
            run: Where it is kept.
            recording: Who writes there.
            device: Where the frames shall live.
            advance: Told how far it is; may raise StopRequested.
            learned_from: Whether a checkpoint goes on from these frames, so that no others will do.

        Raises:
            TrainingError: If frames of that kind cannot be collected.
        """
        source = experiment.frames
        if not isinstance(source, RandomFrames):
            raise TrainingError(f"frames of the type {type(source).__name__} cannot be collected")
        self.source = source
        self._experiment = experiment
        self._folder = run.replay
        self._recording = recording
        self._device = device
        self._advance = advance
        self._learned_from = learned_from
        self._kept: FrameStore | None = None
        self._sealed_rows = 0

    # ------------------------------------------------------------------------------- what is there

    def load(self) -> int:
        """Load what an earlier attempt sealed, and return its rows; 0 where it sealed nothing.

        Raises:
            TrainingError: If it was collected for another experiment.
        """
        sealed = self._sealed()
        if sealed is None:
            return 0
        self._recording.phase("restoring", sealed.num_rows, "rows")
        self._kept = FrameStore.load(
            self._folder,
            device=self._device,
            capacity_rows=self._capacity_rows,
            on_progress=lambda rows, _total: self._advance(rows),
            on_damage=self._tell_damage,
        )
        return self._kept.num_rows

    def _sealed(self) -> ChunkFolder | None:
        """Return the chunks that may be gone on from, if there are any."""
        if not (self._folder / MANIFEST).exists():
            return None
        try:
            sealed = ChunkFolder.open(self._folder)
        except RunFolderError:
            return self._lost(MANIFEST)
        collected = (read_json(self._folder / SOURCE) or {}).get("collected")
        if collected is None:
            return self._lost(SOURCE) if sealed.chunks else None
        self._require_same_source(collected)
        return sealed

    def _lost(self, file: str) -> None:
        message = f"{self._folder / file} is missing or damaged; all frames are collected anew"
        self._recording.event("damaged", message)

    def _require_same_source(self, collected: dict[str, Any]) -> None:
        wanted = flattened(self._source_data())
        for name, value in flattened(collected).items():
            if wanted.get(name, value) != value:
                raise TrainingError(
                    f"the frames in {self._folder} were collected with {name}={value}, and this "
                    f"run asks for {wanted[name]}; a branch keeps environment, frames and seed, "
                    "so launch a new run for others"
                )

    def _source_data(self) -> dict[str, Any]:
        data = self._experiment.to_data()
        return {name: data[name] for name in ("environment", "frames", "seed")}

    def _tell_damage(self, chunk: Chunk) -> None:
        message = (
            f"{self._folder / chunk.file} is missing or damaged; the frames from row "
            f"{chunk.first_row:,} on are collected again"
        )
        self._recording.event("damaged", message, chunk.first_row)

    # ------------------------------------------------------------------------------ what is missing

    def complete(self) -> FrameStore:
        """Return a store with all frames; those that were not loaded are collected.

        Raises:
            StopRequested: If somebody asked; whole chunks are kept.
            TrainingError: If this emulator shows other frames than a checkpoint has learned from.
        """
        if self._kept is not None and is_collected(self._kept, self.source.steps):
            return self._kept
        players, store, after = self._where_play_goes_on()
        self._sealed_rows = store.num_rows
        self._recording.phase("collecting", self.source.steps, "steps", store.num_steps)
        try:
            collect(
                players.environments,
                players.policy,
                store,
                self.source.steps,
                self._seal_whole_chunks_of(store),
                after,
            )
        except StopRequested:
            lost = (store.num_rows - self._sealed_rows) * store.num_environments
            message = (
                f"stopped while collecting, after {store.num_steps:,} steps; a resume plays the "
                f"last {lost:,} of them again"
            )
            self._recording.event("note", message, store.num_steps)
            raise
        self._recording.aside(lambda: store.save(self._folder))
        return store

    def _where_play_goes_on(self) -> tuple[_Players, FrameStore, Step | None]:
        """Return who plays, the rows so far, and what followed them, if there are any."""
        players = self._players()
        if self._kept is None or self._kept.num_rows == 0:
            self._require_same_emulator()
        if self._kept is not None:
            after = self._play_again(players, self._kept)
            if after is not None:
                return players, self._kept, after
            players, self._kept = self._players(), None
        store = self._make_store()
        store.save(self._folder)  # first, since it removes the chunks of another source
        source = {"collected": self._source_data(), "ale_py": version("ale-py")}
        write_json(self._folder / SOURCE, source, durable=True)
        return players, store, None

    def _play_again(self, players: _Players, store: FrameStore) -> Step | None:
        """Bring the players to where the store ends; None where they do not get there.

        Raises:
            TrainingError: If they do not, and something has been learned from the frames.
        """
        self._recording.phase("restoring", store.num_rows, "rows")

        def advance(row: int, _total: int) -> None:
            self._advance(row)

        after = play_again(players.environments, players.policy, store, advance)
        if after is None:
            differs = (
                f"the emulator (ale-py {version('ale-py')}, then {self._emulator_then()}) does not "
                "show the stored frames when their actions are played again"
            )
            if self._learned_from:
                raise TrainingError(
                    f"{differs}, and the newest checkpoint has learned from them; resume with the "
                    "emulator of then, or branch from scratch"
                )
            message = f"{differs}; all are collected anew"
            self._recording.event("note", message, store.num_rows)
        return after

    def _require_same_emulator(self) -> None:
        """Refuse another emulator where no stored frame is left that could be compared.

        Raises:
            TrainingError: If something has been learned from the frames that are gone.
        """
        then, now = self._emulator_then(), version("ale-py")
        if self._learned_from and then not in (None, now):
            raise TrainingError(
                f"the frames that the newest checkpoint has learned from are gone, and ale-py {now}"
                f" may show others than ale-py {then} did; resume with that, or branch from scratch"
            )

    def _emulator_then(self) -> str | None:
        """Return the version of ale-py that what is stored was collected with, if it is known."""
        return (read_json(self._folder / SOURCE) or {}).get("ale_py")

    def _make_store(self) -> FrameStore:
        environments = self._experiment.environment.num_environments
        return FrameStore(environments, capacity_rows=self._capacity_rows, device=self._device)

    @property
    def _capacity_rows(self) -> int:
        return rows_for(self.source.steps, self._experiment.environment.num_environments)

    def _players(self) -> _Players:
        atari, seed = self._experiment.environment, self._experiment.seed
        environments = AtariEnvironments(
            atari.game,
            PROTOCOLS[atari.protocol],
            num_environments=atari.num_environments,
            seed=seed,
            num_threads=torch.get_num_threads(),
        )
        policy = resolve(self.source.builds)(
            self.source, num_actions=environments.num_actions, seed=seed
        )
        return _Players(environments, policy)

    def _seal_whole_chunks_of(self, store: FrameStore) -> OnProgress:
        def seal(steps: int, _total: int) -> None:
            stop_row = store.whole_chunk_rows
            if stop_row > self._sealed_rows:
                self._sealed_rows = stop_row
                self._recording.aside(lambda: store.save(self._folder, stop_row=stop_row))
            self._advance(steps)

        return seal
