import re
import shutil
from pathlib import Path

import pytest
from driving import NOW, drive, screen_text, wait_for_text, wait_until
from made_runs import PLAYING, complete, complete_playing, make_run, set_state
from rich.cells import cell_len
from textual import on
from textual.widgets import Input

from rlmaster.durable_files import write_json
from rlmaster.events import append_event, event
from rlmaster.run_folder import Progress
from rlmaster.run_index.order import RunOrder
from rlmaster.run_status import State
from tui import app as app_module
from tui.app import RlmasterApp
from tui.children.commands import CommandLine
from tui.messages import ChooseAction, CompareRuns, OpenHosts, OpenNewRun, OpenRun
from tui.reading.run_reader import RunNews
from tui.screens import polling
from tui.widgets.run_columns import COLUMNS, Layout
from tui.widgets.run_glance import RunGlance
from tui.widgets.run_list import RunList

BRAILLE = re.compile("[\u2801-\u28ff]")
HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 日本語 \u202ecba [/nothing] \x00 end"


class RunsOnly(RlmasterApp):
    """The app without other screens; it keeps what the list of runs asks for."""

    CSS_PATH = [Path(app_module.__file__).parent / style for style in RlmasterApp.CSS_PATH]  # noqa: RUF012

    def __init__(self, project) -> None:
        super().__init__(
            project, command=CommandLine(project.root, ("/bin/true",)), clock=lambda: NOW
        )
        self.asked = []

    @on(ChooseAction)
    @on(CompareRuns)
    @on(OpenHosts)
    @on(OpenNewRun)
    @on(OpenRun)
    def keep(self, message) -> None:
        message.prevent_default()
        self.asked.append(message)


@pytest.fixture
def runs(empty_project):
    return empty_project.runs


def run_list(pilot) -> RunList:
    return pilot.app.screen.query_one(RunList)


def drive_runs(project, scenario, size=(80, 24)):
    drive(RunsOnly(project), scenario, size=size)


def ids_on_screen(pilot, made) -> list[str]:
    """Return the six characters of runs from top to bottom."""
    text = screen_text(pilot.app)
    return sorted((r.short_id for r in made if r.short_id in text), key=text.index)


# ---------------------------------------------------------------------------------------- the list


def test_without_runs_one_is_told_how_to_begin(empty_project):
    async def scenario(pilot):
        await wait_for_text(pilot, "There are no runs yet.")
        assert "n  starts the first run" in screen_text(pilot.app)
        make_run(empty_project.runs)
        await wait_for_text(pilot, "1 run ")
        await wait_until(pilot, lambda: "There are no runs" not in screen_text(pilot.app))

    drive_runs(empty_project, scenario, size=(60, 20))


def test_runs_are_listed_newest_first_and_change_before_ones_eyes(empty_project, runs):
    older, newer = make_run(runs), make_run(runs)

    async def scenario(pilot):
        await wait_for_text(pilot, "2 runs")
        assert ids_on_screen(pilot, [older, newer]) == [newer.short_id, older.short_id]
        set_state(older, State.RUNNING)
        older.write_progress(Progress("training", step=1, total=4))
        await wait_for_text(pilot, "● running")
        await wait_for_text(pilot, "25 %")

    drive_runs(empty_project, scenario)


def test_who_plays_is_a_column_to_sort_and_filter_by(empty_project, runs):
    embedder = complete(make_run(runs), 0.1)
    playing = complete_playing(make_run(runs, config=PLAYING), 18.3)
    later = complete(make_run(runs), 0.2)
    made = [embedder, playing, later]

    async def scenario(pilot):
        await wait_for_text(pilot, "DoubleDQN, frozen")
        assert ids_on_screen(pilot, made) == [run.short_id for run in reversed(made)]
        title = next(line for line in screen_text(pilot.app).splitlines() if " agent " in line)
        await pilot.click(RunList, offset=(title.index("agent"), 0))
        await wait_until(pilot, lambda: ids_on_screen(pilot, made)[0] == playing.short_id)
        await pilot.press("slash", *"agent:doubledqn", "enter")
        await wait_until(pilot, lambda: ids_on_screen(pilot, made) == [playing.short_id])

    drive_runs(empty_project, scenario, size=(170, 30))


def test_the_cursor_stays_on_its_run_when_others_come_and_go(empty_project, runs):
    first = make_run(runs)
    others = [make_run(runs) for _ in range(40)]

    async def scenario(pilot):
        await wait_for_text(pilot, "41 runs")
        await pilot.press("end")
        await wait_until(pilot, lambda: run_list(pilot).run == f"pong/{first.id}")
        others.extend(make_run(runs) for _ in range(5))
        await wait_until(pilot, lambda: run_list(pilot).cursor == 45)
        for run in others[:10]:
            shutil.rmtree(run.path)
        await wait_until(pilot, lambda: run_list(pilot).cursor == 35)
        assert first.short_id in screen_text(pilot.app)
        await pilot.press("enter")
        assert pilot.app.asked == [OpenRun(first.path)]

    drive_runs(empty_project, scenario)


