"""Make the Python environment of a workspace, or check one.

Sent to `python3` on any host, so it needs nothing but Python 3.8 and its standard library. Its one
argument is a JSON object that says what to do; it prints JSON lines: `{"say": ...}` while it works,
`{"result": ...}` once at the end. When its input ends, whoever asked is gone, and it ends too with
all that it started.

An environment `environments/<name>` is a symbolic link into a hidden folder beside it, and comes
last. So what it names is always whole, although an environment cannot be renamed once it is made.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

NOTE_EVERY_S = 10.0
"""Whoever waits hears at least this often that something is going on."""
SILENCE_S = 900.0
"""A program that says nothing for so long is taken to hang; torch alone may load for minutes."""
WAIT_S = 3600.0
"""How long another one that makes the same environment is waited for."""
KEPT_LINES = 60
NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
"""They would lead packages elsewhere."""
ABOUT_PYTHON = """\
import importlib.util, json, sys
specs = [importlib.util.find_spec(name) for name in ("venv", "ensurepip")]
whole = all(spec and spec.origin for spec in specs)
print(json.dumps([sys.executable, list(sys.version_info[:3]), whole]))
"""
MAKER = "made-on"
"""File that holds the name of the computer that made an environment."""
FROM_FILE = re.compile(r" \(from .*/pins\.txt \(line \d+\)\)$")
"""What pip adds to each line, a long path for nothing."""
LIBC = ctypes.CDLL(None)
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

making: dict[str, Any] = {"child": None, "folder": None}
"""What must not outlive whoever asked: a running program, a folder that is not whole."""
may_begin = threading.Lock()
"""Held while a program begins, and for good once whoever asked is gone."""
REMOVALS = 50
"""What is still being written comes back while it is removed, so that is tried again."""


class Failed(Exception):  # noqa: N818  not an error of the script: the answer
    """Why it cannot be done, as facts for whoever asked."""

    def __init__(self, what: str, **facts: Any) -> None:
        """Keep what failed, such as `command`, and the facts about it."""
        super().__init__(what)
        self.answer = {"failed": what, **facts}


def write(message: dict[str, Any]) -> None:
    """Print one line for whoever asked."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell a person what is being done."""
    write({"say": text[:300]})


def end_with_input() -> None:
    """Read stdin to its end, then end: whoever asked is gone."""
    with suppress(OSError):
        while sys.stdin.buffer.read(4096):
            pass
    may_begin.acquire()
    child, folder = making["child"], making["folder"]
    if child is not None:
        with suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if folder is not None:
        remove(folder)
    os._exit(1)


def remove(folder: Path) -> None:
    """Remove a folder that others, who are about to end, may still write into."""
    for _ in range(REMOVALS):
        shutil.rmtree(str(folder), ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)


