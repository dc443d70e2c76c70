"""A whole small training on real Pong frames: reproducible, honest about held-out episodes."""

import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest
import torch

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import EmbedderLoss, FrameBatch, Preview
from rlmaster.errors import TrainingError
from rlmaster.events import read_events
from rlmaster.experiment import (
    Atari,
    Autoencoder,
    EmbedderTraining,
    Experiment,
    RandomFrames,
)
from rlmaster.experiment import Recording as Keep
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training import embedder_training, memory
from rlmaster.training.checkpoint import find_checkpoint, list_checkpoints, read_networks
from rlmaster.training.gallery import Gallery
from rlmaster.training.recording import Recording
from rlmaster.training.update import Compilation


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


class NoisyAutoencoder(Autoencoder):
    """Learns from a noisy loss."""

    builds: ClassVar[str] = f"{__name__}:NoisyEmbedder"


class NoisyEmbedder(AutoencoderEmbedder):
    """Draws random numbers wherever it is asked something."""

    def loss(self, batch: FrameBatch) -> EmbedderLoss:
        return EmbedderLoss(super().loss(batch).total * torch.rand(()))

    def preview(self, batch: FrameBatch) -> Preview:
        torch.rand(5)
        return super().preview(batch)


def prepared(folder: Path, experiment: Experiment) -> embedder_training.EmbedderTraining:
    run = RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    return embedder_training.EmbedderTraining(experiment, run, Recording(run))


@pytest.fixture
def training(tmp_path: Path) -> Iterator[embedder_training.EmbedderTraining]:
    made = prepared(tmp_path, small_experiment(seed=1))
    yield made
    made.recording.close()


def train(folder: Path, seed: int = 1, **changes: object) -> RunFolder:
    training = prepared(folder, small_experiment(seed).model_copy(update=changes))
    training.execute()
    training.recording.close()
    return training.run


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


def test_a_request_to_stop_keeps_the_work(training: embedder_training.EmbedderTraining) -> None:
    recording = training.recording
    advance = recording.advance

    def stop_at_the_fifth(step: int) -> None:
        advance(step)
        training.stop_requested = step == 5

    recording.advance = stop_at_the_fifth  # type: ignore[method-assign]
    with pytest.raises(embedder_training.StopRequested):
        training.execute()
    recording.flush()
    assert find_checkpoint(training.run.checkpoints).name == "update-000000005"


def test_previews_do_not_change_what_is_learned(tmp_path: Path) -> None:
    embedder = NoisyAutoencoder(latent_dim=16, channels=(4, 4, 4))
    none, some = (
        train(tmp_path / str(count), embedder=embedder, recording=Keep(previews=count))
        for count in (0, 5)
    )
    assert len(some.preview_files()) > len(none.preview_files())
    assert torch.equal(weights(none), weights(some))


def test_curves_go_on_while_frames_are_sealed(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_go_on = threading.Event()
    waited: list[bool] = []
    monkeypatch.setattr(FrameStore, "save", lambda *_: waited.append(others_go_on.wait(timeout=10)))
    training._collect()
    training.recording.flush()
    others_go_on.set()
    training.recording.close()
    assert waited == [True]


def test_a_stop_while_collecting_says_that_nothing_is_kept(
    training: embedder_training.EmbedderTraining,
) -> None:
    training.stop_requested = True
    with pytest.raises(embedder_training.StopRequested):
        training.execute()
    training.recording.flush()
    (event,), _ = read_events(training.run.training_events)
    assert event.kind == "note"
    assert "nothing is kept" in event.message


def test_mistakes_are_found_before_frames_are_collected(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("frames were collected")

    def wrong(*_: object) -> None:
        raise RuntimeError("wrong shapes")

    monkeypatch.setattr(embedder_training, "collect", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(embedder_training, "build_embedder", wrong)
        with pytest.raises(RuntimeError, match="wrong shapes"):
            training.execute()
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    with pytest.raises(TrainingError, match="600 steps need"):
        training.execute()


BATCH = FrameBatch(torch.zeros(1, 1, 84, 84, dtype=torch.uint8))


def test_the_curve_has_no_more_points_than_it_may_and_covers_every_update(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_training, "LOSS_POINTS", 7)
    losses = map(torch.tensor, map(float, range(1, 13)))
    assert list(training._updates(lambda _: next(losses), repeat(BATCH))) == list(range(1, 13))
    training.recording.close()
    curve = read_scalars(training.run.tensorboard)["train/loss"]
    assert curve.steps.tolist() == [2, 4, 6, 8, 10, 12]
    assert curve.values.tolist() == [1.5, 3.5, 5.5, 7.5, 9.5, 11.5]


@pytest.mark.parametrize("loss_points", [12, 5, 7])
def test_a_last_loss_that_is_no_number_ends_the_run_before_it_counts(
    loss_points: int,
    training: embedder_training.EmbedderTraining,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedder_training, "LOSS_POINTS", loss_points)
    losses = iter([*map(torch.tensor, [1.0] * 11), torch.tensor(float("nan"))])
    seen: list[int] = []
    with pytest.raises(TrainingError, match="not a number at update 12"):
        seen.extend(training._updates(lambda _: next(losses), repeat(BATCH)))
    assert 12 not in seen


def test_a_trial_is_a_phase_of_its_own_and_its_failure_is_noted(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = training._build()
    optimiser = torch.optim.Adam(embedder.parameters())
    training._make_update(embedder, optimiser, BATCH)
    training.recording.flush()
    assert training.run.progress().phase == ""
    monkeypatch.setattr(embedder_training, "needs_trial", lambda _: True)
    failed = Compilation(wanted=False, failure="InvalidCxxCompiler: none of g++")
    monkeypatch.setattr(embedder_training, "choose_compilation", lambda *_: failed)
    training._make_update(embedder, optimiser, BATCH)
    training.recording.flush()
    assert training.run.progress().phase == "compiling"
    note = read_events(training.run.training_events)[0][-1].message
    assert "updates run eager" in note
    assert "InvalidCxxCompiler: none of g++" in note


class FakeGallery:
    """Films nothing, and remembers what it was asked for."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.filmed: list[Episode] = []

    def film(
        self, _path: Path, episodes: list[Episode], on_progress: Callable[[int], None]
    ) -> None:
        self.filmed = episodes
        on_progress(1)
        if self.failure:
            raise self.failure


def test_the_film_shows_whole_episodes_and_never_fails_a_trained_run(tmp_path: Path) -> None:
    experiment = small_experiment(seed=1).model_copy(update={"recording": Keep(video_episodes=2)})
    training = prepared(tmp_path, experiment)
    cut, whole = Episode(0, 0, 5, ended=False), Episode(1, 0, 5, ended=True)
    gallery = FakeGallery(TrainingError("no video: no space left"))
    training._film(cast("Gallery", gallery), [cut, whole, whole])
    assert gallery.filmed == [whole, whole]
    training._film(cast("Gallery", gallery), [cut, whole])
    assert gallery.filmed == [whole, cut]
    training.stop_requested = True
    with pytest.raises(embedder_training.StopRequested):
        training._film(cast("Gallery", gallery), [whole])
    training.recording.close()
    events, _ = read_events(training.run.training_events)
    assert [event.message for event in events] == ["no video: no space left"] * 2
