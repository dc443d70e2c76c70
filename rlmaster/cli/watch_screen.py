"""What `rlmaster watch` shows: a table of hosts on a terminal, a line for each change elsewhere."""

import json
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlmaster.cli.terminal import ask_passphrase, asking_person, nobody_reads, plain, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rlmaster.fleet.happenings import Happening, HostSeen
    from rlmaster.run_folder import RunFolder
    from rlmaster.ssh.connection import AskPassphrase

REFRESH_S = 0.5


class Lines:
    """A line for each change, for logs, pipes and programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self.ask: AskPassphrase | None = asking_person()

    def tell(self, happening: "Happening") -> None:
        """Show what happened."""
        with self._lock:
            if self._as_json:
                sys.stdout.write(json.dumps(happening.to_data(), ensure_ascii=False) + "\n")
                sys.stdout.flush()
            elif sentence := _sentence(happening):
                say(sentence)

    def say(self, sentence: str) -> None:
        """Tell a person something."""
        with self._lock:
            say(sentence)

    def is_read(self) -> bool:
        """Tell whether somebody may still look: a program that does not is gone."""
        return not (self._as_json and nobody_reads())

    def show(self) -> None:
        """Go on until a Ctrl-C, or until nobody looks any more."""
        while self.is_read():
            self.show_for(REFRESH_S)

    def show_for(self, seconds: float) -> None:
        """Go on for a while."""
        self._is_over.wait(seconds)


class HostTable(Lines):
    """Hosts with their live runs, drawn anew every moment; what else happens scrolls by above."""

    def __init__(self, runs: Path) -> None:
        """Prepare; nothing is drawn yet."""
        from rich.console import Console
        from rich.live import Live

        super().__init__(as_json=False)
        self._runs = runs
        self.live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False)
        if self.ask:
            self.ask = self._ask_beside

    def tell(self, happening: "Happening") -> None:
        """Show what the table does not."""
        from rlmaster.fleet.happenings import RunEnded, Trouble

        if isinstance(happening, RunEnded | Trouble):
            self.say(_sentence(happening))

    def say(self, sentence: str) -> None:
        """Tell a person something, above the table."""
        from rich.text import Text

        with self._lock:
            self.live.console.print(Text(plain(sentence)))

    def show_for(self, seconds: float) -> None:
        """Draw the table, and let it be looked at for a while."""
        with self._lock:
            self.live.update(host_table(self._runs), refresh=True)
        self._is_over.wait(seconds)

    def _ask_beside(self, key: str) -> str | None:
        """Ask for a passphrase while the table rests."""
        with self._lock:
            self.live.stop()
            try:
                return ask_passphrase(key)
            finally:
                self.live.start()


@contextmanager
def open_screen(runs: Path, *, as_json: bool) -> Generator[Lines]:
    """Give what suits whoever looks: a table on a terminal, lines elsewhere.

    Args:
        runs: Where the project keeps its runs.
        as_json: Whether a program looks.
    """
    if as_json or not sys.stderr.isatty():
        yield Lines(as_json=as_json)
        return
    table = HostTable(runs)
    with table.live:
        yield table


def _sentence(happening: "Happening") -> str:
    """Return what people are told of a change; nothing of bytes that have come."""
    from rlmaster.fleet.happenings import HostSeen, RunEnded, Trouble

    match happening:
        case HostSeen():
            return _seen(happening)
        case RunEnded():
            short_id = happening.run_folder.name.rpartition("-")[2]
            return f"run {short_id} on {happening.host} is {happening.state}"
        case Trouble():
            is_named = happening.host in happening.reason
            return happening.reason if is_named else f"{happening.host}: {happening.reason}"
        case _:
            return ""


def _seen(seen: "HostSeen") -> str:
    return f"{seen.host} answers" if seen.reachable else f"{seen.host} unreachable: {seen.reason}"


def host_table(runs: Path) -> "RenderableType":
    """Return hosts and what is made on them, as it is known here."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from rlmaster.fleet.duties import hosts_of
    from rlmaster.fleet.owed import owed
    from rlmaster.hosts.reachability import unreachable_since

    by_host: dict[str, list[RunFolder]] = {}
    for run in owed(runs):
        for host in hosts_of(run):
            by_host.setdefault(host, []).append(run)
    parts: list[RenderableType] = []
    for host, its_runs in sorted(by_host.items()):
        trouble = unreachable_since(runs, host)
        words, colour = (plain(str(trouble)), "red") if trouble else ("reachable", "green")
        parts.append(Text.assemble((host, "bold"), "  ", (words, colour)))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for run in its_runs:
            table.add_row(*map(Text, _cells(run)))
        parts.append(table)
    return Group(*parts or [Text("no run is made on another computer now")])


def _cells(run: "RunFolder") -> Iterator[str]:
    """Yield what a line says of a run."""
    from rlmaster.cli.progress import pace, values

    status, progress = run.status(), run.progress()
    share = f" {progress.step / progress.total:.0%}" if progress.total else ""
    yield plain(run.short_id)
    yield plain(run.name)
    yield f"{status.state}{share}"
    yield plain("  ".join(part for part in (pace(progress), values(progress)) if part))
