import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

from driving import NOW, drive, screen_text, wait_for_text, wait_until

from tui.app import RlmasterApp
from tui.children.commands import CommandLine
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen
from tui.threads import in_thread


def app_of(project, fake_command=None):
    command = fake_command.line if fake_command else CommandLine(project.root, ("/bin/true",))
    return RlmasterApp(project, command=command, clock=lambda: NOW)


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


def test_however_much_waits_something_else_goes_on(empty_project):
    everybody, over = threading.Barrier(31), threading.Event()

    def wait(cancelled):
        everybody.wait(20)
        over.wait(20)

    async def scenario(pilot):
        waiting = [asyncio.create_task(in_thread(wait)) for _ in range(30)]
        await in_thread(lambda cancelled: everybody.wait(20))
        over.set()
        await asyncio.gather(*waiting)

    drive(app_of(empty_project), scenario)


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

    drive(app_of(empty_project), scenario, size=(100, 30))


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
