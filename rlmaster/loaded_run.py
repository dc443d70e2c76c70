"""A run in a notebook: configuration, scalars, networks and frames in one line each."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlmaster.errors import RunFolderError
from rlmaster.experiment import Experiment
from rlmaster.policy_folder import PolicyFolder
from rlmaster.project import Project
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index import find_run, run_at
from rlmaster.run_status import Status

if TYPE_CHECKING:
    from torch import Tensor

    from rlmaster.agents.base import BaseAgent
    from rlmaster.embedders.base import BaseEmbedder
    from rlmaster.replay.frame_store import FrameStore
    from rlmaster.reports.scalars import Series


class LoadedRun:
    """What a run kept, read when it is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        """Point at a run; nothing is read yet."""
        self.folder = folder

    def __repr__(self) -> str:
        return f"LoadedRun({self.folder.name}/{self.folder.id}, {self.status.state})"

    @property
    def status(self) -> Status:
        """How the run stands."""
        return self.folder.status()

    @property
    def progress(self) -> Progress:
        """How far it is, and `result`, what it came to."""
        return self.folder.progress()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The experiment as plain data, whatever version wrote it."""
        return self.folder.config()

    @property
    def rationale(self) -> str:
        """Why the run was made."""
        return self.folder.rationale()

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment, validated.

        Raises:
            SpecificationError: If this version no longer knows one of its fields.
            RunFolderError: If the configuration is missing or damaged.
        """
        _make_importable(self.folder)
        return Experiment.from_data(self.config)

    def scalars(self) -> "dict[str, Series]":
        """Return every curve by its tag, such as `train/loss`, with `steps` and `values` arrays."""
        from rlmaster.reports.scalars import read_scalars

        return read_scalars(self.folder.tensorboard)

    def embedder(self, which: str = "newest") -> "BaseEmbedder":
        """Return the trained embedder, on the processor and in evaluation mode.

        Of an agent it is the one in its encoder.

        Args:
            which: `newest`, `best`, or the name of a folder in `checkpoints/`.

        Raises:
            RunFolderError: If there is no such checkpoint, or it is damaged.
            TrainingError: If it is of other networks than the configuration describes.
        """
        from rlmaster.embedders.base import build_embedder, load_networks
        from rlmaster.training.encoder_weights import embedder_weights

        weights = self._weights(which)
        _make_importable(self.folder)  # again, since another run's code may be in front by now
        embedder = build_embedder(self.experiment)
        load_networks(embedder, embedder_weights(weights))
        return embedder.eval()

    def agent(self, which: str = "newest") -> "BaseAgent":
        """Return the trained agent, on the processor and in evaluation mode.

        `act` of it gives the actions `(B,)` that look best for observations `(B, K, H, W)`, uint8.

        Args:
            which: `newest`, `best`, or the name of a folder in `checkpoints/`.

        Raises:
            RunFolderError: If there is no such checkpoint, or it is damaged.
            TrainingError: If the run has no agent, or the checkpoint is of another than the
                configuration describes.
        """
        from rlmaster.training.trained_policy import load_agent

        weights = self._weights(which)
        _make_importable(self.folder)  # again, since another run's code may be in front by now
        return load_agent(self.experiment, weights)

    def replay(self) -> "FrameStore":
        """Return the frames that the run learned from, in main memory, with what was done at them.

        `episodes`, `frames_at`, `stack_at` and `sequences_at` of it give parts as torch tensors.

        Raises:
            RunFolderError: If there is no replay, or a part of it is missing or damaged.
        """
        from rlmaster.replay.frame_store import FrameStore

        with self._saying_where_else("--replay"):
            return FrameStore.load(self.folder.replay)

    def _weights(self, which: str) -> "dict[str, Tensor]":
        """Return the networks of a checkpoint."""
        from rlmaster.training.checkpoint import find_checkpoint, read_networks

        with self._saying_where_else("--all"):
            return read_networks(find_checkpoint(self.folder.checkpoints, which))

    @contextmanager
    def _saying_where_else(self, option: str) -> Generator[None]:
        """Add to what is missing that it may be on the host that the run was made on."""
        try:
            yield
        except RunFolderError as error:
            elsewhere = self.folder.elsewhere()
            if elsewhere is None:
                raise
            command = f"rlmaster pull {option} {self.folder.short_id}"
            raise RunFolderError(
                f"{error}; `{command}` brings what is on {elsewhere.host}"
            ) from error


def load_run(run: str | Path) -> LoadedRun:
    """Open a run by its folder, or by anything that names it inside the present project.

    Args:
        run: A path, `last`, the six characters, or a unique part of name and id.

    Raises:
        ProjectError: If no run is called that, or several are.
    """
    folder = run_at(str(run)) or find_run(str(run), Project.containing(Path.cwd()).runs)
    return LoadedRun(folder)


def load_policy(folder: str | Path) -> "BaseAgent":
    """Return the agent that `rlmaster export` wrote, on the processor and in evaluation mode.

    `act` of it gives the actions `(B,)` that look best for observations `(B, K, H, W)`, uint8. It
    only plays: weights that acting does not need are NaN.

    Args:
        folder: The policy, from here or from the present project, such as `policies/pong`.

    Raises:
        ProjectError: If there is no such folder, and no project to look in.
        UsageError: If it holds no policy.
        SpecificationError: If this version no longer knows a field of its configuration.
        TrainingError: If its weights are damaged, or of another agent than that describes.
    """
    from rlmaster.training.trained_policy import read_policy

    path = Path(folder)
    if not path.exists():
        path = Project.containing(Path.cwd()).root / path
    return read_policy(PolicyFolder(path))


def _make_importable(folder: RunFolder) -> None:
    """Let specifications and embedders be found that the run's own code defined."""
    paths = [str(path) for path in folder.code_paths()]
    # The snapshot holds a package rlmaster too; in front, it would be what new processes import.
    sys.path += [path for path in paths[:-1] if path not in sys.path]
    for script_folder in paths[-1:]:  # in front: it wins over a present file of the same name
        if script_folder in sys.path:
            sys.path.remove(script_folder)
        sys.path.insert(0, script_folder)
