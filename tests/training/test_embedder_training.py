"""A whole small training on real Pong frames: reproducible, honest about held-out episodes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rlmaster.experiment import (
    Atari,
    Autoencoder,
    EmbedderTraining,
    Experiment,
    RandomFrames,
)
from rlmaster.experiment import Recording as Keep
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training import embedder_training
from rlmaster.training.checkpoint import find_checkpoint, list_checkpoints, read_networks
from rlmaster.training.recording import Recording


def small_experiment(seed: int) -> Experiment:
    return Experiment(
        name="small",
        environment=Atari(game="Pong", num_environments=4),
        frames=RandomFrames(steps=600, held_out_share=0.2),
        embedder=Autoencoder(latent_dim=16, channels=(4, 4, 4)),
        training=EmbedderTraining(updates=12, batch_size=8, evaluations=3),
        recording=Keep(previews=2, video_episodes=0, checkpoints=2),
        seed=seed,
    )


def train(folder: Path, seed: int) -> RunFolder:
    experiment = small_experiment(seed)
    run = RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    recording = Recording(run)
    embedder_training.EmbedderTraining(experiment, run, recording).execute()
    recording.close()
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("trained"), seed=1)


def weights(run: RunFolder) -> torch.Tensor:
    networks = read_networks(find_checkpoint(run.checkpoints))
    return torch.cat([networks[name].flatten().float() for name in sorted(networks)])


def test_same_seed_same_weights_bit_by_bit(trained: RunFolder, tmp_path: Path) -> None:
    assert torch.equal(weights(train(tmp_path, seed=1)), weights(trained))


def test_another_seed_gives_other_weights(trained: RunFolder, tmp_path: Path) -> None:
    assert not torch.equal(weights(train(tmp_path, seed=2)), weights(trained))


def test_everything_is_kept(trained: RunFolder) -> None:
    assert [path.name for path in list_checkpoints(trained.checkpoints)] == [
        "update-000000006",
        "update-000000012",
    ]
    assert [path.name for path in trained.preview_files()] == [
        "step-000000001.png",
        "step-000000012.png",
    ]
    store = FrameStore.load(trained.replay)
    assert store.num_steps == 600
    result = trained.progress().result
    assert result["metric"] == "held_out/error"
    assert 0 < result["best"] <= result["before"] < 1


def test_no_held_out_frame_is_ever_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out: list[np.ndarray] = []
    trained_on: list[np.ndarray] = []
    split, gather = FrameStore.split_episodes, FrameStore.frames_at

    def remember_split(store: FrameStore, share: float, seed: int):
        parts = split(store, share, seed)
        held_out.append(store.frame_indices(parts[1]))
        return parts

    def remember_batch(store: FrameStore, indices: np.ndarray) -> torch.Tensor:
        if len(indices) == 8:  # the batch size, which nothing else asks for
            trained_on.append(np.asarray(indices))
        return gather(store, indices)

    monkeypatch.setattr(FrameStore, "split_episodes", remember_split)
    monkeypatch.setattr(FrameStore, "frames_at", remember_batch)
    train(tmp_path, seed=3)
    assert len(trained_on) >= 12
    assert not np.isin(np.concatenate(trained_on), held_out[0]).any()


def test_a_request_to_stop_keeps_the_work(tmp_path: Path) -> None:
    experiment = small_experiment(seed=1)
    run = RunFolder.create(
        tmp_path,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    recording = Recording(run)
    training = embedder_training.EmbedderTraining(experiment, run, recording)
    advance = recording.advance

    def stop_at_the_fifth(step: int) -> None:
        advance(step)
        training.stop_requested = step == 5

    recording.advance = stop_at_the_fifth  # type: ignore[method-assign]
    with pytest.raises(embedder_training.StopRequested):
        training.execute()
    recording.close()
    assert find_checkpoint(run.checkpoints).name == "update-000000005"
