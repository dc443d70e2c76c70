"""Room: what a run needs, as its experiment tells, and what a computer may lack of it."""

import pytest

from rlmaster.agent_choices import DQN, RandomAgent
from rlmaster.embedder_choices import Autoencoder, PixelEncoder
from rlmaster.experiment import AgentTraining, Atari, EncoderTraining, Experiment
from rlmaster.frame_sources import RandomFrames, ReplayFrames
from rlmaster.room import FRAME_BYTES, GIB, FreeRoom, Room

MAP = 64 * 7 * 7


def room(**fields) -> Room:
    return Room.of(Experiment(name="x", environment=Atari(game="Pong"), **fields).to_data())


@pytest.mark.parametrize(
    ("fields", "frames"),
    [
        ({"frames": RandomFrames(steps=1000)}, 1000),
        ({"frames": ReplayFrames(run="a1b2c3")}, 0),
        ({"agent": DQN(), "agent_training": AgentTraining(steps=2_000_000)}, 1_062_500),
        ({"agent": DQN(), "agent_training": AgentTraining(steps=60_000)}, 63_750),
        ({"agent": RandomAgent()}, 0),
    ],
)
def test_frames_are_counted_that_a_run_keeps(fields, frames):
    assert room(**fields).frames == frames * FRAME_BYTES


def test_latents_that_are_kept_beside_the_frames_are_counted():
    frozen = room(
        agent=DQN(),
        agent_training=AgentTraining(steps=160_000),
        embedder=Autoencoder(latent_dim=10),
        encoder=EncoderTraining(losses="none"),
    )
    assert frozen.frames == 170_000 * (FRAME_BYTES + 40)


@pytest.mark.parametrize(
    ("embedder", "losses", "size"),
    [
        (Autoencoder(latent_dim=10), None, 2 * 10 * MAP * 48),
        (Autoencoder(latent_dim=10), "td", 2 * 10 * MAP * 48),
        (Autoencoder(latent_dim=10), "none", 2 * 10 * MAP * 4),
        (PixelEncoder(latent_dim=10, projection="linear"), "td", 10 * MAP * 48),
        (PixelEncoder(latent_dim=MAP, projection="none"), "td", 0),
    ],
)
def test_weights_are_counted_as_what_is_done_with_them(embedder, losses, size):
    agent = {"agent": DQN(), "encoder": EncoderTraining(losses=losses)} if losses else {}
    assert room(embedder=embedder, **agent).networks == size


def test_of_ones_own_class_nothing_is_known():
    for name in ("mine:Own", "mine:Autoencoder", "rlmaster.embedder_choices:Gone"):
        assert Room.of({"embedder": {"type": name, "latent_dim": 9}}) == Room()


def test_what_is_lacking_is_one_sentence():
    free = FreeRoom(device=2 * GIB, memory=2 * GIB, disk=10 * GIB)
    assert Room(frames=9 * GIB, networks=2 * GIB).lacking(free) == ""
    assert Room(frames=9 * GIB, storage="memory").lacking(free) == (
        "the frames need 9.0 GiB, and they may take 1.6 GiB in memory; keep fewer steps "
        "(agent.replay_steps, frames.steps) or free some space"
    )
    assert Room(networks=3 * GIB).lacking(free) == (
        "the latent's weights need 3.0 GiB of memory, and 2.0 GiB are there; ask for a smaller "
        "latent or fewer channels (embedder.latent_dim, embedder.channels)"
    )
    assert Room(10**15, networks=10**15).lacking(FreeRoom(None, None, None)) == ""
