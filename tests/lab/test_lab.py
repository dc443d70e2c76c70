"""The lab itself: each host is a computer of its own, and each fault is what it claims to be."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

from lab import Lab, LabHost
from lab.host import NEEDED
from lab.namespace_lab import NamespaceLab

pytestmark = pytest.mark.system

GPU = "gpu GPU-1 90 8000000000 24000000000 NVIDIA RTX A5000\n"
PRINT_GPUS = """\
import pynvml
pynvml.nvmlInit()
for index in range(pynvml.nvmlDeviceGetCount()):
    print(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index)))
"""
MAKE_LAB_AND_WAIT = """\
from lab import new_lab
with new_lab() as lab:
    office = lab.add_host("office")
    print(lab.folder, office.pid, flush=True)
    input()
"""


@pytest.fixture
def namespace_lab(lab: Lab) -> NamespaceLab:
    if not isinstance(lab, NamespaceLab):
        pytest.skip(NEEDED)
    return lab


def said(lab: Lab, host: LabHost, command: str) -> str:
    """Return what a command printed that succeeded over SSH."""
    done = lab.ssh(host, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reaches(lab: Lab, host: LabHost) -> bool:
    """Tell whether a login with a bound of a second succeeds."""
    options = ("-o", "ConnectTimeout=1", "-o", "BatchMode=yes", "-F", str(lab.ssh_config))
    command = ["ssh", *options, host.name, "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def session(lab: Lab, host: LabHost) -> Iterator[subprocess.Popen[bytes]]:
    """Give a login that stays, whose other end repeats what it is sent."""
    command = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", host.name, "cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            assert is_repeated(process, bound_s=20)
            yield process
        finally:
            process.kill()


def is_repeated(process: subprocess.Popen[bytes], bound_s: float) -> bool:
    """Tell whether the other end of a session repeats a line in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    ready, _, _ = select.select([process.stdout], [], [], bound_s)
    return bool(ready) and process.stdout.read(6) == b"hello\n"


# What a host is


def test_each_host_has_a_name_an_address_and_identities_of_its_own(lab: Lab):
    hosts = lab.add_hosts("office", "cellar")
    identity = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id"
    office, cellar = (said(lab, host, identity).splitlines() for host in hosts)
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (office[0], cellar[0]) == ("office", "cellar")
    assert not set(office) & {*cellar, here}
    assert len({host.public_key for host in hosts} | {host.address for host in hosts}) == 4


def test_a_host_has_been_up_since_its_start_alone(namespace_lab: NamespaceLab):
    office = namespace_lab.add_host()
    uptime_s = float(said(namespace_lab, office, "cat /proc/uptime").split()[0])
    assert uptime_s < float(Path("/proc/uptime").read_text().split()[0])
    assert uptime_s < 60


def test_homes_and_temporary_folders_are_not_those_of_others(lab: Lab, tmp_path: Path):
    office, cellar = lab.add_hosts("office", "cellar")
    said(lab, office, "touch ~/of-office /tmp/of-office /run/of-office /var/tmp/of-office")
    for host, expected in ((office, 4), (cellar, 0)):
        found = lab.ssh(host, "ls -d ~/* /tmp/* /run/of* /var/tmp/*").stdout.split()
        assert len(found) == expected
    assert (office.home / "of-office").exists()
    assert office.inside("/tmp/of-office").exists()
    assert lab.ssh(office, f"ls {tmp_path}").returncode != 0


def test_a_home_may_be_that_of_several_hosts(lab: Lab):
    first, second = lab.add_hosts("first", "second", shared_home=True)
    said(lab, first, "echo hello > ~/note; echo all > /srv/shared/note")
    assert said(lab, second, "cat ~/note /srv/shared/note") == "hello\nall"
    assert (lab.shared / "note").read_text() == "all\n"


def test_a_host_has_the_libraries_and_not_the_package_under_test(namespace_lab: NamespaceLab):
    office = namespace_lab.add_host()
    tried = "import torch, paramiko, typer, sys; print(torch.ones(2).sum().item(), sys.prefix)"
    assert (
        said(namespace_lab, office, f"{namespace_lab.python} -c '{tried}'")
        == "2.0 /opt/environment"
    )
    packages = said(namespace_lab, office, "ls /opt/environment/lib/python*/site-packages")
    assert "torch" in packages.split()
    assert "rlmaster" not in packages
    for package in ("rlmaster", "tui"):
        failed = namespace_lab.ssh(office, f"{namespace_lab.python} -c 'import {package}'")
        assert f"No module named '{package}'" in failed.stderr
    assert namespace_lab.ssh(office, f"ls {Path(__file__).parent}").returncode != 0


