"""Launching: snapshot the code, make the run folder, queue the run, see it begin.

Each step may be cut: what counts as a run is whole, and whoever looks after it goes on from there.
"""

import platform
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rlmaster.durable_files import JsonObject, link_or_copy, utc_now
from rlmaster.earlier_runs import EarlierRuns, find_earlier_runs, resolve_earlier_runs
from rlmaster.earlier_runs.encoder import digest_over_seeds
from rlmaster.earlier_runs.weights import FILES
from rlmaster.errors import LaunchError, UsageError
from rlmaster.experiment_script import ScriptDescription
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.queue import Queue
from rlmaster.hosts.selection import Ranked
from rlmaster.hosts.slots import threads_per_slot
from rlmaster.lifecycle import enqueue
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import State
from rlmaster.snapshot import Snapshot, git_state, take_snapshot
from rlmaster.starting import Say, await_start

Ask = Callable[[str], str | None]
"""Asks a person for the passphrase of a key file; None where nobody answers."""


@dataclass(frozen=True)
class HostChoice:
    """Where a run goes, and the ranking that was known when that was decided."""

    host: Host
    """A host of the inventory."""
    asked_for: str
    """What the person said: a host's name, or `auto`."""
    ranking: Sequence[Ranked]

    @property
    def threads(self) -> int:
        """Cores that the run has to itself, fixed from its launch on."""
        probes = [ranked.probe for ranked in self.ranking if ranked.host == self.host.name]
        return threads_per_slot(probes[0], self.host.slot_rules) if probes and probes[0] else 1

    def to_data(self) -> JsonObject:
        """Return what provenance keeps of the decision."""
        return {
            "host": self.host.name,
            "kind": self.host.kind,
            "threads": self.threads,
            "asked_for": self.asked_for,
            "ranking": [{"host": r.host, "fits": r.fits, "reason": r.reason} for r in self.ranking],
            "decided": utc_now(),
        }


class Destination(Protocol):
    """Where a run goes, and what is done to get it there."""

    def has(self, parent: RunFolder) -> bool:
        """Tell whether another run is made there, and not here."""
        ...

    def place(self, run: RunFolder) -> JsonObject:
        """Decide where exactly the run is made, before it is one; return it for provenance."""
        ...

    def begin(self, run: RunFolder) -> None:
        """Let the run, which is whole now and whose lock is held here, be made there."""
        ...

    def await_start(self, run: RunFolder) -> None:
        """Return once the run has begun, or is known to wait."""
        ...


class Here:
    """This computer, as a destination."""

    def __init__(self, choice: HostChoice, say: Say) -> None:
        """Go to this computer."""
        self._choice, self._say = choice, say

    def has(self, parent: RunFolder) -> bool:
        """Tell that a run which is made here needs no other place."""
        return False

    def place(self, run: RunFolder) -> JsonObject:
        """Return where the run is made."""
        return {
            "computer": platform.node(),
            "python": self._choice.host.python or sys.executable,
            "folder": str(run.path.absolute()),
        }

    def begin(self, run: RunFolder) -> None:
        """Queue the run.

        Raises:
            HostError: If the queue cannot be written.
        """
        Queue.here().write_rules(self._choice.host.slot_rules)
        enqueue(run, run.status().enter(State.QUEUED, host=platform.node()))

    def await_start(self, run: RunFolder) -> None:
        """Return once the run has begun, or is known to wait.

        Raises:
            LaunchError: If its worker does not begin.
        """
        await_start(run, self._choice.host.name, self._say)


def launch(
    project: Project,
    description: ScriptDescription,
    *,
    rationale: str,
    host: HostChoice,
    snapshot: Snapshot | None = None,
    say: Say = print,
    ask: Ask | None = None,
) -> RunFolder:
    """Queue a new run and return its folder once its worker lives, or it is known to wait.

    Args:
        project: Where the run is kept and whose code it trains with.
        description: The experiment, as its script says.
        rationale: Why the run is made.
        host: Where it goes.
        snapshot: The code that it trains with; None to keep what the project has now.
        say: Told each step as it happens, one sentence each.
        ask: Asks for the passphrase of an encrypted key; None where nobody is there.

    Raises:
        UsageError: If the rationale is empty, the script is not in the project, or what it wants of
            an earlier run does not fit, or is not all here.
        HostError: If the host cannot be reached; a run that is made by then is kept, and goes there
            by itself. Also if the queue cannot be written.
        LaunchError: If the worker does not begin; the run is kept, as failed.
    """
    script = _relative(description.file, project)
    (description,) = resolve_earlier_runs([description], project.runs, say)
    with _reached(project, host, say, ask) as destination:
        new = _NewRun(project, description, rationale, script, host, snapshot=snapshot)
        new.takes = find_earlier_runs(description.experiment, project.runs)
        with new.made(destination, say) as run:
            pass
        destination.await_start(run)
    return run