def test_a_run_that_is_deleted_leaves_the_cursor_on_its_row(empty_project, runs):
    oldest, middle, newest = (make_run(runs) for _ in range(3))

    async def scenario(pilot):
        await wait_for_text(pilot, "3 runs")
        await pilot.press("j")
        shutil.rmtree(middle.path)
        await wait_for_text(pilot, "2 runs")
        await wait_until(pilot, lambda: run_list(pilot).run == f"pong/{oldest.id}")
        shutil.rmtree(oldest.path)
        await wait_until(pilot, lambda: run_list(pilot).run == f"pong/{newest.id}")
        shutil.rmtree(newest.path)
        await wait_for_text(pilot, "There are no runs yet.")

    drive_runs(empty_project, scenario)


def test_a_long_list_holds_what_one_sees_and_a_little_around(empty_project, runs):
    made = [make_run(runs) for _ in range(400)][::-1]

    def held(pilot):
        return run_list(pilot)._page.lines

    async def scenario(pilot):
        await wait_for_text(pilot, "400 runs")
        await pilot.press("end")
        await wait_for_text(pilot, made[-1].short_id)
        assert len(held(pilot)) <= 120
        await pilot.press("pageup", "pageup", "k")
        row = run_list(pilot).cursor
        await wait_until(pilot, lambda: run_list(pilot).run == f"pong/{made[row].id}")
        run_list(pilot).scroll_to(y=200, animate=False)
        await wait_for_text(pilot, made[200].short_id)
        await pilot.press("home")
        await wait_for_text(pilot, made[0].short_id)
        assert len(held(pilot)) <= 120

    drive_runs(empty_project, scenario)


def test_what_one_asks_for_is_read_at_once(empty_project, runs, monkeypatch):
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 1000.0)
    monkeypatch.setattr(polling, "GLANCES", 10_000)
    made = [make_run(runs) for _ in range(300)]

    async def scenario(pilot):
        await wait_for_text(pilot, "300 runs")
        await pilot.press("end")
        await wait_for_text(pilot, made[0].short_id)
        await pilot.press("slash", *made[100].short_id)
        await wait_for_text(pilot, "1 of 300 runs")
        make_run(runs)
        pilot.app.news += 1
        await wait_for_text(pilot, "1 of 301 runs")

    drive_runs(empty_project, scenario)


def test_the_index_may_be_deleted_or_damaged_meanwhile(empty_project, runs):
    make_run(runs)

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        (runs / ".index.sqlite").unlink()
        make_run(runs)
        await wait_for_text(pilot, "2 runs")
        (runs / ".index.sqlite").write_bytes(b"no index" * 1000)
        make_run(runs)
        await wait_for_text(pilot, "3 runs")

    drive_runs(empty_project, scenario)


def test_a_host_that_does_not_answer_is_said_at_its_runs(empty_project, runs):
    run = make_run(runs)
    set_state(run, State.RUNNING, host="office")
    where = {"reachable": False, "since": "2026-01-01T00:00:00+00:00", "reason": "no route"}
    (runs / ".state" / "hosts").mkdir(parents=True)
    write_json(runs / ".state" / "hosts" / "office.json", where)

    async def scenario(pilot):
        await wait_for_text(pilot, "● running!")
        await pilot.resize_terminal(140, 24)
        await wait_for_text(pilot, "office unreachable")

    drive_runs(empty_project, scenario)


@pytest.mark.parametrize("width", [20, 60, 119])
def test_what_others_wrote_is_shown_as_text_and_keeps_the_columns(empty_project, runs, width):
    hostile = complete(make_run(runs, rationale=HOSTILE), 0.5, metric=HOSTILE)
    set_state(hostile, State.FAILED, host=HOSTILE, reason=HOSTILE)
    plain = make_run(runs, rationale=HOSTILE)
    for run in (hostile, plain):
        write_json(run.config_file, {"name": "x", "environment": {"game": HOSTILE}})

    async def scenario(pilot):
        await wait_for_text(pilot, "2 runs")
        lines = screen_text(pilot.app).split("\n")
        assert all(line.isprintable() for line in lines)
        assert {cell_len(line) for line in lines} == {width}

    drive_runs(empty_project, scenario, size=(width, 12))