def test_the_plain_python_of_a_host_runs(lab: Lab):
    version = said(lab, lab.add_host(), "python3 -I -c 'import sys; print(sys.version_info[0])'")
    assert version == "3"


def test_there_is_no_way_out_of_the_lab(namespace_lab: NamespaceLab):
    office = namespace_lab.add_host()
    routes = office.execute(["ip", "route"]).stdout.strip().splitlines()
    assert [route.split()[0] for route in routes] == [f"198.18.{namespace_lab.number}.0/24"]


def test_hosts_reach_each_other(lab: Lab):
    office, cellar = lab.add_hosts("office", "cellar")
    banner = f"exec 3<>/dev/tcp/{cellar.address}/22; head -c 4 <&3"
    assert office.execute(["bash", "-c", banner]).stdout == "SSH-"


def test_a_program_goes_on_in_tmux_and_ends_with_its_host(lab: Lab):
    office, cellar = lab.add_hosts("office", "cellar")
    said(lab, office, "tmux new-session -d -s work sleep 1000")
    assert said(lab, office, "tmux list-sessions -F '#S'") == "work"
    assert lab.ssh(cellar, "tmux list-sessions").returncode == 1
    pids = office.processes("sleep 1000")
    lab.close()
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_orphans_are_reaped(namespace_lab: NamespaceLab):
    office = namespace_lab.add_host()
    said(namespace_lab, office, "(setsid sleep 0.01 >/dev/null 2>&1 &)")
    wait_until(lambda: "sleep" not in office.execute(["ps", "-e", "-o", "args"]).stdout)


def test_gpus_are_those_of_their_host_and_may_change(lab: Lab):
    office = lab.add_host("office", gpus=GPU)
    cellar = lab.add_host("cellar")
    command = f"{lab.python} -c '{PRINT_GPUS}'"
    assert said(lab, office, command) == "NVIDIA RTX A5000"
    assert "NVMLError_LibraryNotFound" in lab.ssh(cellar, command).stderr
    office.gpus(GPU * 2)
    assert said(lab, office, command).count("A5000") == 2


def test_a_clock_may_be_wrong(lab: Lab):
    office = lab.add_host()
    right_s = int(said(lab, office, "date +%s"))
    office.set_clock(ahead_s=3_600)
    assert 3_600 <= int(said(lab, office, "date +%s")) - right_s < 3_660
    assert int(said(lab, office, "python3 -c 'import time; print(int(time.time()))'")) > right_s + 9


# How a host is reached


def test_a_host_behind_others_is_reached_through_all_of_them(lab: Lab):
    gateway = lab.add_host("gateway")
    inner = lab.add_host("inner", behind=gateway)
    innermost = lab.add_host("innermost", behind=inner)
    assert said(lab, innermost, "hostname") == "innermost"
    with pytest.raises(OSError, match=r"unreachable|timed out|No route"):
        socket.create_connection((inner.address, 22), timeout=0.5)
    gateway.reboot()
    assert said(lab, innermost, "hostname") == "innermost"


def test_a_changed_key_is_refused(lab: Lab):
    office = lab.add_host()
    office.rotate_key()
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in lab.ssh(office, "true").stderr


def test_an_unknown_host_is_refused(lab: Lab):
    office = lab.add_host()
    lab.known_hosts.write_text("")
    assert "Host key verification failed" in lab.ssh(office, "true").stderr


def test_the_shell_runs_a_start_up_file(lab: Lab):
    office = lab.add_host()
    office.start_up_file("echo hello from a shell\n")
    assert said(lab, office, "echo done") == "hello from a shell\ndone"


def test_an_inventory_names_every_host(lab: Lab, project: Path):
    lab.add_hosts("office", "cellar")
    lab.write_inventory(project, local=True, settings="cpu_slots = 1")
    text = (project / "hosts.toml").read_text()
    assert re.findall(r"\[hosts\.(\w+)\]", text) == ["local", "office", "cellar"]
    assert text.count(f'python = "{lab.python}"\ncpu_slots = 1\n') == 2


# Faults


def test_a_reboot_ends_all_and_keeps_the_home(lab: Lab):
    office = lab.add_host()
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    before = said(lab, office, f"tmux new-session -d sleep 1000; touch ~/kept /tmp/lost; {boot_id}")
    office.reboot()
    assert not office.processes("sleep 1000")
    assert said(lab, office, boot_id) != before
    assert said(lab, office, "ls ~ /tmp").split() == ["/root:", "kept", "/tmp:"]


