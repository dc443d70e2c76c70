"""`rlmaster tensorboard`: show the scalars and pictures of runs in a browser, on this computer."""

import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import LAST, JsonOption, complete_run, find_run_folder
from rlmaster.cli.terminal import INTERRUPTED, answer, answer_json, nobody_reads, say
from rlmaster.errors import HostError

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder

ADDRESS = "127.0.0.1"
"""Whoever is on another computer has no business with it."""
START_S = 60.0
"""How long TensorBoard, which loads a lot, may take until it answers."""
POLL_S = 0.2
LEAVE_S = 3.0
SERVING = re.compile(rb"http://[^/\s]+:(\d+)/")
LAST_LINES = 3


def tensorboard_command(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Six characters, paths, or unique parts; the newest run by default.",
            autocompletion=complete_run,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where it listens; 0 is any free port.")
    ] = 0,
    opens: Annotated[
        bool, typer.Option("--open/--no-open", help="Open its page in the browser.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Start TensorBoard on runs, and keep it until Ctrl-C; it listens on this computer only."""
    folders = list(
        {(run := find_run_folder(text)[0]).path: run for text in runs or [LAST]}.values()
    )
    words = f"run {folders[0].short_id}" if len(folders) == 1 else f"{len(folders)} runs"
    say(f"starting TensorBoard on {words}")
    try:
        with _links(folders) as place, _served(place, port) as (board, said):
            url = _await_answer(board, said)
            if as_json:
                answer_json({"url": url, "runs": [run.id for run in folders]})
            else:
                answer(url)
            if opens:
                _open(url)
            say("Ctrl-C ends it")
            _keep(board)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _links(folders: "Sequence[RunFolder]") -> Generator[Path]:
    """Give a folder with a link to the event files of each run, by a name that people know."""
    with tempfile.TemporaryDirectory(prefix="rlmaster-tensorboard-") as place:
        for run in folders:
            (Path(place) / f"{run.name}-{run.short_id}").symlink_to(run.tensorboard.absolute())
        yield Path(place)


@contextmanager
def _served(place: Path, port: int) -> "Generator[tuple[subprocess.Popen[bytes], Path]]":
    """Run TensorBoard on a folder, and end it on leaving; what it says is in a file."""
    options = [f"--logdir={place}", f"--host={ADDRESS}", f"--port={port}", "--load_fast=false"]
    said = place / ".said"
    with said.open("wb") as output:
        # A group of its own, so that Ctrl-C reaches it once, from here.
        board = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield board, said
    finally:
        board.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            board.wait(LEAVE_S)
        board.kill()
        board.wait()


def _await_answer(board: "subprocess.Popen[bytes]", said: Path) -> str:
    """Return the address of the page once it is served.

    Raises:
        HostError: If it ends, or is not served in time.
    """
    deadline = time.monotonic() + START_S
    while board.poll() is None and time.monotonic() < deadline:
        found = SERVING.search(said.read_bytes())
        if found and _answers(int(found[1])):
            return f"http://{ADDRESS}:{int(found[1])}/"
        time.sleep(POLL_S)
    lines = said.read_text(errors="replace").strip().splitlines()[-LAST_LINES:]
    raise HostError(
        "TensorBoard did not start" + (f": {' '.join(lines)}" if lines else "; try another --port")
    )


def _answers(port: int) -> bool:
    import http.client  # which no other command needs

    connection = http.client.HTTPConnection(ADDRESS, port, timeout=START_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _open(url: str) -> None:
    from rlmaster.opening import open_it

    if not open_it(url, threading.Event()):
        say("there is no desktop here to open it; take the address to a browser on this computer")


def _keep(board: "subprocess.Popen[bytes]") -> None:
    """Wait until it ends, or nobody reads what was answered any more.

    Raises:
        HostError: If it ends by itself.
    """
    while board.poll() is None:
        if nobody_reads():
            return
        time.sleep(POLL_S)
    raise HostError(f"TensorBoard ended with exit code {board.returncode}; start it again")
