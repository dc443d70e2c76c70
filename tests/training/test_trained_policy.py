"""A trained agent that plays frames: greedily, by its own weights, and the same when it is cut."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trained_agents import keep_agent, make_player_run, tiny_player

from rlmaster.agents.base import BaseAgent
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.earlier_runs.policy import find_policy
from rlmaster.errors import TrainingError
from rlmaster.experiment import Atari, Experiment
from rlmaster.frame_sources import AgentFrames
from rlmaster.replay import chunk_files
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training.frame_cache import FrameCache, collected_from
from rlmaster.training.frames import FrameCollection
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested
from rlmaster.training.trained_policy import load_agent, trained_policy

ROWS = 60
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_files, "FRAMES_PER_CHUNK", 32)  # 16 rows


def experiment_of(policy: str, share: float = 0.0) -> Experiment:
    return Experiment(
        name="frames",
        environment=Atari(game="Pong", num_environments=2),
        frames=AgentFrames(policy=policy, random_share=share, steps=2 * ROWS),
    )


def launched(runs: Path, player: RunFolder, share: float = 0.0) -> tuple[RunFolder, Experiment]:
    """Return a run as a launch leaves it, whose frames a player's agent shall play."""
    experiment = experiment_of(player.id, share)
    config = experiment.to_data()
    run = RunFolder.create(
        runs, config=config, rationale="x", provenance={}, digests={}, differs_from_default=[]
    )
    policy = find_policy(config, runs)
    assert policy is not None
    policy.bring(run.policy)
    return run, experiment


def collect(run: RunFolder, experiment: Experiment, cut_at_s: int | None = None) -> FrameStore:
    """Make one attempt; somebody asks to stop after so many steps."""
    recording = Recording(run)
    phases: list[str] = []
    begin = recording.phase

    def begin_phase(name: str, *further: object) -> None:
        phases.append(name)
        begin(name, *further)  # type: ignore[arg-type]

    recording.phase = begin_phase  # type: ignore[method-assign]

    def advance(done: int) -> None:
        if cut_at_s is not None and phases[-1] == "collecting" and done >= cut_at_s:
            raise StopRequested

    try:
        frames = FrameCollection(experiment, run, recording, CPU, advance, learned_from=True)
        frames.load()
        return frames.complete()
    finally:
        recording.close()


@pytest.fixture
def player(tmp_path: Path) -> RunFolder:
    """A run whose agent does now this, now that, by where the ball is."""
    run = make_player_run(tmp_path)
    keep_agent(run, 600, seen=screens())
    return run


def screens() -> torch.Tensor:
    """Return what is seen in Pong after a second, `(2, 4, 84, 84)`."""
    protocol = PROTOCOLS["machado2018"]
    games = AtariEnvironments("pong", protocol, num_environments=2, seed=9, num_threads=1)
    games.reset()
    for _ in range(50):
        step = games.step(np.zeros(2, np.int64))
    return torch.from_numpy(step.observation)


def actions_by_hand(agent: BaseAgent, seed: int) -> np.ndarray:
    """Return what an agent does in the games of an experiment, `(ROWS, 2)`."""
    protocol = PROTOCOLS["machado2018"]
    games = AtariEnvironments("pong", protocol, num_environments=2, seed=seed, num_threads=1)
    step, taken = games.reset(), []
    with torch.no_grad():
        for _ in range(ROWS):
            taken.append(agent.act(torch.from_numpy(step.observation)).numpy())
            step = games.step(taken[-1])
    return np.stack(taken)


def test_frames_are_played_by_the_agent_of_the_checkpoint(
    player: RunFolder, tmp_path: Path
) -> None:
    store = collect(*launched(tmp_path, player))
    expected = actions_by_hand(keep_agent(player, 601, seen=screens()), seed=1)
    assert len(np.unique(expected)) > 1
    assert np.array_equal(store.actions[:ROWS], expected)


def test_they_are_the_same_however_often_it_is_cut(player: RunFolder, tmp_path: Path) -> None:
    run, experiment = launched(tmp_path, player, share=0.2)
    whole = collect(run, experiment)
    cut, _ = launched(tmp_path, player, share=0.2)
    (tmp_path / ".frames").rename(tmp_path / "hidden")  # or it would take those of the first
    for cut_at_s in (40, 90):
        with pytest.raises(StopRequested):
            collect(cut, experiment, cut_at_s)
    again = collect(cut, experiment)
    assert len(np.unique(whole.actions[:ROWS])) > 2
    assert torch.equal(again.frames[: ROWS + 1], whole.frames[: ROWS + 1])
    assert np.array_equal(again.actions[:ROWS], whole.actions[:ROWS])


def test_frames_are_shared_only_where_the_weights_are_the_same(
    player: RunFolder, tmp_path: Path
) -> None:
    run, experiment = launched(tmp_path, player)
    collect(run, experiment)
    same, _ = launched(tmp_path, player)
    cache = FrameCache.of(same, experiment)
    assert cache is not None
    assert cache.take(same.replay) == run.id
    keep_agent(player, 900, seed=2)
    other, _ = launched(tmp_path, player)
    assert collected_from(experiment, other) != collected_from(experiment, run)
    cache = FrameCache.of(other, experiment)
    assert cache is not None
    assert cache.take(other.replay) == ""


def test_frames_of_an_agent_of_ones_own_code_are_not_shared(
    player: RunFolder, tmp_path: Path
) -> None:
    run, experiment = launched(tmp_path, player)
    file = run.policy / "config.json"
    file.write_text(file.read_text().replace("rlmaster.agent_choices:", "own_agents:"))
    assert FrameCache.of(run, experiment) is None


def test_weights_that_are_not_what_was_brought_are_refused(
    player: RunFolder, tmp_path: Path
) -> None:
    run, _ = launched(tmp_path, player)
    (run.policy / "networks.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"no whole checkpoint in .*policy; launch the run ag"):
        trained_policy(run)
    (run.policy / "networks.safetensors").write_bytes(b"other")
    with pytest.raises(TrainingError, match=r"is damaged.*; launch the run again"):
        trained_policy(run)


def test_weights_of_another_agent_are_refused(player: RunFolder, tmp_path: Path) -> None:
    run, _ = launched(tmp_path, player)
    file = run.policy / "config.json"
    file.write_text(file.read_text().replace('"hidden_units": 8', '"hidden_units": 9'))
    with pytest.raises(
        TrainingError, match=r"cannot play: these weights are of other networks .*;"
    ):
        trained_policy(run)


def test_an_agent_is_loaded_strictly_and_no_longer_explores(player: RunFolder) -> None:
    agent = keep_agent(player, seed=3)
    weights = agent.state_dict()
    loaded = load_agent(tiny_player(), weights)
    assert not loaded.training
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    with pytest.raises(TrainingError, match="other networks than ValueBasedAgent builds"):
        load_agent(tiny_player(), {name: weights[name] for name in list(weights)[1:]})
