"""Frames of a run that was cut: the same rows and the same bytes, whatever happened in between."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rlmaster.errors import RunFolderError, TrainingError
from rlmaster.events import read_events
from rlmaster.experiment import Atari, Experiment, RandomFrames
from rlmaster.frame_sources import AgentFrames, FrameSource, ReplayFrames, UniformStateFrames
from rlmaster.replay import chunk_files
from rlmaster.replay.frame_store import ROW_ARRAYS, FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training import frame_coverage
from rlmaster.training.frames import FrameCollection
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

STEPS = 600
EXPERIMENT = Experiment(
    name="frames",
    environment=Atari(game="Pong", num_environments=4),
    frames=RandomFrames(steps=STEPS),
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_files, "FRAMES_PER_CHUNK", 128)  # 32 rows
    monkeypatch.setattr(frame_coverage, "LABELLED_FRAMES", 4)
    # Explorations then start no processes, which the tests of Exploration do.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)


class Attempt:
    """One attempt of a run, up to its frames."""

    def __init__(
        self, run: RunFolder, experiment: Experiment = EXPERIMENT, *, learned_from: bool = False
    ) -> None:
        self.run = run
        self.recording = Recording(run)
        self.phases: list[str] = []
        self.begun: dict[str, int] = {}
        self.cut_at_s: int | None = None
        begin = self.recording.phase

        def begin_phase(name: str, total: int, axis: str, done: int = 0) -> None:
            self.phases.append(name)
            self.begun[name] = done
            begin(name, total, axis, done)

        self.recording.phase = begin_phase  # type: ignore[method-assign]
        self.frames = FrameCollection(
            experiment, run, self.recording, CPU, self._advance, learned_from=learned_from
        )

    def _advance(self, done: int) -> None:
        if self.cut_at_s is not None and self.phases[-1] == "collecting" and done >= self.cut_at_s:
            raise StopRequested

    def play(self, cut_at_s: int | None = None) -> FrameStore:
        """Load and collect; somebody asks to stop after so many steps."""
        self.cut_at_s = cut_at_s
        try:
            self.rows_loaded = self.frames.load()
            return self.frames.complete()
        finally:
            self.recording.close()

    def told(self) -> list[str]:
        return [f"{e.kind}: {e.message}" for e in read_events(self.run.training_events)[0]]


def new_run(folder: Path, experiment: Experiment = EXPERIMENT) -> RunFolder:
    return RunFolder.create(
        folder,
        config=experiment.to_data(),
        rationale="to test",
        provenance={},
        digests={},
        differs_from_default=[],
    )


def files(run: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.replay.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameStore, dict[str, bytes]]:
    run = new_run(tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunk_files, "FRAMES_PER_CHUNK", 128)
        patched.setattr(frame_coverage, "LABELLED_FRAMES", 4)
        store = Attempt(run).play()
    return store, files(run)


@pytest.fixture
def cut(tmp_path: Path) -> RunFolder:
    """A run that was stopped after half of its steps."""
    run = new_run(tmp_path)
    with pytest.raises(StopRequested):
        Attempt(run).play(cut_at_s=STEPS // 2)
    return run


def assert_whole(
    store: FrameStore, run: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    expected, expected_files = whole
    rows = slice(0, expected.num_rows)
    assert store.num_rows == expected.num_rows
    assert torch.equal(store.frames[rows], expected.frames[rows])
    for name in ROW_ARRAYS:
        assert np.array_equal(getattr(store, name)[rows], getattr(expected, name)[rows])
    assert files(run) == expected_files


def test_a_run_that_is_left_alone_seals_its_chunks_as_it_plays(
    whole: tuple[FrameStore, dict[str, bytes]],
) -> None:
    store, kept = whole
    assert store.num_steps >= STEPS
    assert len(kept) == 3 + -(-store.num_rows // 32)


def test_a_stop_keeps_whole_chunks_and_the_next_attempt_plays_on(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    assert len(files(cut)) == 2 + 2
    again = Attempt(cut)
    assert_whole(again.play(), cut, whole)
    assert again.rows_loaded == 64
    assert again.phases == ["restoring", "restoring", "collecting", "labelling"]
    assert (
        "stopped while collecting, after 300 steps; a resume plays the last 44" in again.told()[0]
    )


def test_a_run_that_has_all_its_frames_plays_nothing(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    Attempt(cut).play()
    again = Attempt(cut)
    assert_whole(again.play(), cut, whole)
    assert again.phases == ["restoring"]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [flip_a_bit, Path.unlink])
@pytest.mark.parametrize("number", [0, 1])
def test_frames_from_a_damaged_chunk_on_are_collected_again(
    harm: Callable[[Path], None],
    number: int,
    cut: RunFolder,
    whole: tuple[FrameStore, dict[str, bytes]],
) -> None:
    harm(cut.replay / f"chunk-00000{number}.npz")
    again = Attempt(cut)
    assert_whole(again.play(), cut, whole)
    assert again.rows_loaded == 32 * number
    assert f"chunk-00000{number}.npz is missing or damaged" in again.told()[-2]


@pytest.mark.parametrize("file", ["manifest.json", "source.json"])
def test_a_replay_that_cannot_be_understood_is_collected_anew(
    file: str, cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    (cut.replay / file).write_text("{")
    again = Attempt(cut)
    assert_whole(again.play(), cut, whole)
    (told, _covers) = again.told()[1:]
    assert told.startswith("damaged: ")
    assert f"{file} is missing or damaged; all frames are collected anew" in told


def as_another_emulator_shows(cut: RunFolder) -> None:
    """Change a pixel, as if the stored frames were of another version of the emulator."""
    source = (cut.replay / "source.json").read_text()
    stored = FrameStore.load(cut.replay)
    stored.frames[40, 3, 50, 50] ^= 1
    stored._saved_in = None
    stored.save(cut.replay, stop_row=64)
    (cut.replay / "source.json").write_text(source.replace('"ale_py": "', '"ale_py": "0.'))


def test_frames_that_this_emulator_does_not_show_again_are_all_collected_anew(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    as_another_emulator_shows(cut)
    again = Attempt(cut)
    assert_whole(again.play(), cut, whole)
    assert again.phases == ["restoring", "restoring", "collecting", "labelling"]
    assert re.search(r"then 0\..*\) does not show the stored frames", again.told()[-2])


def test_frames_that_something_was_learned_from_are_never_replaced_by_others(
    cut: RunFolder,
) -> None:
    as_another_emulator_shows(cut)
    kept = files(cut)
    with pytest.raises(TrainingError, match=r"does not show.*branch from scratch"):
        Attempt(cut, learned_from=True).play()
    assert files(cut) == kept


def test_without_a_frame_to_compare_only_the_same_emulator_replaces_what_was_learned_from(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    source = cut.replay / "source.json"
    same = source.read_text()
    (cut.replay / "chunk-000000.npz").unlink()
    source.write_text(same.replace('"ale_py": "', '"ale_py": "0.'))
    with pytest.raises(TrainingError, match=r"are gone, and ale-py .* branch from scratch"):
        Attempt(cut, learned_from=True).play()
    source.write_text(same)
    assert_whole(Attempt(cut, learned_from=True).play(), cut, whole)


def test_collecting_goes_on_counting_where_it_was_cut(cut: RunFolder) -> None:
    again = Attempt(cut)
    again.play()
    assert again.begun["collecting"] == 256
    assert again.begun["restoring"] == 0


def test_frames_of_another_experiment_are_refused(cut: RunFolder) -> None:
    other = EXPERIMENT.model_copy(update={"environment": Atari(game="Breakout")})
    with pytest.raises(TrainingError, match=r"environment\.game=pong, and this run asks for break"):
        Attempt(cut, other).play()


# -------------------------------------------------------------------------------- other sources


def with_frames(source: FrameSource) -> Experiment:
    return EXPERIMENT.model_copy(update={"frames": source})


SOURCES = {
    "scripted": with_frames(AgentFrames(steps=STEPS)),
    "uniform": with_frames(UniformStateFrames(steps=STEPS, excursion_steps=9)),
    "long-excursions": with_frames(UniformStateFrames(steps=STEPS, excursion_steps=40)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_frames_of_every_source_are_the_same_however_often_they_are_cut(
    name: str, tmp_path: Path
) -> None:
    experiment = SOURCES[name]
    left_alone, cut = (new_run(tmp_path / place, experiment) for place in ("whole", "cut"))
    expected = Attempt(left_alone, experiment).play()
    for cut_at_s in (20, 400):
        with pytest.raises(StopRequested):
            Attempt(cut, experiment).play(cut_at_s)
    last = Attempt(cut, experiment)
    assert_whole(last.play(), cut, (expected, files(left_alone)))
    assert last.rows_loaded > 64
    assert last.begun["collecting"] > 256
    covered = json.loads(cut.coverage_file.read_bytes())
    assert covered["ram_frames"] == 4
    assert "ball_x" in covered["ram_entropy_nats"]


def test_a_source_asks_for_other_frames_than_were_stored(cut: RunFolder) -> None:
    with pytest.raises(TrainingError, match=r"with frames\.type=.*RandomFrames, and this run asks"):
        Attempt(cut, SOURCES["scripted"]).play()


@pytest.fixture
def explored(tmp_path: Path) -> RunFolder:
    """A run that was stopped while it explored."""
    run = new_run(tmp_path, SOURCES["uniform"])
    with pytest.raises(StopRequested):
        Attempt(run, SOURCES["uniform"]).play(STEPS // 2)
    assert (run.replay / "archive").is_dir()
    return run


@pytest.mark.parametrize("learned_from", [False, True])
def test_an_exploration_whose_archive_is_gone_begins_anew(
    learned_from: bool, explored: RunFolder
) -> None:
    for file in (explored.replay / "archive").iterdir():
        file.unlink()
    again = Attempt(explored, SOURCES["uniform"], learned_from=learned_from)
    assert again.play().num_steps >= STEPS
    assert again.begun["collecting"] == 0
    assert "had explored cannot be restored; all are collected anew" in again.told()[-2]
    assert not (explored.replay / "archive").exists()


def test_an_archive_of_another_emulator_is_not_gone_on_from(explored: RunFolder) -> None:
    source = explored.replay / "source.json"
    source.write_text(source.read_text().replace('"ale_py": "', '"ale_py": "0.'))
    with pytest.raises(TrainingError, match=r"then 0\..* had explored cannot be restored, and the"):
        Attempt(explored, SOURCES["uniform"], learned_from=True).play()


def test_whole_frames_say_what_they_cover(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    assert cut.coverage() == ""
    again = Attempt(cut)
    again.play()
    covered = json.loads(cut.coverage_file.read_bytes())
    store, _ = whole
    frames = store.frames[: store.num_rows].reshape(-1, 84 * 84)
    assert covered["frames"] == len(frames) == store.num_rows * 4
    assert covered["distinct_frames"] == len(torch.unique(frames, dim=0))
    assert covered["steps"] == store.num_steps
    assert covered["ram_frames"] == 4
    assert covered["ram_entropy_nats"]["ball_x"] == 0.0  # at the start, it is nowhere
    assert re.match(r"[\d,]+ frames cover [\d,]+ distinct ones and [\d,]+ cells; ", cut.coverage())
    assert again.told()[-1] == f"note: {cut.coverage()}"


def test_frames_of_an_earlier_run_are_given_and_never_replaced(
    tmp_path: Path, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    expected, kept = whole
    experiment = with_frames(ReplayFrames(run="20260101-000000-abcdef"))
    run = new_run(tmp_path, experiment)
    run.replay.mkdir()
    for name, content in kept.items():
        (run.replay / name).write_bytes(content)
    again = Attempt(run, experiment)
    assert_whole(again.play(), run, whole)
    assert again.phases == ["restoring", "labelling"][:1]
    flip_a_bit(run.replay / "chunk-000001.npz")
    with pytest.raises(RunFolderError, match=r"chunk-000001\.npz"):
        Attempt(run, experiment).play()
    (run.replay / "manifest.json").unlink()
    with pytest.raises(TrainingError, match="of run 20260101-000000-abcdef are missing or damaged"):
        Attempt(run, experiment).play()
    assert expected.num_rows > 0


def test_frames_of_an_earlier_run_of_another_game_are_refused(
    tmp_path: Path, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    experiment = with_frames(ReplayFrames(run="abcdef")).model_copy(
        update={"environment": Atari(game="Breakout", num_environments=4)}
    )
    run = new_run(tmp_path, experiment)
    run.replay.mkdir()
    for name, content in whole[1].items():
        (run.replay / name).write_bytes(content)
    with pytest.raises(TrainingError, match=r"environment\.game=pong, and this run asks for break"):
        Attempt(run, experiment).play()


# ------------------------------------------------------------------------------------ the cache


def inodes(run: RunFolder) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in run.replay.glob("chunk-*")}


def test_a_second_run_of_the_same_frames_takes_those_of_the_first(
    cut: RunFolder, whole: tuple[FrameStore, dict[str, bytes]]
) -> None:
    Attempt(cut).play()
    other = EXPERIMENT.model_copy(
        update={"name": "other", "frames": RandomFrames(steps=STEPS, held_out_share=0.3)}
    )
    second = new_run(cut.path.parent.parent, other)
    again = Attempt(second, other)
    assert_whole(again.play(), second, whole)
    assert again.phases == ["restoring"]
    assert again.told() == [f"note: frames taken from run {cut.id}"]
    assert inodes(second) == inodes(cut)
