import shutil
import threading
from dataclasses import replace

import pytest
from made_runs import complete, make_run, set_state

from rlmaster.durable_files import write_json
from rlmaster.hosts.reachability import note_unreachable
from rlmaster.run_folder import Progress
from rlmaster.run_index import file as run_index_file
from rlmaster.run_index import reading as run_index_reading
from rlmaster.run_index.order import RunOrder
from rlmaster.run_status import State
from tui.reading import run_pages
from tui.reading.run_pages import PageRequest, RunPages

ANYTHING = PageRequest()


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def look(pages, request=ANYTHING, cancelled=None):
    """Return all pages of one look."""
    found = []
    pages.look(lambda: request, found.append, cancelled or threading.Event())
    return found


def look_last(pages, request=ANYTHING):
    return look(pages, request)[-1]


def test_a_page_is_a_stretch_of_what_fits_in_its_order(runs):
    made = [complete(make_run(runs, name), value) for name, value in (("a", 2), ("b", 3), ("a", 1))]

    page = look_last(RunPages(runs), PageRequest("name:a", RunOrder.RESULT, first=1, count=5))

    assert [line.path for line in page.lines] == [f"a/{made[0].id}"]
    assert (page.fitting, page.total, page.problem, page.reading) == (2, 3, "", None)


@pytest.mark.parametrize("count", [0, 5])
def test_a_run_is_found_among_those_that_fit_on_the_page_or_off_it(runs, count):
    oldest, _, newest = (make_run(runs, name) for name in ("pong", "qbert", "pong"))
    request = PageRequest("name:pong", count=count, run=f"pong/{oldest.id}")

    assert look_last(RunPages(runs), request).row == 1
    assert look_last(RunPages(runs), replace(request, run=f"pong/{newest.id}")).row == 0
    assert look_last(RunPages(runs), replace(request, run="pong/never")).row is None
    assert look_last(RunPages(runs), replace(request, run="")).row is None


def test_a_filter_that_makes_no_sense_leaves_the_runs_of_the_last(runs):
    made = [make_run(runs, name) for name in ("pong", "qbert")]
    pages = RunPages(runs)
    assert look_last(pages, PageRequest("name:pong")).fitting == 1

    page = look_last(pages, PageRequest("name:pong state:"))

    assert page.problem == "the filter 'state:' has no value; write it state:VALUE"
    assert [line.run for line in page.lines] == [made[0].short_id]


def test_a_marked_run_that_goes_is_told_once(runs):
    kept, lost = make_run(runs), make_run(runs)
    marked = frozenset({f"pong/{kept.id}", f"pong/{lost.id}"})
    pages = RunPages(runs)
    assert look_last(pages, PageRequest(marked=marked)).gone == frozenset()
    shutil.rmtree(lost.path)

    assert look_last(pages, PageRequest(marked=marked)).gone == {f"pong/{lost.id}"}
    assert pages.paths("") == [f"pong/{kept.id}"]
    assert pages.paths("state:nonsense") == []


def test_very_many_runs_are_shown_while_they_are_read(runs, monkeypatch):
    monkeypatch.setattr(run_index_reading, "RUNS_AT_ONCE", 2)
    monkeypatch.setattr(run_pages, "TELLING_S", -1)
    for _ in range(5):
        make_run(runs)

    found = look(RunPages(runs))

    told = [(page.reading, page.total) for page in found]
    assert told == [((0, 0), 0), ((2, 5), 2), ((4, 5), 4), ((5, 5), 5), (None, 5)]


def test_what_the_index_knows_is_shown_before_anything_is_read(runs):
    make_run(runs)
    look(RunPages(runs))
    make_run(runs)

    assert [page.total for page in look(RunPages(runs))] == [1, 2]


def test_a_look_ends_once_nobody_waits_for_it(runs, monkeypatch):
    monkeypatch.setattr(run_index_reading, "RUNS_AT_ONCE", 1)
    for _ in range(3):
        make_run(runs)
    cancelled = threading.Event()
    cancelled.set()
    pages = RunPages(runs)

    assert [page.total for page in look(pages, cancelled=cancelled)] == [0]
    assert look_last(pages).total == 3


def test_an_index_without_a_file_is_read_once_and_tried_again_later(runs, monkeypatch):
    for _ in range(3):
        make_run(runs)
    told = []
    read = run_index_reading.read_row

    def told_read(run, status):
        told.append(run.id)
        return read(run, status)

    def fail(_self):
        raise OSError("no room")

    monkeypatch.setattr(run_index_reading, "SETTLED_S", -1.0)
    monkeypatch.setattr(run_index_reading, "read_row", told_read)
    with monkeypatch.context() as full:
        full.setattr(run_index_file.RunIndexFile, "_open_or_replace", fail)
        pages = RunPages(runs)
        for _ in range(2):
            page = look_last(pages)
            assert page.total == 3
            assert "no room" in page.note
    assert len(told) == 3
    monkeypatch.setattr(run_pages, "RETRY_S", -1.0)
    pages.close()

    assert look_last(pages).note == ""
    assert (runs / ".index.sqlite").exists()


def test_runs_that_cannot_be_listed_cost_a_sentence(runs):
    runs.write_text("a file where the folder of runs should be")

    page = look_last(RunPages(runs))

    assert page.lines == ()
    assert page.note.startswith("the runs cannot be read (")


def test_a_line_says_what_is_known_and_what_is_not(runs):
    under_way, other = make_run(runs, rationale="\n\nWhy?\nBecause."), make_run(runs)
    set_state(under_way, State.RUNNING, host="office")
    under_way.write_progress(Progress("training", 1, 4, eta_s=61))
    set_state(other, State.COMPLETED)
    other.report.mkdir()
    write_json(other.standing_file, {"sentence": "best so far of 4"})
    note_unreachable(runs, "office", "no route")

    second, first = look_last(RunPages(runs)).lines

    assert (first.share, first.eta, first.why) == (0.25, "1:01", "Why?")
    assert first.unreachable.startswith("office unreachable since")
    assert (second.share, second.eta, second.standing, second.unreachable) == (1.0, "", "▲", "")


@pytest.mark.parametrize("host", ["../../etc/passwd", "a\0b", "x" * 300, "/"])
def test_a_host_whose_name_is_no_files_is_not_looked_for(runs, host):
    run = make_run(runs)
    set_state(run, State.RUNNING, host=host)

    assert look_last(RunPages(runs)).lines[0].unreachable == ""
