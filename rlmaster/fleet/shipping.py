"""Handing runs over: a host gets their code and their folder, and begins with them.

What is wanted of a run is in its folder here: where (its placement) and which attempt (its status).
Handing over brings that about, and may be cut and repeated: what is on the host already is found
there, and a run that it has begun with is not begun again.
"""

import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError, RunFolderError
from rlmaster.fleet.answers import status_in, text_in
from rlmaster.fleet.parcel import Content, Parcel
from rlmaster.fleet.placing import Placed
from rlmaster.fleet.session import HostSession, Say
from rlmaster.fleet.there import placement_of
from rlmaster.hosts.inventory import Host
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, WAITING_STATES, State, Status
from rlmaster.snapshot import DERIVED

ADOPT_S = 120.0
"""A host tells within this whether the run has begun; a worker usually has within 35 s."""
STAYS_HERE = frozenset({"report", "plots", "requests"})
"""What is made here from a run, and what was asked of earlier attempts."""
NEVER_CHANGED = ("checkpoints", "replay", "encoder", "policy")
"""Folders whose files are never changed once they are written, so that they can be links."""
UNFINISHED = (".partial-", ".report-")
"""How the names of folders begin that are not whole yet."""
LARGE_BYTES = 64 * 2**20
"""So much takes a moment to compare, about which a person is told."""
PROGRESS_S = 5.0
"""Between two words about how far sending is."""
MADE_AT_LAUNCH = ("requests", "events", "previews")
"""Folders that a run has from its launch on."""


def placement_on(
    session: HostSession, run: RunFolder, attempt: int, threads: int | None = None
) -> Placement:
    """Return the placement of a run that is to be made on a host.

    Args:
        session: The host.
        run: The run.
        attempt: The first attempt that is made there.
        threads: Cores that it has to itself; None for as many as it had.

    Raises:
        HostError: If the host has no environment for it yet.
    """
    before = run.placement()
    if threads is None:
        threads = before.threads if before else int(run.host_choice().get("threads") or 1)
    return Placement(
        host=session.host.name,
        kind=session.host.kind,
        computer=session.computer,
        machine=session.machine,
        folder=session.folder_of(run),
        workspace=session.workspace,
        python=session.python,
        threads=threads,
        from_attempt=attempt,
        left=before.left if before else (),
    )


def hand_over(session: HostSession, run: RunFolder, say: Say) -> Status:
    """See to it that the host has a run, and begins with the attempt that is wanted of it.

    The caller holds the run's lock here. It returns once the host has begun, or is known to let it
    wait; how it stands there is written here, except for an end, which is written when all is here.

    Args:
        session: The host that the run's placement names.
        run: The run.
        say: Told each step as it happens, one sentence each.

    Returns:
        How the run stands there.

    Raises:
        HostError: If the host cannot do it, or is lost meanwhile.
        RunFolderError: If something of the run that it needs is missing here.
    """
    placement = _checked_placement(session, run)
    wanted = run.status()
    if tools := session.ship_tools():
        say(f"RLmaster itself {_described(tools, session.host)}")
    _ship(run, placement, session, say)
    answer = session.rlmaster(
        "adopt", placement.folder, *_rules(session.host, wanted.attempt), timeout_s=ADOPT_S
    )
    status = status_in(answer, run.id, session.host.name)
    _tell(answer, status, session.host, say)
    _write_down(run, wanted, status)
    return status


def _checked_placement(session: HostSession, run: RunFolder) -> Placement:
    """Return where a run is made, if that is where the session leads.

    Raises:
        HostError: If the host of that name is another computer now.
    """
    placement = placement_of(run)
    if placement.machine != session.machine:
        raise HostError(
            f"{session.host.name} is another computer than the one that run {run.short_id} is for "
            f"(now {session.machine}, then {placement.machine}); correct its address, or take the "
            f"run to another host: `rlmaster stop --abandon {run.short_id}`, then `rlmaster resume "
            f"{run.short_id} --host NAME`"
        )
    return placement


# ---------------------------------------------------------------------------------- shipping


def _ship(run: RunFolder, placement: Placement, session: HostSession, say: Say) -> None:
    code, folder = _code_parcel(run, session), _run_parcel(run, placement, session)
    name, progress = session.host.name, _Progress(session.host.name, say)
    with session.placing() as placing:
        if placing.has(code):
            say(f"the code is on {name} already")
        else:
            say(f"code {_described(placing.place(code, progress), session.host)}")
        if not placing.has(folder):
            if (size_bytes := folder.size_bytes()) > LARGE_BYTES:
                say(f"comparing the {_amount(size_bytes)} of the run with what {name} has of them")
            say(f"run folder {_described(placing.place(folder, progress), session.host)}")


