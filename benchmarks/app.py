"""How long the app takes until one sees the runs, answers a key and is gone, and what it holds.

It runs in a terminal of its own (a pty of 140 x 45), over a project whose hosts.toml also names a
computer that takes connections and never answers. Beside each measurement an empty app of the same
framework is measured, which is what no app of it can be faster than.

    .venv/bin/python benchmarks/app.py --runs 0 1000 10000
"""

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _many_runs import make_runs
from _terminal import Terminal

KEYS = 20
"""Presses of a key in each round; the median of all counts."""
EMPTY_APP = """
from textual.app import App
from textual.widgets import Footer, Static

class Empty(App):
    BINDINGS = [("q", "quit", "Quit"), ("j", "count", "Count")]
    number = 0

    def compose(self):
        yield Static("nothing here")
        yield Footer()

    def action_count(self):
        self.number += 1
        self.query_one(Static).update(f"pressed {self.number}")

Empty().run()
"""


@dataclass(frozen=True)
class Measured:
    """What one start of an app took, in seconds and bytes."""

    first_paint_s: float
    keys_s: list[float]
    exit_s: float
    memory_bytes: int


def main() -> None:
    """Make the runs, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[0, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=5, help="starts in each median")
    arguments = parser.parse_args()
    print("medians; in brackets the smallest and the largest, and the ratio to an empty app")
    for count in arguments.runs:
        with _project(count) as (project, first_sight):
            _measure(project, count, first_sight, arguments.rounds)


@contextmanager
def _project(count: int) -> Generator[tuple[Path, str]]:
    """Give a project with so many runs, and a word that is seen once its list is."""
    folder = Path(tempfile.mkdtemp(prefix="rlmaster-benchmark-"))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it listens, and is mute
        address = f"nobody@127.0.0.1:{silent.getsockname()[1]}"
        hosts = (
            f'[hosts.local]\nkind = "local"\n[hosts.mute]\nkind = "ssh"\naddress = "{address}"\n'
        )
        try:
            (folder / "experiments").mkdir()
            (folder / "hosts.toml").write_text(hosts)
            names = make_runs(folder / "runs", count)
            if names:
                command = [sys.executable, "-m", "rlmaster", "runs", "--limit", "1"]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
            yield folder, names[-1] if names else "There are no runs yet"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _measure(project: Path, count: int, first_sight: str, rounds: int) -> None:
    ours, empty = list[Measured](), list[Measured]()
    for _ in range(rounds):
        keys = b"jk" if count else b""  # which move a cursor, where there is one
        ours.append(_start([sys.executable, "-m", "rlmaster"], project, first_sight, keys))
        empty.append(_start([sys.executable, "-c", EMPTY_APP], project, "nothing here", b"jj"))
    print(f"\n{count:,} runs, median of {rounds} starts")
    _print("first paint", "ms", 1000, ours, empty, lambda one: [one.first_paint_s])
    if count:
        _print("key to screen", "ms", 1000, ours, empty, lambda one: one.keys_s)
    _print("exit", "ms", 1000, ours, empty, lambda one: [one.exit_s])
    _print("memory", "MB", 1e-6, ours, empty, lambda one: [one.memory_bytes])


def _print(
    name: str,
    unit: str,
    scale: float,
    ours: Sequence[Measured],
    empty: Sequence[Measured],
    values: Callable[[Measured], Sequence[float]],
) -> None:
    found = [value * scale for one in ours for value in values(one)]
    least = [value * scale for one in empty for value in values(one)]
    median, floor = statistics.median(found), statistics.median(least)
    print(
        f"  {name:14} {median:7.0f} {unit}  ({min(found):.0f} to {max(found):.0f};"
        f" {median / floor:.2f} x {floor:.0f})",
        flush=True,
    )


def _start(command: list[str], project: Path, first_sight: str, keys: bytes) -> Measured:
    """Start an app, press keys in turn, quit it."""
    began = time.perf_counter()
    with Terminal(command, project) as terminal:
        first_paint_s = terminal.wait_for(first_sight.encode()) - began
        terminal.wait_for_silence()
        presses = [keys[number % 2 :][:1] for number in range(KEYS)] if keys else []
        keys_s = [terminal.press(key) for key in presses]
        memory_bytes = terminal.memory_bytes()
        asked = time.perf_counter()
        terminal.send(b"q")
        return Measured(first_paint_s, keys_s, terminal.wait_for_end() - asked, memory_bytes)


if __name__ == "__main__":
    main()
