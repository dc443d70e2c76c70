"""A whole small training on real Pong frames: reproducible, honest about held-out episodes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.embedders.base import BaseEmbedder, EmbedderLoss, Preview
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
from rlmaster.loaded_run import load_run
from rlmaster.replay.batches import SequenceBatch
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training import canonical, checkpointing, collecting, embedder_training, memory
from rlmaster.training.batches import BATCHES_AT_ONCE
from rlmaster.training.checkpoint import (
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
    read_networks,
    step_of,
)
from rlmaster.training.evaluation import Evaluation, Measurement
from rlmaster.training.gallery import Gallery
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested
from rlmaster.training.update import Compilation, best_device


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

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        return EmbedderLoss(super().loss(batch).total * torch.rand(()))

    def preview(self, batch: SequenceBatch) -> Preview:
        torch.rand(5)
        return super().preview(batch)


class Looking(Autoencoder):
    """Keeps what it saw in a buffer that only looking makes, and draws from its first weights."""

    builds: ClassVar[str] = f"{__name__}:LookingEmbedder"


class LookingEmbedder(NoisyEmbedder):
    """Makes a buffer of frames, weights and a draw while it is prepared."""

    def prepare(self, frames: torch.Tensor) -> None:
        super().prepare(frames)
        with torch.no_grad():
            seen = self.embed(frames).mean(0)
            seen += torch.rand_like(seen)
        self.register_buffer("seen", seen)

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        latent = self.embed(batch.frames)
        return EmbedderLoss(super().loss(batch).total + (latent - self.seen).square().mean())


class Breaking(Autoencoder):
    """Its last update breaks the weights, though every loss is a number."""

    builds: ClassVar[str] = f"{__name__}:BreakingEmbedder"


class BreakingEmbedder(AutoencoderEmbedder):
    """Has a gradient that is no number from its twelfth loss on."""

    def __init__(self, specification: Autoencoder, *, num_actions: int) -> None:
        super().__init__(specification, num_actions=num_actions)
        self.register_buffer("losses", torch.zeros(()))

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        self.losses += 1
        nothing = next(self.parameters()).sum() * 0
        broken = nothing.sqrt() if self.losses >= 12 else nothing
        return EmbedderLoss(super().loss(batch).total + broken)


@pytest.fixture(scope="module", autouse=True)
def _few_measured_frames() -> Iterator[None]:
    """Fewer canonical frames measure the same way in less time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(canonical, "MEASURED_FRAMES", 60)
        yield


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
    assert result["metric"] == "canonical/error"
    assert 0 < result["best"] <= result["before"] < 1
    curves = read_scalars(trained.tensorboard)
    for tag in ("canonical/error", "canonical/ball_error", "canonical/ball_found"):
        assert curves[tag].steps.tolist() == curves["held_out/error"].steps.tolist()
    assert result["value"] == pytest.approx(curves["canonical/error"].values[-3:].mean())


def test_no_held_out_frame_is_ever_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out: list[np.ndarray] = []
    trained_on: list[np.ndarray] = []
    split, gather = FrameStore.split_episodes, FrameStore.sequences_at

    def remember_split(store: FrameStore, share: float, seed: int):
        parts = split(store, share, seed)
        held_out.append(store.frame_indices(parts[1]))
        return parts

    def remember_batch(store: FrameStore, indices: np.ndarray, length: int) -> SequenceBatch:
        if len(indices) == 8 * BATCHES_AT_ONCE:  # what nothing else asks for
            trained_on.append(np.asarray(indices))
        return gather(store, indices, length)

    monkeypatch.setattr(FrameStore, "split_episodes", remember_split)
    monkeypatch.setattr(FrameStore, "sequences_at", remember_batch)
    train(tmp_path, seed=3)
    assert len(trained_on) * BATCHES_AT_ONCE >= 12
    assert not np.isin(np.concatenate(trained_on), held_out[0]).any()


