"""Launching: snapshot the code, make the run folder, queue the run, see it begin.

Each step may be cut: what counts as a run is whole, and whoever looks after it goes on from there.
"""

import platform
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlmaster.durable_files import utc_now
from rlmaster.errors import LaunchError, UsageError
from rlmaster.experiment_script import ScriptDescription
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.local import attach_command
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.selection import Ranked
from rlmaster.hosts.slots import SlotRules, threads_per_slot
from rlmaster.lifecycle import enqueue, look_after, wake_queue_runner
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock, held_slots
from rlmaster.run_status import WAITING_STATES, State
from rlmaster.snapshot import git_state, take_snapshot

POLL_S = 0.02
WAKE_S = 1.0
"""Between two looks whether the queue runner lives."""
LEAST_WAIT_S = 1.0
"""Where there is a slot, a run usually starts within this."""
LONGEST_WAIT_S = 35.0
"""By then a worker usually has started, or has been given up."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class HostChoice:
    """Where a run goes, and the ranking that was known when that was decided."""

    name: str
    asked_for: str
    """What the person said: a host's name, or `auto`."""
    ranking: Sequence[Ranked]
    python: str | None = None
    """Interpreter to run with; None for the one that launches."""
    rules: SlotRules = field(default_factory=SlotRules)
    """How many runs it is given at a time."""

    @classmethod
    def of(cls, host: Host, asked_for: str, ranking: Sequence[Ranked]) -> "HostChoice":
        """Choose a host of the inventory."""
        return cls(host.name, asked_for, ranking, host.python, host.slot_rules)

    @property
    def threads(self) -> int:
        """Cores that the run has to itself, fixed from its launch on."""
        probes = [ranked.probe for ranked in self.ranking if ranked.host == self.name]
        return threads_per_slot(probes[0], self.rules) if probes and probes[0] else 1

    def to_data(self) -> dict[str, Any]:
        """Return what provenance keeps of the decision."""
        return {
            "host": self.name,
            "computer": platform.node(),
            "python": self.python or sys.executable,
            "threads": self.threads,
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
    """Queue a new run and return its folder once its worker lives, or it is known to wait.

    Args:
        project: Where the run is kept and whose code it trains with.
        description: The experiment, as its script says.
        rationale: Why the run is made.
        host: Where it goes.
        say: Told each step as it happens, one sentence each.

    Raises:
        UsageError: If the rationale is empty, or the script is not in the project.
        HostError: If the queue cannot be written.
        LaunchError: If the worker does not begin; the run is kept, as failed.
    """
    script = _relative(description.file, project)
    with _new_run(project, description, rationale, script, host, say) as run:
        pass
    return await_start(run, host.name, say)


def branch(
    project: Project,
    parent: RunFolder,
    description: ScriptDescription,
    *,
    rationale: str,
    host: HostChoice,
    checkpoint: Path | None,
    say: Say = print,
) -> RunFolder:
    """Queue a new run that goes on from where another one was; its parent stays as it is.

    Args:
        project: Where both are kept.
        parent: The run that it builds on.
        description: The parent's experiment with what is changed.
        rationale: Why the run is made.
        host: Where it goes.
        checkpoint: The parent's checkpoint to go on from; None to begin anew.
        say: Told each step as it happens, one sentence each.

    Raises:
        UsageError: If the rationale is empty.
        HostError: If the queue cannot be written.
        LaunchError: If the parent's files cannot be brought along, or the worker does not begin.
    """
    script = str(parent.provenance().get("script") or "")
    with _new_run(project, description, rationale, script, host, say, parent) as run:
        if checkpoint is not None:
            _bring_along(parent, checkpoint, run)
    return await_start(run, host.name, say)


@contextmanager
def _new_run(
    project: Project,
    description: ScriptDescription,
    rationale: str,
    script: str,
    host: HostChoice,
    say: Say,
    parent: RunFolder | None = None,
) -> Generator[RunFolder]:
    """Make a run folder, let the caller fill it further, and queue the run.

    Its lock is held all the time, so that nobody takes an unfinished launch for a forgotten one.
    """
    if not rationale.strip():
        raise UsageError("the rationale is empty; say in a few words why this run is made")
    snapshot = take_snapshot(project)
    say(f"code kept as snapshot {snapshot.digest[:12]}")
    if snapshot.left_out:
        say(f"left out of the snapshot: {', '.join(snapshot.left_out)}")
    run = RunFolder.reserve(project.runs, str(description.experiment["name"]))
    with _removed_unless_whole(run), RunLock(run.id) as lock:
        lock.take()  # which nobody else can have heard of
        yield run
        run.fill(
            config=description.experiment,
            rationale=rationale,
            provenance={
                "script": script,
                "description": description.description,
                "git": git_state(project.root),
                "snapshot": {"digest": snapshot.digest, "left_out": snapshot.left_out},
                "host_choice": {**host.to_data(), "folder": str(run.path.absolute())},
            },
            digests={"experiment": description.digest, "snapshot": snapshot.digest},
            differs_from_default=description.differs_from_default,
            parents=[parent.id] if parent else [],
        )
        say(f"run {run.short_id} is in {run.path}")
        Queue.here().write_rules(host.rules)
        enqueue(run, run.status().enter(State.QUEUED, host=platform.node()))


@contextmanager
def _removed_unless_whole(run: RunFolder) -> Generator[None]:
    """Leave nothing of a run folder that could not be filled."""
    try:
        yield
    finally:
        if not run.exists():
            shutil.rmtree(run.path, ignore_errors=True)


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


def _bring_along(parent: RunFolder, checkpoint: Path, run: RunFolder) -> None:
    """Give a new run the frames and the checkpoint that it goes on from.

    Both never change once they are written, so they are the same files where the disk allows it.
    """
    try:
        for source in (checkpoint, parent.replay):
            target = run.path / source.relative_to(parent.path)
            shutil.copytree(source, target, copy_function=_link_or_copy)
    except OSError as error:
        raise LaunchError(
            f"what run {parent.short_id} has kept cannot be brought along ({error}); "
            "free some space, or copy its folder again"
        ) from error


def _link_or_copy(source: str, target: str) -> None:
    """Link a file, for none in these folders is ever changed in place; across disks, copy it."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def await_start(run: RunFolder, host: str, say: Say) -> RunFolder:
    """Return a queued run once it has begun, or is known to wait for others.

    Raises:
        LaunchError: If its worker does not begin.
        HostError: If there is no process that would start it.
    """
    begun, next_wake = time.monotonic(), 0.0
    while (status := look_after(run)).state in WAITING_STATES:
        if waits := _why_it_waits(run, time.monotonic() - begun):
            say(f"{waits}. `rlmaster queue` shows what waits")
            return run
        if time.monotonic() >= next_wake:
            next_wake = time.monotonic() + WAKE_S
            wake_queue_runner()
        time.sleep(POLL_S)
    if not status.lock:  # no worker ever had it
        raise LaunchError(f"{status.state}: {status.reason}; {run.log_file} has the rest")
    command = attach_command(run.path)
    say(f"the worker runs on {host}" + (f"\n{command} shows its terminal" if command else ""))
    return run


def _why_it_waits(run: RunFolder, waited_s: float) -> str:
    """Return why a run does not start yet; nothing where it may start at any moment."""
    queue = Queue.here()
    if queue.is_drained:
        return "the queue is drained; it starts after `rlmaster queue open`"
    slots = queue.slots()
    all_taken = bool(slots) and set(slots) <= set(held_slots())
    if waited_s < LEAST_WAIT_S or not (all_taken or waited_s > LONGEST_WAIT_S):
        return ""
    ahead = queue.position(run.id) or 0
    others = f" behind {ahead} other{'s'[: ahead != 1]}" if ahead else ""
    return f"it waits for a slot{others}, and starts by itself"
