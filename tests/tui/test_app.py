import re
import subprocess
import sys
import time
from pathlib import Path

from conftest import NOW
from driving import drive, screen_text, wait_for_text, wait_until
from rich.cells import cell_len
from textual.widgets import Log

from rlmaster.durable_files import write_json
from rlmaster.events import append_event, event
from rlmaster.run_folder import Progress
from rlmaster.run_status import State, Status
from tui.app import RlmasterApp
from tui.commands import CommandLine
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.widgets.picture import Picture
from tui.widgets.run_list import Columns, RunList

BRAILLE = re.compile("[\u2801-\u28ff]")
HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 日本語 \u202ecba [/nothing] \x00 end"


def app_of(project, fake_command=None):
    command = fake_command.line if fake_command else CommandLine(project.root, ("/bin/true",))
    return RlmasterApp(project, command=command, clock=lambda: NOW)


def test_without_runs_the_app_says_how_to_begin(empty_project):
    async def scenario(pilot):
        await wait_for_text(pilot, "There are no runs yet.")
        assert "Press n" in screen_text(pilot.app)

    drive(app_of(empty_project), scenario, size=(60, 20))


def test_runs_are_listed_newest_first_and_change_before_ones_eyes(empty_project, make_run):
    older, newer = sorted((make_run("First."), make_run("Second.")), key=lambda run: run.id)

    async def scenario(pilot):
        await wait_for_text(pilot, "2 runs")
        text = screen_text(pilot.app)
        assert text.index(newer.short_id) < text.index(older.short_id)
        older.write_status(Status(State.PREPARED).enter(State.RUNNING))
        older.write_progress(Progress(step=1, total=4))
        await wait_for_text(pilot, "25 %")
        assert "running" in screen_text(pilot.app)

    drive(app_of(empty_project), scenario)


def test_the_cursor_stays_on_its_run_when_another_comes(empty_project, make_run):
    first = make_run("First.")

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        run_list = pilot.app.screen.query_one(RunList)
        # A run of the same second may sort before or after: five of them leave no doubt.
        for _ in range(5):
            make_run("Later.")
        await wait_for_text(pilot, "6 runs")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, first.short_id)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        assert 0 <= run_list.cursor < 6

    drive(app_of(empty_project), scenario)


def test_a_long_list_scrolls_with_the_cursor(empty_project, make_run):
    runs = sorted((make_run(f"Number {n}.") for n in range(60)), key=lambda run: run.id)

    async def scenario(pilot):
        await wait_for_text(pilot, "60 runs")
        await pilot.press("end")
        await wait_for_text(pilot, runs[0].short_id)
        await pilot.press("home", "pagedown", "down", "up")
        await wait_for_text(pilot, runs[-20].short_id)

    drive(app_of(empty_project), scenario, size=(80, 24))


def test_each_row_fits_whatever_the_width():
    for width in range(1, 250):
        shown = vars(Columns.for_width(width)).values()
        if width >= 60:
            assert sum(1 + column for column in shown if column) <= width


def test_a_real_run_is_shown_whole(finished_run, empty_project):
    async def scenario(pilot):
        pilot.app.push_screen(RunScreen(finished_run.folder, lambda: NOW))
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        for text in ("held_out/error ─", "completed", "▀▀▀▀▀▀▀▀", "finished", "100 %"):
            await wait_for_text(pilot, text)
        await pilot.press("s", "end", "enter")
        await wait_for_text(pilot, "train/updates_per_s ─")
        await pilot.press("w")
        assert pilot.app.screen.query_one(Picture).whole

    drive(app_of(empty_project), scenario)


def test_a_small_terminal_shows_one_pane_at_a_time(finished_run, empty_project):
    async def scenario(pilot):
        pilot.app.push_screen(RunScreen(finished_run.folder, lambda: NOW))
        await wait_for_text(pilot, "held_out/error ─")
        await pilot.press("3")
        await wait_for_text(pilot, "training tiny-pong")
        assert "held_out/error ─" not in screen_text(pilot.app)
        await pilot.press("5")
        await wait_for_text(pilot, "Does the whole path work?")
        await pilot.resize_terminal(140, 45)
        await wait_for_text(pilot, "held_out/error ─")
        await pilot.press("z")
        await wait_until(pilot, lambda: "held_out/error ─" not in screen_text(pilot.app))

    drive(app_of(empty_project), scenario, size=(60, 20))


def test_a_live_run_moves(empty_project, make_run):
    folder = make_run()

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("enter")
        await wait_for_text(pilot, "no progress yet")
        running = Status(State.PREPARED).enter(State.RUNNING)
        folder.write_status(running)
        folder.write_progress(Progress("training", 500, 1000, rate_per_s=9.5, eta_s=53))
        append_event(folder.training_events, event("new_best", "error 0.5", step=400))
        folder.log_file.write_text("a line of the log\n")
        for text in ("50 %", "ETA 0:53", "9.5/s", "new_best", "a line of the log"):
            await wait_for_text(pilot, text)
        folder.write_status(running.enter(State.FAILED, reason="training ended by signal 9"))
        await wait_for_text(pilot, "training ended by signal 9")
        folder.run_file.unlink()
        await wait_for_text(pilot, "This run's folder is gone.")

    drive(app_of(empty_project), scenario)