def test_a_terminal_may_become_tiny_and_large_again(empty_project, runs):
    made = [make_run(runs) for _ in range(60)]

    async def scenario(pilot):
        await wait_for_text(pilot, "60 runs")
        await pilot.press("end")
        await wait_for_text(pilot, made[0].short_id)
        for size in ((20, 5), (3, 2), (140, 45)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await wait_for_text(pilot, made[0].short_id)
        assert run_list(pilot).run == f"pong/{made[0].id}"

    drive_runs(empty_project, scenario)


# ------------------------------------------------------------------------------ filter and order


def test_the_list_follows_what_is_typed(empty_project, runs):
    pong, qbert = make_run(runs, "pong"), make_run(runs, "qbert")

    async def scenario(pilot):
        await wait_for_text(pilot, "2 runs")
        await pilot.press("slash", *"qb")
        await wait_for_text(pilot, "1 of 2 runs")
        assert ids_on_screen(pilot, [pong, qbert]) == [qbert.short_id]
        await pilot.press("space", *"stat:x")
        await wait_for_text(pilot, "did you mean state?")
        await pilot.press(*["backspace"] * 7, "enter")
        await wait_until(pilot, lambda: run_list(pilot).has_focus)
        await wait_for_text(pilot, "1 of 2 runs")
        assert "did you mean" not in screen_text(pilot.app)
        await pilot.press("enter")
        assert pilot.app.asked == [OpenRun(qbert.path)]
        await pilot.press("escape")
        await wait_for_text(pilot, "2 runs")
        assert not pilot.app.screen.query_one(Input).display
        assert run_list(pilot).run == f"qbert/{qbert.id}"

    drive_runs(empty_project, scenario)


def test_what_nothing_fits_is_an_empty_list_and_no_first_run(empty_project, runs):
    make_run(runs)

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("slash", *"nothing")
        await wait_for_text(pilot, "0 of 1 run")
        await wait_for_text(pilot, "No run fits; escape shows all of them.")
        assert "There are no runs yet." not in screen_text(pilot.app)
        assert run_list(pilot).line is None
        await pilot.press("down", "enter", "a", "j")
        assert pilot.app.asked == []

    drive_runs(empty_project, scenario)


def test_runs_are_sorted_by_a_choice_or_by_a_click(empty_project, runs):
    made = [complete(make_run(runs), value) for value in (0.2, 0.1, 0.3)]
    newest_first, best_first = [made[2], made[1], made[0]], [made[1], made[0], made[2]]

    def is_so(pilot, order):
        return ids_on_screen(pilot, made) == [run.short_id for run in order]

    async def scenario(pilot):
        await wait_until(pilot, lambda: is_so(pilot, newest_first))
        await pilot.press("s")
        await wait_for_text(pilot, "by result, best first")
        await pilot.press(*["down"] * 4, "enter")
        await wait_until(pilot, lambda: is_so(pilot, best_first))
        assert "result↓" in screen_text(pilot.app)
        header = next(line for line in screen_text(pilot.app).split("\n") if "why" in line)
        for order in (newest_first, newest_first[::-1]):
            await pilot.click(RunList, offset=(header.index("age"), 0))
            await wait_until(pilot, lambda order=order: is_so(pilot, order))
        assert "age↑" in screen_text(pilot.app)

    drive_runs(empty_project, scenario)


# ---------------------------------------------------------------------------------------- marks


def test_marked_runs_are_compared_and_acted_on(empty_project, runs):
    made = [make_run(runs) for _ in range(4)][::-1]

    async def scenario(pilot):
        await wait_for_text(pilot, "4 runs")
        await pilot.press("c")
        await wait_until(pilot, lambda: len(pilot.app._notifications))
        await pilot.press("a", "space", "j", "space")
        await wait_for_text(pilot, "2 marked")
        assert screen_text(pilot.app).count("◆ ○ prepared") == 2
        await pilot.press("c", "a", "escape", "a")
        await wait_until(pilot, lambda: len(pilot.app.asked) == 4)
        first, compared, both, last = pilot.app.asked
        marked = {made[0].path, made[2].path}
        assert (first, last) == (ChooseAction([made[0].path]), ChooseAction([made[3].path]))
        assert isinstance(compared, CompareRuns)
        assert set(compared.paths) == set(both.paths) == marked

    drive_runs(empty_project, scenario)


def test_all_that_fit_are_marked_and_forgotten_when_they_go(empty_project, runs):
    made = [make_run(runs, "pong") for _ in range(30)]
    make_run(runs, "qbert")

    async def scenario(pilot):
        await wait_for_text(pilot, "31 runs")
        await pilot.press("slash", *"pong", "enter", "asterisk")
        await wait_for_text(pilot, "30 marked")
        shutil.rmtree(made[0].path)
        await wait_for_text(pilot, "29 marked")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not run_list(pilot).marked)
        await wait_for_text(pilot, "29 of 30 runs")
        await pilot.press("escape")
        await wait_for_text(pilot, "30 runs")

    drive_runs(empty_project, scenario)


