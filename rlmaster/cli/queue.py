"""`rlmaster queue`: what waits on a computer, in which order, and whether it starts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, RunsArgument, find_run_folder
from rlmaster.cli.terminal import answer, answer_json, asking_person, say
from rlmaster.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from rlmaster.durable_files import JsonObject
    from rlmaster.hosts.queue import Waiting

UNITS_S = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
"""Units in which a wait is told, the largest first."""

HostOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="A host of hosts.toml; by default, this one.")
]

queue_app = typer.Typer(
    help="What waits on a computer, in which order, and whether it starts.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@queue_app.callback()
def queue_command(
    context: typer.Context, host: HostOption = None, as_json: JsonOption = False
) -> None:
    """Show what computes on a computer and what waits for a slot, the next one first."""
    if context.invoked_subcommand is not None:
        if host is not None:
            raise UsageError("write --host NAME behind `drain` or `open`; a run has its own host")
        return
    found = _queue_here() if host is None else ask_there(host, "queue")
    if as_json:
        answer_json(found)
    else:
        _show(found, reopened_by=f"rlmaster queue open{f' --host {host}' if host else ''}")


def _queue_here() -> dict[str, Any]:
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import wake_queue_runner
    from rlmaster.run_lock import held_slots

    wake_queue_runner()
    queue = Queue.here()
    slots = [_slot_row(slot) for slot in held_slots()]
    waiting = [_waiting_row(waiting) for waiting in queue.waiting()]
    return {"slots": slots, "waiting": waiting, "drained": queue.is_drained}


def _show(found: dict[str, Any], reopened_by: str) -> None:
    """Show a queue; one of another computer may say anything."""
    from rlmaster.fleet.answers import entries_in

    slots, waiting = entries_in(found, "slots"), entries_in(found, "waiting")
    if found.get("drained"):
        answer(f"drained: nothing is started until `{reopened_by}`")
    for row in slots:
        answer(f"{row.get('slot')!s:>8}  {row.get('short_id')}  {row.get('name')}")
    for number, row in enumerate(waiting, start=1):
        waits = _waits_for(row.get("queued"))
        answer(f"{number:>8}  {row.get('short_id')}  {row.get('name')}{waits}")
    if not slots and not waiting:
        answer("nothing runs and nothing waits")


def _slot_row(slot: str) -> dict[str, Any]:
    from rlmaster.run_lock import SlotLock

    with SlotLock(slot) as lock:
        return {"slot": slot, **_run_row(lock.holder() or Path("starting"))}


def _waiting_row(waiting: "Waiting") -> dict[str, Any]:
    ticket = waiting.ticket()
    folder = Path(ticket.run_folder) if ticket else Path("unreadable", waiting.run_id)
    queued = ticket.queued if ticket else None
    return {**_run_row(folder), "attempt": waiting.attempt, "queued": queued}


def _waits_for(queued: Any) -> str:
    """Say how long a run has waited, such as `3 min`; nothing where that is not known."""
    try:
        waited_s = (datetime.now(UTC) - datetime.fromisoformat(queued or "")).total_seconds()
    except (TypeError, ValueError):
        return ""
    waited = (f"{waited_s // size_s:.0f} {u}" for u, size_s in UNITS_S if waited_s >= size_s)
    return f"  waits for {next(waited, 'a moment')}"


def _run_row(path: Path) -> dict[str, Any]:
    from rlmaster.run_folder import RunFolder

    run = RunFolder(path)
    return {"run_id": run.id, "short_id": run.short_id, "name": run.name, "run_folder": str(path)}


@queue_app.command("front")
def front_command(run: RunArgument, as_json: JsonOption = False) -> None:
    """Let a run be the next to start."""
    from rlmaster.hosts.queue import Queue

    folder, _ = find_run_folder(run)
    if placement := folder.elsewhere():
        ahead = ask_there(placement.host, "queue", "front", placement.folder).get("ahead")
    elif Queue.here().move_to_front(folder.id):
        ahead = Queue.here().position(folder.id)
    else:
        raise RunFolderError(f"run {folder.short_id} does not wait: it is {folder.status().state}")
    say(f"run {folder.short_id} is the next to start")
    if as_json:
        answer_json({"run_id": folder.id, "ahead": ahead})


@queue_app.command("remove")
def remove_command(runs: RunsArgument, as_json: JsonOption = False) -> None:
    """Take waiting runs out of the queue; `rlmaster resume` puts one back."""
    from rlmaster.fleet.answers import entries_in
    from rlmaster.lifecycle import stop
    from rlmaster.run_status import WAITING_STATES

    rows: list[dict[str, Any]] = []
    for run in runs:
        folder, _ = find_run_folder(run)
        if placement := folder.elsewhere():
            found = ask_there(placement.host, "queue", "remove", placement.folder)
            rows += entries_in(found, "runs")
            say(f"run {folder.short_id} is taken out of the queue of {placement.host}")
            continue
        if (state := folder.status().state) not in WAITING_STATES:
            raise RunFolderError(
                f"run {folder.short_id} is {state}, not waiting; `rlmaster stop` ends one that runs"
            )
        status = stop(folder)
        say(f"run {folder.short_id} is {status.state}")
        rows.append({"run_id": folder.id, "state": status.state, "reason": status.reason})
    if as_json:
        answer_json({"runs": rows})


@queue_app.command("drain")
def drain_command(host: HostOption = None, as_json: JsonOption = False) -> None:
    """Start nothing more on a computer; what runs goes on."""
    from rlmaster.hosts.queue import Queue

    if host is not None:
        found = ask_there(host, "queue", "drain")
        say(f"nothing more is started on {host} until `rlmaster queue open --host {host}`")
    else:
        queue = Queue.here()
        queue.drain()
        found = {"drained": queue.is_drained, "waiting": len(queue.waiting())}
        say("nothing more is started here until `rlmaster queue open`")
    if as_json:
        answer_json(found)


@queue_app.command("open")
def open_command(host: HostOption = None, as_json: JsonOption = False) -> None:
    """Start waiting runs again."""
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import wake_queue_runner

    if host is not None:
        found = ask_there(host, "queue", "open")
    else:
        queue = Queue.here()
        queue.open()
        wake_queue_runner()
        found = {"drained": queue.is_drained, "waiting": len(queue.waiting())}
    say(f"waiting runs are started again: {found.get('waiting')}")
    if as_json:
        answer_json(found)


def ask_there(host: str, *arguments: str) -> "JsonObject":
    """Let a host do what `rlmaster ARGUMENTS` does, and return its answer.

    Raises:
        InventoryError: If no host is called that.
        HostError: If it cannot be asked, or refuses.
    """
    from rlmaster.fleet.session import HostSession
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    found = read_inventory(project.hosts_file).find(host)
    if found.kind == "local":
        raise UsageError(f"{host} is this computer; leave out --host")
    say(f"connecting to {host}")
    with HostSession.connect(project, found, ask=asking_person()) as session:
        return session.rlmaster(*arguments)
