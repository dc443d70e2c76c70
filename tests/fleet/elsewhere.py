"""Runs on the lab's hosts, made with a training that ends when it is told to."""

import launches
import quick_training
from lab import LabHost
from project_command import Rlmaster
from waiting import wait_until

from rlmaster.events import append_event, event
from rlmaster.fleet.owed import is_owed
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, State

DETECTED_S = 40.0
"""Within this a connection that is lost without a word has been given up, and another one made."""


def launch(rlmaster: Rlmaster, host: LabHost) -> tuple[RunFolder, RunFolder]:
    """Launch a run on a host; return its folder here, and there as seen from here."""
    run = launches.launched(rlmaster, host=host.name)
    there = launches.there(host, run)
    wait_until(lambda: quick_training.is_training(there))
    return run, there


def happen(there: RunFolder, message: str, kind: str = "note") -> None:
    """Let training say something."""
    append_event(there.training_events, event(kind, message, 3))


def said(run: RunFolder) -> str:
    """Return what training has said, as far as it is here."""
    return run.training_events.read_text() if run.training_events.exists() else ""


def arrives(there: RunFolder, run: RunFolder, message: str, bound_s: float = 20.0) -> None:
    """Let training say something, and wait until that is here."""
    happen(there, message)
    wait_until(lambda: message in said(run), bound_s)


def end(there: RunFolder, run: RunFolder) -> None:
    """Let a run end, and wait until that is here and nothing is owed any more."""
    quick_training.end(there)
    wait_until(lambda: run.status().state in FINAL_STATES, 60)
    assert run.status().state is State.COMPLETED
    wait_until(lambda: not is_owed(run), 60)


def watchers(rlmaster: Rlmaster) -> list[int]:
    """Return the processes that watch hosts in the background."""
    return rlmaster.processes("rlmaster watch --quiet")
