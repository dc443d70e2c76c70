import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from driving import drive, screen_text, wait_for_text, wait_until
from rich.cells import cell_len
from textual.widgets import OptionList

from rlmaster.durable_files import write_json
from rlmaster.events import Event, Severity, append_event, event
from rlmaster.hosts.reachability import note_unreachable
from rlmaster.placement import Placement
from rlmaster.project import Project
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import State, Status
from tui.app import RlmasterApp
from tui.children.commands import CommandLine
from tui.panes.previews import PreviewsPane
from tui.screens.run import PANES, RunScreen
from tui.widgets.choice_list import ChoiceList
from tui.widgets.log_view import LogView
from tui.widgets.picture import Picture

BRAILLE = re.compile("[\u2801-\u28ff]")
HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 日本語 \u202ecba [/nothing] \x00 end"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SMALL = (80, 24)
LARGE = (140, 45)


def drive_run(folder, scenario, size=SMALL, command=None):
    """Open the screen of a run and do something there."""
    line = command or CommandLine(folder.path, ("/bin/true",))
    project = Project(folder.path.parent.parent.parent)

    async def with_the_run(pilot):
        pilot.app.push_screen(RunScreen(folder, line, lambda: NOW))
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, folder.short_id)
        await scenario(pilot)

    drive(RlmasterApp(project, command=line, clock=lambda: NOW), with_the_run, size=size)


def placed_at(folder, host):
    return Placement(
        host=host,
        kind="ssh",
        computer="node7",
        machine="node7-0123456789ab",
        folder="/run",
        workspace="/",
        python="python3",
        threads=1,
    )


def copied(folder, tmp_path, name="a-aaaaaa"):
    """Copy a run, so that something can be done to its files."""
    copy = tmp_path / "project/runs/pong" / name
    return RunFolder(Path(shutil.copytree(folder.path, copy)))


# ------------------------------------------------------------------------------- the whole screen


def test_a_real_run_is_shown_whole(finished_run):
    async def scenario(pilot):
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        words = ("canonical/error", "completed", "▀▀▀▀▀▀▀▀", "finished", "100 %", "host choice")
        for text in words:
            await wait_for_text(pilot, text)

    drive_run(finished_run.folder, scenario, LARGE)


def test_each_key_and_each_click_shows_a_pane(finished_run):
    signs = ("host choice", "┫", "newest of", "training tiny-pong", "finished",
             "embedder.latent_dim", "in all")  # fmt: skip

    async def scenario(pilot):
        for number, sign in enumerate(signs, start=1):
            await pilot.press(str(number))
            await wait_for_text(pilot, sign)
        await pilot.click("#tabs", offset=(3, 0))
        await wait_for_text(pilot, "host choice")

    drive_run(finished_run.folder, scenario)


def test_a_small_terminal_shows_one_pane_at_a_time(finished_run):
    async def scenario(pilot):
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        await pilot.press("4")
        await wait_for_text(pilot, "training tiny-pong")
        assert not BRAILLE.search(screen_text(pilot.app))
        await pilot.resize_terminal(*LARGE)
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        await pilot.press("z")
        await wait_until(pilot, lambda: not BRAILLE.search(screen_text(pilot.app)))

    drive_run(finished_run.folder, scenario)


@pytest.mark.parametrize("pane", range(1, len(PANES) + 1))
def test_every_pane_lives_through_a_terminal_of_20_by_5(finished_run, pane):
    async def scenario(pilot):
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        await pilot.press(str(pane))
        await pilot.resize_terminal(20, 5)
        await pilot.press("down", "plus", "right", "d", "z")
        await pilot.resize_terminal(*LARGE)
        await wait_for_text(pilot, "1 Overview")
        await pilot.press("z", "2")
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))

    drive_run(finished_run.folder, scenario)


