"""What another computer has and lacks for runs: what each lack costs, and what mends it.

Every question has an end: what hangs there costs its own line. Nothing there is changed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from rlmaster.errors import HostError
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
from rlmaster.hosts.environment import Pins, python_path
from rlmaster.hosts.facts import Answered, Facts, Folder, Program, ask_facts
from rlmaster.hosts.installing import Environment, check_environment
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.probe import Probe
from rlmaster.hosts.probing import probe_remote
from rlmaster.hosts.remote import RemoteHost
from rlmaster.ssh.address import Target, route
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.keys import AskPassphrase

T = TypeVar("T")
CONNECT_S = 10.0
PROBE_S = 10.0
IMPORTS_S = 60.0
ON_CPU = "networks are trained on the processor, which takes many times as long"
LEAST_PROCESSES = 200
"""Training with its environments, and the worker, have about a hundred threads."""


def check_host(host: Host, pins: Pins, ask: AskPassphrase | None = None) -> list[Finding]:
    """Look for everything that runs need on a host of kind `ssh`.

    Args:
        host: The host.
        pins: The packages that runs need.
        ask: Asks for the passphrase of an encrypted key; None where nobody is there.
    """
    try:
        remote = RemoteHost.connect(host, timeout_s=CONNECT_S, ask=ask)
    except HostError as error:
        return [_lacking("SSH", str(error), _by_hand(host))]
    with remote:
        try:
            answered = ask_facts(remote)
        except HostError as error:
            remedy = "install Python 3.8 or later there, and let its start-up files be silent"
            return [Finding("SSH", _way(host)), _lacking("programs", str(error), remedy)]
        measured = in_background(lambda: _measured(remote))
        environment = _environment(remote, answered.facts, pins)
        return [
            *_reached(remote, answered),
            *_about_environment(host, environment),
            *_told(host, answered.facts),
            *_about_measured(host, measured.result(), environment),
        ]


def in_background(call: Callable[[], T]) -> "Future[T]":
    """Call something in a thread that does not hold the exit of somebody who has lost patience."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _by_hand(host: Host) -> str:
    """Return how a person finds out more."""
    try:
        return f"look with `{Target.parse(host.ssh_address).ssh_command} true`"
    except HostError:
        return f"correct the address of {host.name} in hosts.toml"


def _lacking(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, found, True, "no run can be made there", remedy, essential=True)


# -------------------------------------------------------------------------------- the way there


def _reached(remote: RemoteHost, answered: Answered) -> Iterator[Finding]:
    """Tell of the connection, the shell, and what is known without asking further."""
    facts = answered.facts
    way, key = _way(remote.host), remote.connection.host_key_type
    yield Finding("SSH", f"{way}, known by {key}, {1000 * answered.round_trip_s:,.0f} ms")
    if remote.noise:
        found = f"its start-up files print: {remote.noise.splitlines()[-1]}"
        cost = (
            "programs that talk over SSH, such as rsync, take it for an answer; RLmaster does not"
        )
        remedy = "let ~/.bashrc there print in terminals only: `[ -t 1 ] || return` before it does"
        yield Finding("shell", found, True, cost, remedy)
    yield Finding("programs", f"Python {facts.python} at {facts.executable}")
    yield _clock(answered.clock_error_s)


def _way(host: Host) -> str:
    """Return where the address leads, and through which computers."""
    *jumps, last = route(host.ssh_address, Deadline(CONNECT_S))
    through = f" through {', '.join(jump.name for jump in jumps)}" if jumps else ""
    return f"{last.user}@{last.host_name}:{last.port}{through}"


def _clock(error_s: float) -> Finding:
    if abs(error_s) <= LARGEST_CLOCK_ERROR_S:
        return Finding("clock", "as here")
    found = f"{abs(error_s):,.0f} s {'ahead of' if error_s > 0 else 'behind'} ours"
    cost = "times of its runs do not fit those of others; nothing else depends on it"
    return Finding("clock", found, True, cost, "set it there: timedatectl set-ntp true")