def test_rows_are_clicked_to_go_there_and_again_to_open(empty_project, runs):
    newest = [make_run(runs) for _ in range(3)][::-1]

    async def scenario(pilot):
        await wait_for_text(pilot, "3 runs")
        await pilot.click(RunList, offset=(5, 2))
        await wait_until(pilot, lambda: run_list(pilot).cursor == 1)
        assert pilot.app.asked == []
        await pilot.click(RunList, offset=(5, 2))
        await wait_until(pilot, lambda: pilot.app.asked == [OpenRun(newest[1].path)])
        await pilot.click(RunList, offset=(5, 10))
        await pilot.press("n", "h")
        assert pilot.app.asked[1:] == [OpenNewRun(), OpenHosts()]

    drive_runs(empty_project, scenario)


# ------------------------------------------------------------------------------------ the glance


def test_the_run_under_the_cursor_is_shown_where_there_is_room(empty_project, runs, finished_run):
    folder = runs / "tiny-pong" / finished_run.folder.id
    shutil.copytree(finished_run.folder.path, folder)
    other = make_run(runs, "other", rationale="Something else.\n\nEntirely.")

    async def scenario(pilot):
        await wait_for_text(pilot, "2 runs")
        await wait_for_text(pilot, "Entirely.")
        await pilot.press("j")
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        for text in ("canonical/error ─", "▀▀▀▀▀▀▀▀", "Mean squared error", "new best"):
            await wait_for_text(pilot, text)
        assert "Entirely." not in screen_text(pilot.app)
        await pilot.press("p")
        await wait_until(pilot, lambda: "canonical/error ─" not in screen_text(pilot.app))
        await pilot.press("p")
        await wait_for_text(pilot, "▀▀▀▀▀▀▀▀")
        await pilot.resize_terminal(140, 24)
        await wait_until(pilot, lambda: "▀▀▀▀▀▀▀▀" not in screen_text(pilot.app))
        assert BRAILLE.search(screen_text(pilot.app))
        await pilot.resize_terminal(80, 24)
        await wait_until(pilot, lambda: not pilot.app.screen.query_one(RunGlance).display)
        assert other.short_id in screen_text(pilot.app)

    drive_runs(empty_project, scenario, size=(140, 45))


def test_the_glance_follows_a_run_that_moves_and_goes(empty_project, runs):
    run = make_run(runs)

    async def scenario(pilot):
        glance = pilot.app.screen.query_one(RunGlance)
        await wait_for_text(pilot, "1 run ")
        append_event(run.training_events, event("new_best", "error 0.5", step=400))
        await wait_for_text(pilot, "new best 400 error 0.5")
        await pilot.press("s", "escape")
        set_state(run, State.FAILED, reason="training ended by signal 9")
        await wait_for_text(pilot, "training ended by signal 9")
        assert screen_text(pilot.app).count("error 0.5") == 1
        glance.show(RunGlance.Read(run.path.parent, RunNews(None)), NOW)
        await pilot.pause()
        assert "This run's folder is gone." not in screen_text(pilot.app)
        glance.show(RunGlance.Read(run.path, RunNews(None)), NOW)
        await wait_for_text(pilot, "This run's folder is gone.")

    drive_runs(empty_project, scenario, size=(140, 45))


# ------------------------------------------------------------------------------------ the columns


def test_each_row_fits_whatever_the_width():
    for width in range(1, 250):
        layout = Layout.for_width(width)
        shown = [name for name in COLUMNS if name in layout.widths]
        titles = layout.titles(RunOrder.RESULT)
        assert list(layout.widths) == shown
        assert len(titles) == sum(layout.widths.values()) + len(shown) - 1
        assert len(titles) <= max(width, 15)
        assert [layout.column_at(x) for x in (0, 10_000)] == ["mark", shown[-1]]


def test_what_matters_most_is_there_at_80_columns():
    wanted = ["mark", "state", "experiment", "done", "result", "standing", "age", "run", "why"]
    assert list(Layout.for_width(80).widths) == wanted
    assert list(Layout.for_width(190).widths) == list(COLUMNS)


def test_where_nobody_plays_no_room_is_kept_for_agents():
    widths = Layout.for_width(190, has_agents=False).widths

    assert list(widths) == [name for name in COLUMNS if name != "agent"]
    assert Layout.for_width(106).widths["agent"] == 17
