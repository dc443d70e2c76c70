import ast
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlmaster.errors import HostError
from rlmaster.hosts import probing
from rlmaster.hosts.probe import GpuProcess
from rlmaster.hosts.probing import PROBE_SCRIPT, probe_local
from rlmaster.hosts.queue import Queue, Ticket
from rlmaster.hosts.scripts import probe_script
from rlmaster.placement import machine
from rlmaster.run_lock import RunLock, SlotLock, boot_id

FREE_GPU = "gpu GPU-1 0 600000000 150754820096 NVIDIA H200\n"


def test_this_computer_is_really_measured(tmp_path):
    probe = probe_local(tmp_path / "not" / "yet" / "there")
    assert probe.hostname == os.uname().nodename
    assert abs(probe.clock_s - time.time()) < 10
    assert probe.boot_id == boot_id()
    assert probe.cores is not None
    assert 1 <= probe.cores <= len(os.sched_getaffinity(0))
    assert probe.load is not None
    assert probe.utilisation is not None
    assert 0 <= probe.utilisation <= 1
    assert probe.memory_available_bytes is not None
    assert probe.memory_total_bytes is not None
    assert 0 < probe.memory_available_bytes <= probe.memory_total_bytes
    free = shutil.disk_usage(tmp_path).free
    assert probe.disk_free_bytes == pytest.approx(free, rel=0.05)


def test_busy_cores_are_seen_as_busy(tmp_path):
    spinning = "while True: pass"
    workers = [subprocess.Popen([sys.executable, "-c", spinning]) for _ in os.sched_getaffinity(0)]
    try:
        probe = probe_local(tmp_path)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert probe.utilisation is not None
    assert probe.utilisation > 0.8


def test_live_runs_are_known_by_their_locks(tmp_path, own_locks):
    held, free = RunLock("20260101-120000-abc234"), RunLock("20260101-120000-xyz567")
    assert held.take()
    try:
        assert probe_local(tmp_path).runs == ("20260101-120000-abc234",)
    finally:
        held.close()
        free.close()
    assert probe_local(tmp_path).runs == ()


def test_slots_that_are_taken_are_known_by_their_locks(tmp_path, own_locks):
    held, free = SlotLock("cpu-0"), SlotLock("cpu-1")
    assert held.take()
    try:
        assert probe_local(tmp_path).slots == ("cpu-0",)
    finally:
        held.close()
        free.close()


