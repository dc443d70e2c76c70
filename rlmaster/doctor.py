"""What this computer has and lacks for RLmaster: what each lack costs, and what mends it.

The examinations run side by side and are bounded: one that fails or hangs costs only its own line.
"""

import asyncio
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from rlmaster.errors import HostError, ProjectError, UsageError
from rlmaster.finding import (
    GIB,
    LARGEST_CLOCK_ERROR_S,
    LEAST_DISK_BYTES,
    LEAST_MEMORY_BYTES,
    NETWORK_FILE_SYSTEMS,
    Finding,
    enough,
    unknown,
)
from rlmaster.hosts.probe import Probe
from rlmaster.hosts.probing import probe_local
from rlmaster.project import Project
from rlmaster.reports import tex_engine
from rlmaster.run_lock import FOLDER_VARIABLE, HostLock, lock_folder
from rlmaster.user_config import read_user_config, user_config_path

DEADLINE_S = 1.6
"""For all examinations together; what takes longer is said not to answer."""
PROGRAM_DEADLINE_S = 1.2
OF_THEIR_OWN = frozenset({"av", "dbus-fast", "nvidia-ml-py"})
"""Packages that a line of their own tells about, since RLmaster works without them."""
PACKAGE = Path(__file__).resolve().parent
MOUNTS = Path("/proc/self/mountinfo")


