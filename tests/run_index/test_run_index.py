import random
import shutil
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from made_runs import complete, make_run, set_state

from rlmaster.errors import ProjectError
from rlmaster.run_folder import Progress, RunFolder, list_runs
from rlmaster.run_index import RunIndex, find_run
from rlmaster.run_index import file as run_index_file
from rlmaster.run_index import reading as run_index_reading
from rlmaster.run_index.query import RunQuery
from rlmaster.run_index.row import RunRow, read_row
from rlmaster.run_status import State, Status


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def trusting(monkeypatch) -> None:
    """Folders whose times are trusted at once, as those of runs that are some seconds old."""
    monkeypatch.setattr(run_index_reading, "SETTLED_S", -1.0)


def listed(runs: Path) -> list[RunRow]:
    with RunIndex(runs) as index:
        index.sync()
        return index.rows()


def reference(runs: Path) -> list[RunRow]:
    """What the index must hold, from reading every run."""
    rows = [read_row(run, run.status()) for run in list_runs(runs)]
    return sorted(rows, key=lambda row: (row.created, row.id, row.path), reverse=True)


def ids(rows: list[RunRow]) -> list[str]:
    return [row.id for row in rows]


# ---------------------------------------------------------------------------------- keeping up


def test_runs_are_known_newest_first_and_nothing_else_is(runs):
    made = [make_run(runs, name) for name in ("pong", "breakout", "pong")]
    hidden = runs / ".snapshots" / "abc"
    hidden.mkdir(parents=True)
    shutil.copy(made[0].run_file, hidden)
    (runs / "notes.txt").write_text("")
    (runs / "pong" / "notes.txt").write_text("")

    assert listed(runs) == reference(runs)
    assert ids(listed(runs)) == [run.id for run in reversed(made)]


def test_a_page_of_the_list(runs):
    made = [make_run(runs) for _ in range(5)]

    with RunIndex(runs) as index:
        index.sync()
        assert ids(index.rows(limit=2, offset=1)) == [made[3].id, made[2].id]
        assert index.count() == 5


def test_what_is_new_appears_and_what_goes_is_forgotten(runs, trusting):
    first, second = make_run(runs), make_run(runs)
    assert len(listed(runs)) == 2

    third = make_run(runs, "breakout")
    shutil.rmtree(first.path)

    assert ids(listed(runs)) == [third.id, second.id]
    shutil.rmtree(runs / "breakout")
    assert ids(listed(runs)) == [second.id]


def test_a_run_under_way_is_read_again_and_one_that_has_ended_is_not(runs, trusting, monkeypatch):
    live = make_run(runs)
    set_state(live, State.RUNNING)
    for _ in range(3):
        complete(make_run(runs), 0.1)
    listed(runs)
    read: list[str] = []
    real = run_index_reading.read_row
    monkeypatch.setattr(
        run_index_reading,
        "read_row",
        lambda run, status: (read.append(run.id), real(run, status))[1],
    )

    listed(runs)
    assert read == []
    live.write_progress(Progress(step=7, total=10))
    (row, *_) = [row for row in listed(runs) if row.id == live.id]

    assert read == [live.id]
    assert row.step == 7


def test_only_experiments_in_which_something_changed_are_listed(runs, trusting, monkeypatch):
    for name in ("pong", "breakout", "seaquest"):
        complete(make_run(runs, name), 0.1)
    listed(runs)
    opened: list[str] = []
    real = run_index_reading._folders_in
    monkeypatch.setattr(
        run_index_reading,
        "_folders_in",
        lambda folder: (opened.append(folder.name), real(folder))[1],
    )

    make_run(runs, "breakout")
    assert len(listed(runs)) == 4

    assert opened == ["runs", "breakout"]


def test_a_change_within_one_tick_of_the_clock_is_not_missed(runs, monkeypatch):
    monkeypatch.setattr(run_index_reading, "_stamp", lambda found: "the same tick")
    first = make_run(runs)
    assert len(listed(runs)) == 1
    set_state(first, State.RUNNING)
    second = make_run(runs)

    assert [row.state for row in listed(runs)] == [second.status().state, State.RUNNING]


