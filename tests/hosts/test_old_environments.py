import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from rlmaster.errors import HostError
from rlmaster.hosts.environment import Pins
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.old_environments import old_environments, remove_environments
from rlmaster.hosts.remote import RemoteHost

pytestmark = pytest.mark.system

PRESENT, OLD, USED, NEW, BUSY = (Pins((f"a=={number}",)) for number in range(5))
BEGUN = f".{Pins(('a==5',)).digest}.00ff"
WEEKS_AGO = time.time() - 30 * 86_400


@pytest.fixture
def environments(office) -> Path:
    """Environments of each kind, as they lie on the host's disk."""
    folder = office.home / "rlmaster-workspace" / "environments"
    for pins in (PRESENT, OLD, USED, NEW, BUSY):
        make(folder, pins.digest, age_s=0.0 if pins is NEW else 30 * 86_400)
    (folder / BEGUN).mkdir()
    os.utime(folder / BEGUN, (WEEKS_AGO, WEEKS_AGO))
    run = folder.parent / "runs" / "pong" / "run"
    run.mkdir(parents=True)
    python = f"/root/rlmaster-workspace/environments/{USED.digest}/bin/python"
    (run / "placement.json").write_text(json.dumps({"python": python}))
    return folder


def make(folder: Path, name: str, age_s: float) -> None:
    """Make what an environment looks like."""
    environment = folder / f".{name}.abcd" / "environment"
    environment.mkdir(parents=True)
    (environment / "content").write_bytes(bytes(100_000))
    (folder / name).symlink_to(f".{name}.abcd/environment")
    moment = time.time() - age_s
    os.utime(folder / name, (moment, moment), follow_symlinks=False)
    os.utime(environment.parent, (moment, moment))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_what_no_run_needs_is_listed_and_then_removed(remote, environments):
    found = old_environments(remote, PRESENT)

    assert {old.name for old in found} == {OLD.digest, BUSY.digest, BEGUN}
    assert {old.name: old.size_bytes >= 100_000 for old in found}[OLD.digest]
    assert not any(old.removed for old in found)
    before = names(environments)

    with (environments / f".{BUSY.digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody makes it anew
        removed = remove_environments(remote, PRESENT, [old.name for old in found])

    assert {old.name: old.removed for old in removed} == {
        OLD.digest: True, BUSY.digest: False, BEGUN: True
    }  # fmt: skip
    assert before - names(environments) == {OLD.digest, f".{OLD.digest}.abcd", BEGUN}


def test_what_has_come_into_use_since_it_was_listed_stays(remote, environments):
    runs = environments.parent / "runs" / "pong" / "other"
    runs.mkdir()
    (runs / "placement.json").write_text(f"not even JSON, but it says {OLD.digest}")
    before = names(environments)

    assert remove_environments(remote, PRESENT, [OLD.digest, PRESENT.digest, USED.digest]) == []
    assert names(environments) == before


def test_without_a_workspace_there_is_nothing(remote):
    assert old_environments(remote, PRESENT) == []


@pytest.mark.parametrize(
    "answer",
    [
        "garbage",
        '{"old": [{"name": "../../etc", "bytes": 1, "age_s": 1, "removed": false}]}',
        '{"old": [{"name": "\\u001b[2J", "bytes": 1, "age_s": 1, "removed": false}]}',
    ],
)
def test_a_host_that_answers_anything_is_not_believed(lab, office, answer):
    program = lab.shared / "bin" / "python3"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat >/dev/null; echo '{answer}'\n")
    program.chmod(0o755)
    office.set_environment({"PATH": "/srv/shared/bin:/usr/bin:/bin"})

    with (
        RemoteHost.connect(Host("office", "ssh")) as remote,
        pytest.raises(HostError, match="office answered with something else than was asked"),
    ):
        old_environments(remote, PRESENT)
