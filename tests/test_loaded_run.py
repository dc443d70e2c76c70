import json
import sys

import pytest
import torch
from trained_agents import keep_agent, make_player_run

from rlmaster.errors import RunFolderError, SpecificationError, TrainingError
from rlmaster.loaded_run import load_run
from rlmaster.run_folder import RunFolder

MODULE = """
from rlmaster import Embedder
class Mine(Embedder):
    builds = "embedder_of_mine:Network"
    where: str = {where!r}
"""
CONFIG = {
    "name": "x",
    "environment": {"game": "pong"},
    "embedder": {"type": "embedder_of_mine:Mine"},
}


@pytest.fixture
def run(project, monkeypatch):
    """A run whose snapshot defines its embedder, which the present project has changed since."""
    folder = RunFolder.create(
        project / "runs",
        config=CONFIG,
        rationale="why",
        provenance={"script": "experiments/mine.py", "snapshot": {"digest": "abc"}},
        digests={},
        differs_from_default=[],
    )
    kept = project / "runs" / ".snapshots" / "abc" / "experiments"
    for place, where in ((kept, "snapshot"), (project / "experiments", "present")):
        place.mkdir(parents=True, exist_ok=True)
        (place / "embedder_of_mine.py").write_text(MODULE.format(where=where))
    monkeypatch.setattr(sys, "path", [str(project / "experiments"), *sys.path])
    yield folder
    sys.modules.pop("embedder_of_mine", None)


def test_the_experiment_knows_the_runs_own_embedder_as_it_was(run):
    assert load_run(run.path).experiment.to_data()["embedder"]["where"] == "snapshot"


def test_a_run_read_twice_adds_to_the_path_once(run):
    paths: list[list[str]] = []
    for _ in range(2):
        assert load_run(run.path).experiment.name == "x"
        paths.append(list(sys.path))

    assert paths[0] == paths[1]


@pytest.mark.parametrize("provenance", [None, "{", "{}", '{"script": 3, "snapshot": null}'])
def test_without_provenance_there_is_no_code_of_its_own(run, provenance):
    run.provenance_file.unlink()
    if provenance is not None:
        run.provenance_file.write_text(provenance)
    assert load_run(run.path).experiment.to_data()["embedder"]["where"] == "present"

    run.config_file.write_text(json.dumps({**CONFIG, "embedder": {"type": "nowhere:Mine"}}))
    with pytest.raises(SpecificationError, match="nowhere:Mine"):
        _ = load_run(run.path).experiment


def test_a_notebook_gets_networks_and_frames_that_fit_each_other(finished_run):
    run = load_run(finished_run.folder.path)
    embedder, replay = run.embedder(), run.replay()
    moments = replay.frame_indices(replay.episodes(), after=3)[:5]

    assert replay.num_steps == 1000
    assert embedder.embed(replay.stack_at(moments, 4)).shape == (5, embedder.latent_dim)


def test_a_run_without_frames_says_so(run):
    with pytest.raises(RunFolderError, match="has not finished collecting"):
        load_run(run.path).replay()


def test_a_notebook_gets_the_agent_and_the_embedder_in_it(tmp_path):
    folder = make_player_run(tmp_path)
    trained = keep_agent(folder, 600, seed=2)
    agent, embedder = load_run(folder.path).agent(), load_run(folder.path).embedder()
    frames = torch.randint(256, (5, 4, 84, 84), dtype=torch.uint8)
    assert not agent.training
    assert torch.equal(agent.act(frames), trained.act(frames))
    assert same_weights(agent, trained)
    assert same_weights(embedder, trained.encoder.embedder)
    assert not same_weights(load_run(folder.path).agent("step-000000500"), trained)


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_a_run_of_an_embedder_alone_has_no_agent(finished_run):
    with pytest.raises(TrainingError, match="this experiment has no agent"):
        load_run(finished_run.folder.path).agent()