def stays_silent(lab: Lab, host: LabHost, fault: Callable[[], None]) -> None:
    """Check that a client that waits for an answer is told nothing when a fault comes."""
    client = socket.create_connection((host.address, host.port), timeout=20)
    with client:
        assert client.recv(4) == b"SSH-"
        client.recv(1024)
        fault()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert not reaches(lab, host)


def test_without_power_nothing_is_said(lab: Lab):
    office = lab.add_host()
    stays_silent(lab, office, office.power_off)
    assert office.processes() == []
    office.power_on()
    assert said(lab, office, "hostname") == "office"


def test_a_pulled_cable_says_nothing(lab: Lab):
    office = lab.add_host()
    stays_silent(lab, office, lambda: office.link(up=False))
    office.link(up=True)
    assert said(lab, office, "hostname") == "office"


def test_a_cable_behind_a_gateway_can_be_pulled(lab: Lab):
    inner = lab.add_host("inner", behind=lab.add_host("gateway"))
    inner.link(up=False)
    assert not reaches(lab, inner)
    inner.link(up=True)
    wait_until(lambda: reaches(lab, inner))


def test_connections_outlive_dropped_packets(lab: Lab):
    office = lab.add_host()
    with session(lab, office) as kept:
        stays_silent(lab, office, lambda: office.drop_packets(True))
        office.drop_packets(False)
        assert is_repeated(kept, bound_s=20)


def refuses(host: LabHost) -> bool:
    try:
        socket.create_connection((host.address, host.port), timeout=20).close()
    except ConnectionRefusedError:
        return True
    return False  # a connection that had just been taken may still listen for a moment


def test_sshd_ends_with_its_sessions_or_without(lab: Lab):
    office = lab.add_host()
    with session(lab, office) as kept:
        office.kill_sshd(sessions=False)
        wait_until(lambda: refuses(office))
        assert is_repeated(kept, bound_s=20)
        office.kill_sshd()
        assert kept.wait(20) == 255
    office.start_sshd()
    assert said(lab, office, "echo done") == "done"


def test_a_paused_sshd_says_nothing(lab: Lab):
    office = lab.add_host()
    office.pause_sshd()
    with socket.create_connection((office.address, office.port), timeout=20) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        office.resume_sshd()
        client.settimeout(10)
        assert client.recv(4) == b"SSH-"


def test_paused_sessions_hang(lab: Lab):
    office = lab.add_host()
    with session(lab, office) as kept:
        office.pause_sshd(sessions=True)
        assert not is_repeated(kept, bound_s=0.3)
        office.resume_sshd()
        assert is_repeated(kept, bound_s=20)


def test_a_small_disk_fills_and_turns_read_only(lab: Lab):
    office = lab.add_host()
    office.small_disk("/root/work", megabytes=1)
    office.fill("/root/work")
    assert "No space left on device" in lab.ssh(office, "echo more > ~/work/more").stderr
    office.free("/root/work")
    said(lab, office, "echo more > ~/work/more")
    office.make_read_only("/root/work")
    assert "Read-only file system" in lab.ssh(office, "echo more > ~/work/again").stderr


def test_the_kernel_kills_what_needs_too_much_memory(lab: Lab):
    office = lab.add_host()
    office.limit_memory(megabytes=64)
    done = lab.ssh(office, "python3 -c 'bytearray(300 * 2**20)'; echo $?")
    assert done.stdout == "137\n"
    assert said(lab, office, "hostname") == "office"


# Labs among themselves


def test_two_labs_do_not_meet(namespace_lab: NamespaceLab):
    with NamespaceLab() as other:
        office, other_office = namespace_lab.add_host("office"), other.add_host("office")
        assert office.address != other_office.address
        said(namespace_lab, office, "touch ~/ours")
        assert said(other, other_office, "ls ~") == ""
    assert said(namespace_lab, office, "ls ~") == "ours"


def test_a_lab_of_a_killed_process_is_gone(namespace_lab: NamespaceLab):
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_LAB_AND_WAIT],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder, pid = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    (mark := Path(folder, "mark")).touch()
    with NamespaceLab():
        assert not mark.exists()


def test_many_hosts_come_up_at_once(lab: Lab):
    hosts = lab.add_hosts(*(f"node{index}" for index in range(20)))
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda host=host: answers.append(said(lab, host, "hostname")))
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(host.name for host in hosts)
