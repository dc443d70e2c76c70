"""The page of all computers: what is shown, asked and done; and the strip that leads to it."""

import pytest
from driving import drive, screen_text, wait_for_text, wait_until
from test_host_view import BUSY, LOCAL, NOW, PROBE, SILENT

from rlmaster.durable_files import write_json
from rlmaster.run_folder import Progress
from rlmaster.run_status import State, Status
from tui.app import RlmasterApp
from tui.messages import HostsRead, OpenHosts
from tui.reading.host_view import parse_hosts
from tui.screens.hosts import HostsScreen
from tui.screens.run import RunScreen

LOCAL_MEASURED = {**LOCAL, "probe": {**PROBE, "gpus": [], "runs": [], "cores": 2}}
FINDINGS = [
    {"name": "connection", "found": "ssh answers", "missing": False},
    {
        "name": "tmux",
        "found": "there is none",
        "missing": True,
        "essential": True,
        "cost": "no run can start",
        "remedy": "apt install tmux",
    },
]


@pytest.fixture
def app(empty_project, fake_command):
    live = {"hosts": [LOCAL_MEASURED, BUSY, SILENT]}
    fake_command.plan("hosts --live", answers=[live], waits_for="the end")
    fake_command.plan("hosts", answer={})
    fake_command.plan("queue", answer={"slots": [], "waiting": []})
    return RlmasterApp(empty_project, command=fake_command.line, clock=lambda: NOW)


def arguments_of(fake_command, name: str) -> list[list[str]]:
    return [call["arguments"][1:] for call in fake_command.asked(name)]


async def open_hosts(pilot, *keys: str) -> None:
    pilot.app.post_message(OpenHosts())
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, HostsScreen))
    await wait_for_text(pilot, "gpu1")
    await pilot.press(*keys)


def test_the_strip_tells_how_busy_hosts_are_and_leads_to_their_page(app):
    async def scenario(pilot):
        await wait_for_text(pilot, "gpu1 cpu▂ gpu█× 1 running 3 waiting")
        await wait_for_text(pilot, "office ✗ unreachable since")
        await pilot.click("#host-strip")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HostsScreen))

    drive(app, scenario, size=(140, 40))


def test_the_host_under_the_cursor_is_shown_as_it_changes(app):
    async def scenario(pilot):
        await open_hosts(pilot)
        await wait_for_text(pilot, "2 cores")
        await pilot.press("j")
        await wait_for_text(pilot, "process 4242")
        changed = {**BUSY, "probe": {**PROBE, "cores": 17}}
        pilot.app.post_message(HostsRead(parse_hosts({"hosts": [LOCAL, changed, SILENT]})))
        await wait_for_text(pilot, "17 cores")
        await pilot.press("k", "down", "down")
        await wait_for_text(pilot, "t looks for what is wrong")
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await wait_for_text(pilot, "t looks for what is wrong")

    drive(app, scenario)


def test_runs_there_are_asked_for_and_opened(app, fake_command, make_run):
    running, waiting = make_run(name="pong"), make_run(name="breakout")
    running.write_status(Status(State.PREPARED).enter(State.RUNNING))
    running.write_progress(Progress("training", 1, 4))
    rows = [
        {"run_id": run.id, "short_id": run.short_id, "name": run.name} for run in (running, waiting)
    ]
    answer = {"slots": [{**rows[0], "slot": "GPU-1:0"}], "waiting": [rows[1]], "drained": False}
    fake_command.plan("queue", answer=answer)

    async def scenario(pilot):
        await open_hosts(pilot, "down")
        await wait_for_text(pilot, "waits 1")
        text = screen_text(pilot.app)
        assert f"gpu 0     {running.short_id}  pong  running  25 %" in text
        assert waiting.short_id in text
        assert "1 of 1 slots taken" in text
        assert ["--host", "gpu1", "--json"] in arguments_of(fake_command, "queue")
        await pilot.press("enter", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, running.short_id)

    drive(app, scenario)


def test_a_host_that_does_not_answer_is_not_asked_for_its_runs(app, fake_command, make_run):
    run = make_run()
    run.write_status(Status(State.PREPARED).enter(State.RUNNING))
    where = {"kind": "ssh", "computer": "node7", "machine": "node7-0123456789ab", "folder": "/run"}
    more = {"host": "office", "workspace": "/", "python": "python3", "threads": 1}
    write_json(run.placement_file, {**where, **more})

    async def scenario(pilot):
        await open_hosts(pilot, "end")
        await wait_for_text(pilot, "as it was known last")
        assert f"{run.short_id}  pong  running" in screen_text(pilot.app)
        assert ["--host", "office", "--json"] not in arguments_of(fake_command, "queue")

    drive(app, scenario)


