"""Acts on the life of runs: stop, resume, move, delete and bring back."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from textual.content import Content

from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.storage import Meter, measure_run
from tui.acts.actions import RunAtHand
from tui.acts.stage import Stage
from tui.acts.stops import PendingStops
from tui.children.commands import CommandCancelledError
from tui.screens.action_menu import ActionMenu, Entry
from tui.screens.dialogs import CommandScreen, ConfirmScreen
from tui.threads import in_thread
from tui.words.plain_text import one_line
from tui.words.wording import size

SHOWN_RUNS = 6
"""How many runs a question names one by one."""


class Living:
    """Stops, resumes, moves, deletes and restores runs."""

    def __init__(self, stage: Stage) -> None:
        """Begin with nothing to take back."""
        self._stage = stage
        self.stops = PendingStops(stage)
        self._deleted: list[list[RunAtHand]] = []

    # ------------------------------------------------------------------------------------ undo

    @property
    def can_undo(self) -> bool:
        """Whether something can be taken back."""
        return bool(self.stops) or bool(self._deleted)

    async def undo(self) -> None:
        """Take back the stops that are not asked for yet, or else the last deletion."""
        if self.stops:
            self.stops.take_back()
        elif self._deleted:
            for run in self._deleted.pop():
                await self._restore(run.short_id)

    async def restore_last(self) -> None:
        """Bring back what was deleted last, by whomever."""
        await self._restore("last")

    async def _restore(self, run: str) -> None:
        answer = await self._stage.act(["restore", run, "--json"])
        if answer is not None:
            self._stage.say(f"{one_line(str(answer.get('name')))} is back: {answer.get('run_id')}")

    # ----------------------------------------------------------------------- stop and go on

    async def stop(self, runs: Sequence[RunAtHand]) -> None:
        """Stop runs in a moment, so that it can be taken back."""
        self.stops.add(runs)

    async def abandon(self, runs: Sequence[RunAtHand]) -> None:
        """Give up a run of a computer that does not answer, after saying what that means."""
        run = runs[0]
        question = Content(
            f"{run.host} is {run.silence}.\n\n"
            f"To give up {run.label} means: here it counts as lost and can be resumed on another "
            f"computer from what has come over. If it still lives on {run.host}, it is ended as "
            "soon as that answers, and what it made meanwhile is not counted."
        )
        if await self._stage.ask(ConfirmScreen(question, "y", "Give it up")):
            await self._tell_of(run, ["stop", str(run.path), "--abandon", "--no-wait", "--json"])

    async def resume(self, runs: Sequence[RunAtHand]) -> None:
        """Go on with runs, one after the other."""
        for run in runs:
            await self._tell_of(run, ["resume", str(run.path), "--detach", "--json"])

    async def move(self, runs: Sequence[RunAtHand]) -> None:
        """Go on with a run on a computer that the person chooses."""
        listed = await self._stage.ask(
            CommandScreen("Hosts", self._stage.command, ["hosts", "--json"], closes_itself=True)
        )
        entries = [_host_entry(row) for row in _rows(listed or {}, "hosts")]
        if not entries:
            return
        run = runs[0]
        host = await self._stage.ask(ActionMenu(f"Resume {run.label} on", entries))
        if host is not None:
            arguments = ["resume", str(run.path), "--host", host, "--detach", "--json"]
            title = f"Resume {run.label} on {one_line(host)}"
            await self._stage.ask(CommandScreen(title, self._stage.command, arguments))

    async def _tell_of(self, run: RunAtHand, arguments: Sequence[str]) -> None:
        """Run a command on a run, and say how the run stands then."""
        answer = await self._stage.act(arguments)
        if answer is None:
            return
        rows = _rows(answer, "runs")
        state = one_line(str((rows[0] if rows else answer).get("state") or "under way"))
        self._stage.say(f"{run.label} is {state}")

    # ----------------------------------------------------------------------------- delete

    async def delete(self, runs: Sequence[RunAtHand]) -> None:
        """Move runs to the trash, once it is said what goes."""
        try:
            losses = await in_thread(lambda cancelled: measure(runs, cancelled))
        except OSError as error:
            self._stage.complain(f"{runs[0].label} cannot be read ({error.strerror}); try again")
            return
        if not await self._stage.ask(ConfirmScreen(what_goes(losses), "y", "Delete")):
            return
        paths = [str(run.path) for run in runs]
        answer = await self._stage.act(["delete", *paths, "--yes", "--json"])
        if answer is None:
            return
        gone = {str(row.get("id")) for row in _rows(answer, "runs") if not row.get("error")}
        self._deleted.append([run for run in runs if run.path.name in gone])
        self._stage.app.screen.refresh_bindings()
        words = runs[0].label if len(runs) == 1 else f"{len(gone)} runs"
        self._stage.say(f"{words} went to the trash; u brings back what was deleted last")


def _rows(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = cast("list[object]", answer.get(key) or [])
    return [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, dict)]


def _host_entry(row: Mapping[str, Any]) -> Entry:
    name, reason = str(row.get("name")), one_line(str(row.get("reason") or ""))
    style = "" if row.get("fits") else "$foreground-muted"
    return Entry(name, "", Content.assemble((one_line(name), f"bold {style}"), f"  {reason}"))


# ------------------------------------------------------------------------------- what is lost


@dataclass(frozen=True)
class Loss:
    """What goes with a run."""

    run: RunAtHand
    bytes_by_kind: Mapping[str, int]
    built_on_by: Sequence[str]
    """Runs that build on it, safe to show."""

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(self.bytes_by_kind.values())


def measure(runs: Sequence[RunAtHand], cancelled: threading.Event) -> list[Loss]:
    """Find out what goes with runs, in the calling thread.

    Raises:
        OSError: If a run is gone.
        CommandCancelledError: If nobody wants to know any more.
    """

    def leave_if_unwanted(_files: int) -> None:
        if cancelled.is_set():
            raise CommandCancelledError

    meter = Meter(leave_if_unwanted)
    ids = {run.path.name for run in runs}
    losses: list[Loss] = []
    with RunIndex(runs[0].path.parent.parent) as index:
        for run in runs:
            leave_if_unwanted(0)
            children = [row for row in index.children(run.path.name) if row.id not in ids]
            names = [one_line(f"{row.name} {row.short_id}") for row in children]
            room = measure_run(RunFolder(run.path), meter)
            losses.append(Loss(run, room.bytes_by_kind, names))
    return losses


def what_goes(losses: Sequence[Loss]) -> Content:
    """Say what goes to the trash, and who will miss it."""
    total = sum(loss.size_bytes for loss in losses)
    counted = "This run goes" if len(losses) == 1 else f"These {len(losses)} runs go"
    parts = [Content.assemble(f"{counted} to the trash, with ", (size(total), "bold"))]
    children = sorted({name for loss in losses for name in loss.built_on_by})
    if children:
        shown = ", ".join(children[:SHOWN_RUNS]) + (" …" if len(children) > SHOWN_RUNS else "")
        parts.append(Content.styled(f"These runs build on it: {shown}", "$text-warning"))
    if hosts := sorted({loss.run.host for loss in losses} - {""}):
        parts.append(Content(f"What is on {', '.join(hosts)} of it stays there."))
    parts.append(Content.styled("It can be brought back until `rlmaster gc`.", "$text-muted"))
    parts += [_loss_lines(loss) for loss in losses[:SHOWN_RUNS]]
    if rest := losses[SHOWN_RUNS:]:
        parts.append(Content(f"  and {len(rest)} more"))
    return Content("\n").join(parts)


def _loss_lines(loss: Loss) -> Content:
    kinds = ", ".join(f"{kind} {size(count)}" for kind, count in loss.bytes_by_kind.items())
    return Content.assemble(
        (f"  {loss.run.label}", "bold"),
        (f"  {loss.run.state}  {size(loss.size_bytes)}\n", "$text-muted"),
        (f"    {kinds}", "$text-muted"),
    )
