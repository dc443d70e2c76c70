"""What every embedder has: checkpoints load into a new one, or a sentence says why not."""

import pytest
import torch
from torch import nn

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import load_networks
from rlmaster.errors import TrainingError
from rlmaster.experiment import Autoencoder


def built(latent_dim: int = 8) -> AutoencoderEmbedder:
    return AutoencoderEmbedder(Autoencoder(latent_dim=latent_dim, channels=(4, 4, 4)))


def test_buffers_that_only_preparing_makes_come_from_the_checkpoint() -> None:
    prepared, fresh = built(), built()
    prepared.register_buffer("median", torch.arange(3))
    prepared.encoder.register_buffer("scale", torch.tensor(0.25))
    load_networks(fresh, prepared.state_dict())
    state = fresh.state_dict()
    assert state.keys() == prepared.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in prepared.state_dict().items())


@pytest.mark.parametrize("harm", ["another size", "a layer too few", "a layer too many"])
def test_other_networks_are_refused_in_a_sentence(harm: str) -> None:
    other = built(latent_dim=9 if harm == "another size" else 8)
    if harm == "a layer too few":
        del other.decoder
    elif harm == "a layer too many":
        other.head = nn.Linear(2, 2)
    with pytest.raises(TrainingError, match="other networks than AutoencoderEmbedder builds"):
        load_networks(built(), other.state_dict())
