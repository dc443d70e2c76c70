"""`rlmaster queue`: what waits on this computer, in which order, and whether it starts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, RunsArgument, find_run_folder
from rlmaster.cli.terminal import answer, answer_json, say
from rlmaster.errors import RunFolderError

if TYPE_CHECKING:
    from rlmaster.hosts.queue import Waiting

UNITS_S = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
"""Units in which a wait is told, the largest first."""

queue_app = typer.Typer(
    help="What waits on this computer, in which order, and whether it starts.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@queue_app.callback()
def queue_command(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show what computes on this computer and what waits for a slot, the next one first."""
    if context.invoked_subcommand is not None:
        return
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import wake_queue_runner
    from rlmaster.run_lock import held_slots

    wake_queue_runner()
    queue = Queue.here()
    slots = [_slot_row(slot) for slot in held_slots()]
    waiting = [_waiting_row(waiting) for waiting in queue.waiting()]
    if as_json:
        answer_json({"slots": slots, "waiting": waiting, "drained": queue.is_drained})
        return
    if queue.is_drained:
        answer("drained: nothing is started until `rlmaster queue open`")
    for row in slots:
        answer(f"{row['slot']:>8}  {row['short_id']}  {row['name']}")
    for number, row in enumerate(waiting, start=1):
        answer(f"{number:>8}  {row['short_id']}  {row['name']}{_waits_for(row['queued'])}")
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


def _waits_for(queued: str | None) -> str:
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
    if not Queue.here().move_to_front(folder.id):
        raise RunFolderError(f"run {folder.short_id} does not wait: it is {folder.status().state}")
    say(f"run {folder.short_id} is the next to start")
    if as_json:
        answer_json({"run_id": folder.id, "ahead": Queue.here().position(folder.id)})


@queue_app.command("remove")
def remove_command(runs: RunsArgument, as_json: JsonOption = False) -> None:
    """Take waiting runs out of the queue; `rlmaster resume` puts one back."""
    from rlmaster.lifecycle import stop
    from rlmaster.run_status import WAITING_STATES

    rows: list[dict[str, str]] = []
    for run in runs:
        folder, _ = find_run_folder(run)
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
def drain_command(as_json: JsonOption = False) -> None:
    """Start nothing more on this computer; what runs goes on."""
    from rlmaster.hosts.queue import Queue

    queue = Queue.here()
    queue.drain()
    say("nothing more is started here until `rlmaster queue open`")
    if as_json:
        answer_json({"drained": queue.is_drained, "waiting": len(queue.waiting())})


@queue_app.command("open")
def open_command(as_json: JsonOption = False) -> None:
    """Start waiting runs again."""
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import wake_queue_runner

    queue = Queue.here()
    queue.open()
    wake_queue_runner()
    waiting = len(queue.waiting())
    say(f"waiting runs are started again: {waiting}")
    if as_json:
        answer_json({"drained": queue.is_drained, "waiting": waiting})
