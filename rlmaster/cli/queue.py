"""`rlmaster queue`: what waits on this computer, in which order, and whether it starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, RunsArgument, find_run_folder
from rlmaster.cli.terminal import answer, answer_json, say
from rlmaster.errors import RunFolderError

if TYPE_CHECKING:
    from rlmaster.hosts.queue import Waiting

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
    slots = [_slot_row(slot) for slot, held in sorted(held_slots().items()) if held]
    waiting = [_waiting_row(waiting) for waiting in queue.waiting()]
    if as_json:
        answer_json({"slots": slots, "waiting": waiting, "drained": queue.is_drained})
        return
    if queue.is_drained:
        answer("drained: nothing is started until `rlmaster queue open`")
    for row in slots:
        answer(f"{row['slot']:>8}  {row['short_id']}  {row['name']}")
    for number, row in enumerate(waiting, start=1):
        answer(f"{number:>8}  {row['short_id']}  {row['name']}  waits since {row['queued']}")
    if not slots and not waiting:
        answer("nothing runs and nothing waits")


def _slot_row(slot: str) -> dict[str, Any]:
    from rlmaster.run_lock import SlotLock

    with SlotLock(slot) as lock:
        return {"slot": slot, **_run_row(lock.holder() or Path("starting"))}


def _waiting_row(waiting: "Waiting") -> dict[str, Any]:
    ticket = waiting.ticket()
    folder = Path(ticket.run_folder) if ticket else Path("unreadable", waiting.run_id)
    queued = ticket.queued[:16].replace("T", " ") if ticket else "?"
    return {**_run_row(folder), "attempt": waiting.attempt, "queued": queued}


def _run_row(path: Path) -> dict[str, Any]:
    from rlmaster.run_folder import RunFolder

    run = RunFolder(path)
    return {"run_id": run.id, "short_id": run.short_id, "name": run.name, "run_folder": str(path)}


@queue_app.command("front")
def front_command(run: RunArgument) -> None:
    """Let a run be the next to start."""
    from rlmaster.hosts.queue import Queue

    folder, _ = find_run_folder(run)
    if not Queue.here().move_to_front(folder.id):
        raise RunFolderError(f"run {folder.short_id} does not wait: it is {folder.status().state}")
    say(f"run {folder.short_id} is the next to start")


@queue_app.command("remove")
def remove_command(runs: RunsArgument) -> None:
    """Take waiting runs out of the queue; `rlmaster resume` puts one back."""
    from rlmaster.lifecycle import stop
    from rlmaster.run_status import WAITING_STATES

    for run in runs:
        folder, _ = find_run_folder(run)
        if (state := folder.status().state) not in WAITING_STATES:
            raise RunFolderError(
                f"run {folder.short_id} is {state}, not waiting; `rlmaster stop` ends one that runs"
            )
        say(f"run {folder.short_id} is {stop(folder).state}")


@queue_app.command("drain")
def drain_command() -> None:
    """Start nothing more on this computer; what runs goes on."""
    from rlmaster.hosts.queue import Queue

    Queue.here().drain()
    say("nothing more is started here until `rlmaster queue open`")


@queue_app.command("open")
def open_command() -> None:
    """Start waiting runs again."""
    from rlmaster.hosts.queue import Queue
    from rlmaster.lifecycle import wake_queue_runner

    queue = Queue.here()
    queue.open()
    wake_queue_runner()
    say(f"waiting runs are started again: {len(queue.waiting())}")
