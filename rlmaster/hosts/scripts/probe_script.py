"""Say in one JSON object how busy this computer is.

Sent as it is to `python3 - FOLDER SECONDS [PYTHON [BYTES]]` on any host, so it needs nothing but
Python 3.8 and its standard library. The parts are measured side by side, and one that fails or
hangs costs only itself: its value is null and `reasons` says why.

FOLDER is where runs would be kept; SECONDS is how long a part may take; PYTHON is the interpreter
that runs would have; so many BYTES on stdin are the compressed source of pynvml, which else is used
where it can be imported.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CPU_INTERVAL_S = 0.2
"""Long enough for twenty ticks of each core, short enough to wait for."""


class Unavailable(Exception):  # noqa: N818  not an error: this computer has no such thing
    """Why a part cannot be told."""


def cgroup_files(controller: str, name_v2: str, name_v1: str) -> Iterator[Path]:
    """Yield the files that limit this process's control group and the groups that it lies in.

    They have one name in the unified hierarchy (v2), another in the controller's own (v1).
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup", controllers)
        own = root / group.strip("/")
        for folder in (own, *own.parents):
            file = folder / (name_v1 if controllers else name_v2)
            if file.exists():
                yield file
            if folder == root:
                break


def cpu_quota() -> float:
    """Return how many cores' time the control groups allow, infinity where they do not limit it."""
    quota = float("inf")
    for file in cgroup_files("cpu", "cpu.max", "cpu.cfs_quota_us"):
        allowed, *period = file.read_text().split()
        if allowed not in ("max", "-1"):
            period = period or [file.with_name("cpu.cfs_period_us").read_text()]
            quota = min(quota, int(allowed) / int(period[0]))
    return quota


def cpu_times(cores: set[int]) -> tuple[int, int]:
    """Return busy and total ticks since boot, summed over the given cores."""
    busy = total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            ticks = [int(number) for number in numbers[:8]]  # the others are in these already
            idle, waiting_for_disk = ticks[3:5]
            total += sum(ticks)
            busy += sum(ticks) - idle - waiting_for_disk
    return busy, total


def measure_cpu() -> dict[str, Any]:
    """Measure the cores that may be used, the load average, and how busy the cores are now."""
    cores = os.sched_getaffinity(0)
    busy_before, total_before = cpu_times(cores)
    time.sleep(CPU_INTERVAL_S)
    busy, total = cpu_times(cores)
    passed = total - total_before
    return {
        "cores": max(1, int(min(len(cores), cpu_quota()))),
        "load": os.getloadavg()[0],
        "utilisation": (busy - busy_before) / passed if passed > 0 else None,
    }


def measure_memory() -> dict[str, Any]:
    """Measure the memory that this process may use."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    machine = total = int(lines["MemTotal"].split()[0]) * 1024
    available = int(lines["MemAvailable"].split()[0]) * 1024
    for file in cgroup_files("memory", "memory.max", "memory.limit_in_bytes"):
        limit = file.read_text().strip()
        if limit == "max" or int(limit) >= machine:
            continue
        unified = file.name == "memory.max"
        usage = "memory.current" if unified else "memory.usage_in_bytes"
        cache = "inactive_file" if unified else "total_inactive_file"
        lines = dict(
            line.split() for line in file.with_name("memory.stat").read_text().splitlines()
        )
        used = int(file.with_name(usage).read_text()) - int(lines[cache])
        total = min(total, int(limit))
        available = min(available, max(0, int(limit) - used))
    return {"total_bytes": total, "available_bytes": available}


def measure_disk(folder: Path) -> dict[str, Any]:
    """Measure the space that is free where runs are kept, or would be once the folder is made."""
    found = os.statvfs(next(place for place in (folder, *folder.parents) if place.exists()))
    return {"free_bytes": found.f_bavail * found.f_frsize}


def boot_id() -> str:
    """Return what tells this start of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def live_runs() -> list[str]:
    """List the runs of this account that live here, by the locks that are held.

    The kernel's list is read, because trying a lock would for a moment be in a worker's way. Device
    numbers are not compared: some file systems show others there than to stat.
    """
    return [file.stem for file in locked_files("*.lock")]