def test_it_can_be_seen_without_colours(finished_run, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(pilot):
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        for pane in "1234567":
            await pilot.press(pane)
            await pilot.pause()

    drive_run(finished_run.folder, scenario, LARGE)


def test_a_live_run_moves(make_run):
    folder = make_run()

    async def scenario(pilot):
        await wait_for_text(pilot, "no progress yet")
        running = Status(State.PREPARED).enter(State.RUNNING)
        folder.write_status(running)
        folder.write_progress(Progress("training", 500, 1000, rate_per_s=9.5, eta_s=53))
        append_event(folder.training_events, event("new_best", "error 0.5", step=400))
        folder.log_file.write_text("a line of the log\n")
        for text in ("50 %", "ETA 0:53", "9.5/s", "new best", "a line of the log"):
            await wait_for_text(pilot, text)
        folder.write_status(running.enter(State.FAILED, reason="training ended by signal 9"))
        await wait_for_text(pilot, "training ended by signal 9")
        folder.run_file.unlink()
        await wait_for_text(pilot, "This run's folder is gone")
        for pane in "7654321":
            await pilot.press(pane)
        await wait_for_text(pilot, "To see.")

    drive_run(folder, scenario, LARGE)


def test_a_worker_that_is_silent_is_mentioned(make_run):
    folder = make_run()
    folder.write_status(Status(State.RUNNING, heartbeat="2029-12-31T23:50:00+00:00"))

    async def scenario(pilot):
        await wait_for_text(pilot, "its worker has said nothing for 10m")

    drive_run(folder, scenario)


def test_a_run_elsewhere_says_on_which_host_it_is(make_run):
    folder = make_run()
    folder.write_status(Status(State.RUNNING, heartbeat="2029-12-31T23:50:00+00:00"))
    folder.write_placement(placed_at(folder, "office"))

    async def scenario(pilot):
        await wait_for_text(pilot, "on office")
        await wait_for_text(pilot, "nothing has come from office for 10m")
        note_unreachable(folder.path.parent.parent, "office", "no route to host")
        await wait_for_text(pilot, "office is unreachable since")
        await wait_for_text(pilot, "no route to host")

    drive_run(folder, scenario)


def test_what_others_wrote_is_shown_as_text_and_fits(make_run):
    folder = make_run(HOSTILE)
    folder.write_status(Status(State.FAILED, reason=HOSTILE, slot=HOSTILE, host=HOSTILE))
    folder.write_progress(Progress(HOSTILE, 1, 2, axis=HOSTILE, values={HOSTILE: 1.0}))
    append_event(folder.worker_events, event(HOSTILE, HOSTILE))
    folder.log_file.write_text(HOSTILE + "\n")
    write_json(folder.config_file, {"name": HOSTILE, HOSTILE: [HOSTILE]})
    write_json(
        folder.provenance_file,
        {"script": HOSTILE, "git": 3, "host_choice": {"host": HOSTILE, "ranking": [HOSTILE, 3]}},
    )
    write_json(folder.environment_file, {"python": HOSTILE, "packages": [], "gpu": [HOSTILE]})
    write_json(folder.run_file, {"parents": 7, "differs_from_default": [HOSTILE]})
    folder.attempts_file.write_text('{"attempt": [], "host": "[b]", "start": "now"}\n')

    async def scenario(pilot):
        for pane in ("1", "4", "5", "6"):
            await pilot.press(pane)
            await wait_for_text(pilot, "[bold red]x[/]")
            lines = screen_text(pilot.app).split("\n")
            assert all(line.isprintable() for line in lines)
            assert {cell_len(line) for line in lines} == {80}

    drive_run(folder, scenario)


def test_actions_are_asked_for_with_this_run(make_run, monkeypatch):
    folder = make_run()
    asked = []
    monkeypatch.setattr(RunScreen, "post_message", asked.append)

    RunScreen(folder, CommandLine(folder.path), lambda: NOW).action_choose_action()
    assert asked[0].paths == [folder.path]


# ------------------------------------------------------------------------------------------- curves


def test_several_scalars_can_be_chosen(finished_run):
    async def scenario(pilot):
        await wait_for_text(pilot, "│ canonical/error ")
        await pilot.press("s", "end", "enter")
        await wait_for_text(pilot, "│ train/updates_per_s ")
        await pilot.press("s", "home", "space", "enter")
        await wait_for_text(pilot, "a canonical/ball_error ")
        await wait_for_text(pilot, "b train/updates_per_s ")

    drive_run(finished_run.folder, scenario)


def test_another_run_is_laid_over_and_taken_away(finished_run, tmp_path):
    folders = [copied(finished_run.folder, tmp_path, name) for name in ("a-aaaaaa", "b-bbbbbb")]
    with RunIndex(folders[0].path.parent.parent) as index:
        index.sync()

    async def scenario(pilot):
        await wait_for_text(pilot, "│ canonical/error ")
        await pilot.press("o")
        await wait_for_text(pilot, "bbbbbb")
        assert "aaaaaa pong" not in screen_text(pilot.app)
        await pilot.press(*"bbbbbb", "enter")
        await wait_for_text(pilot, "a canonical/error aaaaaa")
        await wait_for_text(pilot, "b canonical/error bbbbbb")
        await pilot.press("o")
        await wait_until(pilot, lambda: "canonical/error bbbbbb" not in screen_text(pilot.app))

    drive_run(folders[0], scenario)


# ----------------------------------------------------------------------------------------- previews


def test_previews_are_stepped_through_and_the_newest_is_followed(finished_run):
    count = len(finished_run.folder.preview_files())

    async def scenario(pilot):
        await pilot.press("3")
        pane = pilot.app.screen.query_one(PreviewsPane)
        await wait_for_text(pilot, f"newest of {count}")
        await pilot.press("left")
        await wait_for_text(pilot, f"{count - 1} of {count}")
        assert not pane.is_following
        await pilot.press("home")
        await wait_for_text(pilot, finished_run.folder.preview_files()[0].stem)
        await pilot.press("end")
        await wait_for_text(pilot, f"newest of {count}")
        await pilot.press("w")
        assert pilot.app.screen.query_one(Picture).whole
        await wait_for_text(pilot, "whole")

    drive_run(finished_run.folder, scenario)


def test_a_preview_that_is_none_is_a_sentence(make_run):
    folder = make_run()
    for step in (1, 2):
        (folder.previews / f"step-00000000{step}.png").write_bytes(b"\x89PNG junk" * 9)

    async def scenario(pilot):
        await pilot.press("3")
        await wait_for_text(pilot, "step-000000002.png is")
        await pilot.press("left")
        await wait_for_text(pilot, "step-000000001.png is")

    drive_run(folder, scenario)


def test_previews_may_go_while_one_looks_at_them(finished_run, tmp_path):
    folder = copied(finished_run.folder, tmp_path)
    files = folder.preview_files()

    async def scenario(pilot):
        await pilot.press("3")
        await wait_for_text(pilot, f"newest of {len(files)}")
        await pilot.press("left")
        await wait_for_text(pilot, f"{len(files) - 1} of {len(files)}")
        for file in files[1:]:
            file.unlink()
        await wait_for_text(pilot, "newest of 1")
        files[0].unlink()
        await wait_for_text(pilot, "newest of 0")
        await pilot.press("left")

    drive_run(folder, scenario)


# ---------------------------------------------------------------------------------- log and events


def test_the_log_follows_its_end_until_one_scrolls_up(make_run):
    folder = make_run()
    folder.log_file.write_text("".join(f"line {number}\n" for number in range(500)))

    def add(text):
        with folder.log_file.open("a") as log:
            log.write(text)

    async def scenario(pilot):
        await pilot.press("4")
        await wait_for_text(pilot, "line 499")
        add("line 500\n")
        await wait_for_text(pilot, "line 500")
        await pilot.press("pageup")
        await wait_for_text(pilot, "f follows")
        log = pilot.app.screen.query_one(LogView)
        add("line 501\n")
        await wait_until(pilot, lambda: log.line_count == 502)
        assert "line 501" not in screen_text(pilot.app)
        await pilot.press("f")
        await wait_for_text(pilot, "line 501")

    drive_run(folder, scenario)


def test_the_log_is_searched(make_run):
    folder = make_run()
    lines = [f"line {number}{' with a Needle' * (number in (7, 300))}" for number in range(500)]
    folder.log_file.write_text("\n".join(lines) + "\n")

    async def scenario(pilot):
        await pilot.press("4")
        await wait_for_text(pilot, "line 499")
        await pilot.press("slash", *"needle")
        await wait_for_text(pilot, "line 300 with a Needle")
        await wait_for_text(pilot, "2 of 2")
        await pilot.press("enter", "n")
        await wait_for_text(pilot, "line 7 with a Needle")
        await pilot.press("N")
        await wait_for_text(pilot, "line 300 with a Needle")
        await pilot.press("slash", "escape", "f")
        await wait_for_text(pilot, "line 499")
        assert isinstance(pilot.app.screen, RunScreen)

    drive_run(folder, scenario)


def test_events_are_newest_first_and_tell_more(make_run):
    folder = make_run()
    times = ("2029-12-31T23:00:00+00:00", "2029-12-31T23:01:00+00:00")
    happened = Event("diverged", "loss is 1e9", 40, Severity.ERROR, times[1], {"loss": 1e9})
    append_event(folder.training_events, happened)
    append_event(folder.worker_events, Event("started", "off it goes", time=times[0]))

    async def scenario(pilot):
        await pilot.press("5")
        await wait_for_text(pilot, "✗ diverged 40 loss is 1e9")
        text = screen_text(pilot.app)
        assert text.index("✗ diverged") < text.index("· started")
        await wait_for_text(pilot, "loss 1e+09")
        await pilot.press("down")
        await wait_for_text(pilot, "23:00:00+00:00  info")
        later = Event("note", "another", time="2029-12-31T23:02:00+00:00")
        append_event(folder.worker_events, later)
        await wait_for_text(pilot, "· note another")
        assert pilot.app.screen.query_one("#event-list", OptionList).highlighted == 2

    drive_run(folder, scenario)


# --------------------------------------------------------------------------------- config and files


def test_the_configuration_is_compared(finished_run):
    async def scenario(pilot):
        await pilot.press("6")
        await wait_for_text(pilot, "differ from the default")
        assert "embedder.loss" in screen_text(pilot.app)
        await pilot.press("x")
        await wait_until(pilot, lambda: "embedder.loss" not in screen_text(pilot.app))
        await wait_for_text(pilot, "20   instead of 50000")

    drive_run(finished_run.folder, scenario)


def test_the_configuration_is_compared_with_the_run_before(make_run):
    runs = [make_run(), make_run()]
    older, newer = sorted(runs, key=lambda run: run.id)
    write_json(older.config_file, {"name": "pong", "seed": 1, "gone": {"field": "x"}})
    write_json(newer.config_file, {"name": "pong", "seed": 2})
    with RunIndex(newer.path.parent.parent) as index:
        index.sync()

    async def scenario(pilot):
        await pilot.press("6", "d")
        await wait_for_text(pilot, f"2 differ from run before {older.short_id}")
        await wait_for_text(pilot, "2   instead of 1")
        await wait_for_text(pilot, "gone.field")
        await pilot.press("d")
        await wait_for_text(pilot, "the default")
        await pilot.press("o")
        await wait_for_text(pilot, "Compare with")
        await wait_for_text(pilot, older.short_id)
        await pilot.press("enter")
        await wait_for_text(pilot, f"differ from run {older.short_id}")

    drive_run(newer, scenario)


def test_files_are_listed_by_size_and_pulled(make_run, fake_command):
    folder = make_run()
    (folder.path / "replay").mkdir()
    (folder.path / "replay" / "chunk-000000.npz").write_bytes(bytes(300_000))
    folder.write_placement(placed_at(folder, "office"))
    fake_command.plan("pull", answer={"fetched": ["a", "b"], "fetched_bytes": 2_000_000})

    async def scenario(pilot):
        await pilot.press("7")
        await wait_for_text(pilot, "made on office")
        await wait_for_text(pilot, "replay/")
        assert pilot.app.screen.query_one("#file-list", ChoiceList).chosen == "replay/"
        await pilot.press("p")
        await wait_for_text(pilot, "The frames that it has collected")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "2 files came (2.0 MB).")

    drive_run(folder, scenario, command=fake_command.line)
    [call] = fake_command.asked("pull")
    assert call["arguments"] == ["pull", str(folder.path), "--replay", "--json"]


def test_a_path_is_copied(make_run):
    folder = make_run()

    async def scenario(pilot):
        await pilot.press("7")
        await wait_for_text(pilot, "config.json")
        await pilot.press("y")
        chosen = pilot.app.screen.query_one("#file-list", ChoiceList).chosen
        await wait_until(pilot, lambda: pilot.app.clipboard == str(folder.path / chosen))

    drive_run(folder, scenario)


def test_a_run_screen_loads_no_torch(finished_run):
    script = (
        "import sys; from pathlib import Path; from rlmaster.run_folder import RunFolder;"
        "from tui.reading.run_reader import RunReader; import tui.widgets.curve_plot;"
        f"assert RunReader(RunFolder(Path({str(finished_run.folder.path)!r}))).read().curves;"
        "print(sorted({'torch', 'matplotlib', 'paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
