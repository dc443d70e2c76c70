"""Memory: what a run would need is refused where there is less, before anything is collected."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from rlmaster.embedder_choices import (
    Autoencoder,
    ConvolutionalEmbedder,
    Embedder,
    InverseDynamics,
    PixelEncoder,
    RandomEncoder,
    VariationalAutoencoder,
)
from rlmaster.errors import TrainingError
from rlmaster.replay import frame_storage
from rlmaster.training import memory
from rlmaster.training.memory import require_room_for_frames, require_room_for_latent

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(frame_storage, "MEMINFO", path)


def test_more_frames_than_fit_are_refused_with_both_numbers(tmp_path: Path) -> None:
    require_room_for_frames(200_000, "memory", CPU, tmp_path)
    with pytest.raises(TrainingError, match=r"need 6\.6 GiB, .* 1\.6 GiB in mem"):
        require_room_for_frames(1_000_000, "memory", CPU, tmp_path)


def test_frames_for_which_no_place_has_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"GiB on the disk; keep fewer steps"):
        require_room_for_frames(10**13, "auto", CPU, tmp_path)


def needed_bytes(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the least memory in which an embedder is not refused, by halving."""
    too_little, enough = 0, 2**40
    while enough - too_little > 1:
        middle = (too_little + enough) // 2
        monkeypatch.setattr(memory, "available_bytes", lambda _, middle=middle: middle)
        try:
            require_room_for_latent(embedder, CPU)
            enough = middle
        except TrainingError:
            too_little = middle
    return enough


def test_a_latent_whose_layers_do_not_fit_is_refused() -> None:
    require_room_for_latent(Autoencoder(latent_dim=256), CPU)
    # 2 layers x 65,536 x 3,136 weights x 48 bytes
    with pytest.raises(TrainingError, match=r"65,536 numbers needs 18\.4 GiB .* 2\.0 G"):
        require_room_for_latent(Autoencoder(latent_dim=65_536), CPU)


CONVOLUTIONS = 4 * 4 * 64 + 4 + 4 * 5 * 16 + 5 + 5 * 6 * 9 + 6
HEAD = 294 * 10 + 10 + 2 * 10
DRAWN = 10 * 294 + 294 + 6 * 5 * 9 + 5 + 5 * 4 * 25 + 4 + 4 * 16 * 9 + 16
DRAWN_WHOLE = DRAWN + 3 * (4 * 16 * 9 + 16)
ACTION_HEAD = 20 * 256 + 256 + 256 * 18 + 18


@pytest.mark.parametrize(
    ("specification", "trained", "frozen"),
    [
        (Autoencoder, CONVOLUTIONS + HEAD + DRAWN_WHOLE, 0),
        (VariationalAutoencoder, CONVOLUTIONS + HEAD - 20 + DRAWN_WHOLE + 294 * 10 + 10, 0),
        (InverseDynamics, CONVOLUTIONS + HEAD + DRAWN + ACTION_HEAD, 0),
        (RandomEncoder, DRAWN_WHOLE, CONVOLUTIONS + HEAD),
    ],
)
def test_every_layer_counts_and_a_frozen_one_without_gradient_and_moments(
    specification: type[ConvolutionalEmbedder],
    trained: int,
    frozen: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedder = specification(latent_dim=10, channels=(4, 5, 6), stacked_frames=4)
    assert needed_bytes(embedder, monkeypatch) == 48 * trained + 4 * frozen


def test_an_encoder_alone_has_no_decoder_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = PixelEncoder(latent_dim=294, channels=(4, 5, 6))
    assert needed_bytes(embedder, monkeypatch) == 48 * CONVOLUTIONS


class NeedsContent(Autoencoder):
    """Builds something that looks at its weights."""

    builds: ClassVar[str] = f"{__name__}:LooksAtItsWeights"


class LooksAtItsWeights:
    """Cannot be built of tensors without content."""

    def __init__(self, _: Embedder, *, num_actions: int) -> None:
        self.largest = float(torch.rand(num_actions).max())


@pytest.mark.parametrize(
    "embedder",
    [
        NeedsContent(latent_dim=65_536),
        Embedder.model_construct(latent_dim=65_536),
    ],
)
def test_of_what_is_not_known_nothing_is_refused(embedder: Embedder) -> None:
    require_room_for_latent(embedder, CPU)


def test_asking_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    require_room_for_latent(VariationalAutoencoder(), CPU)
    assert torch.equal(torch.get_rng_state(), before)
