import html
import json
import os
import shutil
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster import notify
from rlmaster.events import Severity
from rlmaster.notify import claim_announcement, notify_desktop

BUS_WITHOUT_ACTIVATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def bus():
    """The address of a private session bus that starts no daemon by itself."""
    need("dbus-daemon")
    # A socket's path may have 107 bytes, so it lies in a folder with a short name.
    with tempfile.TemporaryDirectory(prefix="rlmaster-test-", dir="/tmp") as folder:
        config = Path(folder, "bus.conf")
        config.write_text(BUS_WITHOUT_ACTIVATION.format(folder=folder))
        daemon = subprocess.Popen(["dbus-daemon", "--nofork", f"--config-file={config}"])
        wait_until(Path(folder, "bus").exists)
        yield f"unix:path={folder}/bus"
        daemon.terminate()
        daemon.wait()


@pytest.fixture
def desktop(bus, tmp_path, monkeypatch):
    """A real notification daemon on a bus; returns what asks it for all it was told."""
    need("Xvfb", "dunst", "dunstctl")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        monkeypatch.setenv("DISPLAY", f":{answer.readline().strip()}")
    (tmp_path / "dunstrc").write_text("[global]\nmarkup = full\n")
    daemon = subprocess.Popen(["dunst", "-conf", str(tmp_path / "dunstrc")])

    def ask(*words: str) -> str:
        done = subprocess.run(["dunstctl", *words], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    def history() -> list[dict[str, str]]:
        ask("close-all")
        entries = json.loads(ask("history"))["data"][0]
        return [{key: entry[key]["data"] for key in ("summary", "body")} for entry in entries]

    try:
        wait_until(lambda: ask("count"))
        yield history
    finally:
        for process in (daemon, server):
            process.terminate()
            process.wait()


@pytest.fixture
def no_desktop(monkeypatch):
    """No session bus, whatever the tester's own terminal has."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


# ------------------------------------------------------------------------------------ delivery


@pytest.mark.system
def test_a_notice_arrives_and_is_known_to_have_arrived(desktop):
    hostile = 'a <b>bold</b> & "quoted" <img src="x"/> claim: $(true) ü'

    delivery = notify_desktop("pong: 5 < 6 & more", f"{hostile}\nWhy: so", Severity.ERROR)

    assert delivery.delivered, delivery.note
    (told,) = desktop()
    assert told["summary"] == "pong: 5 < 6 & more"
    assert html.unescape(told["body"]) == f"{hostile}\nWhy: so"
    assert not set('<>"') & set(told["body"])  # the daemon would take them for markup


@pytest.mark.usefixtures("no_desktop")
def test_without_a_desktop_nothing_is_delivered():
    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert delivery.note == "there is no desktop session here"


@pytest.mark.parametrize(
    "address", ["unix:path=/nonexistent/bus", "nonsense", "tcp:host=localhost"]
)
def test_a_bus_that_is_gone_is_not_taken_for_delivery(monkeypatch, address):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert "cannot be reached" in delivery.note


@pytest.mark.system
def test_a_bus_without_a_daemon_is_not_taken_for_delivery(bus, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)

    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert "no notification daemon" in delivery.note
    assert "ServiceUnknown" in delivery.note


def test_a_bus_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is limited
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind("bus")
        silent.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=bus")
        monkeypatch.setattr(notify, "DEADLINE_S", 0.3)

        delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert delivery.note == "the desktop session does not answer"


# -------------------------------------------------------------------------------------- claims


def test_an_event_is_claimed_once_however_many_ask(tmp_path):
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda _n: claim_announcement(tmp_path, "run", "finished-9"), range(20))
        )

    assert len(answers) - answers.count(None) == 1
    assert claim_announcement(tmp_path, "run", "finished-10")
    assert claim_announcement(tmp_path, "another", "finished-9")


def test_a_claim_stays_in_its_folder(tmp_path):
    assert claim_announcement(tmp_path, "run", "../../up-1")

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [Path(tmp_path, ".state", "announced", "run")]