# ---------------------------------------------------------------------------- the environment


def _environment(remote: RemoteHost, facts: Facts, pins: Pins) -> Environment | HostError:
    """Look at the interpreter that runs would have; return why that cannot be done."""
    workspace = facts.workspace.path if facts.workspace else remote.workspace
    python = python_path(remote.host, workspace, pins)
    try:
        return check_environment(remote, python, pins, _unheard, check_s=IMPORTS_S)
    except HostError as error:
        return error


def _about_environment(host: Host, found: Environment | HostError) -> Iterator[Finding]:
    remedy = f"rlmaster hosts setup {host.name}"
    if host.python:
        remedy = f"correct `python` of {host.name} in hosts.toml, or remove it and run `{remedy}`"
    if isinstance(found, HostError):
        yield _lacking("environment", str(found) if host.python else "it is not made yet", remedy)
    elif not found.is_fit:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.failures.items())
        why = why or f"Python {found.python} is too old"
        yield _lacking("environment", f"{found.executable}: {why}", remedy)
    else:
        what = f"Python {found.python}, torch {found.torch} at {found.executable}"
        yield Finding("environment", what + _differences(found))


def _unheard(_text: str) -> None:
    """Tell nobody what is being done: there is a line for it in the end."""


def _differences(environment: Environment) -> str:
    differing, lacking = len(environment.differing), len(environment.lacking)
    others = [f"{differing} packages of other versions than here"] if differing else []
    others += [f"without {', '.join(environment.lacking[:8])}"] if lacking else []
    return f"; {', '.join(others)}" if others else ""


# ------------------------------------------------------------------------ what it says of itself


def _told(host: Host, facts: Facts) -> Iterator[Finding]:
    """Tell of each part that was answered, and that the others were not."""
    parts: dict[str, Callable[[], Finding | None]] = {
        "workspace": lambda: facts.workspace and _workspace(facts.workspace),
        "locks": lambda: facts.locks and _locks(facts.locks),
        "tmux": lambda: facts.tmux and _tmux(facts.tmux),
        "compiler": lambda: facts.compiler and _compiler(facts.compiler),
        "session": lambda: _logout(facts),
        "limits": lambda: _limits(facts),
        "push": lambda: _push(host, facts),
    }
    for name, part in parts.items():
        yield part() or unknown(name, facts.failed.get(name, "it did not say"))


def _workspace(folder: Folder) -> Finding:
    if folder.problem:
        remedy = "let yourself write there, or choose another one: workspace = in hosts.toml"
        return _lacking("workspace", folder.problem, remedy)
    found = f"{folder.path}, writable" + (f", on {folder.file_system}" * bool(folder.file_system))
    if NETWORK_FILE_SYSTEMS.match(folder.file_system):
        cost = "checkpoints and frames are written over the network"
        remedy = "nothing, or choose a folder on a local disk: workspace = in hosts.toml"
        return Finding("workspace", found, True, cost, remedy)
    return Finding("workspace", found)


def _locks(folder: Folder) -> Finding:
    remedy = "set RLMASTER_LOCKS there, in ~/.bashrc, to a folder of yours on a local disk"
    found = f"{folder.path}" + (f", on {folder.file_system}" * bool(folder.file_system))
    if folder.problem or NETWORK_FILE_SYSTEMS.match(folder.file_system):
        return _lacking("locks", folder.problem or found, remedy)
    return Finding("locks", found)


def _tmux(program: Program) -> Finding:
    cost = "workers run all the same, but have no terminal that one could look into"
    return _program("tmux", program, cost, "apt install tmux")


def _compiler(program: Program) -> Finding:
    cost = "torch.compile is not used, so long runs take longer"
    return _program("C++ compiler", program, cost, "apt install g++ python3-dev")


def _program(name: str, program: Program, cost: str, remedy: str) -> Finding:
    if program.problem:
        return Finding(name, program.problem, True, cost, remedy)
    return Finding(name, program.version)