def test_the_queue_is_the_one_of_this_computer_and_account(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    empty = probe_local(tmp_path)
    queue = Queue.here()
    for run_id in ("20260101-120000-abc234", "20260101-120000-xyz567"):
        queue.put(Ticket(run_id, "", 1, "python3", "/code", 1, {}, ""))
    queue.drain()

    probe = probe_local(tmp_path)

    assert (empty.waiting, empty.drained) == (0, False)
    assert (probe.waiting, probe.drained) == (2, True)
    assert probe.machine == machine()


@pytest.mark.parametrize("python", ["~/rl/bin/python", "python-of-mine"])
def test_an_interpreter_is_found_by_its_path_or_its_name(tmp_path, monkeypatch, python):
    bin_folder = tmp_path / "rl" / "bin"
    bin_folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    interpreter = bin_folder / python.rpartition("/")[2]
    assert probe_script.find_python(python) == ""
    interpreter.symlink_to("/bin/sh")  # as an environment's own is a link
    assert probe_script.find_python(python) == str(interpreter)
    interpreter.unlink()
    interpreter.touch()  # there, and nothing that can be started
    assert probe_script.find_python(python) == ""


def test_gpus_are_read_through_nvml(tmp_path, gpus):
    gpus(
        FREE_GPU
        + f"gpu GPU-2 87 90000000000 150754820096 NVIDIA H200\nprocess {os.getpid()} 8589934592\n"
        + "process 1 1048576\n"
    )
    probe = probe_local(tmp_path)
    assert probe.gpu_source == "nvml"
    assert probe.gpus is not None
    first, second = probe.gpus
    assert (first.uuid, first.name, first.utilisation) == ("GPU-1", "NVIDIA H200", 0.0)
    assert (first.memory_used_bytes, first.memory_total_bytes) == (600_000_000, 150_754_820_096)
    assert first.processes == ()
    assert first.is_free
    assert second.utilisation == 0.87
    assert second.processes is not None
    ours, init = second.processes
    assert (ours.pid, ours.own, ours.memory_bytes) == (os.getpid(), True, 8_589_934_592)
    assert (init.pid, init.user, init.own) == (1, "root", os.getuid() == 0)
    assert not second.is_free


def test_what_the_driver_keeps_for_itself_is_not_in_use(tmp_path, gpus):
    small = "gpu GPU-1 0 0 8000000000 NVIDIA RTX A2000\nreserves 500000000\n"
    gpus(small + small.replace("GPU-1", "GPU-2") + "older 13\n")
    found = probe_local(tmp_path).gpus
    assert found is not None
    new_driver, old_driver = found
    assert (new_driver.memory_used_bytes, new_driver.memory_free_bytes) == (0, 7_500_000_000)
    assert new_driver.is_free
    assert (old_driver.memory_used_bytes, old_driver.memory_free_bytes) == (
        500_000_000,
        7_500_000_000,
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start another account's process")
def test_a_process_of_another_account_is_known_as_theirs(tmp_path, gpus):
    nobody = pwd.getpwnam("nobody")
    child = subprocess.Popen(["/bin/sleep", "60"], user=nobody.pw_uid)
    try:
        gpus(FREE_GPU + f"process {child.pid} 1048576\n")
        probe = probe_local(tmp_path)
    finally:
        child.kill()
        child.wait()
    assert probe.gpus is not None
    assert probe.gpus[0].processes == (GpuProcess(child.pid, "nobody", False, 1_048_576),)


def test_a_process_that_cannot_be_seen_is_somebody_elses(tmp_path, gpus):
    gpus(FREE_GPU + "process 4194304 1048576\n")  # above every process id that Linux gives
    probe = probe_local(tmp_path)
    assert probe.gpus is not None
    assert probe.gpus[0].processes is not None
    assert not probe.gpus[0].processes[0].own
    assert not probe.gpus[0].is_free


def test_a_gpu_that_is_lost_leaves_the_others(tmp_path, gpus):
    gpus("gpu GPU-0 0 0 1000 Broken\nfails 15\n" + FREE_GPU)
    probe = probe_local(tmp_path)
    assert probe.gpus is not None
    assert [gpu.uuid for gpu in probe.gpus] == ["GPU-1"]
    assert probe.reasons["gpu"].startswith("GPU 0: ")


def test_what_a_gpu_does_not_support_or_allow_is_none(tmp_path, gpus):
    gpus("gpu GPU-1 101 600000000 150754820096 MIG\nhides 4\n")  # it knows loads up to 100 %
    probe = probe_local(tmp_path)
    assert probe.gpus is not None
    assert probe.gpus[0].utilisation is None
    assert probe.gpus[0].processes is None
    assert probe.gpus[0].memory_used_bytes == 600_000_000


def test_nvml_that_hangs_costs_only_the_gpus(tmp_path, gpus):
    gpus(FREE_GPU + "hangs 100\n")
    before = time.monotonic()
    probe = probe_local(tmp_path, timeout_s=2.0)
    assert time.monotonic() - before < 5.0
    assert probe.gpus is None
    assert probe.reasons == {"gpu": "no answer within 1 s"}
    assert probe.cores is not None
    assert probe.disk_free_bytes is not None


def smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_nvidia_smi_is_asked_where_nvml_does_not_load(tmp_path, gpus, monkeypatch):
    gpus("init 9\n")
    smi(
        tmp_path,
        'case "$1" in\n'
        '*compute-apps*) echo "GPU-1, 1, 12"; echo "GPU-1, [N/A], [N/A]" ;;\n'
        '*) echo "GPU-1, NVIDIA H200, 87, 600, 143771"; echo "GPU-2, Old, [N/A], [N/A], 100" ;;\n'
        "esac",
        monkeypatch,
    )
    probe = probe_local(tmp_path)
    assert probe.gpu_source == "nvidia-smi"
    assert probe.reasons["gpu"].startswith("NVML: ")
    assert probe.gpus is not None
    first, second = probe.gpus
    assert (first.uuid, first.name, first.utilisation) == ("GPU-1", "NVIDIA H200", 0.87)
    assert (first.memory_used_bytes, first.memory_total_bytes) == (600 * 2**20, 143_771 * 2**20)
    assert first.processes is not None
    assert [(p.pid, p.memory_bytes) for p in first.processes] == [(1, 12 * 2**20)]
    assert (second.utilisation, second.memory_used_bytes) == (None, None)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo NVIDIA-SMI has failed; exit 9", "nvidia-smi: NVIDIA-SMI has failed"),
        ("echo No devices were found", "nvidia-smi: No devices were found"),
        ("exec sleep 100", "nvidia-smi: .* timed out"),
    ],
)
def test_without_any_driver_there_is_no_gpu_and_why(tmp_path, gpus, monkeypatch, script, words):
    gpus("init 9\n")
    smi(tmp_path, script, monkeypatch)
    probe = probe_local(tmp_path, timeout_s=3.0)
    assert (probe.gpu_source, probe.gpus) == ("none", ())
    assert re.search(words, probe.reasons["gpu"])


