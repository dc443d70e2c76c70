"""A desktop session of the tests' own: a bus that starts nothing, and a notification daemon."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from waiting import wait_until

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
