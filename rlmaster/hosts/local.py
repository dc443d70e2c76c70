"""Workers, and the queue runner, on this computer: detached, so that they outlive the terminal."""

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlmaster.errors import HostError
from rlmaster.hosts import tmux
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import QueueRunnerLock, is_free, lock_folder

_NOT_INHERITED = frozenset({"TMUX", "TMUX_PANE"})
"""They name the terminal of the launching person, where the worker is not."""

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
"""What holds the package `rlmaster` that this process runs."""


@dataclass(frozen=True)
class StartedProcess:
    """How a process was started that outlives the one that started it."""

    how: str
    """`tmux` or `setsid`."""
    note: str
    """What a person should know about it, in one sentence; often empty."""
    attach_command: str | None
    """What to type to look into its terminal; None where it has none."""
    session: str = ""
    """Its tmux session, if it has one."""
    pid: int | None = None
    """Its process, where it is our child."""

    def lives(self) -> bool:
        """Tell whether it still runs; only who started it may ask."""
        if self.pid is None:
            return tmux.has_session(self.session, os.environ)
        try:
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            return False


def start_worker(
    run_path: Path,
    *,
    python: str,
    code_folder: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> StartedProcess:
    """Start `python -m rlmaster.worker RUN` detached: in tmux or, where that fails, without.

    What it writes to stderr goes to the run's log, so that a worker that cannot even start leaves
    its words there. Whether it lives is for the caller to find out.

    Args:
        run_path: The run folder; a worker of it that already runs in tmux is left alone.
        python: Interpreter, as a path (`~` is the home folder) or a name on PATH.
        code_folder: Folder that holds the package `rlmaster` to run; the worker's current folder.
        arguments: What comes after the run folder.
        environment: Environment of the worker; that of this process by default.

    Raises:
        HostError: If there is no such code, or no process can be started.
    """
    run_path = run_path.absolute()
    return _start(
        run_path.name,
        [str(Path(python).expanduser()), "-m", "rlmaster.worker", str(run_path), *arguments],
        code_folder=code_folder,
        log=RunFolder(run_path).log_file,
        environment=os.environ if environment is None else environment,
    )


def start_follower(run_path: Path, environment: Mapping[str, str] | None = None) -> None:
    """Start the process that tells people of a run, and makes its report once it has ended.

    Several may be started: one at a time follows.

    Args:
        run_path: The run folder.
        environment: Its environment, with the way to a desktop; that of this process by default.

    Raises:
        HostError: If no process can be started.
    """
    program = [sys.executable, "-m", "rlmaster", "follow", str(run_path.absolute()), "--quiet"]
    _start_in_session(
        ["/bin/sh", "-c", 'exec nice -n 10 "$@"', "nice", *program],  # what computes comes first
        _with_code(os.environ if environment is None else environment, PACKAGE_FOLDER),
    )


def start_watcher(project_root: Path) -> None:
    """Start the process that brings here what runs of a project on other computers write.

    Several may be started: one at a time follows.

    Args:
        project_root: The project's folder.

    Raises:
        HostError: If no process can be started.
    """
    program = [sys.executable, "-m", "rlmaster", "watch", "--quiet"]
    environment = {**os.environ, "RLMASTER_PROJECT": str(project_root.absolute())}
    _start_in_session(
        ["/bin/sh", "-c", 'exec nice -n 10 "$@"', "nice", *program],
        _with_code(environment, PACKAGE_FOLDER),
    )


def start_queue_runner(name: str) -> None:
    """Start the process that starts the waiting runs of a queue, unless it lives.

    Args:
        name: What the queue calls it.

    Raises:
        HostError: If no process can be started.
    """
    if is_free(QueueRunnerLock(name)):
        _start(
            name,
            [sys.executable, "-m", "rlmaster.hosts.queue_runner"],
            code_folder=PACKAGE_FOLDER,
            log=lock_folder() / f"{name}.log",
            environment=os.environ,
            beside=True,  # one that is just ending may still have its session
        )


def attach_command(run_path: Path) -> str | None:
    """Return what to type to look into a worker's terminal; None where it has none."""
    session = tmux.session_name(run_path.name)
    if not tmux.has_session(session, os.environ):
        return None
    return tmux.attach_command(session, os.environ)


def _start(
    name: str,
    program: Sequence[str],
    *,
    code_folder: Path,
    log: Path,
    environment: Mapping[str, str],
    beside: bool = False,
) -> StartedProcess:
    """Start a program with our code, detached, in an environment of its own.

    Where there is a session of its name already, nothing is started, unless `beside` is set.
    """
    if not (code_folder / "rlmaster").is_dir():
        raise HostError(f"{code_folder} holds no package rlmaster, so nothing can start from it")
    code_folder = code_folder.absolute()
    inherited = _with_code(environment, code_folder)
    script = _write_script(name, program, code_folder, log, inherited)
    command = ["/bin/sh", str(script)]
    session = tmux.session_name(name)
    try:
        note = _start_in_tmux(session, command, inherited, beside=beside)
    except HostError as error:
        try:
            pid = _start_in_session(command, inherited)
        except HostError:
            script.unlink(missing_ok=True)  # it may hold secrets, and nobody else would remove it
            raise
        note = f"{error}, so the worker has no terminal that one could attach to"
        return StartedProcess("setsid", note, None, pid=pid)
    if note:
        script.unlink(missing_ok=True)
    return StartedProcess("tmux", note, tmux.attach_command(session, inherited), session)


def _start_in_tmux(
    session: str, command: list[str], environment: Mapping[str, str], *, beside: bool
) -> str:
    """Start a program in a session; return why not, where there is one of that name already.

    Raises:
        HostError: If tmux does not do it, or it shall be started beside that session.
    """
    if tmux.start_session(session, command, environment):
        return ""
    if beside:
        raise HostError(f"there is a tmux session {session} already")
    return "a worker of this run was in tmux already"


def _with_code(environment: Mapping[str, str], code_folder: Path) -> dict[str, str]:
    inherited = {name: text for name, text in environment.items() if name not in _NOT_INHERITED}
    path = [str(code_folder), *filter(None, [environment.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _write_script(
    name: str,
    program: Sequence[str],
    code_folder: Path,
    log: Path,
    environment: Mapping[str, str],
) -> Path:
    """Write the shell script that becomes the program, and removes itself before.

    A file, because tmux takes commands of 16 kB at most, and because everybody on the machine can
    read a command's arguments, but the environment may hold secrets.
    """
    handle, path = tempfile.mkstemp(prefix=f"{name}.", suffix=".start", dir=lock_folder())
    variables = [f"{name}={text}" for name, text in environment.items()]
    script = " && ".join(
        [
            shlex.join(["rm", "-f", path]),
            f"exec 2>>{shlex.quote(str(log))}",
            shlex.join(["cd", str(code_folder)]),
            shlex.join(["exec", "env", "-i", *variables, *program]),
        ]
    )
    with os.fdopen(handle, "wb") as file:
        file.write(os.fsencode(script) + b"\n")
    return Path(path)


def _start_in_session(command: list[str], environment: Mapping[str, str]) -> int:
    """Start a program in a session of its own, which no terminal's end reaches; return its id."""
    nothing = [
        (os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in range(3)
    ]
    try:
        return os.posix_spawn(command[0], command, environment, file_actions=nothing, setsid=True)
    except OSError as error:
        raise HostError(f"no process can be started here: {error.strerror or error}") from error
