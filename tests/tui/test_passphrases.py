import asyncio
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting_app import bare_app, told
from driving import drive, screen_text, wait_for_text, wait_until
from lab import Lab
from textual.widgets import Input

from rlmaster.project import Project
from tui.screens.dialogs import CommandScreen, LineScreen

QUESTION = "Enter passphrase for key '/home/ada/[bold]key': "
PASSPHRASE = "open sesame ü"


@pytest.fixture(autouse=True)
def runtime_folder(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path, as sockets need one."""
    folder = Path(tempfile.mkdtemp())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


class Child:
    """A process that asks as ssh does, so often."""

    def __init__(self, app, times: int = 1) -> None:
        program = app.passphrases.environment["SSH_ASKPASS"]
        script = 'n=$1; while [ $n -gt 0 ]; do "$2" "$3" || echo none; n=$((n-1)); done'
        self._process = subprocess.Popen(
            ["sh", "-c", script, "sh", str(times), program, QUESTION], stdout=subprocess.PIPE
        )

    async def answers(self) -> list[str]:
        """Return what it was told, without holding up the app."""
        output, _ = await asyncio.to_thread(self._process.communicate)
        return output.decode().splitlines()

    def kill(self) -> None:
        subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
        self._process.kill()
        self._process.communicate()


async def dialog(pilot) -> LineScreen:
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, LineScreen))
    await wait_for_text(pilot, "/home/ada/[bold]key")
    return pilot.app.screen


async def ready(pilot, folder: Path) -> None:
    await wait_until(pilot, lambda: list(folder.glob("rlmaster/ask-*/socket")))


def test_a_passphrase_is_asked_for_once_and_unseen(empty_project, fake_command, runtime_folder):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        child = Child(pilot.app)
        assert (await dialog(pilot)).query_one(Input).password
        await pilot.press(*"secret")
        assert "secret" not in screen_text(pilot.app)
        await pilot.press("enter")
        assert await child.answers() == ["secret"]
        assert await Child(pilot.app).answers() == ["secret"]
        assert "secret" not in told(pilot.app)

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    assert not list(runtime_folder.glob("rlmaster/ask-*"))


def test_who_asks_twice_was_told_the_wrong_one(empty_project, fake_command, runtime_folder):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        child = Child(pilot.app, times=2)
        await dialog(pilot)
        await pilot.press(*"wrong", "enter")
        await wait_for_text(pilot, "That was not it.")
        await pilot.press(*"right", "enter")
        assert await child.answers() == ["wrong", "right"]
        assert await Child(pilot.app).answers() == ["right"]

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_of_two_that_were_told_the_wrong_one_the_person_is_asked_once_more_only(
    empty_project, fake_command, runtime_folder
):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        children = [Child(pilot.app, times=2), Child(pilot.app, times=2)]
        await dialog(pilot)
        await wait_until(pilot, lambda: waiting_connections(runtime_folder) == 2)
        await pilot.press(*"wrong", "enter")
        await wait_for_text(pilot, "That was not it.")
        await wait_until(pilot, lambda: waiting_connections(runtime_folder) == 2)
        await pilot.press(*"right", "enter")
        answers = [await child.answers() for child in children]
        assert answers == [["wrong", "right"]] * 2

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def waiting_connections(folder: Path) -> int:
    """Count who is connected to the app's socket, as the kernel lists it."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(str(folder) in line and line.split()[5] == "03" for line in lines)


def test_who_would_rather_not_say_is_left_alone_for_a_while(
    empty_project, fake_command, runtime_folder
):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        child = Child(pilot.app)
        await dialog(pilot)
        await pilot.press("escape")
        assert await child.answers() == ["none"]
        assert await Child(pilot.app).answers() == ["none"]

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_a_question_goes_with_whoever_asked(empty_project, fake_command, runtime_folder):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        child = Child(pilot.app)
        await dialog(pilot)
        child.kill()
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, LineScreen))

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_quitting_while_somebody_asks_ends_the_question(
    empty_project, fake_command, runtime_folder
):
    children: list[Child] = []

    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        children.append(Child(pilot.app))
        await dialog(pilot)
        await pilot.press("ctrl+q")

    drive(bare_app(empty_project, command=fake_command.line), scenario)
    assert asyncio.run(children[0].answers()) == ["none"]


def test_nobody_else_may_ask(empty_project, fake_command, runtime_folder):
    async def scenario(pilot):
        await ready(pilot, runtime_folder)
        [folder] = runtime_folder.glob("rlmaster/ask-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    drive(bare_app(empty_project, command=fake_command.line), scenario)


@pytest.mark.system
def test_a_command_gets_at_an_encrypted_key(
    lab: Lab, rlmaster, same_environment, runtime_folder, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_folder))
    for name, text in lab.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lab.add_host("office")
    lab.write_inventory(rlmaster.project)
    change = ["ssh-keygen", "-p", "-q", "-N", PASSPHRASE, "-f", str(lab.key)]
    subprocess.run(change, check=True, capture_output=True)

    async def scenario(pilot):
        app = pilot.app
        await ready(pilot, runtime_folder)
        found: list[object] = []
        app.push_screen(
            CommandScreen("Hosts", app.command, ["hosts", "--json"], closes_itself=True),
            found.append,
        )
        await wait_for_text(pilot, "Passphrase")
        await pilot.press(*PASSPHRASE.replace(" ", "_"), "enter")
        await wait_for_text(pilot, "That was not it.")
        pilot.app.screen.query_one(Input).value = PASSPHRASE
        await pilot.press("enter")
        await wait_until(pilot, lambda: found)
        [host] = found[0]["hosts"]
        assert host["fits"], host["reason"]

    drive(bare_app(Project(Path(rlmaster.project))), scenario)
