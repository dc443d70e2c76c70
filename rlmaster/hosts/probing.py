"""Asking a computer how busy it is."""

import os
import platform
import subprocess
import sys
import time
import zlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rlmaster.errors import HostError
from rlmaster.hosts.probe import Probe, parse_probe

if TYPE_CHECKING:  # paramiko takes a while to import, and most who measure measure themselves
    from rlmaster.hosts.remote import RemoteHost

PROBE_SCRIPT = Path(__file__).parent / "scripts" / "probe_script.py"
"""What is sent to the computer, to be run there as `python3 - FOLDER SECONDS ...`."""


def probe_local(folder: Path, *, timeout_s: float = 5.0) -> Probe:
    """Measure this computer, in a child process, so that a hanging driver cannot hold us.

    Args:
        folder: Where runs are kept; it need not exist.
        timeout_s: How long the answer may take; a part that hangs is left out of it before.

    Raises:
        HostError: If there is no answer in time, or none that can be understood.
    """
    # Isolated: a file json.py in the current folder must not be what the script imports.
    command = [sys.executable, "-I", "-", str(folder), _for_a_part(timeout_s)]
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise HostError(f"this computer cannot be measured: {error.strerror or error}") from error
    try:
        output, complaint = child.communicate(PROBE_SCRIPT.read_bytes(), timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        output, complaint = _last_words(child), f"no answer within {timeout_s:g} s".encode()
    return parse_probe(output, "this computer", complaint)


def probe_remote(remote: "RemoteHost", python: str = "", *, timeout_s: float = 5.0) -> Probe:
    """Measure a computer that is connected.

    Args:
        remote: The computer; its workspace need not exist.
        python: Interpreter that runs would have there, a path or a name on its PATH.
        timeout_s: How long the answer may take; a part that hangs is left out of it before.

    Raises:
        HostError: If there is no answer in time, or none that can be understood.
    """
    nvml = _nvml_source()
    arguments = [remote.workspace, _for_a_part(timeout_s), python, str(len(nvml))]
    output = remote.run_script(PROBE_SCRIPT.name, arguments, nvml, timeout_s=timeout_s)
    return parse_probe(output, remote.host.name)


def _for_a_part(timeout_s: float) -> str:
    """Return how many seconds a part may take; the rest is for starting Python."""
    return str(max(timeout_s - 1.0, timeout_s / 2))


@cache
def _nvml_source() -> bytes:
    """Return pynvml, which is one file, compressed: few hosts have it installed."""
    spec = find_spec("pynvml")
    file = spec.origin if spec else None
    return zlib.compress(Path(file).read_bytes()) if file else b""


def unmeasured(reason: str) -> Probe:
    """Return what is known of this computer without asking it: that it is there, and its cores."""
    parts = ("boot_id", "cpu", "memory", "disk", "gpu", "runs")
    return Probe(
        hostname=platform.node(),
        clock_s=time.time(),
        boot_id=None,
        cores=len(os.sched_getaffinity(0)),
        load=None,
        utilisation=None,
        memory_total_bytes=None,
        memory_available_bytes=None,
        disk_free_bytes=None,
        gpus=None,
        gpu_source="none",
        runs=None,
        reasons=dict.fromkeys(parts, reason),
    )


def _last_words(child: subprocess.Popen[bytes]) -> bytes:
    """Return what a killed process has said; one that hangs in a driver does not even go then."""
    try:
        return child.communicate(timeout=1.0)[0]
    except subprocess.TimeoutExpired as expired:
        return expired.stdout or b""