def held_slots() -> list[str]:
    """List the places to compute that are taken by runs of this account."""
    return [file.name for file in locked_files("slots/*")]


def locked_files(pattern: str) -> list[Path]:
    """Return this account's locks that somebody holds, by name."""
    base = Path(os.environ.get("RLMASTER_LOCKS") or "/tmp")
    folder = base / f"rlmaster-{os.getuid()}" / boot_id()
    locks = Path("/proc/locks").read_text().splitlines()
    locked = {int(line.split(":")[-1].split()[0]) for line in locks}
    return sorted(file for file in folder.glob(pattern) if file.stat().st_ino in locked)


def machine() -> str:
    """Return the name that this computer's queue goes by, as `rlmaster.placement` has it."""
    try:
        identity = Path("/etc/machine-id").read_text().strip()[:12]
    except OSError:
        identity = ""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in os.uname().nodename)
    return f"{name or 'computer'}-{identity}" if identity else name or "computer"


def measure_queue() -> dict[str, Any]:
    """Count the runs of this account that wait here, and say whether any is started."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path.home() / ".local" / "state"
    folder = state / "rlmaster" / "queue" / machine()
    tickets = folder.glob("*.ticket") if folder.is_dir() else ()
    return {"waiting": len(list(tickets)), "drained": (folder / "drained").exists()}


def find_python(name: str) -> str:
    """Return the absolute path of an interpreter that can be started, or nothing.

    Links are left as they are: an environment's interpreter is one.
    """
    found = shutil.which(str(Path(name).expanduser()) if "/" in name else name) if name else None
    return os.path.abspath(found) if found else ""  # noqa: PTH100 - it would not follow `..`


def measure_gpus(seconds: float, nvml_source: bytes) -> dict[str, Any]:
    """Measure each GPU through NVML, or else nvidia-smi."""
    try:
        return {"source": "nvml", **nvml_gpus(nvml_source)}
    except Unavailable as error:
        without_nvml = str(error)
    try:
        return {"source": "nvidia-smi", "gpus": nvidia_smi_gpus(seconds), "problem": without_nvml}
    except Unavailable as error:
        return {"source": "none", "gpus": [], "problem": f"{without_nvml}; {error}"}


def pynvml_module(source: bytes) -> Any:
    """Return pynvml as it was sent, where there is a library for it to talk to, or the one here."""
    if not source:
        try:
            return importlib.import_module("pynvml")
        except ImportError as error:
            raise Unavailable("pynvml is not installed") from error
    try:  # pynvml takes a while to compile, and most computers have no such library
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise Unavailable("NVML: there is no libnvidia-ml.so.1") from error
    module = sys.modules["pynvml"] = types.ModuleType("pynvml")
    exec(compile(zlib.decompress(source), "pynvml.py", "exec"), module.__dict__)
    return module


def nvml_gpus(source: bytes) -> dict[str, Any]:
    """Ask NVML for every GPU; one that has fallen off the bus is a problem, not the end."""
    nvml = pynvml_module(source)
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise Unavailable(f"NVML: {error}") from error
    gpus: list[dict[str, Any]] = []
    problems: list[str] = []
    for index in range(count):
        try:
            gpus.append(nvml_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            problems.append(f"GPU {index}: {error}")
    return {"gpus": gpus, "problem": "; ".join(problems)}


def nvml_gpu(nvml: Any, device: Any) -> dict[str, Any]:
    """Describe one GPU; what it does not support (load, with MIG) or allow is null."""
    nothing_to_tell = (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_FunctionNotFound,
        nvml.NVMLError_NoPermission,
    )

    def supported(call: Callable[[Any], Any]) -> Any:
        try:
            return call(device)
        except nothing_to_tell:
            return None

    rates = supported(nvml.nvmlDeviceGetUtilizationRates)
    memory = supported(lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, nvml.nvmlMemory_v2))
    # Drivers from before 2022 count what they keep for themselves as used.
    memory = memory or supported(nvml.nvmlDeviceGetMemoryInfo)
    processes = supported(nvml.nvmlDeviceGetComputeRunningProcesses)
    return {
        "uuid": nvml.nvmlDeviceGetUUID(device),
        "name": nvml.nvmlDeviceGetName(device),
        "utilisation": rates and rates.gpu / 100,
        "memory_used_bytes": memory and memory.used,
        "memory_total_bytes": memory and memory.total - getattr(memory, "reserved", 0),
        "processes": processes and [gpu_process(p.pid, p.usedGpuMemory) for p in processes],
    }


def nvidia_smi_gpus(seconds: float) -> list[dict[str, Any]]:
    """Ask nvidia-smi for every GPU."""
    processes: dict[str, list[dict[str, Any]]] = {}
    for uuid, pid, memory in nvidia_smi("compute-apps=gpu_uuid,pid,used_memory", seconds):
        if pid.isdigit():
            processes.setdefault(uuid, []).append(gpu_process(int(pid), mebibytes(memory)))
    rows = nvidia_smi("gpu=uuid,name,utilization.gpu,memory.used,memory.total", seconds)
    return [
        {
            "uuid": uuid,
            "name": name,
            "utilisation": int(utilisation) / 100 if utilisation.isdigit() else None,
            "memory_used_bytes": mebibytes(used),
            "memory_total_bytes": mebibytes(total),
            "processes": processes.get(uuid, []),
        }
        for uuid, name, utilisation, used, total in rows
    ]


def nvidia_smi(query: str, seconds: float) -> list[list[str]]:
    """Return the rows of one query, which may take just under half of the time."""
    command = ["nvidia-smi", f"--query-{query}", "--format=csv,noheader,nounits"]
    nothing, pipe, stdout = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    try:
        result = subprocess.run(
            command, stdin=nothing, stdout=pipe, stderr=stdout, timeout=0.45 * seconds, check=False
        )
    except FileNotFoundError as error:
        raise Unavailable("there is no nvidia-smi") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"nvidia-smi: {error}") from error
    output = result.stdout.decode(errors="replace")
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line]
    if result.returncode or any(len(row) != query.count(",") + 1 for row in rows):
        raise Unavailable(f"nvidia-smi: {' '.join(output.split())[:200]}")
    return rows


def mebibytes(text: str) -> int | None:
    """Return bytes, or None for `[N/A]` and its like."""
    return int(text) * 2**20 if text.isdigit() else None


def gpu_process(pid: int, memory_bytes: int | None) -> dict[str, Any]:
    """Describe a process that computes on a GPU; whose it is cannot always be seen from here."""
    try:
        user_id = Path("/proc", str(pid)).stat().st_uid
    except OSError:
        return {"pid": pid, "user": "", "own": False, "memory_bytes": memory_bytes}
    try:
        user = pwd.getpwuid(user_id).pw_name
    except KeyError:
        user = str(user_id)
    return {"pid": pid, "user": user, "own": user_id == os.getuid(), "memory_bytes": memory_bytes}


def measure_all(
    parts: dict[str, Callable[[], Any]], seconds: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure all parts side by side; return their values, and the reasons of those without one."""
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}

    def measure(name: str, part: Callable[[], Any]) -> None:
        try:
            values[name] = part()
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=measure, args=part, daemon=True) for part in parts.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    measured, failed = dict(values), dict(reasons)
    late = f"no answer within {seconds:g} s"
    return (
        {name: measured.get(name) for name in parts},
        {name: failed.get(name, late) for name in parts if name not in measured},
    )


def main(folder: str, seconds: str, python: str = "", nvml_bytes: str = "0") -> None:
    """Print the object; a part that still hangs is left behind."""
    place, limit_s = Path(folder).expanduser().absolute(), float(seconds)
    nvml_source = sys.stdin.buffer.read(int(nvml_bytes)) if int(nvml_bytes) else b""
    values, reasons = measure_all(
        {
            "boot_id": boot_id,
            "cpu": measure_cpu,
            "memory": measure_memory,
            "disk": lambda: measure_disk(place),
            "gpu": lambda: measure_gpus(limit_s, nvml_source),
            "runs": live_runs,
            "slots": held_slots,
            "queue": measure_queue,
            "python": lambda: find_python(python),
        },
        limit_s,
    )
    values.update(clock_s=time.time(), hostname=os.uname().nodename, reasons=reasons)
    values.update(machine=machine(), home=str(Path.home()), workspace=str(place))
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread that hangs in a driver must not hold the exit


if __name__ == "__main__":
    main(*sys.argv[1:])
