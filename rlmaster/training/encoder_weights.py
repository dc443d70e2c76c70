"""The weights that an agent's embedder begins with, where these are an earlier run's."""

from collections.abc import Mapping

from torch import Tensor

from rlmaster.embedders.base import BaseEmbedder, load_networks
from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import read_networks

IN_AGENT = "encoder.embedder."
"""How the names of an embedder's weights begin in a checkpoint of an agent."""


def embedder_weights(networks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return an embedder's weights by their names in it, whether it was trained alone or not.

    Args:
        networks: The weights of a checkpoint.
    """
    of_agent = {
        name.removeprefix(IN_AGENT): weight
        for name, weight in networks.items()
        if name.startswith(IN_AGENT)
    }
    return of_agent or networks


def load_encoder_weights(embedder: BaseEmbedder, run: RunFolder) -> None:
    """Load what a run was given at its launch into its embedder, built but not prepared.

    The earlier run may have trained an embedder alone, or an agent with one in it.

    Raises:
        TrainingError: If they are missing or damaged, or do not fit.
    """
    try:
        networks = read_networks(run.encoder_weights)
    except RunFolderError as error:
        raise TrainingError(f"{error}; launch the run again, which brings it along anew") from error
    try:
        load_networks(embedder, embedder_weights(networks))
    except TrainingError as error:
        raise TrainingError(
            f"the weights in {run.encoder_weights} are of other networks than "
            f"{type(embedder).__name__} builds; launch with the embedder of the run that "
            "encoder.weights names"
        ) from error
