"""Runs that have ended, without having been made."""

import os
import time
from pathlib import Path
from typing import Any

from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status


def make_run(
    runs: Path, name: str = "pong", state: State = State.COMPLETED, **facts: Any
) -> RunFolder:
    """Make a run in a state, with a checkpoint of 100 kB and a result."""
    usual: dict[str, Any] = {
        "config": {"name": name},
        "rationale": "Because.",
        "provenance": {},
        "digests": {},
        "differs_from_default": [],
    }
    run = RunFolder.create(runs, **{**usual, **facts})
    run.write_status(Status(state))
    run.write_progress(Progress(result={"metric": "held_out/error", "value": 0.25}))
    (run.checkpoints / "update-000000003").mkdir(parents=True)
    (run.checkpoints / "update-000000003" / "state.pt").write_bytes(os.urandom(100_000))
    return run


def age(path: Path, days: float) -> None:
    """Let a file or folder look as if it was written some days ago."""
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