def test_why_a_host_does_not_tell_its_runs_is_shown(app, fake_command):
    fake_command.plan("queue", messages=["connecting", "gpu1: the disk is full"], exit_code=1)

    async def scenario(pilot):
        await open_hosts(pilot, "down")
        await wait_for_text(pilot, "gpu1: the disk is full")

    drive(app, scenario)


def test_draining_asks_with_another_key_and_is_undone_by_reopening(app, fake_command):
    async def scenario(pilot):
        await open_hosts(pilot, "down")
        await pilot.press("d")
        await wait_for_text(pilot, "starts nothing more")
        await pilot.press("d", "escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HostsScreen))
        await pilot.press("d", "y")
        wanted = ["drain", "gpu1", "--json"]
        await wait_until(pilot, lambda: wanted in arguments_of(fake_command, "hosts"))
        await wait_for_text(pilot, "o reopens it")
        assert arguments_of(fake_command, "hosts").count(wanted) == 1
        await pilot.press("o", "y")
        wanted = ["drain", "gpu1", "--open", "--json"]
        await wait_until(pilot, lambda: wanted in arguments_of(fake_command, "hosts"))
        await wait_until(pilot, lambda: "o reopens it" not in screen_text(pilot.app))

    drive(app, scenario)


def test_a_drain_that_fails_says_why(app, fake_command):
    async def scenario(pilot):
        await open_hosts(pilot, "down")
        fake_command.plan("hosts drain", messages=["gpu1 cannot be reached"], exit_code=1)
        await pilot.press("d", "y")
        await wait_until(
            pilot, lambda: any("cannot be reached" in told.text for told in pilot.app.told)
        )
        assert "o reopens it" not in screen_text(pilot.app)

    drive(app, scenario)


def test_a_test_shows_what_is_missing_with_what_it_costs_and_what_mends_it(app, fake_command):
    host = {"name": "gpu1", "fit_to_run": False, "findings": FINDINGS}

    async def scenario(pilot):
        await open_hosts(pilot, "down")
        fake_command.plan("hosts test", answer={"hosts": [host]}, exit_code=1)
        await pilot.press("t")
        for text in ("✓ connection", "✗ tmux", "no run can start", "→ apt install tmux"):
            await wait_for_text(pilot, text)
        assert ["test", "gpu1", "--json"] in arguments_of(fake_command, "hosts")
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HostsScreen))

    drive(app, scenario)


def test_setting_up_shows_its_steps_and_is_not_for_this_computer(app, fake_command):
    async def scenario(pilot):
        await open_hosts(pilot)
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(pilot.app.screen, HostsScreen)
        await pilot.press("down")
        fake_command.plan("hosts setup", messages=["making the workspace"], answer={"host": "gpu1"})
        await pilot.press("i", "y")
        await wait_for_text(pilot, "making the workspace")
        assert ["setup", "gpu1", "--yes", "--json"] in arguments_of(fake_command, "hosts")

    drive(app, scenario)


def test_a_mistake_in_hosts_toml_is_told(empty_project, fake_command):
    live = {"hosts": [LOCAL], "problem": "hosts.toml, line 3: no kind"}
    fake_command.plan("hosts --live", answers=[live], waits_for="the end")
    app = RlmasterApp(empty_project, command=fake_command.line, clock=lambda: NOW)

    async def scenario(pilot):
        await wait_for_text(pilot, "hosts.toml, line 3: no kind")
        pilot.app.post_message(OpenHosts())
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HostsScreen))
        await wait_for_text(pilot, "hosts.toml, line 3: no kind")

    drive(app, scenario)


def test_hosts_are_asked_anew_where_somebody_wants_to_know_now(app, fake_command):
    def begun() -> int:
        return sum("--live" in arguments for arguments in arguments_of(fake_command, "hosts"))

    async def scenario(pilot):
        await open_hosts(pilot)
        assert begun() == 1
        await pilot.press("r")
        await wait_until(pilot, lambda: begun() == 2)

    drive(app, scenario)