def test_a_clock_that_was_set_back_hides_nothing(runs, monkeypatch):
    now = run_index_reading.time.time()
    make_run(runs)
    monkeypatch.setattr(run_index_reading.time, "time", lambda: now + 3600)
    assert len(listed(runs)) == 1
    monkeypatch.setattr(run_index_reading.time, "time", lambda: now - 3600)
    make_run(runs)
    assert len(listed(runs)) == 2
    make_run(runs)
    assert len(listed(runs)) == 3


def test_a_run_that_was_being_made_when_it_was_listed_is_not_missed(runs, trusting):
    reserved = RunFolder.reserve(runs, "pong")
    assert listed(runs) == []

    reserved.fill(
        config={"name": "pong"}, rationale="", provenance={}, digests={}, differs_from_default=[]
    )

    assert ids(listed(runs)) == [reserved.id]


def test_a_folder_that_takes_anothers_place_is_read_again(runs, trusting):
    run = complete(make_run(runs), 0.1)
    copy = run.path.with_name("copy")
    shutil.copytree(run.path, copy)
    listed(runs)
    RunFolder(copy).write_conclusion("written elsewhere")

    shutil.rmtree(run.path)
    copy.rename(run.path)

    assert [row.conclusion for row in listed(runs)] == ["written elsewhere"]


def test_a_change_to_a_run_that_has_ended_is_known_once_it_is_announced(runs, trusting):
    run = complete(make_run(runs), 0.1)
    listed(runs)
    run.write_conclusion("learned")
    assert listed(runs)[0].conclusion == ""

    with RunIndex(runs) as index:
        index.refresh(run)

    assert listed(runs)[0].conclusion == "learned"


def test_a_status_known_better_than_its_file_is_kept(runs):
    run = make_run(runs)
    set_state(run, State.RUNNING)

    with RunIndex(runs) as index:
        index.refresh(run, Status(State.LOST, reason="killed"))
        assert index.active() == []
        (row,) = index.rows()

    assert (row.state, row.reason) == (State.LOST, "killed")


def test_a_run_that_is_forgotten_is_gone_although_nothing_was_listed(runs, trusting):
    run = make_run(runs)
    listed(runs)
    shutil.move(run.path, runs / ".trash")

    with RunIndex(runs) as index:
        index.forget(run.path)
        assert index.rows() == []


def test_an_announcement_wins_over_what_was_read_before_it(runs, monkeypatch):
    run = complete(make_run(runs), 0.1)
    announced: list[RunFolder] = []

    def read_and_be_overtaken(folder, status):
        row = read_row(folder, status)
        if not announced:
            announced.append(run)
            run.write_conclusion("learned meanwhile")
            with RunIndex(runs) as other:
                other.refresh(run)
        return row

    monkeypatch.setattr(run_index_reading, "read_row", read_and_be_overtaken)
    listed(runs)
    monkeypatch.setattr(run_index_reading, "read_row", read_row)

    with RunIndex(runs) as index:
        assert index.rows()[0].conclusion == "learned meanwhile"


def test_a_run_that_was_out_of_reach_for_a_moment_is_found_again(runs, trusting):
    run = make_run(runs)
    listed(runs)
    kept = run.run_file.rename(run.path / "kept.json")  # nothing tells that to the folder above
    with RunIndex(runs) as index:
        index.refresh(run)
        assert index.rows() == []
    kept.rename(run.run_file)

    assert ids(listed(runs)) == [run.id]


def test_a_configuration_too_deep_for_sqlite_is_a_damaged_one(runs):
    run = make_run(runs)
    depth = 5000
    run.config_file.write_text(f'{{"a": {"[" * depth}{"]" * depth}}}')
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(4 * depth)
    try:
        (row,) = listed(runs)
    finally:
        sys.setrecursionlimit(usual)

    assert row.config == {}