def replace_script(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    script = folder / "script.py"
    script.write_text(text)
    monkeypatch.setattr(probing, "PROBE_SCRIPT", script)


def test_a_script_that_hangs_is_killed_and_named(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    replace_script(
        monkeypatch,
        tmp_path,
        f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)\n",
    )
    with pytest.raises(HostError, match="this computer did not answer the probe: no answer within"):
        probe_local(tmp_path, timeout_s=2.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_an_answer_counts_although_its_process_hangs_after_it(tmp_path, monkeypatch):
    replace_script(
        monkeypatch,
        tmp_path,
        'import time\nprint(\'{"hostname": "slow"}\', flush=True)\ntime.sleep(100)\n',
    )
    assert probe_local(tmp_path, timeout_s=1.0).hostname == "slow"


def test_a_script_that_fails_is_quoted(tmp_path, monkeypatch):
    replace_script(monkeypatch, tmp_path, "raise OSError('no such luck')")
    with pytest.raises(HostError, match="OSError: no such luck"):
        probe_local(tmp_path)


def test_modules_of_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    assert probe_local(tmp_path).cores is not None


def test_script_runs_on_old_pythons_without_anything_installed():
    tree = ast.parse(PROBE_SCRIPT.read_text(), feature_version=(3, 8))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def limited_by(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    monkeypatch.setattr(probe_script, "cgroup_files", lambda *_: iter(files))


def test_the_tightest_quota_of_the_control_groups_limits_the_cores(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    old, new = tmp_path / "cpu.cfs_quota_us", tmp_path / "cpu.max"
    limited_by(monkeypatch, old)
    assert probe_script.cpu_quota() == 3.0
    for files in ((old, new), (new, old)):
        limited_by(monkeypatch, *files)
        assert probe_script.cpu_quota() == 1.5
    new.write_text("max 100000\n")
    old.write_text("-1\n")
    limited_by(monkeypatch, old, new)
    assert probe_script.cpu_quota() == float("inf")


def test_memory_is_limited_by_the_control_group_but_not_by_its_file_cache(tmp_path, monkeypatch):
    for name, text in {
        "memory.max": "1000000",
        "memory.current": "700000",
        "memory.stat": "anon 600000\ninactive_file 100000",
    }.items():
        (tmp_path / name).write_text(text)
    limited_by(monkeypatch, tmp_path / "memory.max")
    assert probe_script.measure_memory() == {"total_bytes": 1_000_000, "available_bytes": 400_000}
    (tmp_path / "memory.max").write_text("max")
    assert probe_script.measure_memory()["total_bytes"] > 1_000_000
