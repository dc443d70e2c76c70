"""Memory: what a run would need is refused where there is less, before anything is collected."""

from pathlib import Path

import pytest
import torch

from rlmaster.embedder_choices import Autoencoder, Embedder, RandomEncoder
from rlmaster.errors import TrainingError
from rlmaster.replay import frame_storage
from rlmaster.training.memory import require_room_for_frames, require_room_for_latent

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(frame_storage, "MEMINFO", path)


def test_more_frames_than_fit_are_refused_with_both_numbers(tmp_path: Path) -> None:
    require_room_for_frames(200_000, "memory", CPU, tmp_path)
    with pytest.raises(TrainingError, match=r"needs 6\.6 GiB for its frames, .* 1\.6 GiB in mem"):
        require_room_for_frames(1_000_000, "memory", CPU, tmp_path)


def test_frames_for_which_no_place_has_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"GiB on the disk; keep fewer steps"):
        require_room_for_frames(10**13, "auto", CPU, tmp_path)


def test_a_latent_whose_layers_do_not_fit_is_refused() -> None:
    require_room_for_latent(Autoencoder(latent_dim=256), CPU)
    # 2 layers x 65,536 x 3,136 weights x 16 bytes
    with pytest.raises(TrainingError, match=r"a latent of 65,536 numbers needs 6\.1 GiB .* 2\.0 G"):
        require_room_for_latent(Autoencoder(latent_dim=65_536), CPU)


@pytest.mark.parametrize(
    "embedder",
    [
        RandomEncoder(latent_dim=3_136, projection="none"),
        Embedder.model_construct(latent_dim=65_536),
    ],
)
def test_where_no_linear_layer_is_known_nothing_is_refused(embedder: Embedder) -> None:
    require_room_for_latent(embedder, CPU)