# ------------------------------------------------------------------------------ running programs


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed."""
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL)


def run(step: str, command: list[str], folder: Path, lock: int) -> None:
    """Run a program to its end, passing on what it says.

    It holds our lock too, so that nobody begins anew while it lives.
    """
    with may_begin:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(TMPDIR=str(folder / "tmp")),
            cwd="/",
            start_new_session=True,
            pass_fds=(lock,),
            preexec_fn=die_with_parent,
        )
        making["child"] = child
    lines, silent = pass_on(step, child)
    code = child.wait()
    making["child"] = None
    if silent or code:
        raise Failed("command", step=step, lines=lines, silent=silent, free_bytes=free(folder))


def pass_on(step: str, child: subprocess.Popen[bytes]) -> tuple[list[str], bool]:
    """Tell what a program says until it ends; return its last lines, and whether it fell silent."""
    said: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        assert child.stdout
        while line := child.stdout.readline(4096):
            said.put(line)
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    lines: list[str] = []
    silent_s = 0.0
    while silent_s < SILENCE_S:
        try:
            line = said.get(timeout=NOTE_EVERY_S)
        except queue.Empty:
            silent_s += NOTE_EVERY_S
            say(f"still at it: {lines[-1] if lines else step}")
            continue
        if line is None:
            return lines, False
        silent_s = 0.0
        if text := FROM_FILE.sub("", line.decode(errors="replace").strip()):
            lines = [*lines, text][-KEPT_LINES:]
            say(text)
    os.killpg(child.pid, signal.SIGKILL)
    return lines, True


def clean_environment(**more: str) -> dict[str, str]:
    """Return our environment without what would lead packages elsewhere."""
    kept = {name: text for name, text in os.environ.items() if name not in NOT_INHERITED}
    return {**kept, **more}


def ask(command: list[str], seconds: float) -> str:
    """Return what a program prints; nothing where it cannot be started, fails or hangs."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        done = subprocess.run(
            command,
            stdin=nothing,
            stdout=pipe,
            stderr=nothing,
            env=clean_environment(),
            cwd="/",
            timeout=seconds,
            check=True,
            preexec_fn=die_with_parent,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def free(folder: Path) -> int:
    """Return how many bytes may be written where a folder lies, or lay."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


# ------------------------------------------------------------------------------------- making one


def make(task: dict[str, Any]) -> dict[str, Any]:
    """Make the environment of a name, unless it is there."""
    environments = Path(task["workspace"]).expanduser().resolve() / "environments"
    environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = environments / task["name"]
    python = str(link / "bin" / "python")
    lock = take_lock(environments, task["name"])
    if is_whole(link):
        return {**check(task, python), "made": False}
    refuse_if_elsewhere(link)
    remove_leftovers(environments, task["name"])
    folder = making["folder"] = environments / f".{task['name']}.{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        checked = fill(folder, task, lock)
        put_link(link, folder)
    except BaseException:
        remove(folder)
        raise
    making["folder"] = None
    return {**checked, "executable": python, "made": True}


def take_lock(environments: Path, name: str) -> int:
    """Take the lock of an environment, waiting for whoever makes or removes it now.

    It lies in the workspace and not in /tmp: several computers may share the workspace.
    """
    handle = os.open(str(environments / f".{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + WAIT_S
    next_note = 0.0
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        if time.monotonic() >= next_note:
            say("waiting for somebody else who is making the same environment")
            next_note = time.monotonic() + NOTE_EVERY_S
        time.sleep(0.1)
    raise Failed("busy")


def is_whole(link: Path) -> bool:
    """Tell whether an environment is there; one whose Python is gone cannot start and is not."""
    return link.is_symlink() and ask([str(link / "bin" / "python"), "-c", "print(1)"], 60) == "1\n"


def refuse_if_elsewhere(link: Path) -> None:
    """Leave alone what cannot start here but may on the computer that made it in a shared home."""
    try:
        computer = (link / ".." / MAKER).read_text(errors="replace").strip()
    except OSError:
        return
    if computer != os.uname().nodename:
        raise Failed("elsewhere", computer=computer, path=str(link))


def remove_leftovers(environments: Path, name: str) -> None:
    """Remove what others who were killed began; the lock of the name must be ours."""
    for folder in environments.glob(f".{name}.*"):
        if folder.is_dir() and not folder.is_symlink():
            say("removing what was begun earlier")
            shutil.rmtree(str(folder), ignore_errors=True)


def fill(folder: Path, task: dict[str, Any], lock: int) -> dict[str, Any]:
    """Make the environment in a folder of its own, by uv where it is there, else by pip."""
    (folder / "tmp").mkdir()  # a wheel of torch may be larger than /tmp
    pins, target = folder / "pins.txt", folder / "environment"
    pins.write_text(task["pins"])
    (folder / MAKER).write_text(os.uname().nodename)
    python = str(target / "bin" / "python")
    uv = shutil.which("uv", path=search_path())
    source = choose_python(task["oldest"], task["prefer"], uv)
    say(f"making an environment of Python {source} with {uv or 'pip'}")
    if uv:
        run("uv venv", [uv, "venv", "--python", source, str(target)], folder, lock)
        install = [uv, "pip", "install", "--no-progress", "--python", python]
    else:
        run("python -m venv", [source, "-m", "venv", str(target)], folder, lock)
        install = [python, "-m", "pip", "install", "--progress-bar", "off", "--no-input"]
        install.append("--disable-pip-version-check")
    run(f"{'uv ' if uv else ''}pip install", [*install, "-r", str(pins)], folder, lock)
    shutil.rmtree(str(folder / "tmp"), ignore_errors=True)
    checked = check(task, python)
    if checked["failed_modules"]:
        raise Failed("imports", modules=checked["failed_modules"])
    return checked


def put_link(link: Path, folder: Path) -> None:
    """Name an environment that is whole, in place of one that cannot start."""
    with suppress(OSError, subprocess.SubprocessError):  # what is named must survive a power cut
        subprocess.run(["sync", "-f", str(folder)], timeout=120, check=False)
    beside = folder / "link"
    beside.symlink_to(Path(folder.name, "environment"))
    if link.is_dir() and not link.is_symlink():
        link.rename(folder / "replaced")
    beside.replace(link)


# ------------------------------------------------------------------------------------ interpreters


def search_path() -> str:
    """Return where programs are looked for: a shell that nobody types into may know too little."""
    home = str(Path("~").expanduser())
    usual = (f"{home}/.local/bin", f"{home}/.cargo/bin", "/usr/local/bin", "/usr/bin", "/bin")
    return os.pathsep.join((os.environ.get("PATH", ""), *usual))


def choose_python(oldest: list[int], prefer: list[int], uv: str | None) -> str:
    """Return the interpreter to make an environment of: of the preferred version, else the newest.

    uv brings one along where there is none that fits.
    """
    found = sorted(pythons(), key=lambda p: (p[1][:2] == prefer, p[1]), reverse=True)
    fitting = [python for python in found if python[1] >= oldest]
    if uv:
        return fitting[0][0] if fitting else ".".join(map(str, prefer))
    for path, _, has_venv in fitting:
        if has_venv:
            return path
    if fitting:
        raise Failed("venv", pythons=fitting)
    raise Failed("python", pythons=found)


def pythons() -> list[tuple[str, list[int], bool]]:
    """Return each interpreter: its path, its version, and whether it makes environments."""
    answers: dict[str, tuple[str, list[int], bool]] = {}
    programs: dict[str, Path] = {}
    for folder in search_path().split(os.pathsep):
        with suppress(OSError):
            for file in sorted(Path(folder or ".").iterdir()):
                if re.fullmatch(r"python3(\.\d+)?", file.name):
                    programs.setdefault(os.path.realpath(str(file)), file)
    for program in programs.values():
        with suppress(ValueError):
            path, version, has_venv = json.loads(ask([str(program), "-c", ABOUT_PYTHON], 20))
            answers.setdefault(os.path.realpath(path), (path, version, has_venv))
    return list(answers.values())


def check(task: dict[str, Any], python: str) -> dict[str, Any]:
    """Say what an interpreter has, by running a program that was sent along."""
    program = shutil.which(str(Path(python).expanduser()), path=search_path())
    if program is None:
        raise Failed("missing", python=python)
    say("trying what is installed; from a network disk that may take minutes")
    arguments = [json.dumps(task["names"]), json.dumps(task["modules"])]
    answer = ask([program, "-c", task["packages_script"], *arguments], task["check_s"])
    try:
        found = json.loads(answer.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed("check", python=program) from None
    return {
        "executable": program,
        "made": False,
        "python": found["python"],
        "versions": found["versions"],
        "failed_modules": found["failed"],
        "cuda": found["cuda"],
    }


def main(task: dict[str, Any]) -> None:
    """Do what is asked, and print how it went."""
    threading.Thread(target=end_with_input, daemon=True).start()
    try:
        result = make(task) if task["do"] == "make" else check(task, task["python"])
    except Failed as failed:
        result = failed.answer
    except OSError as error:
        result = {"failed": "file", "problem": error.strerror, "path": str(error.filename or "")}
    write({"result": result})
    os._exit(0)  # the thread that waits for the end of the input must not hold the exit


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
