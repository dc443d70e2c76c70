"""What people are told of runs elsewhere: each thing once, whoever of all computers tells it."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import quick_training
from elsewhere import end, happen, launch, watchers
from push_receiver import Receiver, receiving
from waiting import wait_until

from rlmaster.run_folder import RunFolder

pytestmark = pytest.mark.system


@pytest.fixture
def phone(office, rlmaster):
    """A push service that this computer and the host can reach; here it is told everything."""
    address = office.address.rpartition(".")[0] + ".1"
    with receiving(address) as service:
        config = write_config(rlmaster.scratch / "config.toml", service)
        rlmaster.environment |= {"RLMASTER_CONFIG": str(config), "NO_PROXY": address}
        yield service


def write_config(file: Path, service: Receiver) -> Path:
    """Write that everything is pushed to a service."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'[notify]\ndesktop = false\npush = ["{service.json}"]\n')
    file.chmod(0o600)
    return file


def told(service: Receiver) -> Counter[str]:
    """Return how often each thing was told."""
    return Counter(title.partition(": ")[2].partition(",")[0] for title in service.titles())


def is_settled(run: RunFolder, notice: str) -> bool:
    """Tell whether a notice was delivered, and that is noted."""
    claims = (run.path.parent.parent / ".state" / "announced" / run.id).glob(f"{notice}*")
    return any(claim.read_bytes() == b"delivered\n" for claim in claims)


def test_a_watcher_that_is_killed_again_and_again_tells_each_thing_once(office, rlmaster, phone):
    run, there = launch(rlmaster, office)
    for kind in ("diverged", "plateau", "stalled"):
        happen(there, "Look at it.", kind)
        wait_until(lambda kind=kind: is_settled(run, kind), 40)
        for process in watchers(rlmaster):
            os.kill(process, signal.SIGKILL)
        rlmaster("runs")
    end(there, run)

    assert told(phone) == {"diverged": 1, "plateau": 1, "stalled": 1, "finished": 1}


def test_what_the_host_pushes_is_not_pushed_again(office, rlmaster, phone):
    write_config(office.home / ".config" / "rlmaster" / "config.toml", phone)
    run, there = launch(rlmaster, office)
    assert there.status().announces

    happen(there, "Look at it.", "diverged")
    wait_until(lambda: told(phone)["diverged"], 40)
    wait_until(lambda: is_settled(run, "diverged"), 40)
    end(there, run)

    assert told(phone) == {"diverged": 1, "finished": 1}
    assert not there.report.exists()  # it is made where the project is
    assert run.report_tex.exists()


def test_a_host_pushes_while_nobody_watches(office, rlmaster, phone):
    write_config(office.home / ".config" / "rlmaster" / "config.toml", phone)
    run, there = launch(rlmaster, office)
    for process in watchers(rlmaster):
        os.kill(process, signal.SIGKILL)

    quick_training.end(there)
    wait_until(lambda: told(phone)["finished"], 40)

    assert rlmaster("runs").returncode == 0  # the laptop is opened again
    wait_until(lambda: run.status() == there.status(), 40)
    end(there, run)
    assert told(phone) == {"finished": 1}


def test_the_desktop_is_told_of_runs_elsewhere(office, rlmaster, desktop):
    rlmaster.environment["DBUS_SESSION_BUS_ADDRESS"] = os.environ["DBUS_SESSION_BUS_ADDRESS"]
    rlmaster.environment["RLMASTER_CONFIG"] = str(rlmaster.scratch / "config.toml")
    run, there = launch(rlmaster, office)

    happen(there, "Look at it.", "diverged")
    wait_until(lambda: len(desktop()) == 1, 40)
    end(there, run)

    assert [notice["summary"].partition(": ")[2] for notice in desktop()] == [
        "finished",
        "diverged",
    ]