def stop_at(training: embedder_training.EmbedderTraining, phase: str, done: int) -> None:
    """Let somebody ask to stop when a phase is so far."""
    recording, phases = training.recording, [""]
    advance, begin = recording.advance, recording.phase

    def begin_phase(name: str, *details: Any) -> None:
        phases.append(name)
        begin(name, *details)

    def maybe_stop(step: int) -> None:
        advance(step)
        if phases[-1] == phase and step >= done:
            training.stop.requested = True

    recording.phase = begin_phase  # type: ignore[method-assign]
    recording.advance = maybe_stop  # type: ignore[method-assign]


def test_a_request_to_stop_keeps_the_work(training: embedder_training.EmbedderTraining) -> None:
    stop_at(training, "training", 5)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.flush()
    assert find_checkpoint(training.run.checkpoints).name == "update-000000005"


def test_a_stop_on_a_full_disk_does_not_claim_that_the_work_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = prepared(tmp_path, small_experiment(seed=1))

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpointing, "write_checkpoint", full_disk)
    stop_at(training, "training", 5)
    with pytest.raises(OSError, match="No space left"):
        training.execute()
    with pytest.raises(OSError, match="No space left"):
        training.recording.close()


def test_stopping_before_the_first_update_keeps_the_frames(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Evaluation.measure

    def asked_meanwhile(evaluation: Evaluation, embedder: BaseEmbedder) -> Measurement:
        training.stop.request()
        return measure(evaluation, embedder)

    monkeypatch.setattr(Evaluation, "measure", asked_meanwhile)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.close()
    assert FrameStore.load(training.run.replay).num_steps == 600
    assert list_checkpoints(training.run.checkpoints) == []


def test_previews_do_not_change_what_is_learned(tmp_path: Path) -> None:
    embedder = NoisyAutoencoder(latent_dim=16, channels=(4, 4, 4))
    none, some = (
        train(tmp_path / str(count), embedder=embedder, recording=Keep(previews=count))
        for count in (0, 5)
    )
    assert len(some.preview_files()) > len(none.preview_files())
    assert torch.equal(weights(none), weights(some))


def test_mistakes_are_found_before_frames_are_collected(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("frames were collected")

    def wrong(*_: object) -> None:
        raise RuntimeError("wrong shapes")

    monkeypatch.setattr(collecting, "collect", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(embedder_training, "build_embedder", wrong)
        with pytest.raises(RuntimeError, match="wrong shapes"):
            training.execute()
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    with pytest.raises(TrainingError, match="a latent of 16 numbers needs"):
        training.execute()


BATCH = SequenceBatch.of_frames(torch.zeros(1, 1, 84, 84, dtype=torch.uint8))


def test_a_trial_is_a_phase_of_its_own_and_its_failure_is_noted(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = training._build()
    training._choose_arithmetic(embedder, BATCH)
    training.recording.flush()
    assert training.run.progress().phase == ""
    monkeypatch.setattr(embedder_training, "needs_trial", lambda *_: True)
    failed = Compilation(wanted=False, failure="InvalidCxxCompiler: none of g++")
    monkeypatch.setattr(embedder_training, "choose_compilation", lambda *_: failed)
    training._choose_arithmetic(embedder, BATCH)
    training.recording.flush()
    assert training.run.progress().phase == "compiling"
    note = read_events(training.run.training_events)[0][-1].message
    assert "updates run eager" in note
    assert "InvalidCxxCompiler: none of g++" in note


def test_a_trial_that_compiles_for_a_minute_is_cut_short(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_meanwhile(*_: object) -> Compilation:
        training.stop.request()
        raise AssertionError("the trial went on")

    monkeypatch.setattr(embedder_training, "choose_compilation", asked_meanwhile)
    with pytest.raises(StopRequested):
        training._choose_arithmetic(training._build(), BATCH)


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
    training.stop.request()
    with pytest.raises(StopRequested):
        training._film(cast("Gallery", gallery), [whole])
    training.recording.close()
    events, _ = read_events(training.run.training_events)
    assert [event.message for event in events] == ["no video: no space left"]


def resume(run: RunFolder, experiment: Experiment) -> None:
    training = embedder_training.EmbedderTraining(experiment, run, Recording(run))
    training.execute()
    training.recording.close()


def branch(parent: RunFolder, folder: Path, checkpoint: str, experiment: Experiment) -> RunFolder:
    """Make a run as the control side does: with the frames and one checkpoint of another."""
    training = prepared(folder, experiment)
    training.recording.close()  # each attempt has its own, and nothing else writes by then
    run = training.run
    shutil.copytree(parent.replay, run.replay)
    shutil.copytree(parent.checkpoints / checkpoint, run.checkpoints / checkpoint)
    return run


def test_what_is_made_while_it_is_prepared_survives_a_resume(tmp_path: Path) -> None:
    looking = Looking(latent_dim=16, channels=(4, 4, 4))
    experiment = small_experiment(seed=1).model_copy(update={"embedder": looking})
    whole = train(tmp_path / "whole", embedder=looking)
    training = prepared(tmp_path / "cut", experiment)
    stop_at(training, "training", 7)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.close()
    resume(training.run, experiment)
    assert torch.equal(weights(training.run), weights(whole))
    kept = read_networks(find_checkpoint(whole.checkpoints))
    loaded = load_run(whole.path).embedder()
    assert torch.equal(loaded.state_dict()["seen"], kept["seen"])


def test_progress_goes_on_from_the_checkpoint(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[Any, ...]] = []
    begin = Recording.phase

    def remembered(recording: Recording, *details: Any) -> None:
        begun.append(details)
        begin(recording, *details)

    monkeypatch.setattr(Recording, "phase", remembered)
    run = branch(trained, tmp_path, "update-000000006", small_experiment(seed=1))
    resume(run, small_experiment(seed=1))
    assert ("training", 12, "updates", 6) in begun


def test_weights_that_the_last_update_broke_are_no_success(tmp_path: Path) -> None:
    breaking = Breaking(latent_dim=16, channels=(4, 4, 4))
    experiment = small_experiment(seed=1).model_copy(update={"embedder": breaking})
    training = prepared(tmp_path, experiment)
    with pytest.raises(TrainingError, match="weights are not numbers at update 12"):
        training.execute()
    training.recording.close()
    assert find_checkpoint(training.run.checkpoints).name == "update-000000006"


def test_a_stop_cuts_short_what_an_embedder_looks_at(
    training: embedder_training.EmbedderTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_meanwhile(*_: object) -> None:
        training.stop.request()
        raise AssertionError("it looked on")

    monkeypatch.setattr(AutoencoderEmbedder, "prepare", asked_meanwhile)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.flush()
    assert training.run.progress().phase == "preparing"


def test_a_branch_measures_where_it_begins_and_that_is_its_first_best(
    trained: RunFolder, tmp_path: Path
) -> None:
    longer = EmbedderTraining(updates=18, batch_size=8, evaluations=3, learning_rate=1e-9)
    experiment = small_experiment(seed=1).model_copy(update={"training": longer})
    run = branch(trained, tmp_path, "update-000000012", experiment)
    training = embedder_training.EmbedderTraining(experiment, run, Recording(run))
    stop_at(training, "training", 13)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.close()
    assert find_checkpoint(run.checkpoints, "best").name.startswith("best-000000012")
    shutil.rmtree(run.checkpoints / "update-000000013")
    resume(run, experiment)  # from what was the parent's, once more
    curve = read_scalars(run.tensorboard)["canonical/error"]
    assert curve.steps.tolist() == [12, 18]
    result = run.progress().result
    assert result["value"] == pytest.approx(curve.values.mean())
    assert result["before"] == trained.progress().result["before"]


def test_a_branch_with_more_updates_goes_on_from_its_parent(
    trained: RunFolder, tmp_path: Path
) -> None:
    longer = EmbedderTraining(updates=18, batch_size=8, evaluations=3, learning_rate=1e-3)
    experiment = small_experiment(seed=1).model_copy(update={"training": longer})
    run = branch(trained, tmp_path, "update-000000012", experiment)
    resume(run, experiment)
    assert find_checkpoint(run.checkpoints).name == "update-000000018"
    assert not torch.equal(weights(run), weights(trained))
    state = read_checkpoint(find_checkpoint(run.checkpoints)).state
    assert state["optimiser"]["param_groups"][0]["lr"] == 1e-3
    (resumed,) = (e for e in read_events(run.training_events)[0] if e.kind == "resumed")
    on_a_gpu = ", but not bit by bit as it would have: a GPU sums in no fixed order"
    message = "training goes on from update 12" + on_a_gpu * (best_device().type == "cuda")
    assert (resumed.step, resumed.message) == (12, message)
    curve = read_scalars(run.tensorboard)["train/loss"]
    assert curve.steps.tolist() == [13, 14, 15, 16, 17, 18]


def test_a_branch_may_go_on_from_the_best(trained: RunFolder, tmp_path: Path) -> None:
    best = find_checkpoint(trained.checkpoints, "best")
    run = branch(trained, tmp_path, best.name, small_experiment(seed=1))
    resume(run, small_experiment(seed=1))
    assert torch.equal(weights(run), weights(trained))
    assert step_of(list_checkpoints(run.checkpoints)[0]) == step_of(best)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"embedder": Autoencoder(latent_dim=32, channels=(4, 4, 4))}, "of other networks"),
        ({"training": EmbedderTraining(updates=11)}, r"beyond the 11 updates.*training\.updates"),
        ({"seed": 2}, "collected with seed=1, and this run asks for 2"),
        ({"frames": RandomFrames(steps=700, held_out_share=0.2)}, r"frames\.steps=600"),
    ],
)
def test_a_branch_that_cannot_go_on_says_why_in_a_sentence(
    changes: dict[str, object], sentence: str, trained: RunFolder, tmp_path: Path
) -> None:
    experiment = small_experiment(seed=1).model_copy(update=changes)
    run = branch(trained, tmp_path, "update-000000012", experiment)
    training = embedder_training.EmbedderTraining(experiment, run, Recording(run))
    with pytest.raises(TrainingError, match=sentence) as caught:
        training.execute()
    assert "\n" not in str(caught.value)
    training.recording.close()


def test_a_damaged_checkpoint_costs_only_the_updates_since_the_one_before(
    trained: RunFolder, tmp_path: Path
) -> None:
    run = branch(trained, tmp_path, "update-000000012", small_experiment(seed=1))
    shutil.copytree(trained.checkpoints / "update-000000006", run.checkpoints / "update-000000006")
    (run.checkpoints / "update-000000012" / "state.pt").write_bytes(b"torn")
    resume(run, small_experiment(seed=1))
    assert torch.equal(weights(run), weights(trained))
    events = [(event.kind, event.step) for event in read_events(run.training_events)[0]]
    assert events[:2] == [("damaged", 12), ("resumed", 6)]


def test_without_a_whole_checkpoint_it_begins_anew_from_the_frames(
    trained: RunFolder, tmp_path: Path
) -> None:
    run = branch(trained, tmp_path, "update-000000012", small_experiment(seed=1))
    (run.checkpoints / "update-000000012" / "networks.safetensors").unlink()
    resume(run, small_experiment(seed=1))
    assert torch.equal(weights(run), weights(trained))
    told = [event.message for event in read_events(run.training_events)[0]]
    assert "there is no whole checkpoint in" in told[0]
    assert "goes on from row" in told[1]


def test_the_choice_of_arithmetic_is_the_checkpoints(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was chosen anew")

    monkeypatch.setattr(embedder_training, "choose_compilation", refuse)
    monkeypatch.setattr(embedder_training, "choose_precision", refuse)
    run = branch(trained, tmp_path, "update-000000006", small_experiment(seed=1))
    resume(run, small_experiment(seed=1))
    assert torch.equal(weights(run), weights(trained))
