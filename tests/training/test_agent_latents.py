"""A frozen encoder's latents in a real run: right, kept once, and the same bits after a resume."""

import numpy as np
import pytest
import torch
from playing_runs import (
    AUTOENCODER,
    EXPERIMENT,
    SETTINGS,
    networks_of,
    prepared,
    shorten_games,
    train,
)

from rlmaster.agent_choices import DoubleDQN, RandomAgent
from rlmaster.experiment import AgentTraining as PlayingBudget
from rlmaster.experiment import EncoderTraining
from rlmaster.training import agent_training
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.checkpoint import list_checkpoints
from rlmaster.training.play import latents_are_kept
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

AGENT = DoubleDQN(**SETTINGS)
FROZEN = EncoderTraining(losses="none")
SINGLE_FRAMES = AUTOENCODER.model_copy(update={"stacked_frames": 1})
PAIRS = AUTOENCODER.model_copy(update={"stacked_frames": 2})
FEW_STEPS = PlayingBudget(steps=320, evaluations=3, evaluation_episodes=1, precision="float32")


@pytest.fixture(scope="module", autouse=True)
def short_games():
    with pytest.MonkeyPatch.context() as patch:
        shorten_games(patch.setattr)
        yield


def frozen(**changes):
    few = {"encoder": FROZEN, "embedder": SINGLE_FRAMES, "agent_training": FEW_STEPS}
    return EXPERIMENT.model_copy(update={**few, **changes})


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"encoder": EncoderTraining(losses="td", unfreeze_at_steps=10_000)}, False),
        ({"encoder": EncoderTraining(losses="representation")}, False),
        ({"agent": AGENT.model_copy(update={"random_shift": 4})}, False),
        ({"agent": RandomAgent()}, False),
    ],
)
def test_latents_are_kept_where_nothing_changes_the_encoder_or_its_frames(changes, kept):
    assert latents_are_kept(frozen(**changes)) is kept


@pytest.fixture
def playing(tmp_path):
    """Make a training that has played some ticks at random, and what it was shown meanwhile."""
    opened = []

    def play(ticks, **changes):
        training = prepared(tmp_path, frozen(**changes))
        opened.append(training.recording)
        games = training.play
        games.begin()
        draws, shown = np.random.default_rng(0), []
        for tick in range(ticks):
            if tick % 3:
                shown.append((games._step.observation.copy(), games.observation.clone()))
            games.send(draws.integers(4, size=4))
            games.recv()
        return training, shown

    yield play
    for recording in opened:
        recording.close()


@pytest.mark.parametrize("embedder", [SINGLE_FRAMES, AUTOENCODER])
def test_latents_that_are_acted_upon_are_those_of_the_observation(playing, embedder):
    training, shown = playing(120, embedder=embedder)
    assert any((frames[:, 0] == 0).all(axis=(1, 2)).any() for frames, _ in shown[1:])
    for frames, latents in shown:
        with torch.no_grad():
            expected = training.agent.encoder(torch.from_numpy(frames))
        assert torch.allclose(latents, expected, atol=1e-5)


@pytest.mark.parametrize("n_step", [1, 3])
def test_sampled_latents_are_those_of_sampled_frames(playing, n_step):
    training, _ = playing(120)
    replay, encoder = training.play.replay, training.agent.encoder
    batch = replay.sample(64, n_step)
    goes_on = batch.discount > 0
    steps = (batch.discount[goes_on].log() / np.log(0.99)).round().long()
    following = replay.store.stack_at((batch.index[goes_on] + 4 * steps).numpy())
    with torch.no_grad():
        expected = encoder(replay.store.stack_at(batch.index.numpy()))
        assert torch.allclose(batch.observation, expected, atol=1e-5)
        assert torch.allclose(batch.next_observation[goes_on], encoder(following), atol=1e-5)


def test_a_frozen_encoder_stays_in_evaluation_mode(playing):
    agent = playing(0)[0].agent
    agent.train()
    assert not any(module.training for module in agent.encoder.embedder.modules())
    assert agent.head.training


# ------------------------------------------------------------------------------------- whole runs

# A ring that comes round, and a latent of two frames, of which an observation has two.
IN_PAIRS = {"embedder": PAIRS, "agent": AGENT.model_copy(update={"replay_steps": 200})}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train without an interruption."""
    training = prepared(tmp_path_factory.mktemp("whole"), frozen(**IN_PAIRS))
    training.execute()
    training.recording.close()
    return training


def test_the_encoder_has_looked_at_the_background_before_anything_is_learned(whole):
    encoder, replay = whole.agent.encoder, whole.play.replay
    assert encoder.embedder.background.any()
    batch = replay.sample(150)
    with torch.no_grad():
        expected = encoder(replay.store.stack_at(batch.index.numpy()))
    assert torch.allclose(batch.observation, expected, atol=1e-5)


def test_learning_from_frames_comes_to_the_same(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(agent_training, "latents_are_kept", lambda _experiment: False)
    from_frames, kept = networks_of(train(tmp_path, frozen(**IN_PAIRS))), networks_of(whole.run)
    first = list_checkpoints(whole.run.checkpoints)[0].name  # after one update at most
    begun, name = networks_of(whole.run, first), "head.advantage.0.weight"
    assert not torch.allclose(begun[name], kept[name], atol=1e-3)
    for name, weight in from_frames.items():
        assert torch.allclose(weight, kept[name], atol=1e-4), name


def resumed(folder, stop_at_steps):
    """Train in two attempts, of which the first is asked to stop at a step."""
    first = prepared(folder, frozen(**IN_PAIRS))
    recv = first.play.recv

    def recv_and_stop():
        recv()
        if first.play.steps >= stop_at_steps:
            first.stop.request()

    first.play.recv = recv_and_stop
    with pytest.raises(StopRequested):
        first.execute()
    first.recording.close()
    second = AgentTraining(first.experiment, first.run, Recording(first.run))
    second.execute()
    second.recording.close()
    return second


@pytest.mark.parametrize("stop_at_steps", [60, 260])
def test_a_resumed_run_ends_with_the_same_latents_and_weights(whole, tmp_path, stop_at_steps):
    again = resumed(tmp_path, stop_at_steps)
    expected, weights = networks_of(whole.run), networks_of(again.run)
    assert expected.keys() == weights.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name]), name
    for replay in (whole.play.replay, again.play.replay):
        replay._generator.manual_seed(3)
    one, other = whole.play.replay.sample(64), again.play.replay.sample(64)
    assert torch.equal(one.index, other.index)
    assert torch.equal(one.observation, other.observation)
    assert torch.equal(one.next_observation, other.next_observation)
