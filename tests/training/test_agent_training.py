"""A whole small training of an agent: reproducible, and it changes the weights that it may."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from playing_runs import (
    AUTOENCODER,
    EXPERIMENT,
    SETTINGS,
    make_run,
    networks_of,
    prepared,
    shorten_games,
    train,
)

from rlmaster.agent_choices import DoubleDQN, Rainbow, RandomAgent
from rlmaster.agents.base import AgentLoss
from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.errors import TrainingError
from rlmaster.events import read_events
from rlmaster.experiment import AgentTraining as PlayingBudget
from rlmaster.experiment import EncoderTraining
from rlmaster.replay.batches import TransitionBatch
from rlmaster.replay.frame_store import FrameStore
from rlmaster.reports.scalars import read_scalars
from rlmaster.run_folder import RunFolder
from rlmaster.training import agent_learning, update
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.checkpoint import (
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
    step_of,
)
from rlmaster.training.encoder_weights import IN_AGENT
from rlmaster.training.play import Play
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested
from rlmaster.training.update import Compilation

CPU = torch.device("cpu")
Networks = dict[str, torch.Tensor]
CONVOLUTIONS = f"{IN_AGENT}encoder."
"""How the names of the weights that make latents begin."""


@pytest.fixture(scope="module", autouse=True)
def _short_games() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        shorten_games(patched.setattr)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    recording = EXPERIMENT.recording.model_copy(update={"video_episodes": 1})
    return train(tmp_path_factory.mktemp("trained"), recording=recording)


def changed(before: Networks, after: Networks) -> set[str]:
    """Return the names of the weights that are others."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def assert_same(one: Networks, other: Networks) -> None:
    assert changed(one, other) == set()


def test_everything_is_kept(trained: RunFolder) -> None:
    assert [path.name for path in list_checkpoints(trained.checkpoints)] == [
        "step-000000200",
        "step-000000400",
        "step-000000600",
    ]
    result = trained.progress().result
    assert (result["step"], result["axis"], result["metric"]) == (600, "steps", "evaluation/return")
    assert result["name"] == "mean return of 2 episodes"
    curves = read_scalars(trained.tensorboard)
    measured = curves["evaluation/return"]
    assert measured.steps.tolist() == [0, 200, 400, 600]
    assert result["before"] == measured.values[0]
    assert result["value"] == pytest.approx(measured.values[1:].mean())
    assert result["best"] == measured.values.max()
    assert len(curves["train/loss"].steps) == 50  # (600 - 100) * 0.1
    assert curves["train/loss"].steps[-1] == 600
    assert sorted(path.name for path in trained.video_files()) == ["best.mp4", "median.mp4"]


def test_all_rows_whose_outcome_is_known_are_sealed(trained: RunFolder) -> None:
    store = FrameStore.load(trained.replay)
    state = read_checkpoint(find_checkpoint(trained.checkpoints)).state["play"]
    assert store.num_rows == state["replay"]["num_rows"] - 1
    newest = (state["replay"]["newest"]["actions"] != -1).sum()
    assert store.num_steps + int(newest) == 600


def test_the_curve_of_returns_has_every_episode_that_ended(trained: RunFolder) -> None:
    store = FrameStore.load(trained.replay)
    ended = [episode for episode in store.episodes() if episode.ended]
    sums = [
        float(store.rewards[each.first_row : each.stop_row, each.environment].sum())
        for each in ended
    ]
    assert len(sums) >= 2
    curve = read_scalars(trained.tensorboard)["train/return"]
    ends = sorted({each.stop_row for each in ended})
    means = [
        np.mean([value for value, each in zip(sums, ended, strict=True) if each.stop_row == end])
        for end in ends
    ]
    assert curve.values.tolist() == pytest.approx(means)


def test_same_seed_same_weights_bit_by_bit_however_often_it_is_measured(
    trained: RunFolder, tmp_path: Path
) -> None:
    training = EXPERIMENT.agent_training.model_copy(
        update={"evaluations": 5, "evaluation_episodes": 1}
    )
    assert_same(networks_of(train(tmp_path, agent_training=training)), networks_of(trained))