def test_progress_is_told_up_to_the_end(runs, monkeypatch):
    monkeypatch.setattr(run_index_reading, "RUNS_AT_ONCE", 2)
    for _ in range(5):
        make_run(runs)
    told: list[tuple[int, int]] = []

    with RunIndex(runs) as index:
        index.sync(lambda done, total: told.append((done, total)))

    assert told == [(2, 5), (4, 5), (5, 5)]


def test_without_a_folder_of_runs_there_is_none_and_none_is_made(runs):
    assert listed(runs) == []
    assert not runs.exists()


def test_when_the_folder_of_runs_goes_the_list_is_empty(runs):
    make_run(runs)
    listed(runs)
    shutil.rmtree(runs)

    assert listed(runs) == []


def test_beside_a_copy_that_somebody_keeps_nothing_is_left_behind(tmp_path):
    make_run(tmp_path / "kept")

    assert len(listed(tmp_path / "kept")) == 1
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["pong"]


def test_names_that_are_no_utf8_are_runs_like_others(runs):
    run = make_run(runs)
    odd = runs / "p\udcffng"
    (runs / "pong").rename(odd)
    with RunIndex(runs) as index:
        index.sync()
        (row,) = index.rows()
        assert index.find("last").path == odd / run.id
        assert index.find("p\udcff").path == odd / run.id

    assert row.path == f"p\udcffng/{run.id}"
    assert row.name == "p?ng"


# ----------------------------------------------------------------------------------- questions


def test_active_runs_are_those_that_have_not_ended(runs):
    states = [make_run(runs) for _ in State]
    for run, state in zip(states, State, strict=True):
        set_state(run, state)

    with RunIndex(runs) as index:
        index.sync()
        found = {run.status().state for run in index.active()}

    assert found == {State.PREPARED, State.QUEUED, State.RUNNING}


def test_parents_and_children_are_found(runs):
    parent = make_run(runs)
    child = make_run(runs, parents=(parent.id,))
    make_run(runs, parents=("another",))

    with RunIndex(runs) as index:
        index.sync()
        assert ids(index.children(parent.id)) == [child.id]
        assert ids(index.named([parent.id, "unknown"])) == [parent.id]
        assert index.named([]) == []


def test_one_row_is_found_by_its_run(runs):
    run = make_run(runs)
    with RunIndex(runs) as index:
        assert index.row(run) is None
        index.sync()
        assert index.row(run) == read_row(run, run.status())


def test_the_fields_of_experiments_are_known(runs):
    make_run(runs, config={"mine": {"depth": 3}})
    with RunIndex(runs) as index:
        index.sync()
        assert {"mine.depth", "embedder.latent_dim", "seed"} <= set(index.config_fields())


# -------------------------------------------------------------------------------- finding runs


@pytest.fixture
def three_runs(runs) -> list[RunFolder]:
    """Three runs, oldest first."""
    return [
        make_run(runs, "pong", run_id="20260101-100000-aaaaa2"),
        make_run(runs, "breakout", run_id="20260101-110000-bbbbb3"),
        make_run(runs, "pong", run_id="20260102-100000-ccccc4"),
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("last", 2),
        ("aaaaa2", 0),
        ("20260101-110000-bbbbb3", 1),
        ("breakout", 1),
        ("breakout/20260101-110000-bbbbb3", 1),
        ("bbb", 1),
        ("20260102", 2),
    ],
)
def test_a_run_is_found_by(three_runs, runs, text, number):
    assert find_run(text, runs).path == three_runs[number].path