def test_a_worker_that_is_silent_is_mentioned(empty_project, make_run):
    folder = make_run()
    folder.write_status(Status(State.RUNNING, heartbeat="2029-12-31T23:50:00+00:00"))

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("enter")
        await wait_for_text(pilot, "its worker has said nothing for 10m")

    drive(app_of(empty_project), scenario)


def test_a_run_elsewhere_says_on_which_host_it_is(empty_project, make_run):
    folder = make_run()
    folder.write_status(Status(State.RUNNING, heartbeat="2029-12-31T23:50:00+00:00"))
    where = {"kind": "ssh", "computer": "node7", "machine": "node7-0123456789ab", "folder": "/run"}
    write_json(
        folder.placement_file,
        {"host": "office", **where, "workspace": "/", "python": "python3", "threads": 1},
    )

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("enter")
        await wait_for_text(pilot, "on office")
        await wait_for_text(pilot, "nothing has come from office for 10m")

    drive(app_of(empty_project), scenario)


def test_what_others_wrote_is_shown_as_text_and_fits(empty_project, make_run):
    folder = make_run(HOSTILE)
    folder.write_status(Status(State.FAILED, reason=HOSTILE, slot=HOSTILE))
    folder.write_progress(Progress(HOSTILE, 1, 2, axis=HOSTILE, values={HOSTILE: 1.0}))
    append_event(folder.worker_events, event(HOSTILE, HOSTILE))
    folder.log_file.write_text(HOSTILE + "\n")
    write_json(folder.config_file, {"name": HOSTILE})

    async def scenario(pilot):
        await wait_for_text(pilot, "[bold re…")
        await pilot.press("enter")
        for pane in "12345":
            await pilot.press(pane)
            await wait_for_text(pilot, "[bold red]x[/]")
            lines = screen_text(pilot.app).split("\n")
            assert all(line.isprintable() for line in lines)
            assert {cell_len(line) for line in lines} == {60}

    drive(app_of(empty_project), scenario, size=(60, 20))


def test_the_log_follows_its_end(empty_project, make_run):
    folder = make_run()
    folder.log_file.write_text("".join(f"line {number}\n" for number in range(500)))

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("enter")
        await wait_until(pilot, lambda: pilot.app.screen.query(Log).first().line_count == 500)
        await pilot.press("3")
        await wait_for_text(pilot, "line 499")
        with folder.log_file.open("a") as log:
            log.write("line 500\n")
        await wait_for_text(pilot, "line 500")

    drive(app_of(empty_project), scenario, size=(80, 24))


def test_help_lists_the_keys_of_the_screen_below(empty_project, make_run):
    make_run()

    async def scenario(pilot):
        await wait_for_text(pilot, "1 run ")
        await pilot.press("question_mark")
        await wait_for_text(pilot, "Keys")
        assert "New run" in screen_text(pilot.app)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))

    drive(app_of(empty_project), scenario, size=(60, 20))


def test_only_the_screen_one_sees_looks_at_files(empty_project, make_run):
    make_run()

    async def scenario(pilot):
        def looking():
            nodes = {type(worker.node) for worker in pilot.app.workers if worker.is_running}
            return nodes - {type(pilot.app)}

        await wait_for_text(pilot, "1 run ")
        assert looking() == {RunsScreen}
        await pilot.press("enter")
        await wait_until(pilot, lambda: looking() == {RunScreen})
        await pilot.press("escape")
        await wait_until(pilot, lambda: looking() == {RunsScreen})

    drive(app_of(empty_project), scenario)


def test_quitting_waits_for_no_child(empty_project, fake_command):
    fake_command.plan("experiments", hang=True)
    pressed_at = 0.0

    async def scenario(pilot):
        nonlocal pressed_at
        await wait_for_text(pilot, "There are no runs yet.")
        await pilot.press("n")
        await wait_until(pilot, lambda: fake_command.asked("experiments"))
        pressed_at = time.monotonic()
        await pilot.press("q")

    drive(app_of(empty_project, fake_command), scenario)
    assert time.monotonic() - pressed_at < 2.0, "the child sleeps for 100 s"
    [call] = fake_command.asked("experiments")
    assert not Path(f"/proc/{call['process']}").exists()


def printed_by(script):
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_opening_the_app_loads_nothing_heavy():
    script = (
        "import sys, tui.app;"
        "heavy = {'torch', 'matplotlib', 'paramiko', 'numpy', 'PIL', 'textual_plot', 'tensorboard',"
        " 'rlmaster.cli', 'rlmaster.launcher', 'rlmaster.worker', 'rlmaster.hosts'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_run_screen_loads_no_torch(finished_run):
    script = (
        "import sys; from pathlib import Path; from rlmaster.run_folder import RunFolder;"
        "from tui.run_reader import RunReader; import tui.widgets.curve_plot;"
        f"assert RunReader(RunFolder(Path({str(finished_run.folder.path)!r}))).read().curves;"
        "print(sorted({'torch', 'matplotlib', 'paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
