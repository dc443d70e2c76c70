"""Networks of a run as a checkpoint has them, for whoever looks at them after training."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from rlmaster.agents.base import BaseAgent
from rlmaster.embedders.base import BaseEmbedder, build_embedder, load_networks
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import find_checkpoint, list_checkpoints, read_networks
from rlmaster.training.trained_policy import load_agent
from rlmaster.training.update import best_device


def load_embedder(
    run: RunFolder, experiment: Experiment, which: str, on_note: Callable[[str], None]
) -> tuple[BaseEmbedder, Path]:
    """Return networks on the best device and in evaluation mode, and the checkpoint they are of.

    Args:
        run: Whose networks.
        experiment: What the run's config.json describes.
        which: `best`, a folder's name, or `newest`, which passes over damaged ones.
        on_note: Told of each that is passed over.

    Raises:
        RunFolderError: If there is no such checkpoint, it is damaged, or does not fit.
        TrainingError: If there is no such embedder.
    """
    embedder = build_embedder(experiment)
    checkpoint, weights = _read_weights(run, which, on_note)
    try:
        load_networks(embedder, weights)
    except TrainingError as error:
        raise _misfit(checkpoint) from error
    return embedder.to(best_device()).eval(), checkpoint


def load_player(
    run: RunFolder, experiment: Experiment, which: str, on_note: Callable[[str], None]
) -> tuple[BaseAgent, Path]:
    """Return an agent on the best device and in evaluation mode, and the checkpoint it is of.

    Arguments and errors are those of `load_embedder`.
    """
    checkpoint, weights = _read_weights(run, which, on_note)
    try:
        agent = load_agent(experiment, weights)
    except TrainingError as error:
        raise _misfit(checkpoint) from error
    return agent.to(best_device()), checkpoint


def _misfit(checkpoint: Path) -> RunFolderError:
    return RunFolderError(
        f"{checkpoint} does not fit the networks that the run's config.json describes; one of "
        "the two was changed or copied from another run"
    )


def _read_weights(
    run: RunFolder, which: str, on_note: Callable[[str], None]
) -> tuple[Path, dict[str, Tensor]]:
    checkpoint = find_checkpoint(run.checkpoints, which)
    if which != "newest":
        return checkpoint, read_networks(checkpoint)
    for checkpoint in reversed(list_checkpoints(run.checkpoints)):
        try:
            return checkpoint, read_networks(checkpoint)
        except RunFolderError as error:
            on_note(f"{error}; it is passed over")
    raise RunFolderError(f"no checkpoint in {run.checkpoints} is whole; --checkpoint best may be")
