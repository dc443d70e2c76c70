"""Workers on this computer: detached, so that they outlive the terminal that started them."""

import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlmaster.errors import HostError
from rlmaster.hosts import tmux
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import lock_folder

_NOT_INHERITED = frozenset({"TMUX", "TMUX_PANE"})
"""They name the terminal of the launching person, where the worker is not."""


@dataclass(frozen=True)
class StartedWorker:
    """How a worker was started."""

    how: str
    """`tmux` or `setsid`."""
    note: str
    """What a person should know about it, in one sentence; often empty."""
    attach_command: str | None
    """What to type to look into its terminal; None where it has none."""


def start_worker(
    run_path: Path, *, python: str, code_folder: Path, environment: Mapping[str, str] | None = None
) -> StartedWorker:
    """Start `python -m rlmaster.worker RUN` detached: in tmux or, where that fails, without.

    The worker has the environment of the process that launches it, also under a tmux server that
    is older than it. What it writes to stderr goes to the run's log, so that a worker that cannot
    even start leaves its words there. Whether it lives is for the caller to find out.

    Args:
        run_path: The run folder; a worker of it that already runs in tmux is left alone.
        python: Interpreter, as a path (`~` is the home folder) or a name on PATH.
        code_folder: Folder that holds the package `rlmaster` to run; the worker's current folder.
        environment: Environment of the worker; that of this process by default.

    Raises:
        HostError: If there is no such code, or no process can be started.
    """
    if not (code_folder / "rlmaster").is_dir():
        raise HostError(f"{code_folder} holds no package rlmaster, so no worker can start from it")
    run_path, code_folder = run_path.absolute(), code_folder.absolute()
    inherited = _worker_environment(os.environ if environment is None else environment, code_folder)
    script = _write_script(run_path, python, code_folder, inherited)
    command = ["/bin/sh", str(script)]
    name = tmux.session_name(run_path.name)
    try:
        started = tmux.start_session(name, command, inherited)
    except HostError as error:
        _start_in_session(command, inherited)
        note = f"{error}, so the worker has no terminal that one could attach to"
        return StartedWorker("setsid", note, None)
    if not started:
        script.unlink()
    note = "" if started else "a worker of this run was in tmux already"
    return StartedWorker("tmux", note, tmux.attach_command(name, inherited))


def _worker_environment(environment: Mapping[str, str], code_folder: Path) -> dict[str, str]:
    inherited = {name: text for name, text in environment.items() if name not in _NOT_INHERITED}
    path = [str(code_folder), *filter(None, [environment.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _write_script(
    run_path: Path, python: str, code_folder: Path, environment: Mapping[str, str]
) -> Path:
    """Write the shell script that becomes the worker, and removes itself before.

    A file, because tmux takes commands of 16 kB at most, and because everybody on the machine can
    read a command's arguments, but the environment may hold secrets.
    """
    handle, path = tempfile.mkstemp(prefix=f"{run_path.name}.", suffix=".start", dir=lock_folder())
    variables = [f"{name}={text}" for name, text in environment.items()]
    program = [str(Path(python).expanduser()), "-m", "rlmaster.worker", str(run_path)]
    script = " && ".join(
        [
            shlex.join(["rm", "-f", path]),
            f"exec 2>>{shlex.quote(str(RunFolder(run_path).log_file))}",
            shlex.join(["cd", str(code_folder)]),
            shlex.join(["exec", "env", "-i", *variables, *program]),
        ]
    )
    with os.fdopen(handle, "wb") as file:
        file.write(os.fsencode(script) + b"\n")
    return Path(path)


def _start_in_session(command: list[str], environment: Mapping[str, str]) -> None:
    """Start a program in a session of its own, which no terminal's end reaches."""
    nothing = [
        (os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in range(3)
    ]
    try:
        os.posix_spawn(command[0], command, environment, file_actions=nothing, setsid=True)
    except OSError as error:
        raise HostError(f"no worker can be started here: {error.strerror or error}") from error
