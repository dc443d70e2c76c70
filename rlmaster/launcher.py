"""Launching: snapshot the code, make the run folder, start the worker, see it begin."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rlmaster.durable_files import utc_now
from rlmaster.errors import HostError, LaunchError, UsageError
from rlmaster.experiment_script import ScriptDescription
from rlmaster.hosts.local import start_worker
from rlmaster.hosts.selection import Ranked
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock, is_locked
from rlmaster.run_status import State
from rlmaster.snapshot import git_state, take_snapshot

START_DEADLINE_S = 30.0
"""A worker that loads no torch begins within a second; a busy machine gets this long."""

GRACE_S = 2.0
"""How long a worker that has written something may take to take its lock."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class HostChoice:
    """Where a run goes, and the ranking that was known when that was decided."""

    name: str
    asked_for: str
    """What the person said: a host's name, or `auto`."""
    ranking: list[Ranked]
    python: str | None = None
    """Interpreter to run with; None for the one that launches."""

    def to_data(self) -> dict[str, Any]:
        """Return what provenance keeps of the decision."""
        return {
            "host": self.name,
            "asked_for": self.asked_for,
            "ranking": [{"host": r.host, "fits": r.fits, "reason": r.reason} for r in self.ranking],
            "decided": utc_now(),
        }


def launch(
    project: Project,
    description: ScriptDescription,
    *,
    rationale: str,
    host: HostChoice,
    say: Say = print,
) -> RunFolder:
    """Start a run and return its folder once its worker lives.

    Args:
        project: Where the run is kept and whose code it trains with.
        description: The experiment, as its script says.
        rationale: Why the run is made.
        host: Where it goes.
        say: Told each step as it happens, one sentence each.

    Raises:
        UsageError: If the rationale is empty, or the script is not in the project.
        LaunchError: If the worker does not begin; the run is kept, as failed.
    """
    if not rationale.strip():
        raise UsageError("the rationale is empty; say in a few words why this run is made")
    script = _relative(description.file, project)
    snapshot = take_snapshot(project)
    say(f"code kept as snapshot {snapshot.digest[:12]}")
    if snapshot.left_out:
        say(f"left out of the snapshot: {', '.join(snapshot.left_out)}")
    git = git_state(project.root)
    run = RunFolder.create(
        project.runs,
        config=description.experiment,
        rationale=rationale,
        provenance={
            "script": script,
            "description": description.description,
            "git": git,
            "snapshot": {"digest": snapshot.digest, "left_out": snapshot.left_out},
            "host_choice": host.to_data(),
        },
        digests={"experiment": description.digest, "snapshot": snapshot.digest},
        differs_from_default=description.differs_from_default,
    )
    say(f"run {run.short_id} is in {run.path}")
    try:
        started = start_worker(
            run.path, code_folder=snapshot.folder, python=host.python or sys.executable
        )
    except (HostError, OSError) as error:
        _give_up(run, f"the worker could not be started: {error}")
    if started.note:
        say(started.note)
    _await_worker(run)
    say(f"the worker runs on {host.name} ({started.how})")
    if started.attach_command:
        say(f"{started.attach_command} shows its terminal")
    return run


def _relative(file: str, project: Project) -> str:
    """Return where the script lies in the project, and so in the snapshot; empty for a notebook."""
    if not file:
        return ""
    if not Path(file).resolve().is_relative_to(project.root):
        raise UsageError(
            f"{file} lies outside the project {project.root}, whose code a run takes along; "
            "move it into the project's experiments/"
        )
    return Path(file).resolve().relative_to(project.root).as_posix()


def _await_worker(run: RunFolder) -> None:
    """Wait until the worker has said its first word, or explain why it did not."""
    begun = time.monotonic()
    while (waited_s := time.monotonic() - begun) < START_DEADLINE_S:
        if run.status().state is not State.PREPARED:
            return
        # A log without a lock may be a warning at start-up; one that stays alone is a last word.
        if waited_s > GRACE_S and (words := run.last_log_lines(1)) and not is_locked(run.id):
            _give_up(run, f"the worker did not start: {words[0]}")
        time.sleep(0.02)
    _give_up(run, f"the worker did not start: it said nothing for {START_DEADLINE_S:.0f} s")


def _give_up(run: RunFolder, reason: str) -> NoReturn:
    """Write that a run failed before it began, unless its worker has come after all, and raise."""
    lock = RunLock(run.id)
    try:
        if lock.take() and (status := run.status()).state is State.PREPARED:
            run.write_status(status.enter(State.FAILED, reason=reason))
    finally:
        lock.close()
    raise LaunchError(f"{reason}; {run.log_file} has the rest")
