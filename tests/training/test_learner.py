"""What a checkpoint holds of a learner: enough to go on bit by bit, and never a lost cause."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlmaster.embedders.autoencoder import AutoencoderEmbedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Autoencoder, EmbedderTraining
from rlmaster.replay.batches import SequenceBatch
from rlmaster.run_folder import RunFolder
from rlmaster.training.checkpoint import read_checkpoint, write_checkpoint
from rlmaster.training.embedder_results import EmbedderResults
from rlmaster.training.evaluation import FrameErrors, Measurement
from rlmaster.training.learner import Arithmetic, Learner, _load, require_fit
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.recording import Recording
from rlmaster.training.update import (
    LOSS,
    choose_precision,
    make_optimiser,
    make_update,
    to_channels_last,
)

CPU = torch.device("cpu")


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    (tmp_path / "events").mkdir()
    made = Recording(RunFolder(tmp_path))
    yield made
    made.close()


def make_learner(
    recording: Recording, seed: int = 1, learning_rate: float = 1e-3, decay: float = 0.1
) -> Learner:
    torch.manual_seed(seed)
    # with terms beside the reconstruction, parameter groups, and draws of its own
    fields = {"latent_l2": 0.1, "decoder_weight_decay": decay, "dropout": 0.1}
    specification = Autoencoder(latent_dim=8, channels=(4, 4, 4), **fields)
    embedder = AutoencoderEmbedder(specification, num_actions=6)
    to_channels_last(embedder)
    return Learner(
        embedder,
        make_optimiser(embedder, EmbedderTraining(learning_rate=learning_rate)),
        LossCurve(recording, 1_000_000, CPU),
        EmbedderResults(recording),
        Arithmetic(torch.float32, compiled=False),
        run_id="20260102T030405-abcdef",
    )


def measured(error: float) -> Measurement:
    return Measurement(FrameErrors(error, 2 * error), FrameErrors(error, None))


def learn(learner: Learner, updates: range) -> None:
    update = make_update(learner.networks, learner.optimiser, torch.float32, compiled=False)
    for step in updates:
        pixels = np.random.default_rng(step).integers(256, size=(4, 1, 84, 84), dtype=np.uint8)
        noise = torch.randint(2, (4, 1, 84, 84), dtype=torch.uint8)
        learner.curve.add(step, update(SequenceBatch.of_frames(torch.from_numpy(pixels) ^ noise)))
        learner.results.add(step, measured(1 / step))


def test_a_restored_learner_goes_on_bit_by_bit(recording: Recording, tmp_path: Path) -> None:
    whole, other = make_learner(recording), make_learner(recording, seed=2)
    whole.results.begin(measured(2.0))
    learn(whole, range(1, 5))
    captured = whole.capture(4)
    assert captured is not None
    recording.flush()
    assert whole.complete(captured)
    learn(whole, range(5, 9))
    other.restore(read_checkpoint(write_checkpoint(tmp_path / "checkpoints", captured)))
    learn(other, range(5, 9))
    recording.flush()
    last = [learner.capture(8) for learner in (whole, other)]
    assert last[0] is not None
    assert last[1] is not None
    assert last[0].counters == last[1].counters
    assert all(
        torch.equal(last[0].networks[name], last[1].networks[name]) for name in last[0].networks
    )
    moments = [checkpoint.state["optimiser"]["state"] for checkpoint in last if checkpoint]
    for number, values in moments[0].items():
        assert all(torch.equal(values[name], moments[1][number][name]) for name in values)


def test_rates_of_all_groups_are_the_experiments_and_not_the_checkpoints(
    recording: Recording,
) -> None:
    first = make_learner(recording)
    branch = make_learner(recording, learning_rate=1e-5, decay=0.0)
    first.results.begin(measured(2.0))
    learn(first, range(1, 3))
    captured = first.capture(2)
    assert captured is not None
    first.complete(captured)
    branch.restore(captured)
    groups = branch.optimiser.param_groups
    assert [group["lr"] for group in groups] == [1e-5, 1e-5]
    assert [group["weight_decay"] for group in groups] == [0, 0]
    assert [group["weight_decay"] for group in first.optimiser.param_groups] == [0.1, 0]


def test_a_checkpoint_of_other_parameter_groups_is_refused(recording: Recording) -> None:
    learner = make_learner(recording)
    captured = learner.capture(1)
    assert captured is not None
    captured.state["optimiser"]["param_groups"].pop()
    with pytest.raises(TrainingError, match="other networks"):
        learner.restore(captured)


def test_a_loss_that_is_no_number_is_not_worth_a_checkpoint(recording: Recording) -> None:
    learner = make_learner(recording)
    captured = learner.capture(1)
    assert captured is not None
    learner.curve.watch.judge(2, float("nan"))
    assert not learner.complete(captured)


def test_the_total_must_be_a_number_and_a_part_that_is_not_in_it_need_not(
    recording: Recording,
) -> None:
    learner = make_learner(recording)
    learner.curve.add(1, {"part": torch.tensor(torch.nan), LOSS: torch.tensor(1.0)})
    assert learner.capture(1) is not None
    learner.curve.add(2, {LOSS: torch.tensor(torch.inf)})
    assert learner.capture(2) is None


def test_weights_that_are_no_numbers_are_not_kept_and_end_the_run(recording: Recording) -> None:
    learner = make_learner(recording)
    learner.networks.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    whole = learner.capture(1)
    assert whole is not None
    assert learner.complete(whole)
    next(learner.networks.parameters()).data.view(-1)[3] = torch.nan
    lost = learner.capture(2)
    assert lost is not None
    assert not learner.complete(lost)
    with pytest.raises(TrainingError, match="the weights are not numbers at update 2"):
        learner.curve.watch.check()


def test_a_checkpoint_that_does_not_fit_is_refused_in_a_sentence(recording: Recording) -> None:
    learner = make_learner(recording)
    captured = learner.capture(7)
    assert captured is not None
    require_fit(captured, 7)
    with pytest.raises(TrainingError, match="beyond the 6 updates"):
        require_fit(captured, 6)
    require_fit(captured, 6, at_once=2)
    with pytest.raises(TrainingError, match=r"beyond the 5 updates"):
        require_fit(captured, 5, at_once=2)
    with pytest.raises(TrainingError, match=r"another kind of run.*launch a new run"):
        require_fit(captured, 7, "step")
    with pytest.raises(TrainingError, match="could not be resumed"):
        require_fit(replace(captured, counters={"updates": 7}), 7)
    other = Autoencoder(latent_dim=9, channels=(4, 4, 4))
    learner.networks = AutoencoderEmbedder(other, num_actions=6)
    with pytest.raises(TrainingError, match=r"other networks.*embedder\.latent_dim"):
        learner.restore(captured)


def test_an_optimiser_that_a_processor_kept_goes_on_where_its_weights_are_now() -> None:
    def optimiser(device: str) -> torch.optim.RMSprop:
        weight = torch.nn.Parameter(torch.ones(2, device=device))
        weight.grad = torch.ones_like(weight)
        return torch.optim.RMSprop([weight], capturable=device != "cpu")

    before, now = optimiser("cpu"), optimiser("meta")  # in place of a GPU
    before.step()
    _load(now, before.state_dict())
    (state,) = now.state.values()
    assert state["step"].is_meta
    assert now.param_groups[0]["capturable"]


@pytest.mark.parametrize("compiled", [True, False])
def test_arithmetic_is_reused_unless_the_experiment_says_otherwise(compiled: bool) -> None:
    data = Arithmetic(torch.bfloat16, compiled).to_data()
    counters = {"arithmetic": data, "computer": {"device": "cpu"}}
    same = Arithmetic.resumed(EmbedderTraining(), counters, CPU)
    assert same == Arithmetic(torch.bfloat16, compiled)
    said = EmbedderTraining(precision="float32", compile="never" if compiled else "always")
    other = Arithmetic.resumed(said, counters, CPU)
    assert other == Arithmetic(torch.float32, not compiled)
    from_a_gpu = {**counters, "computer": {"device": "cuda"}}
    anew = Arithmetic.resumed(EmbedderTraining(), from_a_gpu, CPU)
    assert anew == Arithmetic(choose_precision("auto", CPU), compiled=False)
