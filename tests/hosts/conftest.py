"""What the tests of hosts share: a host, a tmux server, a fake NVML, and an answer to the probe."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, LabHost

from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost
from rlmaster.hosts.tmux import SOCKET_VARIABLE


@pytest.fixture
def office(lab: Lab) -> LabHost:
    """A host of the lab."""
    return lab.add_host("office")


@pytest.fixture
def remote(office: LabHost) -> Iterator[RemoteHost]:
    """The same, connected."""
    with RemoteHost.connect(Host(office.name, "ssh")) as connected:
        yield connected


@pytest.fixture
def tmux_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tmux server of the test's own, killed afterwards with all that runs in it."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    name = f"rlmaster-test-{os.getpid()}"
    with tempfile.TemporaryDirectory(
        prefix="tmux-", dir="/tmp"
    ) as folder:  # short: a socket's path is limited
        environment = {**os.environ, "TMUX_TMPDIR": folder}
        monkeypatch.setenv("TMUX_TMPDIR", folder)
        monkeypatch.setenv(SOCKET_VARIABLE, name)
        yield name
        kill = ["tmux", "-L", name, "kill-server"]
        subprocess.run(kill, env=environment, capture_output=True, check=False)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libnvidia-ml.so.1 that the real pynvml loads."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed, so there is no fake NVML")
    folder = tmp_path_factory.mktemp("nvml")
    library = folder / "libnvidia-ml.so.1"
    source = Path(__file__).parents[1] / "lab" / "fake_nvml.c"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source],
        check=True,
    )
    return folder


@pytest.fixture
def gpus(
    nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Give this computer GPUs, as tests/lab/fake_nvml.c describes them."""

    def plug_in(lines: str) -> None:
        file = tmp_path / "gpus.txt"
        file.write_text(lines)
        monkeypatch.setenv("FAKE_GPUS", str(file))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_library))

    return plug_in


@pytest.fixture
def answer() -> dict[str, Any]:
    """What the probe script says of a computer with a GPU."""
    return {
        "hostname": "office",
        "clock_s": 1.8e9,
        "boot_id": "b3e7",
        "cpu": {"cores": 8, "load": 0.5, "utilisation": 0.1},
        "memory": {"total_bytes": 64_000_000_000, "available_bytes": 60_000_000_000},
        "disk": {"free_bytes": 500_000_000_000},
        "gpu": {
            "source": "nvml",
            "problem": "",
            "gpus": [
                {
                    "uuid": "GPU-1",
                    "name": "NVIDIA H200",
                    "utilisation": 0.9,
                    "memory_used_bytes": 8_000_000_000,
                    "memory_total_bytes": 150_000_000_000,
                    "processes": [
                        {"pid": 7, "user": "eve", "own": False, "memory_bytes": 7_000_000_000}
                    ],
                }
            ],
        },
        "runs": ["20260101-120000-abc234"],
        "reasons": {},
        "slots": ["cpu-0"],
        "queue": {"waiting": 3, "drained": True},
        "machine": "office-0123456789ab",
        "home": "/home/me",
        "workspace": "/home/me/rlmaster-workspace",
        "python": "/home/me/rl/bin/python",
    }
