"""Launches that learn from an earlier run's frames: which run that is, and whether it has them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run
from project_command import Rlmaster
from waiting import wait_until

from rlmaster.durable_files import write_json
from rlmaster.earlier_runs.frames import find_frames_run, resolve_frames
from rlmaster.errors import ProjectError, UsageError
from rlmaster.experiment import Atari, Experiment
from rlmaster.experiment_script import ScriptDescription, describe_experiment
from rlmaster.frame_sources import FrameSource, RandomFrames, ReplayFrames
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, State, Status


def describe(run: str, **environment: Any) -> ScriptDescription:
    return described(ReplayFrames(run=run), **environment)


def described(frames: FrameSource, **environment: Any) -> ScriptDescription:
    atari = Atari(**{"game": "Pong", **environment})
    return describe_experiment(Experiment(name="again", environment=atari, frames=frames))


@pytest.fixture
def earlier(tmp_path: Path) -> RunFolder:
    """A run with a whole replay of three environments."""
    run = make_run(tmp_path)
    run.replay.mkdir()
    write_json(
        run.replay / "manifest.json",
        {"num_environments": 3, "chunks": [{"file": "chunk-000000.npz"}]},
    )
    (run.replay / "chunk-000000.npz").write_bytes(b"frames")
    write_json(run.coverage_file, {"sentence": "6 frames cover 5 distinct ones"})
    return run


def test_the_full_id_and_the_number_of_environments_are_filled_in(
    earlier: RunFolder, tmp_path: Path
) -> None:
    asked = describe(earlier.short_id)
    resolved = resolve_frames(asked, tmp_path)
    assert resolved.experiment["frames"]["run"] == earlier.id
    assert resolved.experiment["environment"]["num_environments"] == 3
    assert "environment.num_environments" in resolved.differs_from_default
    again = Experiment.from_data(resolved.experiment)
    assert resolved.digest == again.digest() != asked.digest
    assert find_frames_run(resolved.experiment, tmp_path) is not None
    assert resolve_frames(resolved, tmp_path) == resolved


def test_an_experiment_that_collects_its_own_frames_stays_as_it_is(tmp_path: Path) -> None:
    own = described(RandomFrames())
    assert resolve_frames(own, tmp_path) is own
    assert find_frames_run(own.experiment, tmp_path) is None


def test_an_unknown_run_is_refused(earlier: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no run is called 'zzzzzz'; the newest is"):
        resolve_frames(describe("zzzzzz"), tmp_path)


@pytest.mark.parametrize("file", ["coverage.json", "manifest.json", "chunk-000000.npz"])
def test_a_run_without_a_whole_replay_is_refused(
    file: str, earlier: RunFolder, tmp_path: Path
) -> None:
    (earlier.replay / file).unlink()
    with pytest.raises(UsageError, match=f"run {earlier.short_id} is prepared and has no whole"):
        resolve_frames(describe(earlier.id), tmp_path)


def test_frames_that_are_on_another_computer_are_to_be_pulled(
    earlier: RunFolder, tmp_path: Path
) -> None:
    (earlier.replay / "chunk-000000.npz").unlink()
    facts = {field.name: "x" for field in dataclasses.fields(Placement)}
    numbers = {"threads": 1, "from_attempt": 1, "left": ()}
    placement = {**facts, "host": "far", "kind": "ssh", "folder": "/far/run", **numbers}
    earlier.write_placement(Placement(**placement))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"`rlmaster pull --replay {earlier.short_id}`.* from far"):
        resolve_frames(describe(earlier.id), tmp_path)


@pytest.mark.parametrize(
    ("environment", "ours"),
    [
        ({"game": "Breakout"}, "breakout under machado2018"),
        ({"protocol": "classic"}, "pong under classic"),
    ],
)
def test_frames_of_another_game_or_protocol_are_refused(
    environment: dict[str, str], ours: str, earlier: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"are of pong under machado2018, .* is about {ours};"):
        resolve_frames(describe(earlier.id, **environment), tmp_path)


def test_frames_of_another_size_are_refused(earlier: RunFolder, tmp_path: Path) -> None:
    manifest = json.loads((earlier.replay / "manifest.json").read_text())
    write_json(earlier.replay / "manifest.json", {**manifest, "frame_shape": [64, 96]})
    with pytest.raises(UsageError, match=r"are of 64x96 pixels, and embedders look at 84x84; name"):
        resolve_frames(describe(earlier.id), tmp_path)


def make_played(runs: Path, *, seed: int = 1, rows: int = 49, state: State = State.COMPLETED):
    """Make a run whose agent has played 100 steps in two environments, or fewer."""
    config = {"seed": seed, "agent": {"type": "x"}, "agent_training": {"steps": 100}}
    run = make_run(runs, "played", config=config)
    run.replay.mkdir()
    chunk = {"file": "chunk-000000.npz", "first_row": 0, "rows": rows}
    write_json(run.replay / "manifest.json", {"num_environments": 2, "chunks": [chunk]})
    (run.replay / "chunk-000000.npz").write_bytes(b"frames")
    run.write_status(Status(state))
    return run


def test_what_an_agent_saw_is_whole_once_its_run_has_completed(tmp_path: Path) -> None:
    played = make_played(tmp_path)
    resolved = resolve_frames(describe(played.id), tmp_path)
    assert resolved.experiment["environment"]["num_environments"] == 2


@pytest.mark.parametrize(("rows", "state"), [(48, State.COMPLETED), (49, State.STOPPED)])
def test_what_an_agent_saw_until_then_is_not(rows: int, state: State, tmp_path: Path) -> None:
    played = make_played(tmp_path, rows=rows, state=state)
    with pytest.raises(UsageError, match=f"is {state} and has no whole replay"):
        resolve_frames(describe(played.id), tmp_path)


def test_of_several_runs_it_is_the_completed_one_of_the_same_seed(tmp_path: Path) -> None:
    make_played(tmp_path, seed=2)
    make_played(tmp_path, state=State.STOPPED)
    wanted = make_played(tmp_path)
    assert resolve_frames(describe("played"), tmp_path).experiment["frames"]["run"] == wanted.id
    make_played(tmp_path)
    with pytest.raises(ProjectError, match="'played' fits 2 runs"):
        resolve_frames(describe("played"), tmp_path)


def test_frames_of_which_none_can_be_held_out_are_refused(
    earlier: RunFolder, tmp_path: Path
) -> None:
    write_json(earlier.coverage_file, {"episodes": 2})
    resolve_frames(describe(earlier.id), tmp_path)
    write_json(earlier.coverage_file, {"episodes": 1})
    with pytest.raises(UsageError, match=r"all of one episode, and one is held out .* 2 episodes"):
        resolve_frames(describe(earlier.id), tmp_path)


SCRIPT = '''\
"""Pong: other weights on the same frames."""

from rlmaster import Atari, EmbedderTraining, Experiment, Recording, ReplayFrames

experiment = Experiment(
    name="again",
    environment=Atari(game="Pong", num_environments=2),
    frames=ReplayFrames(run="nobody"),
    training=EmbedderTraining(updates=3, batch_size=8, evaluations=3),
    recording=Recording(previews=0, video_episodes=0),
    seed=2,
)
'''


@pytest.mark.learns
def test_a_run_learns_from_the_very_files_of_an_earlier_one(rlmaster: Rlmaster) -> None:
    (rlmaster.project / "experiments" / "again.py").write_text(SCRIPT)
    earlier = rlmaster.launch()
    wait_until(lambda: earlier.status().state in FINAL_STATES, 90)
    launch = ("launch", "again", "--rationale", "to test", "--yes", "--follow", "--json")

    refused = rlmaster(*launch)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no run is called 'nobody'" in refused.stderr
    assert not (rlmaster.project / "runs" / "again").exists()

    done = rlmaster(*launch, "--set", f"frames.run={earlier.short_id}")
    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(json.loads(done.stdout)["run_folder"]))
    assert run.status().state is State.COMPLETED
    assert run.run()["parents"] == [earlier.id]
    assert run.config()["frames"]["run"] == earlier.id
    assert run.config()["environment"]["num_environments"] == 8
    files = [path.name for path in earlier.replay.iterdir()]
    assert all((run.replay / name).samefile(earlier.replay / name) for name in files)
    assert run.coverage() in " ".join(rlmaster("show", run.short_id).stdout.split())


PLAY = '''\
"""Pong: somebody plays."""

from rlmaster import AgentTraining, Atari, Experiment, RandomAgent, Recording

experiment = Experiment(
    name="play",
    environment=Atari(game="Pong", num_environments=2),
    agent=RandomAgent(),
    agent_training=AgentTraining(steps=600, evaluations=3, evaluation_episodes=1),
    recording=Recording(previews=0, video_episodes=0),
)
'''


@pytest.mark.learns
def test_a_run_learns_from_all_that_an_agent_saw(rlmaster: Rlmaster) -> None:
    (rlmaster.project / "experiments" / "play.py").write_text(PLAY)
    (rlmaster.project / "experiments" / "again.py").write_text(SCRIPT)
    given = ("--rationale", "to test", "--yes", "--follow", "--json")
    played = rlmaster("launch", "play", *given)
    assert played.returncode == 0, played.stderr

    done = rlmaster("launch", "again", *given, "--set", "frames.run=play")

    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(json.loads(done.stdout)["run_folder"]))
    assert run.status().state is State.COMPLETED
    assert "frames cover" in run.coverage()
    assert "resumed" not in run.training_events.read_text()
    listed = rlmaster("render", run.short_id, "--list")
    assert listed.returncode == 0, listed.stderr
    assert "held out" in listed.stdout
