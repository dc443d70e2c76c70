"""A run's frames: what an earlier attempt sealed is loaded, the rest is collected and sealed.

Whole chunks are sealed as soon as they are full, so a kill costs at most one chunk of play. Their
borders depend on the number of rows alone: however often a run is cut, its replay is the same.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.durable_files import read_json, write_json
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.experiment import Experiment
from rlmaster.replay.chunk_files import MANIFEST, Chunk, ChunkFolder
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.specification import flattened, resolve
from rlmaster.training.collecting import Collector
from rlmaster.training.frame_cache import FrameCache, collected_from
from rlmaster.training.frame_coverage import describe_coverage, labelled_rows
from rlmaster.training.memory import require_room_for_frames
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

SOURCE = "source.json"
"""Beside the chunks: what they were collected from, and with which emulator."""


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
            TrainingError: If there is no room for so many.
        """
        self.source = experiment.frames
        self._experiment = experiment
        self._run = run
        self._folder = run.replay
        self._coverage_file = run.coverage_file
        self._collector: Collector[Any] = resolve(self.source.builds)(
            self.source, experiment, self._folder
        )
        self._cache = FrameCache.of(run, experiment)
        num_environments = experiment.environment.num_environments
        num_frames = self._collector.capacity_rows * num_environments
        require_room_for_frames(num_frames, experiment.frame_storage, device, self._folder)
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
            RunFolderError: If frames of another run are damaged.
        """
        self._take_from_the_cache()
        sealed = self._sealed()
        if sealed is None:
            return 0
        self._recording.phase("restoring", sealed.num_rows, "rows")
        self._kept = FrameStore.load(
            self._folder,
            device=self._device,
            capacity_rows=self._collector.capacity_rows,
            storage=self._experiment.frame_storage,
            disk_folder=self._folder,
            on_progress=lambda rows, _total: self._advance(rows),
            on_damage=self._tell_damage if self._collector.collects else None,
        )
        return self._kept.num_rows

    def _take_from_the_cache(self) -> None:
        """Link the frames of an earlier run that asked for the same, where nothing is here yet."""
        if self._cache is None or (self._folder / MANIFEST).exists():
            return
        if taken_from := self._cache.take(self._folder):
            self._recording.event("note", f"frames taken from run {taken_from}")

    def _sealed(self) -> ChunkFolder | None:
        """Return the chunks that may be gone on from, if there are any."""
        if not (self._folder / MANIFEST).exists():
            return None
        try:
            sealed = ChunkFolder.open(self._folder)
        except RunFolderError:
            return self._lost(MANIFEST)
        collected = (read_json(self._folder / SOURCE) or {}).get("collected")
        if collected is not None:
            self._require_same_source(collected)
        elif self._collector.collects:
            return self._lost(SOURCE) if sealed.chunks else None
        return sealed  # an agent's run does not say; its game was looked at when this was launched

    def _lost(self, file: str) -> None:
        message = f"{self._folder / file} is missing or damaged; all frames are collected anew"
        self._recording.event("damaged", message)

    def _require_same_source(self, collected: dict[str, Any]) -> None:
        wanted = flattened(collected_from(self._experiment, self._run))
        if not self._collector.collects:  # whatever another run collected them from
            names = ("environment.game", "environment.protocol", "environment.num_environments")
            wanted = {name: wanted[name] for name in names}
        for name, value in flattened(collected).items():
            if wanted.get(name, value) != value:
                raise TrainingError(
                    f"the frames in {self._folder} were collected with {name}={value}, and this "
                    f"run asks for {wanted[name]}; a branch keeps environment, frames and seed, "
                    "so launch a new run for others"
                )

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
            TrainingError: If this emulator shows other frames than a checkpoint has learned from,
                or frames of another run are missing.
        """
        store = self._kept
        if store is None or store.num_rows == 0 or not self._collector.is_whole(store):
            try:
                store = self._collect()
            finally:
                self._collector.close()
        is_described = self._coverage_file.exists()
        if self._collector.collects:
            self._recording.aside(lambda: store.save(self._folder))
        ram = None if is_described else self._label(store)
        self._recording.aside(lambda: self._finish(store, ram, is_described=is_described))
        return store

    def _label(self, store: FrameStore) -> NDArray[np.uint8] | None:
        """Return the consoles' memory behind the first rows, if it can be known."""
        rows = labelled_rows(store)
        self._recording.phase("labelling", rows, "rows")
        try:
            return self._collector.label(store, rows, self._advance)
        except TrainingError as error:  # the frames are of another version of the emulator
            self._recording.event("note", str(error), store.num_steps)
            return None

    def _finish(
        self, store: FrameStore, ram: NDArray[np.uint8] | None, *, is_described: bool
    ) -> None:
        """Write what all the frames cover, and let others have them; they are sealed by now."""
        self._collector.clear()
        if not is_described:
            described = describe_coverage(store, self._experiment.environment.game, ram)
            write_json(self._coverage_file, described, durable=True)
            self._recording.event("note", str(described["sentence"]), store.num_steps)
        if self._cache is None:
            return
        try:
            self._cache.give(self._folder)
        except (OSError, RunFolderError) as error:
            self._recording.event("note", f"no later run can take these frames: {error}")

    def _collect(self) -> FrameStore:
        store = self._where_play_goes_on()
        self._coverage_file.unlink(missing_ok=True)  # which says that all frames are there
        self._sealed_rows = store.num_rows
        self._recording.phase("collecting", self._collector.steps, "steps", store.num_steps)
        try:
            self._collector.play(store, self._advance, lambda row: self._seal(store, row))
        except StopRequested:
            lost = (store.num_rows - self._sealed_rows) * store.num_environments
            message = (
                f"stopped while collecting, after {store.num_steps:,} steps; a resume plays the "
                f"last {lost:,} of them again"
            )
            self._recording.event("note", message, store.num_steps)
            raise
        return store

    def _seal(self, store: FrameStore, stop_row: int) -> None:
        if stop_row > self._sealed_rows:
            self._sealed_rows = stop_row
            self._recording.aside(lambda: store.save(self._folder, stop_row=stop_row))

    def _where_play_goes_on(self) -> FrameStore:
        """Return the rows so far, after which the collector goes on."""
        self._collector.start()
        if self._kept is None or self._kept.num_rows == 0:
            self._require_same_emulator()
        elif self._play_again(self._kept):
            return self._kept
        else:
            self._kept = None
            self._collector.start()
        self._collector.clear()
        store = self._make_store()
        store.save(self._folder)  # first, since it removes the chunks of another source
        collected = collected_from(self._experiment, self._run)
        source = {"collected": collected, "ale_py": version("ale-py")}
        write_json(self._folder / SOURCE, source, durable=True)
        return store

    def _play_again(self, store: FrameStore) -> bool:
        """Bring the collector to where the store ends; tell whether it got there.

        Raises:
            TrainingError: If it did not, and other frames than those that a checkpoint has learned
                from might follow.
        """
        self._recording.phase("restoring", store.num_rows, "rows")
        compares = self._collector.compares_frames
        then, now = self._emulator_then(), version("ale-py")
        if (compares or then == now) and self._collector.play_again(store, self._advance):
            return True
        emulator = f"the emulator (ale-py {now}, then {then})"
        why = (
            f"{emulator} does not show the stored frames when their actions are played again"
            if compares
            else f"what {emulator} had explored cannot be restored"
        )
        if self._learned_from and (compares or then != now):
            raise TrainingError(
                f"{why}, and the newest checkpoint has learned from them; resume with the "
                "emulator of then, or branch from scratch"
            )
        self._recording.event("note", f"{why}; all are collected anew", store.num_rows)
        return False

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
        return FrameStore(
            self._experiment.environment.num_environments,
            capacity_rows=self._collector.capacity_rows,
            device=self._device,
            storage=self._experiment.frame_storage,
            disk_folder=self._folder,
        )