def examine(place: Path, *, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """Look for everything that RLmaster uses on this computer.

    Args:
        place: The folder that a person works in; the runs of its project are looked at.
        deadline_s: How long it may take altogether.
    """
    runs, about_project = _project(place)
    examinations: dict[str, Callable[[], Iterator[Finding]]] = {
        "Python": _python,
        "packages": _packages,
        "runs folder": lambda: _runs_folder(runs),
        "locks": _locks,
        "clock": lambda: _clock(runs),
        "disk, memory, GPU": lambda: _measured(runs),
        "tmux": _tmux,
        "git": _git,
        "C++ compiler": _compiler,
        "LaTeX": _latex,
        "video": _video,
        "desktop notices": _desktop,
        "push notices": _push,
    }
    found: dict[str, list[Finding]] = {}

    def look(name: str, examination: Callable[[], Iterator[Finding]]) -> None:
        try:
            found[name] = list(examination())
        except Exception as error:  # whatever it is, the other lines are still worth having
            found[name] = [unknown(name, f"{type(error).__name__}: {error}")]

    threads = [threading.Thread(target=look, args=e, daemon=True) for e in examinations.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {deadline_s:g} s"
    answers = (found.get(name) or [unknown(name, late)] for name in examinations)
    return [about_project, *chain.from_iterable(answers)]


def _project(place: Path) -> tuple[Path, Finding]:
    """Return where runs are kept, or would be, and whether there is a project for them."""
    try:
        project = Project.containing(place)
    except ProjectError as error:
        cost = "only commands that need no project work here"
        remedy = "change into a project, or set RLMASTER_PROJECT to its path"
        return place, Finding("project", str(error).partition(";")[0], True, cost, remedy)
    return project.runs, Finding("project", str(project.root))


# ---------------------------------------------------------------------------- what must be there


def _python() -> Iterator[Finding]:
    yield Finding("Python", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    """Compare what is installed with what is required, and with what is tested."""
    try:
        required = [Requirement(text) for text in metadata.requires("rlmaster") or ()]
    except metadata.PackageNotFoundError:
        cost = "whether its dependencies are right is not known"
        remedy = f"pip install -e {PACKAGE.parent}"
        yield Finding("packages", f"rlmaster runs uninstalled from {PACKAGE}", True, cost, remedy)
        return
    needed = [r for r in required if not r.marker or r.marker.evaluate({"extra": ""})]
    wrong = [r for r in needed if not _is_met(r) and r.name not in OF_THEIR_OWN]
    for requirement in wrong:
        yield Finding(
            f"package {requirement.name}",
            f"{_version(requirement.name) or 'none'}, not {requirement.specifier}",
            missing=True,
            cost="RLmaster may fail anywhere",
            remedy=f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'",
            essential=True,
        )
    if not wrong:
        yield Finding("packages", f"as required{_untested()}")


def _is_met(requirement: Requirement) -> bool:
    installed = _version(requirement.name)
    return bool(installed) and requirement.specifier.contains(installed, prereleases=True)


def _version(package: str) -> str:
    """Return an installed version, or nothing where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _untested() -> str:
    """Return a clause on installed versions that are not those of constraints.txt."""
    try:
        lines = (PACKAGE.parent / "constraints.txt").read_text().splitlines()
    except FileNotFoundError:
        return ""
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    others = [
        f"{package} {installed} ({pin})"
        for package, pin in pins.items()
        if (installed := _version(package)) and Version(installed).public != pin
    ]
    return f"; tested with other versions of {', '.join(others)}" if others else ""


def _runs_folder(runs: Path) -> Iterator[Finding]:
    place = _existing(runs)
    kind = _file_system(place)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        cost = "no run can be kept there"
        remedy = f"let yourself write there: chmod u+w '{place}', or mount it for writing"
        found = f"nothing can be written into {place} ({error.strerror or error})"
        yield Finding("runs folder", found, True, cost, remedy, essential=True)
        return
    if NETWORK_FILE_SYSTEMS.match(kind):
        cost = "lists, checkpoints and replays are slow, and clocks of two computers meet there"
        remedy = f"move {runs} to a local disk and leave a symbolic link to it"
        yield Finding("runs on local disk", f"{place} is on {kind}", True, cost, remedy)
        return
    yield Finding("runs folder", f"{runs}, writable" + (f", on {kind}" if kind else ""))


def _locks() -> Iterator[Finding]:
    cost = "nothing can tell whether a run is alive, so none can start"
    remedy = f"set {FOLDER_VARIABLE} to a folder of yours on a local disk"
    try:
        folder = lock_folder()
        with HostLock(folder / f"doctor-{os.getpid()}.lock") as lock:
            lock.path.unlink()
            lock.take()
    except (HostError, OSError) as error:
        yield Finding("locks", str(error), True, cost, remedy, essential=True)
        return
    kind = _file_system(folder)
    on_network = bool(NETWORK_FILE_SYSTEMS.match(kind))
    found = f"{folder.parent}" + (f", on {kind}" if kind else "")
    if on_network:
        yield Finding("locks", found, True, cost, remedy, essential=True)
    else:
        yield Finding("locks", found)


def _clock(runs: Path) -> Iterator[Finding]:
    """Compare the clock with when this program was installed, and with the disk's idea of now."""
    cost = "runs are listed in the wrong order, and newest may not be newest"
    remedy = "set the clock: timedatectl set-ntp true"
    now = time.time()
    installed = max(path.stat().st_mtime for path in PACKAGE.glob("*.py"))
    if now < installed - LARGEST_CLOCK_ERROR_S:
        found = f"{_moment(now)}, which is before this program was written ({_moment(installed)})"
        yield Finding("clock", found, True, cost, remedy)
        return
    try:
        with tempfile.TemporaryFile(dir=_existing(runs)) as file:
            ahead_s = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:  # the runs folder has a line of its own
        ahead_s = 0.0
    if abs(ahead_s) > LARGEST_CLOCK_ERROR_S:
        found = f"the disk of {runs} says {ahead_s:+.0f} s"
        yield Finding("clock", found, True, cost, f"{remedy}, also on the file server")
        return
    yield Finding("clock", _moment(now))


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


# -------------------------------------------------------------------- what the probe can measure


def _measured(runs: Path) -> Iterator[Finding]:
    try:
        probe = probe_local(runs, timeout_s=PROGRAM_DEADLINE_S)
    except HostError as error:
        yield unknown("disk, memory, GPU", str(error))
        return
    yield enough(
        "disk room",
        probe.disk_free_bytes,
        LEAST_DISK_BYTES,
        "a run ends when the disk is full",
        "see what takes it: rlmaster du; free some: rlmaster gc",
    )
    yield enough(
        "memory",
        probe.memory_available_bytes,
        LEAST_MEMORY_BYTES,
        "a run that needs more is refused or killed",
        "end other programs, or collect fewer frames: --set frames.steps=50000",
    )
    yield from _gpus(probe)


def _gpus(probe: Probe) -> Iterator[Finding]:
    cost = "networks are trained on the processor, which takes many times as long"
    if not probe.gpus:
        remedy = "nothing, unless there is an NVIDIA GPU here: then install its driver"
        yield Finding("GPU", probe.reasons.get("gpu") or "there is none", True, cost, remedy)
        return
    names = ", ".join(f"{g.name} ({g.memory_free_bytes / GIB:.0f} GiB free)" for g in probe.gpus)
    yield Finding("GPU", f"{names}, through {probe.gpu_source}")
    if (torch := _version("torch")).endswith("+cpu"):
        remedy = (
            f"{sys.executable} -m pip install --force-reinstall torch "
            "--index-url https://download.pytorch.org/whl/cu128"
        )
        yield Finding("torch for the GPU", f"torch {torch} knows no GPU", True, cost, remedy)


# ---------------------------------------------------------------------- what something is lost by


def _tmux() -> Iterator[Finding]:
    cost = "workers run all the same, but have no terminal that one could look into"
    yield _program("tmux", ["tmux", "-V"], cost, _install("tmux"))


def _git() -> Iterator[Finding]:
    cost = "a run's code is kept without its commit, and without what .gitignore says"
    yield _program("git", ["git", "--version"], cost, _install("git"))


def _compiler() -> Iterator[Finding]:
    cost = "torch.compile is not used, so long runs take longer"
    program = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    remedy = "xcode-select --install" if sys.platform == "darwin" else _install("g++")
    finding = _program("C++ compiler", [program, "--version"], cost, remedy)
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not finding.missing and not header.is_file():
        finding = Finding(
            "C++ compiler", f"no {header}", True, cost, _install("python3-dev", "python")
        )
    yield finding


def _program(name: str, command: list[str], cost: str, remedy: str) -> Finding:
    """Ask a program for its version."""
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROGRAM_DEADLINE_S,
            check=False,
        )
    except FileNotFoundError:
        return Finding(name, f"there is no {command[0]}", True, cost, remedy)
    except subprocess.TimeoutExpired:
        return Finding(name, f"{command[0]} does not answer", True, cost, remedy)
    except OSError as error:
        return Finding(name, f"{command[0]}: {error.strerror or error}", True, cost, remedy)
    lines = (answer.stdout or answer.stderr).splitlines() or ["it says nothing"]
    if answer.returncode:
        return Finding(name, lines[0], True, cost, remedy)
    return Finding(name, lines[0])


def _install(apt: str, brew: str = "") -> str:
    """Return the command that installs a system package here."""
    if shutil.which("brew") and not shutil.which("apt"):
        return f"brew install {brew or apt}"
    return f"apt install {apt}"


def _latex() -> Iterator[Finding]:
    cost = "reports stay report.tex, without a PDF"
    remedy = _install(tex_engine.PACKAGES, "--cask mactex-no-gui")
    engine = _program("LaTeX", ["pdflatex", "--version"], cost, remedy)
    if engine.missing:
        yield engine
        return
    lacking = _lacking_styles()
    if lacking:
        yield Finding("LaTeX", f"no {', '.join(lacking)}", True, cost, remedy)
        return
    yield engine


def _lacking_styles() -> list[str]:
    """Return the packages of the report's template that TeX does not find."""
    template = (PACKAGE / "reports" / "templates" / "report.tex").read_text()
    groups = re.findall(r"\\usepackage(?:\[[^]]*\])?\{([^}]+)\}", template)
    styles = [f"{name}.sty" for group in groups for name in group.split(",")]
    found = subprocess.run(
        ["kpsewhich", *styles],
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE_S,
        check=False,
    ).stdout.split()
    return sorted(set(styles) - {Path(path).name for path in found})


def _video() -> Iterator[Finding]:
    cost = "no videos of what the networks draw"
    remedy = f"{sys.executable} -m pip install --force-reinstall av"
    try:
        import av
    except (ImportError, OSError) as error:
        yield Finding("video", str(error), True, cost, remedy)
        return
    if "libx264" not in av.codecs_available:
        yield Finding("video", f"av {_version('av')} has no libx264", True, cost, remedy)
        return
    yield Finding("video", f"H.264 from av {_version('av')}")


def _desktop() -> Iterator[Finding]:
    cost = "nothing appears on the desktop when a run ends"
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        found = "there is no desktop session here"
        remedy = "nothing, where there is no desktop; `rlmaster notify test` tries push notices"
        yield Finding("desktop notices", found, True, cost, remedy)
        return
    remedy = f"start a notification daemon, such as dunst: {_install('dunst')}"
    try:
        daemon = asyncio.run(asyncio.wait_for(_notification_daemon(), PROGRAM_DEADLINE_S))
    except TimeoutError:
        yield Finding("desktop notices", "the session does not answer", True, cost, remedy)
    except Exception as error:  # dbus-fast raises many kinds for a bus that is gone or broken
        yield Finding("desktop notices", str(error) or repr(error), True, cost, remedy)
    else:
        yield Finding("desktop notices", f"shown by {daemon}")


def _push() -> Iterator[Finding]:
    cost = "nobody who is away from this computer hears that a run has ended"
    try:
        config = read_user_config()
    except UsageError as error:
        remedy = f"correct {user_config_path()}; `rlmaster notify test` tries it"
        found = "; ".join(str(error).splitlines())
        yield Finding("push notices", found, True, cost, remedy)
        return
    if not config.push:
        remedy = f"put addresses into {config.path}; `rlmaster notify test` shows how"
        yield Finding("push notices", "no address to push to", True, cost, remedy)
        return
    count = len(config.push)
    found = f"{count} {'address' if count == 1 else 'addresses'} in {config.path}"
    yield Finding("push notices", f"{found}; {config.warning}" if config.warning else found)


async def _notification_daemon() -> str:
    """Return what the session's notification daemon calls itself."""
    from dbus_fast import Message, MessageType
    from dbus_fast.aio import MessageBus

    bus = await MessageBus().connect()
    try:
        reply = await bus.call(
            Message(
                destination="org.freedesktop.Notifications",
                path="/org/freedesktop/Notifications",
                interface="org.freedesktop.Notifications",
                member="GetServerInformation",
            )
        )
    finally:
        bus.disconnect()
    if reply.message_type is not MessageType.METHOD_RETURN:
        raise HostError(f"no notification daemon answers ({reply.error_name})")
    return f"{reply.body[0]} {reply.body[2]}"


# ----------------------------------------------------------------------------------- file systems


def _existing(path: Path) -> Path:
    """Return the folder, or the one nearest above it that there is."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.is_dir())


def _file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, empty where nobody says."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    path = path.resolve()
    found = (Path("/"), "")
    for line in lines:
        before, _, after = line.partition(" - ")
        name = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4])
        mount = Path(name)
        if path.is_relative_to(mount) and len(mount.parts) >= len(found[0].parts):
            found = (mount, after.split()[0])
    return found[1]