def branch(  # noqa: PLR0913 - each is another thing to decide
    project: Project,
    parent: RunFolder,
    description: ScriptDescription,
    *,
    rationale: str,
    host: HostChoice,
    checkpoint: Path | None,
    snapshot: Snapshot | None = None,
    say: Say = print,
    ask: Ask | None = None,
) -> RunFolder:
    """Queue a new run that goes on from where another one was; its parent stays as it is.

    Args:
        project: Where both are kept.
        parent: The run that it builds on.
        description: The parent's experiment with what is changed.
        rationale: Why the run is made.
        host: Where it goes.
        checkpoint: The parent's checkpoint to go on from, which may be on the parent's host alone;
            None to begin anew.
        snapshot: The code that it trains with; None to keep what the project has now.
        say: Told each step as it happens, one sentence each.
        ask: Asks for the passphrase of an encrypted key; None where nobody is there.

    Raises:
        UsageError: If the rationale is empty, or what it wants of an earlier run does not fit, or
            is not all here.
        HostError: If a host cannot be reached; a run that is made by then is kept, and goes there
            by itself. Also if the queue cannot be written.
        LaunchError: If the parent's files cannot be brought along, or the worker does not begin.
    """
    script = str(parent.provenance().get("script") or "")
    if checkpoint is None:
        (description,) = resolve_earlier_runs([description], project.runs, say)
    with _reached(project, host, say, ask) as destination:
        new = _NewRun(project, description, rationale, script, host, parent, snapshot=snapshot)
        is_there = checkpoint is not None and destination.has(parent)
        if checkpoint is None:
            new.takes = find_earlier_runs(description.experiment, project.runs)
        else:
            new.encoder_from = parent.encoder_from()
        if checkpoint is not None and is_there:
            new.goes_on_from = _start_there(parent, checkpoint)
        elif checkpoint is not None and not parent.is_here():
            _fetch(project, parent, checkpoint, say, ask)
        with new.made(destination, say) as run:
            if checkpoint is not None and parent.policy.is_dir():
                _bring_along(parent, {parent.policy: run.policy})
            if checkpoint is not None and not is_there:
                kept = run.checkpoints / checkpoint.name
                _bring_along(parent, {checkpoint: kept, parent.replay: run.replay})
        destination.await_start(run)
    return run


@contextmanager
def _reached(
    project: Project, choice: HostChoice, say: Say, ask: Ask | None
) -> Generator[Destination]:
    """Reach the host of a launch.

    Raises:
        HostError: If it cannot be reached; nothing has been made by then.
    """
    if choice.host.kind == "local":
        yield Here(choice, say)
        return
    # Here, since it takes a tenth of a second that a launch on this computer need not wait.
    from rlmaster.fleet.destination import Elsewhere

    with Elsewhere.reached(project, choice.host, choice.threads, say, ask) as destination:
        yield destination