def test_another_seed_gives_other_weights(trained: RunFolder, tmp_path: Path) -> None:
    other = networks_of(train(tmp_path, seed=2))
    assert "head.advantage.0.weight" in changed(other, networks_of(trained))


def first_and_last(run: RunFolder) -> tuple[Networks, Networks]:
    """Return the weights of a checkpoint within the warm-up, and of the last one."""
    first, *_, last = list_checkpoints(run.checkpoints)
    assert step_of(first) <= SETTINGS["warm_up_steps"]
    return networks_of(run, first.name), networks_of(run, last.name)


def learned(folder: Path, **changes: object) -> set[str]:
    """Return the names of the weights that a short run changes after its warm-up."""
    training = PlayingBudget(steps=320, evaluations=3, evaluation_episodes=1)
    recording = EXPERIMENT.recording.model_copy(update={"checkpoints": 4})
    run = train(folder, agent_training=training, recording=recording, **changes)
    return changed(*first_and_last(run))


def of_encoder(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(CONVOLUTIONS)}


STYLES: list[tuple[str, bool, bool]] = [
    ("td", True, False),
    ("representation", True, True),
    ("both", True, True),
    ("none", False, False),
]


@pytest.mark.learns
@pytest.mark.parametrize(("losses", "encoder_learns", "decoder_learns"), STYLES)
def test_a_loss_changes_the_weights_that_it_may(
    losses: Any, encoder_learns: bool, decoder_learns: bool, tmp_path: Path
) -> None:
    names = learned(tmp_path, embedder=AUTOENCODER, encoder=EncoderTraining(losses=losses))
    assert any(name.startswith("head.") for name in names)
    assert any(name.startswith("target_head.") for name in names)
    assert bool(of_encoder(names)) is encoder_learns
    assert any(name.startswith(f"{IN_AGENT}decoder") for name in names) is decoder_learns
    of_target = any(name.startswith("target_encoder.embedder.encoder.") for name in names)
    assert of_target is encoder_learns


@pytest.mark.learns
def test_an_encoder_is_as_it_was_until_it_is_unfrozen(tmp_path: Path) -> None:
    encoder = EncoderTraining(losses="both", unfreeze_at_steps=400)
    run = train(tmp_path, embedder=AUTOENCODER, encoder=encoder)
    first, middle, last = (
        networks_of(run, path.name) for path in list_checkpoints(run.checkpoints)
    )
    assert not of_encoder(changed(first, middle))
    assert "head.advantage.0.weight" in changed(first, middle)
    assert of_encoder(changed(middle, last))


@pytest.mark.learns
def test_a_run_begins_with_the_encoder_of_an_earlier_one_in_both_networks(
    trained: RunFolder, tmp_path: Path
) -> None:
    encoder = EncoderTraining(weights="earlier", losses="none")
    training = prepared(tmp_path, EXPERIMENT.model_copy(update={"encoder": encoder, "seed": 3}))
    shutil.copytree(find_checkpoint(trained.checkpoints), training.run.encoder_weights)
    training.execute()
    training.recording.close()
    before, after = networks_of(trained), networks_of(training.run)
    for name in of_encoder(set(before)):
        assert torch.equal(after[name], before[name])
        assert torch.equal(after[name.replace("encoder.", "target_encoder.", 1)], before[name])


@pytest.mark.learns
def test_rainbow_learns_from_prioritised_returns_over_several_steps(tmp_path: Path) -> None:
    names = learned(tmp_path, agent=Rainbow(**SETTINGS))
    assert "head.value.2.weight_deviation" in names


def test_the_random_agent_plays_and_changes_nothing(tmp_path: Path) -> None:
    assert learned(tmp_path, agent=RandomAgent()) == set()