def _logout(facts: Facts) -> Finding | None:
    """Tell whether runs live on when the connection ends."""
    session = facts.session
    if session is None:
        return None
    if not session.kills or not session.in_scope:
        return Finding("after logout", "what runs goes on")
    return Finding(
        "after logout",
        "systemd ends all processes of a session (KillUserProcesses)",
        missing=True,
        cost="runs there are killed when the last connection ends",
        remedy=f"as root there: write KillExcludeUsers=root {session.user} or KillUserProcesses=no "
        "under [Login] into /etc/systemd/logind.conf, then systemctl restart systemd-logind",
        essential=True,
    )


def _limits(facts: Facts) -> Finding | None:
    limits = facts.limits
    if limits is None:
        return None
    if limits.most_processes is None:
        return Finding("processes", f"{limits.processes:,}, without a limit")
    found = f"{limits.processes:,} of at most {limits.most_processes:,}"
    if limits.most_processes - limits.processes >= LEAST_PROCESSES:
        return Finding("processes", found)
    remedy = "end some there, or have the limit raised: `ulimit -u`, /etc/security/limits.conf"
    return Finding("processes", found, True, "runs fail when they start threads", remedy)


def _push(host: Host, facts: Facts) -> Finding | None:
    push = facts.push
    if push is None:
        return None
    if push.ours or push.theirs:
        return Finding("push notices", f"from runs there themselves, by {push.path}")
    cost = "while no computer of yours follows, nobody hears that a run there has ended"
    remedy = f"rlmaster hosts setup {host.name} --push"
    return Finding("push notices", "runs there push none", True, cost, remedy)


# ------------------------------------------------------------------- what the probe can measure


def _measured(remote: RemoteHost) -> Probe | HostError:
    try:
        return probe_remote(remote, timeout_s=PROBE_S)
    except HostError as error:
        return error


def _about_measured(
    host: Host, probe: Probe | HostError, environment: Environment | HostError
) -> Iterator[Finding]:
    if isinstance(probe, HostError):
        yield unknown("disk, memory, GPU, queue", str(probe))
        return
    yield enough(
        "disk room",
        probe.disk_free_bytes,
        LEAST_DISK_BYTES,
        "a run ends when the disk is full",
        f"free some there; `rlmaster hosts setup {host.name} --remove-old` lists environments",
    )
    yield enough(
        "memory",
        probe.memory_available_bytes,
        LEAST_MEMORY_BYTES,
        "a run that needs more is refused or killed",
        "end other programs there, or collect fewer frames: --set frames.steps=50000",
    )
    yield _gpus(probe)
    if probe.gpus and isinstance(environment, Environment):
        yield _cuda(environment)
    yield _queue(host, probe)


def _gpus(probe: Probe) -> Finding:
    if probe.gpus:
        names = (f"{g.name} ({g.memory_free_bytes / GIB:.0f} GiB free)" for g in probe.gpus)
        return Finding("GPU", f"{', '.join(names)}, through {probe.gpu_source}")
    remedy = "nothing, unless there is an NVIDIA GPU: then install its driver"
    return Finding("GPU", probe.reasons.get("gpu") or "there is none", True, ON_CPU, remedy)


def _cuda(environment: Environment) -> Finding:
    """Tell whether torch can use the GPUs that there are."""
    sentence = environment.cuda_sentence
    if environment.cuda.devices:
        return Finding("torch for the GPU", sentence)
    remedy = "install a driver there that this torch can use, or an older torch"
    if not environment.cuda.built:
        remedy = "install torch into it from https://download.pytorch.org/whl/cu128"
    return Finding("torch for the GPU", sentence, True, ON_CPU, remedy)


def _queue(host: Host, probe: Probe) -> Finding:
    waiting, running = probe.waiting or 0, len(probe.runs or ())
    found = f"{running} {'run is' if running == 1 else 'runs are'} made there, {waiting} waiting"
    if not probe.drained:
        return Finding("queue", found)
    remedy = f"rlmaster hosts drain {host.name} --open"
    return Finding("queue", f"{found}; it is drained", True, "what is launched there waits", remedy)
