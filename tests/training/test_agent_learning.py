"""Which updates are due after an agent step, and what goes with each of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playing_runs import AUTOENCODER, EXPERIMENT, SETTINGS, prepared, shorten_games

from rlmaster.agent_choices import DoubleDQN
from rlmaster.experiment import EncoderTraining, Experiment
from rlmaster.replay.prioritised import Priorities
from rlmaster.training import play
from rlmaster.training.agent_learning import AgentLearning
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.play import Play


@pytest.fixture(autouse=True)
def _short_games(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_games(monkeypatch.setattr)


class LossesSeen:
    """Takes losses as a curve does, and remembers after which step each came."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.names: list[set[str]] = []

    def add(self, step: int, losses: dict[str, torch.Tensor]) -> None:
        self.steps.append(step)
        self.names.append(set(losses))


def experiment_with(encoder: EncoderTraining | None = None, **settings: Any) -> Experiment:
    agent = DoubleDQN(**{**SETTINGS, **settings})
    changes: dict[str, Any] = {"agent": agent, "embedder": AUTOENCODER}
    return EXPERIMENT.model_copy(update={**changes, "encoder": encoder or EncoderTraining()})


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Any]:
    """Begin trainings whose recordings are closed in the end."""
    begun: list[AgentTraining] = []

    def begin_one(experiment: Experiment) -> AgentTraining:
        begun.append(prepared(tmp_path, experiment))
        return begun[-1]

    yield begin_one
    for training in begun:
        training.recording.close()


def warmed_up(training: AgentTraining, steps: int) -> AgentLearning:
    """Play at random for so many agent steps, and let the embedder look at them."""
    training.play.begin()
    while training.play.steps < steps:
        training.play.send(training.acting.choose(training.play))
        training.play.recv()
    assert training.learning is not None
    training.learning.begin()
    return training.learning


def test_the_replay_is_what_the_agent_asks_for(begin, monkeypatch):
    settings = {"clip_rewards": False, "priority_exponent": 0.3, "importance_exponent": 0.7}
    experiment = experiment_with(prioritised=True, n_step=2, discount=0.9, batch_size=7, **settings)
    training = begin(experiment)
    made = {}
    monkeypatch.setattr(play, "ReplayBuffer", lambda _store, **given: made.update(given))
    play._replay_of(experiment, training.device, training.run.replay, 1, None)
    assert not made["clip_rewards"]
    assert made["life_loss_is_terminal"] == (experiment.environment.protocol == "classic")
    assert made["priorities"] == Priorities(exponent=0.3, importance_exponent=0.7)
    asked = []
    monkeypatch.setattr(training.play.replay, "sample", lambda *given: asked.append(given))
    training.learning._sample()
    assert asked == [(7, 2, 0.9)]


@pytest.mark.parametrize(
    ("updates_per_step", "steps", "updates"),
    [
        (0.25, 99, 0),
        (0.25, 100, 0),
        (0.25, 103, 0),
        (0.25, 104, 1),
        (0.25, 112, 3),
        (2.0, 101, 2),
        (0.1, 600, 50),
    ],
)
def test_updates_follow_from_the_steps_alone(begin, updates_per_step, steps, updates):
    learning = begin(experiment_with(updates_per_step=updates_per_step)).learning

    assert learning.updates_after(steps) == updates


def test_every_update_is_done_once_however_steps_are_cut(begin):
    learning, curve = warmed_up(begin(experiment_with(updates_per_step=0.5)), 100), LossesSeen()

    for before, steps in [(96, 100), (100, 103), (103, 103), (103, 110)]:
        learning.learn(steps, before, curve)

    assert curve.steps == [103, 110, 110, 110, 110]


@pytest.mark.parametrize(("ratio", "with_representation"), [(1.0, 4), (0.5, 2), (3.0, 4)])
def test_the_embedders_own_updates_come_in_their_ratio(begin, ratio, with_representation):
    encoder = EncoderTraining(losses="representation", representation_update_ratio=ratio)
    learning, curve = warmed_up(begin(experiment_with(encoder, updates_per_step=1.0)), 100), None
    curve = LossesSeen()
    before = _steps_of(learning)

    learning.learn(104, 100, curve)

    assert sum("representation_loss" in names for names in curve.names) == with_representation
    assert _steps_of(learning) - before == 4 * ratio


@pytest.mark.parametrize(("losses", "agents_mode"), [("representation", False), ("both", True)])
def test_dropout_and_the_like_act_where_a_loss_may_change_the_encoder(begin, losses, agents_mode):
    training = begin(experiment_with(EncoderTraining(losses=losses), updates_per_step=1.0))
    learning, encoder = warmed_up(training, 100), training.agent.encoder
    seen: dict[str, list[bool]] = {"agent": [], "own": []}
    own_loss = encoder.embedder.loss

    def loss(batch: Any) -> Any:
        seen["own"].append(encoder.embedder.training)
        return own_loss(batch)

    encoder.embedder.loss = loss
    encoder.register_forward_pre_hook(lambda *_: seen["agent"].append(encoder.embedder.training))
    learning.learn(103, 100, LossesSeen())

    assert set(seen["agent"]) == {agents_mode}
    assert set(seen["own"]) == {True}


def _steps_of(learning: AgentLearning) -> int:
    """Return how many updates the embedder's own optimiser has done."""
    state = learning.representation_optimiser.state
    return max((int(kept["step"]) for kept in state.values()), default=0)


def test_nothing_changes_the_encoder_before_it_is_unfrozen(begin):
    encoder = EncoderTraining(losses="both", unfreeze_at_steps=104)
    training = begin(experiment_with(encoder, updates_per_step=1.0))
    learning, curve = warmed_up(training, 100), LossesSeen()
    before = {n: w.clone() for n, w in training.agent.encoder.named_parameters()}

    learning.learn(104, 100, curve)
    frozen = {n: w.clone() for n, w in training.agent.encoder.named_parameters()}
    learning.learn(106, 104, curve)

    assert all(torch.equal(before[name], frozen[name]) for name in before)
    after = dict(training.agent.encoder.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("convolutions" in name for name in moved)
    assert any("decoder" in name for name in moved)


def test_the_correction_for_what_is_drawn_more_often_becomes_whole(begin):
    training = begin(experiment_with(prioritised=True, updates_per_step=1.0))
    learning, replay = warmed_up(training, 100), training.play.replay

    learning.learn(101, 100, LossesSeen())
    early = replay.importance_exponent
    learning.learn(600, 599, LossesSeen())

    assert early == pytest.approx(0.4 + 0.6 / 500)
    assert replay.importance_exponent == 1.0


def test_a_play_counts_what_is_acted_upon_and_sums_up_whole_episodes(begin):
    training = begin(experiment_with(warm_up_steps=1000))
    play: Play = training.play
    play.begin()
    acted, rewards, finished = 0, 0.0, []
    for _ in range(200):
        over = play._step.ended
        play.send(training.acting.choose(play))
        acted += int((~over).sum())
        play.recv()
        rewards += float(play._step.reward.sum())
        finished += play.returns

    assert play.steps == acted < 800  # where an episode is over, no action counts
    assert len(finished) >= 4
    assert sum(finished) + play._return_so_far.sum() == rewards > 0
