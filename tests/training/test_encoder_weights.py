"""The weights that an agent's embedder begins with: of an embedder, or of an agent with one."""

from pathlib import Path

import pytest
import torch

from rlmaster.agents.encoder import ObservationEncoder
from rlmaster.embedders.base import BaseEmbedder, build_embedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Atari, Autoencoder, Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import Checkpoint, write_checkpoint
from rlmaster.training.encoder_weights import load_encoder_weights


def experiment(latent_dim: int = 8) -> Experiment:
    specification = Autoencoder(latent_dim=latent_dim, channels=(4, 4, 4))
    return Experiment(name="x", environment=Atari(game="Pong"), embedder=specification)


def built(seed: int, latent_dim: int = 8) -> BaseEmbedder:
    torch.manual_seed(seed)
    return build_embedder(experiment(latent_dim))


class Playing(torch.nn.Module):
    """What an agent's checkpoint consists of: an encoder, a target copy of it, and a head."""

    def __init__(self, embedder: BaseEmbedder) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(embedder, experiment())
        self.target_encoder = ObservationEncoder(built(99), experiment())
        self.head = torch.nn.Linear(8, 6)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def give(run: RunFolder, networks: torch.nn.Module) -> None:
    """Let a run have been given the weights of some networks at its launch."""
    weights = {name: value.clone() for name, value in networks.state_dict().items()}
    written = write_checkpoint(run.checkpoints, Checkpoint(100, weights, {}))
    (written / "state.pt").unlink()  # which stays with the earlier run
    written.rename(run.encoder_weights)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_an_embedder_begins_with_the_weights_of_another(run: RunFolder) -> None:
    trained, new = built(1), built(2)
    trained.prepare(torch.randint(256, (16, 1, 84, 84), dtype=torch.uint8))
    give(run, trained)
    load_encoder_weights(new, run)
    assert same_weights(new, trained)
    frames = torch.randint(256, (3, 1, 84, 84), dtype=torch.uint8)
    assert torch.equal(new.embed(frames), trained.embed(frames))


def test_of_an_agent_only_its_online_encoder_counts(run: RunFolder) -> None:
    trained, new = built(1), built(2)
    give(run, Playing(trained))
    load_encoder_weights(new, run)
    assert same_weights(new, trained)


def test_weights_of_other_networks_are_refused(run: RunFolder) -> None:
    give(run, built(1, latent_dim=9))
    with pytest.raises(TrainingError, match=r"AutoencoderEmbedder builds; launch .* encoder\.weig"):
        load_encoder_weights(built(2), run)


def test_missing_and_damaged_weights_are_refused(run: RunFolder) -> None:
    with pytest.raises(TrainingError, match=r"no whole checkpoint in .*; launch the run again"):
        load_encoder_weights(built(2), run)
    give(run, built(1))
    (run.encoder_weights / "networks.safetensors").write_bytes(b"other")
    with pytest.raises(TrainingError, match=r"is damaged.*; launch the run again"):
        load_encoder_weights(built(2), run)
