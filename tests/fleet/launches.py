"""What tests of launches elsewhere share: a project with a quick training, and its runs."""

import hashlib
import json
import os
from pathlib import Path

import quick_training
from lab import Lab, LabHost
from project_command import Rlmaster
from waiting import wait_until

from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import FINAL_STATES

GIVEN = ("--yes", "--detach", "--json")
LAUNCH = ("launch", "tiny", "--rationale", "why", "--host", "office", *GIVEN)
WORKSPACE = "/root/rlmaster-workspace"
NEWEST, EARLIER = "update-000000010", "update-000000005"
"""Checkpoints that `keep` makes."""


def make_ready(rlmaster: Rlmaster, lab: Lab, settings: str = "", *, local: bool = False) -> None:
    """Give a project a quick training, and the lab's hosts."""
    quick_training.make_quick(rlmaster.project)
    lab.write_inventory(rlmaster.project, settings=settings, local=local)


def launched(rlmaster: Rlmaster, *arguments: str, host: str = "office") -> RunFolder:
    """Launch the tiny experiment on a host, and return its folder here."""
    return made(rlmaster, "launch", "tiny", "--rationale", "why", "--host", host, *arguments)


def made(rlmaster: Rlmaster, *command: str) -> RunFolder:
    """Let a command make a run, and return its folder here."""
    done = rlmaster(*command, *GIVEN)
    assert done.returncode == 0, done.stderr
    return RunFolder(Path(json.loads(done.stdout)["run_folder"]))


def there(host: LabHost, run: RunFolder) -> RunFolder:
    """Return the folder of a run on its host, as it is seen from here."""
    placement = run.placement()
    assert placement is not None
    return RunFolder(host.inside(placement.folder))


def runs_there(host: LabHost) -> list[RunFolder]:
    """Return all runs that a host has."""
    return list_runs(host.inside(f"{WORKSPACE}/runs"))


def await_end(run: RunFolder) -> None:
    """Wait until it is known here how a run ended."""
    wait_until(lambda: run.status().state in FINAL_STATES, 60)


def keep(run: RunFolder) -> None:
    """Let a run have kept two checkpoints, the earlier one as the best, and frames."""
    for name in (EARLIER, NEWEST):
        folder = run.checkpoints / name
        folder.mkdir(parents=True)
        (folder / "state.pt").write_bytes(os.urandom(100_000))
        digest = hashlib.sha256((folder / "state.pt").read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps({"sha256": {"state.pt": digest}}))
    (run.checkpoints / "best.json").write_text(json.dumps({"checkpoint": EARLIER}))
    run.replay.mkdir()
    (run.replay / "chunk-000000").write_bytes(os.urandom(100_000))