class _Progress:
    """Says now and then how far sending is."""

    def __init__(self, host: str, say: Say) -> None:
        """Begin; nothing is said at once."""
        self._host, self._say = host, say
        self._next_s = time.monotonic() + PROGRESS_S

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        """Say so, if it is time."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PROGRESS_S
            self._say(f"{_amount(done_bytes)} of {_amount(total_bytes)} sent to {self._host}")


def _described(placed: Placed, host: Host) -> str:
    return f"shipped to {host.name}: {_amount(placed.sent_bytes)} in {placed.seconds:.1f} s"


def _amount(size_bytes: int) -> str:
    if size_bytes < 1e6:
        return f"{max(1, round(size_bytes / 1e3))} kB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"


def _code_parcel(run: RunFolder, session: HostSession) -> Parcel:
    """Return the code that a run is made with.

    Raises:
        RunFolderError: If it is gone.
    """
    code = run.code_folder()
    files = (path for path in _files(code) if DERIVED not in path.parts)
    contents = [Content(path.relative_to(code).as_posix(), path) for path in files]
    return Parcel(f"{session.runs}/.snapshots/{code.name}", contents)


def _run_parcel(run: RunFolder, placement: Placement, session: HostSession) -> Parcel:
    """Return the folder of a run, with all that is here of it but what is made of it here."""
    place_there = _place_there(run, placement, session)
    contents: list[Content] = []
    for path in _files(run.path):
        name = path.relative_to(run.path).as_posix()
        outermost = name.partition("/")[0]
        if outermost not in STAYS_HERE:
            is_there = bool(place_there) and outermost in NEVER_CHANGED
            contents.append(Content(name, path, f"{place_there}/{name}" if is_there else ""))
    return Parcel(
        target=placement.folder,
        contents=contents,
        folders=MADE_AT_LAUNCH,
        trees=_trees(run, placement),
        run_id=run.id,
        replace_below_attempt=placement.from_attempt,
    )


def _place_there(run: RunFolder, placement: Placement, session: HostSession) -> str:
    """Return a folder on the host in which files of the run may lie already; empty without one.

    That is the folder of an earlier attempt there, or of the run that this one goes on from.
    """
    if placement.from_attempt > 1:
        return placement.folder
    for parent in cast("list[Any]", run.run().get("parents") or []):
        for path in run.path.parent.parent.glob(f"[!.]*/{Path(str(parent)).name}"):
            where = RunFolder(path).placement()
            if where and where.machine == session.machine:
                return where.folder
    return ""


def _trees(run: RunFolder, placement: Placement) -> dict[str, str]:
    """Return what a branch takes from its parent on the host, by where it goes."""
    source = run.goes_on_from()
    if not source or placement.from_attempt > 1:
        return {}
    places = (f"checkpoints/{source.get('checkpoint')}", "replay")
    return {place: f"{source.get('folder')}/{place}" for place in places}


def _files(folder: Path) -> Iterator[Path]:
    """Yield every regular file that is no part of an unfinished write, by name.

    Raises:
        RunFolderError: If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        reason = f"{error.filename} cannot be read ({error.strerror or error})"
        raise RunFolderError(f"{reason}, so it cannot be sent; make it readable") from error

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(UNFINISHED))
        for name in sorted(names):
            path = Path(root, name)
            if not path.is_symlink() and path.is_file() and not _is_unfinished(name):
                yield path


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith((".tmp", ".partial"))


# ---------------------------------------------------------------------------------- adopting


def _rules(host: Host, attempt: int) -> list[str]:
    """Return what a host is told beside a run: its slots as hosts.toml has them, the attempt."""
    rules = ["--attempt", str(attempt), "--slots-per-gpu", str(host.slots_per_gpu)]
    return rules if host.cpu_slots is None else [*rules, "--cpu-slots", str(host.cpu_slots)]


def _tell(answer: JsonObject, status: Status, host: Host, say: Say) -> None:
    """Say whether the run has begun."""
    if status.state in WAITING_STATES:
        waits = text_in(answer, "waits") or "it waits for a slot, and starts by itself"
        if answer.get("is_drained") is True:
            waits = (
                f"its queue is drained; it starts after `rlmaster hosts drain {host.name} --open`"
            )
        say(f"{waits}. `rlmaster queue --host {host.name}` shows what waits")
    elif status.state is State.RUNNING:
        say(f"the worker runs on {host.name}")
        if attach := text_in(answer, "attach"):
            say(f"{_ssh_command(host)} {shlex.quote(attach)} shows its terminal")


def _ssh_command(host: Host) -> str:
    address = host.ssh_address
    return f"ssh -t {shlex.quote(f'ssh://{address}' if ':' in address else address)}"


def _write_down(run: RunFolder, wanted: Status, status: Status) -> None:
    """Write how a run stands there, if that is not known here yet.

    Raises:
        HostError: If the host has another attempt than the one that is wanted.
    """
    if status.attempt < wanted.attempt:
        raise HostError(
            f"run {run.short_id} is {status.state} in attempt {status.attempt} there, and does not "
            f"go on: {status.reason or 'it does not say why'}"
        )
    if status.state in FINAL_STATES:  # the end is written when all that belongs to it is here
        status = replace(status, state=State.RUNNING, reason="", exit_code=None, signal=None)
    if wanted.state not in FINAL_STATES:
        run.write_status(status)