def test_a_run_is_found_by_its_path(three_runs, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert find_run(str(three_runs[0].path), tmp_path / "elsewhere").path == three_runs[0].path
    relative = str(three_runs[0].path.relative_to(tmp_path))
    assert find_run(relative, tmp_path / "elsewhere").path == three_runs[0].path
    monkeypatch.chdir(three_runs[1].path)
    assert find_run(".", runs).id == three_runs[1].id


def test_six_characters_win_over_a_part_of_another_run(runs):
    wanted = make_run(runs, "pong", run_id="20260101-100000-aaaaa2")
    make_run(runs, "like-aaaaa2", run_id="20260102-100000-ccccc4")

    assert find_run("aaaaa2", runs).id == wanted.id


def test_what_fits_several_runs_is_refused_with_their_names(three_runs, runs):
    with pytest.raises(ProjectError, match=r"'pong' fits 2 runs; .*: ccccc4, aaaaa2$"):
        find_run("pong", runs)


def test_of_many_that_fit_a_few_are_named(runs):
    for _ in range(7):
        make_run(runs)
    with pytest.raises(ProjectError, match=r"fits 7 runs; .*: (\w{6}, ){5}\.\.\.$"):
        find_run("pong", runs)


def test_copies_with_the_same_six_characters_are_named_in_full(three_runs, runs):
    shutil.copytree(three_runs[0].path, runs / "copy" / three_runs[0].id)

    with pytest.raises(ProjectError, match=f"copy/{three_runs[0].id}"):
        find_run("aaaaa2", runs)
    assert find_run("copy/", runs).path == runs / "copy" / three_runs[0].id


@pytest.mark.parametrize("text", ["zzz", "%", "~nobody", "x" * 5000, "\0"])
def test_what_fits_no_run_is_refused_with_the_newest(three_runs, runs, text):
    with pytest.raises(ProjectError, match=r"no run is called .*; the newest is ccccc4"):
        find_run(text, runs)


@pytest.mark.parametrize("name", ["pong-stack", "pong_stack"])
def test_what_is_an_experiment_without_a_run_is_told_how_to_get_one(three_runs, runs, name):
    script = runs.parent / "experiments" / "pong_stack.py"
    script.parent.mkdir()
    script.touch()
    with pytest.raises(ProjectError, match=r"no run is called .*; `rlmaster launch pong_stack`"):
        find_run(name, runs)


def test_where_there_are_no_runs_the_error_says_what_makes_one(runs):
    with pytest.raises(ProjectError, match="rlmaster launch"):
        find_run("last", runs)


# ------------------------------------------------------------------------- any order of events

DAMAGES = ("garbage", "half", "empty", "headless", "emptied")


def damage(file: Path, how: str) -> None:
    """Break the index's file in some way."""
    content = file.read_bytes()
    broken = {
        "garbage": b"garbage" * 3000,
        "half": content[: len(content) // 2],
        "empty": b"",
        "headless": bytes(100) + content[100:],
    }
    if how == "emptied":
        with suppress(sqlite3.DatabaseError), sqlite3.connect(file) as connection:
            connection.execute("DROP TABLE folders")
        connection.close()
    else:
        file.write_bytes(broken[how])


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens to runs and index, a sync makes the index equal to the folders."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runs = Path(self.folder.name) / "runs"
        self.reserved: list[RunFolder] = []
        self.number = 0
        # Above a tick of the file system's clock, and so short that most times are trusted.
        self.patch = patch.object(run_index_reading, "SETTLED_S", 0.02)
        self.patch.start()

    def teardown(self) -> None:
        self.patch.stop()
        self.folder.cleanup()

    def announce(self, run: RunFolder) -> None:
        with RunIndex(self.runs) as index:
            index.refresh(run)

    def next_id(self) -> str:
        self.number += 1
        return f"20260101-{self.number:06}-aaaaaa"

    def some(self, number: int) -> RunFolder:
        """Choose a run, in a replay the same; make one where there is none."""
        known = list_runs(self.runs) or [make_run(self.runs, run_id=self.next_id())]
        return known[number % len(known)]

    names = st.sampled_from(["pong", "breakout"])
    numbers = st.integers(0, 20)

    @rule(name=names)
    def make(self, name):
        make_run(self.runs, name, run_id=self.next_id())

    @rule(name=names)
    def reserve(self, name):
        self.reserved.append(RunFolder(self.runs / name / self.next_id()))
        self.reserved[-1].path.mkdir(parents=True)

    @rule()
    def fill(self):
        there = [run for run in self.reserved if run.path.exists()]
        for run in there[:1]:
            facts = {"provenance": {}, "digests": {}, "differs_from_default": []}
            run.fill(config={"name": run.name}, rationale="late", **facts)
            self.reserved.remove(run)

    @rule(number=numbers, state=st.sampled_from(State))
    def change(self, number, state):
        run = self.some(number)
        was_final = run.status().state in (State.COMPLETED, State.FAILED, State.STOPPED, State.LOST)
        run.write_progress(Progress(step=number, total=20))
        set_state(run, state, attempt=number)
        if was_final:
            self.announce(run)

    @rule(number=numbers, text=st.text())
    def write(self, number, text):
        run = self.some(number)
        run.write_conclusion(text)
        run.write_tags([text])
        self.announce(run)

    @rule(number=numbers, name=names, copies=st.booleans())
    def move(self, number, name, copies):
        run = self.some(number)
        place = self.runs / name / f"{run.id}-{number}"
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            (shutil.copytree if copies else shutil.move)(run.path, place)

    @rule(number=numbers, forgets=st.booleans())
    def delete(self, number, forgets):
        run = self.some(number)
        shutil.rmtree(run.path)
        if forgets:
            with RunIndex(self.runs) as index:
                index.forget(run.path)

    @rule(name=names)
    def delete_experiment(self, name):
        shutil.rmtree(self.runs / name, ignore_errors=True)

    @rule(how=st.sampled_from([*DAMAGES, "deleted"]))
    def damage(self, how):
        file = self.runs / ".index.sqlite"
        if how == "deleted":
            file.unlink(missing_ok=True)
        elif file.exists():
            damage(file, how)

    @rule()
    def sync(self):
        with RunIndex(self.runs) as index:
            index.sync()
            assert index.rows() == reference(self.runs)
            assert index.count(RunQuery("is_final = 0")) == len(index.active())
            assert index.note == ""


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


# ------------------------------------------------------------------------ several at one time


def live_together(folder: str, seed: int) -> list[str]:
    """Make, change, list, damage and delete, beside others who do the same; return complaints."""
    runs, chance = Path(folder), random.Random(seed)
    mine: dict[str, State] = {}
    complaints: list[str] = []
    run_index_file.MOST_REPLACEMENTS = 100  # the others may damage it thrice in one use
    for _ in range(25):
        action = chance.choice(("make", "make", "end", "resume", "damage", "delete", "list"))
        if action == "make":
            run = make_run(runs, f"experiment-{seed % 2}")
            mine[run.id] = State.PREPARED
        elif action in ("end", "resume") and mine:
            run = RunFolder(runs / f"experiment-{seed % 2}" / chance.choice(sorted(mine)))
            mine[run.id] = State.STOPPED if action == "end" else State.QUEUED
            set_state(run, mine[run.id])
            with RunIndex(runs) as index:
                index.refresh(run)
        elif action == "damage":
            with suppress(FileNotFoundError):
                damage(runs / ".index.sqlite", chance.choice(("garbage", "empty", "headless")))
        elif action == "delete":
            (runs / ".index.sqlite").unlink(missing_ok=True)
        with RunIndex(runs) as index:
            index.sync()
            known = {row.id: row.state for row in index.rows()}
            complaints += [index.note] * bool(index.note)
        complaints += [
            f"{run_id} is {known.get(run_id)}, not {state}"
            for run_id, state in mine.items()
            if known.get(run_id) is not state
        ]
    return complaints


def test_four_processes_read_write_damage_and_replace_it_at_once(runs):
    make_run(runs)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        complaints = list(pool.map(live_together, [str(runs)] * 4, range(4)))

    assert complaints == [[]] * 4
    assert listed(runs) == reference(runs)
    left = {path.name for path in runs.glob(".index*")}
    assert left == {".index.sqlite", ".index.sqlite.lock"}


def test_four_processes_rebuild_it_at_once(runs):
    for number in range(50):
        complete(make_run(runs, f"experiment-{number % 3}"), 0.1)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(listed, [runs] * 4))

    assert found == [reference(runs)] * 4
