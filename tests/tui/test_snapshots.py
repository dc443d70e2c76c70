"""Four screens as a whole, at one size: what no single words would show to have moved.

RLMASTER_KEEP_SNAPSHOTS=1 keeps the present ones in snapshots/; look at them before they are kept.
"""

import os
import re
from pathlib import Path

import pytest
from driving import drive, screen_text, wait_for_text, wait_until
from made_runs import CONFIG, complete, make_run, set_state
from test_host_view import BUSY, LOCAL, NOW, PROBE, SILENT

from rlmaster.run_folder import Progress
from rlmaster.run_status import State
from tui.app import RlmasterApp
from tui.screens.compare import CompareScreen
from tui.screens.hosts import HostsScreen

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZE = (100, 30)


@pytest.fixture
def app(empty_project, fake_command, monkeypatch):
    monkeypatch.setenv("HOME", str(empty_project.root.parent))
    live = {"hosts": [{**LOCAL, "probe": {**PROBE, "gpus": [], "runs": []}}, BUSY, SILENT]}
    fake_command.plan("hosts --live", answers=[live], waits_for="the end")
    fake_command.plan("hosts", answer={})
    fake_command.plan("queue", answer={"slots": [], "waiting": []})
    return RlmasterApp(empty_project, command=fake_command.line, clock=lambda: NOW)


@pytest.fixture
def runs(empty_project):
    made = [
        make_run(
            empty_project.runs,
            run_id=f"20260101-00000{seed}-abc00{seed}",
            rationale=f"Does seed {seed} draw the ball?",
            config={"seed": seed, "embedder": {**CONFIG["embedder"], "latent_dim": 16 * seed}},
        )
        for seed in (1, 2, 3)
    ]
    complete(made[0], 0.004)
    set_state(made[1], State.RUNNING)
    made[1].write_progress(Progress("training", 25, 100, "updates"))
    set_state(made[2], State.FAILED, reason="the disk is full")
    return made


def is_as_kept(app: RlmasterApp, name: str) -> bool:
    shown = re.sub(r"\d\d:\d\d", "10:30", screen_text(app))  # a clock time is that of the place
    text = "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("RLMASTER_KEEP_SNAPSHOTS"):
        file.write_text(text)
    return text == file.read_text()


def test_runs(app, runs):
    async def scenario(pilot):
        await wait_for_text(pilot, "unreachable")
        await wait_for_text(pilot, runs[0].short_id)
        await wait_until(pilot, lambda: is_as_kept(app, "runs"))

    drive(app, scenario, SIZE)


def test_new_run(app):
    async def scenario(pilot):
        await pilot.press("n")
        await wait_for_text(pilot, "Can it draw the ball?")
        await pilot.press("enter")
        await wait_for_text(pilot, "nothing changed")
        await wait_until(pilot, lambda: is_as_kept(app, "new_run"))

    drive(app, scenario, SIZE)


def test_compare(app, runs):
    async def scenario(pilot):
        await wait_for_text(pilot, runs[0].short_id)
        await pilot.press("asterisk")
        await wait_for_text(pilot, "3 marked")
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.press("3")
        await wait_for_text(pilot, "latent_dim")
        await wait_until(pilot, lambda: is_as_kept(app, "compare"))

    drive(app, scenario, SIZE)


def test_hosts(app):
    async def scenario(pilot):
        await pilot.press("h")
        await wait_until(pilot, lambda: isinstance(app.screen, HostsScreen))
        await wait_for_text(pilot, "nothing runs or waits")
        await wait_until(pilot, lambda: is_as_kept(app, "hosts"))

    drive(app, scenario, SIZE)
