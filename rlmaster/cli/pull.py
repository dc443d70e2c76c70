"""`rlmaster pull`: bring files of a run from the host that it is made on."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, find_run_folder
from rlmaster.cli.storage import readable
from rlmaster.cli.terminal import (
    INTERRUPTED,
    answer,
    answer_json,
    asking_person,
    plain,
    say,
)
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.fleet.pull import OnProgress, Pulled, PullProgress
    from rlmaster.fleet.run_files import Selection
    from rlmaster.hosts.inventory import Host
    from rlmaster.run_folder import RunFolder

LINE_EVERY_S = 10.0
"""How often a line is said where there is no terminal."""


def pull_command(
    run: RunArgument = "last",
    replay: Annotated[
        bool, typer.Option("--replay", help="The frames that it has collected.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that it has written there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring files of a run from its host, verified; what was cut goes on where it was.

    By default what a run that has ended leaves: videos, tensors, previews, the best checkpoint.
    """
    from rlmaster.fleet.pull import refuse_unless_elsewhere
    from rlmaster.fleet.run_files import Selection
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    if replay and everything:
        raise UsageError("--all brings the frames too; give one of --replay and --all")
    folder, _ = find_run_folder(run)
    placement = refuse_unless_elsewhere(folder)
    what = Selection.ALL if everything else Selection.REPLAY if replay else Selection.END
    host = read_inventory(Project.containing(folder.path).hosts_file).find(placement.host)
    try:
        pulled = _pull(folder, host, what)
    except KeyboardInterrupt:
        say("interrupted; what has come stays, and the next pull goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    say(_summary(pulled, host.name))
    if as_json:
        names = ("fetched", "unchanged", "missed", "fetched_bytes")
        facts = {"run_id": folder.id, "run_folder": str(folder.path), "host": host.name}
        answer_json({**facts, **{name: getattr(pulled, name) for name in names}})
    else:
        answer(str(folder.path))
    raise typer.Exit(int(bool(pulled.missed)))


def _pull(run: "RunFolder", host: "Host", what: "Selection") -> "Pulled":
    from rlmaster.fleet.pull import pull
    from rlmaster.hosts.remote import RemoteHost

    say(f"connecting to {host.name}")
    with RemoteHost.connect(host, ask=asking_person()) as remote, _shown() as show:
        return pull(remote, run, what, show)


def _summary(pulled: "Pulled", host: str) -> str:
    size = readable(pulled.fetched_bytes)
    came = f"{len(pulled.fetched):,} files came from {host} ({size})"
    here = f", {len(pulled.unchanged):,} were here already" if pulled.unchanged else ""
    missed = f"; these changed there meanwhile: {', '.join(pulled.missed)}" if pulled.missed else ""
    return f"{came}{here}{missed}"


@contextmanager
def _shown() -> "Generator[OnProgress]":
    """Give what shows how far a pull is: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[amount]}", markup=False),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing", total=None, amount="")

        def show(progress: "PullProgress") -> None:
            what = plain(progress.path) or "comparing"
            done, total = progress.done_bytes, progress.total_bytes or None
            bar.update(
                task, description=what, completed=done, total=total, amount=_amount(progress)
            )

        yield show


class _Lines:
    """Says how far a pull is now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + LINE_EVERY_S

    def __call__(self, progress: "PullProgress") -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + LINE_EVERY_S
            say(f"{_amount(progress)} {progress.path}".strip())


def _amount(progress: "PullProgress") -> str:
    """Return how much has come, of how much, and how fast: `3.1 MB of 86 MB, 4.2 MB/s`."""
    if not progress.total_bytes:
        return ""
    amount = f"{readable(progress.done_bytes)} of {readable(progress.total_bytes)}"
    return f"{amount}, {readable(progress.rate_bytes_per_s)}/s"
