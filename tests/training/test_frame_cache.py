"""Shared frames: whole ones are found again, damaged ones count as none and are replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rlmaster.atari.environment import Step
from rlmaster.experiment import Atari, Experiment, RandomFrames
from rlmaster.frame_sources import AgentFrames, PlayedFrames, ReplayFrames
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training import frame_cache
from rlmaster.training.frame_cache import CODE, COLLECTED_BY, FrameCache

EXPERIMENT = Experiment(name="shared", environment=Atari(game="Pong", num_environments=2))


class OwnFrames(PlayedFrames):
    """A source whose code is not RLmaster's."""

    builds: ClassVar[str] = "own:Play"


def new_run(runs: Path) -> RunFolder:
    return RunFolder.reserve(runs, "shared")


def cache_of(run: RunFolder, experiment: Experiment = EXPERIMENT) -> FrameCache:
    cache = FrameCache.of(run, experiment)
    assert cache is not None
    return cache


@pytest.fixture
def collected(tmp_path: Path) -> RunFolder:
    """A run whose replay is whole."""
    run = new_run(tmp_path)
    nothing = np.zeros(2, np.bool_)
    step = Step(
        observation=np.random.default_rng(1).integers(256, size=(2, 1, 84, 84), dtype=np.uint8),
        reward=np.zeros(2, np.float32),
        terminated=nothing,
        truncated=nothing,
        life_lost=nothing,
        episode_start=nothing,
        lives=np.zeros(2, np.int32),
        episode_frames=np.zeros(2, np.int32),
    )
    store = FrameStore(2, capacity_rows=2)
    store.append(step, np.zeros(2, np.int64))
    store.append(step, None)
    store.save(run.replay)
    (run.replay / "source.json").write_text("{}")
    (run.replay / "coverage.json").write_text("{}")
    return run


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def entries(runs: Path) -> list[Path]:
    return list((runs / ".frames").iterdir())


def test_what_one_run_gives_the_next_takes_as_the_same_files(
    collected: RunFolder, tmp_path: Path
) -> None:
    cache_of(collected).give(collected.replay)
    second = new_run(tmp_path)
    assert cache_of(second).take(second.replay) == collected.id
    assert names(second.replay) == names(collected.replay)
    for name in names(collected.replay):
        assert (second.replay / name).samefile(collected.replay / name)


def test_nothing_is_taken_where_nobody_gave(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert cache_of(run).take(run.replay) == ""
    assert not run.replay.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"environment": Atari(game="Pong", num_environments=3)},
        {"frames": RandomFrames(steps=101)},
        {"frames": AgentFrames()},
    ],
)
def test_frames_of_another_experiment_are_others(
    change: dict[str, object], collected: RunFolder, tmp_path: Path
) -> None:
    cache_of(collected).give(collected.replay)
    second = new_run(tmp_path)
    other = EXPERIMENT.model_copy(update=change)
    assert cache_of(second, other).take(second.replay) == ""


def test_frames_that_other_code_has_played_are_others(
    collected: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"environment.py", "policies.py", "collecting.py"} < {file.name for file in CODE}
    code = tmp_path / "policies.py"
    code.write_text("as it was")
    monkeypatch.setattr(frame_cache, "CODE", (code,))
    cache_of(collected).give(collected.replay)
    second = new_run(tmp_path)
    assert cache_of(second).take(second.replay) == collected.id
    code.write_text("as somebody has edited it")
    third = new_run(tmp_path)
    assert cache_of(third).take(third.replay) == ""


def test_what_changes_no_frame_changes_nothing(collected: RunFolder, tmp_path: Path) -> None:
    cache_of(collected).give(collected.replay)
    second = new_run(tmp_path)
    other = EXPERIMENT.model_copy(
        update={"name": "x", "frames": RandomFrames(held_out_share=0.5), "frame_storage": "disk"}
    )
    assert cache_of(second, other).take(second.replay) == collected.id


@pytest.mark.parametrize("source", [ReplayFrames(run="abcdef"), OwnFrames()])
def test_frames_that_only_their_run_knows_are_not_shared(
    source: PlayedFrames, tmp_path: Path
) -> None:
    own = EXPERIMENT.model_copy(update={"frames": source})
    assert FrameCache.of(new_run(tmp_path), own) is None


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("chunk-000000.npz", flip_a_bit),
        ("chunk-000000.npz", Path.unlink),
        ("manifest.json", Path.unlink),
        (COLLECTED_BY, Path.unlink),
    ],
)
def test_damaged_frames_count_as_none_and_are_replaced(
    name: str, harm: Callable[[Path], None], collected: RunFolder, tmp_path: Path
) -> None:
    cache_of(collected).give(collected.replay)
    (entry,) = entries(tmp_path)
    content = (entry / name).read_bytes()
    (entry / name).unlink()  # so that the run's own file stays as it is
    (entry / name).write_bytes(content)
    harm(entry / name)

    second = new_run(tmp_path)
    assert cache_of(second).take(second.replay) == ""
    cache_of(collected).give(collected.replay)
    assert cache_of(second).take(second.replay) == collected.id
    assert entries(tmp_path) == [entry]


def test_two_that_give_at_once_leave_one_whole_entry(
    collected: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def after_another(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        FrameCache(target, "another").give(collected.replay)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", after_another)
    cache_of(collected).give(collected.replay)
    second = new_run(tmp_path)
    assert cache_of(second).take(second.replay) == "another"
    assert len(entries(tmp_path)) == 1