@dataclass
class _NewRun:
    """A run that is about to be made."""

    project: Project
    description: ScriptDescription
    rationale: str
    script: str
    choice: HostChoice
    parent: RunFolder | None = None
    goes_on_from: JsonObject = field(default_factory=JsonObject)
    """What it takes from its parent on the host that both are on, as provenance keeps it."""
    snapshot: Snapshot | None = None
    """The code that it trains with; None until that is kept."""
    takes: EarlierRuns = field(default_factory=EarlierRuns)
    """What it takes along of earlier runs; nothing where it goes on from its parent."""
    encoder_from: JsonObject = field(default_factory=JsonObject)
    """What trained the embedder that its agent, or its parent's, began with, for provenance."""

    @contextmanager
    def made(self, destination: Destination, say: Say) -> Generator[RunFolder]:
        """Make the run folder, let the caller fill it further, and let the run begin.

        Its lock is held all the time, so that nobody takes an unfinished launch for a cut one.
        """
        if not self.rationale.strip():
            raise UsageError("the rationale is empty; say in a few words why this run is made")
        snapshot = self.snapshot or keep_code(self.project, say)
        run = RunFolder.reserve(self.project.runs, str(self.description.experiment["name"]))
        with _removed_unless_whole(run), RunLock(run.id) as lock:
            lock.take()  # which nobody else can have heard of
            self._take(run, say)
            yield run
            self._fill(run, snapshot, destination.place(run))
            say(f"run {run.short_id} is in {run.path}")
            destination.begin(run)

    def _take(self, run: RunFolder, say: Say) -> None:
        """Bring along what it takes of earlier runs."""
        if frames := self.takes.frames:
            _bring_along(frames, {frames.replay: run.replay})
        if policy := self.takes.policy:
            policy.bring(run.policy)
            say(f"its frames are played by {policy}")
        if encoder := self.takes.encoder:
            files = {encoder.checkpoint / name: run.encoder_weights / name for name in FILES}
            _bring_along(encoder.run, files)
            self.encoder_from = encoder.to_data()
            say(f"its encoder begins as {encoder.checkpoint.name} of run {encoder.run.short_id}")

    def _fill(self, run: RunFolder, snapshot: Snapshot, place: JsonObject) -> None:
        experiment = self.description.experiment
        provenance: JsonObject = {
            "script": self.script,
            "description": self.description.description,
            "experiment": experiment,
            "git": git_state(self.project.root),
            "snapshot": {"digest": snapshot.digest, "left_out": snapshot.left_out},
            "host_choice": {**self.choice.to_data(), **place},
        }
        if self.goes_on_from:
            provenance["goes_on_from"] = self.goes_on_from
        if self.encoder_from:
            provenance["encoder_from"] = self.encoder_from
        run.fill(
            config=experiment,
            rationale=self.rationale,
            provenance=provenance,
            digests={
                "experiment": digest_over_seeds(experiment, self.project.runs),
                "snapshot": snapshot.digest,
            },
            differs_from_default=self.description.differs_from_default,
            parents=self._parents(),
        )

    def _parents(self) -> list[str]:
        """Return the runs that it builds on, each once."""
        own = [self.parent.id] if self.parent else []
        return list(dict.fromkeys([*own, *self.takes.ids]))


def keep_code(project: Project, say: Say) -> Snapshot:
    """Keep the project's code beside its runs.

    Raises:
        LaunchError: If it is too large, or cannot be read or written.
    """
    snapshot = take_snapshot(project)
    say(f"code kept as snapshot {snapshot.digest[:12]}")
    if snapshot.left_out:
        say(f"left out of the snapshot: {', '.join(snapshot.left_out)}")
    return snapshot


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


def _bring_along(parent: RunFolder, kept: Mapping[Path, Path]) -> None:
    """Give a new run files or folders of another one, by where they go.

    They never change once they are written, so they are the same files where the disk allows it.
    """
    try:
        for source, target in kept.items():
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                _copy_tree(source, target)
            else:
                link_or_copy(source, target)
    except OSError as error:
        raise LaunchError(
            f"what run {parent.short_id} has kept cannot be brought along ({error}); "
            "free some space, or copy its folder again"
        ) from error


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a folder as links, for none of its files is ever changed in place."""
    shutil.copytree(
        source, target, copy_function=lambda file, copy: link_or_copy(Path(file), Path(copy))
    )


def _start_there(parent: RunFolder, checkpoint: Path) -> JsonObject:
    """Return what a branch takes from a parent that is on the host where it goes itself."""
    placement = parent.placement()
    return {"folder": placement.folder if placement else "", "checkpoint": checkpoint.name}


def _fetch(
    project: Project, parent: RunFolder, checkpoint: Path, say: Say, ask: Ask | None
) -> None:
    """Bring what a branch takes from a parent that is on another computer.

    Raises:
        HostError: If its host cannot be asked.
    """
    from rlmaster.fleet.parents import fetch_start

    fetch_start(project, parent, checkpoint.name, say, ask)