def test_a_run_that_is_asked_to_stop_keeps_its_work(tmp_path: Path) -> None:
    training = prepared(tmp_path)
    recv = training.play.recv

    def asked_meanwhile() -> None:
        recv()
        training.stop.requested = training.play.steps == 252

    training.play.recv = asked_meanwhile  # type: ignore[method-assign]
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.close()
    assert find_checkpoint(training.run.checkpoints).name == "step-000000252"


class Breaking(DoubleDQN):
    """Its loss stops being a number."""

    builds: ClassVar[str] = f"{__name__}:BreakingAgent"


class BreakingAgent(ValueBasedAgent):
    """Has a loss that is no number from its twentieth on."""

    losses = 0

    def loss(self, batch: TransitionBatch) -> AgentLoss:
        self.losses += 1
        made = super().loss(batch)
        broken = torch.nan if self.losses >= 20 else 1.0
        return AgentLoss(made.total * broken, made.priority, made.parts)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    training = prepared(tmp_path, EXPERIMENT.model_copy(update={"agent": Breaking(**SETTINGS)}))
    with pytest.raises(TrainingError, match=r"at step 3\d\d; a smaller agent\.learning_rate"):
        training.execute()
    training.recording.close()
    assert find_checkpoint(training.run.checkpoints).name == "step-000000200"
    assert read_checkpoint(find_checkpoint(training.run.checkpoints)).holds_numbers
    assert "diverged" in [each.kind for each in read_events(training.run.training_events)[0]]


def test_a_replay_for_which_there_is_no_room_is_refused_before_anything_is_played(
    tmp_path: Path,
) -> None:
    agent = DoubleDQN(**SETTINGS | {"replay_steps": 10**9})
    training = PlayingBudget(steps=10**10)
    run = make_run(tmp_path)
    big = EXPERIMENT.model_copy(update={"agent": agent, "agent_training": training})
    with pytest.raises(TrainingError, match=r"the frames need 6,982\.\d GiB"):
        Play(big, CPU, run.replay, cast("Recording", None))
    assert list(run.replay.glob("*")) == []


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("hidden_units", 17, r"other networks.*agent\.hidden_units, so launch a new run"),
        ("replay_steps", 500, r"replay has 167 rows.*this one 140.*launch a new run"),
    ],
)
def test_a_run_whose_agent_was_edited_is_refused_in_a_sentence(
    setting: str, value: int, sentence: str, trained: RunFolder, tmp_path: Path
) -> None:
    agent = DoubleDQN(**SETTINGS | {setting: value})
    training = prepared(tmp_path, EXPERIMENT.model_copy(update={"agent": agent}))
    shutil.copytree(trained.checkpoints, training.run.checkpoints, dirs_exist_ok=True)
    shutil.copytree(trained.replay, training.run.replay, dirs_exist_ok=True)
    with pytest.raises(TrainingError, match=sentence):
        training.execute()
    training.recording.close()


def test_a_trial_that_compiles_for_a_minute_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "LONG_RUN_UPDATES", 10)
    training = prepared(tmp_path)

    def asked_meanwhile(*_: object) -> Compilation:
        training.stop.request()
        raise AssertionError("the trial went on")

    monkeypatch.setattr(agent_learning, "choose_agent_compilation", asked_meanwhile)
    with pytest.raises(StopRequested):
        training.execute()
    training.recording.close()
    assert training.run.progress().phase == "compiling"


def test_a_total_that_no_step_meets_is_passed_once_and_can_be_resumed_from(tmp_path: Path) -> None:
    budget = PlayingBudget(steps=302, evaluations=3, evaluation_episodes=1)
    experiment = EXPERIMENT.model_copy(update={"agent": RandomAgent(), "agent_training": budget})
    run = train(tmp_path, experiment)
    kept = [step_of(path) for path in list_checkpoints(run.checkpoints)]
    assert kept == [104, 204, 304]  # for 101, 201 and 302
    again = AgentTraining(experiment, run, Recording(run))
    again.execute()
    again.recording.close()
    assert [step_of(path) for path in list_checkpoints(run.checkpoints)] == kept
    assert read_scalars(run.tensorboard)["evaluation/return"].steps.tolist() == [0, *kept]
