"""What a process that trains asks of its processor and of its memory."""

import platform
import subprocess
import sys

import pytest

UPDATES = """
import resource
import torch
from rlmaster.training.process import prepare_process
{prepare}
small = torch.tensor(1e-40)
def update():
    return torch.ones(12_000_000)  # more than glibc ever keeps as it comes
for _ in range(20):
    update()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    update()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, float(small * 1))
"""


def measured(prepare: str) -> tuple[int, float]:
    """Return page faults of 20 updates, and what becomes of a number below the smallest normal."""
    code = UPDATES.format(prepare=prepare)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    faults, small = done.stdout.split()
    return int(faults), float(small)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_memory_that_an_update_frees_is_there_for_the_next_and_dead_numbers_are_zero() -> None:
    faults, small = measured("prepare_process()")
    faults_as_it_comes, small_as_it_comes = measured("")
    assert faults < faults_as_it_comes / 10
    assert small == 0 < small_as_it_comes
