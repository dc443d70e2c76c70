import pytest
from made_runs import PLAYING, make_run

from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index import reading as run_index_reading
from rlmaster.run_index.order import RunOrder
from rlmaster.run_index.query import RunQuery
from rlmaster.run_status import State, Status


def result(metric: str, value: float, *, higher_is_better: bool = False) -> dict[str, object]:
    return {"metric": metric, "value": value, "higher_is_better": higher_is_better}


MADE = {
    "old": (
        "pong",
        Status(State.COMPLETED, since="2026-03-01T00:00:00+00:00", host="Zeta"),
        Progress("rendering", 1, 1, result=result("error", 0.5)),
    ),
    "best": (
        "Breakout",
        Status(State.COMPLETED, since="2026-01-01T00:00:00+00:00", host="alpha"),
        Progress("training", 3, 4, result=result("error", 0.1)),
    ),
    "return": (
        "pong",
        Status(State.FAILED, since="2026-02-01T00:00:00+00:00"),
        Progress("training", 1, 4, result=result("return", 7.0, higher_is_better=True)),
    ),
    "higher": (
        "pong",
        Status(State.RUNNING, since="2026-02-02T00:00:00+00:00", host="beta"),
        Progress("training", 1, 2, eta_s=60, result=result("return", 9.0, higher_is_better=True)),
    ),
    "new": ("qbert", Status(State.QUEUED, since="2026-04-01T00:00:00+00:00"), Progress(eta_s=5)),
}
"""Runs by a word each, oldest first: experiment, status and progress."""


@pytest.fixture
def made(tmp_path) -> dict[str, RunFolder]:
    found: dict[str, RunFolder] = {}
    for word, (name, status, progress) in MADE.items():
        encoder = {**PLAYING["encoder"], "losses": "both" if word == "higher" else "none"}
        plays = {**PLAYING, "encoder": encoder} if word in ("return", "higher") else {}
        run = make_run(tmp_path / "runs", name, config=plays)
        run.write_status(status)
        run.write_progress(progress)
        found[word] = run
    return found


@pytest.fixture
def index(tmp_path, made):
    with RunIndex(tmp_path / "runs") as index:
        index.sync()
        yield index


ORDERS = {
    RunOrder.NEWEST: ["new", "higher", "return", "best", "old"],
    RunOrder.OLDEST: ["old", "best", "return", "higher", "new"],
    RunOrder.EXPERIMENT: ["best", "higher", "return", "old", "new"],
    RunOrder.STATE: ["higher", "new", "return", "best", "old"],
    RunOrder.PROGRESS: ["old", "best", "higher", "return", "new"],
    RunOrder.RESULT: ["best", "old", "higher", "return", "new"],
    RunOrder.CHANGED: ["new", "old", "higher", "return", "best"],
    RunOrder.ETA: ["new", "higher", "return", "best", "old"],
    RunOrder.HOST: ["best", "higher", "old", "new", "return"],
    RunOrder.AGENT: ["return", "higher", "new", "best", "old"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_runs_come_in_the_order_that_is_asked_for(index, made, order):
    words = {run.id: word for word, run in made.items()}

    rows = index.rows(order=order)

    assert [words[row.id] for row in rows] == ORDERS[order]
    paged = [index.rows(limit=2, offset=offset, order=order) for offset in (0, 2, 4)]
    assert [row for page in paged for row in page] == rows


@pytest.mark.parametrize("order", RunOrder)
def test_a_run_has_its_place_in_each_order(index, made, order):
    for place, row in enumerate(index.rows(order=order)):
        assert index.position(RunFolder(index.runs / row.path), order=order) == place


def test_a_place_is_one_among_those_that_fit(index, made):
    pong = RunQuery("name = ?", ("pong",))

    assert index.position(made["old"], pong) == 2
    assert index.position(made["best"], pong) is None
    assert index.position(RunFolder(index.runs / "pong" / "never")) is None


def test_the_paths_of_runs_are_known_without_the_rest(index, made):
    assert index.paths(limit=2) == [row.path for row in index.rows(limit=2)]
    assert index.paths(RunQuery("name = ?", ("qbert",))) == [f"qbert/{made['new'].id}"]


def test_who_is_told_of_the_progress_may_ask_questions(tmp_path, monkeypatch):
    monkeypatch.setattr(run_index_reading, "RUNS_AT_ONCE", 2)
    for _ in range(5):
        make_run(tmp_path / "runs")
    known: list[int] = []

    with RunIndex(tmp_path / "runs") as index:
        index.sync(lambda _done, _total: known.append(index.count()))

    assert known == [2, 4, 5]
