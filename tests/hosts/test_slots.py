import json
from dataclasses import replace

import pytest

from rlmaster.hosts.probe import Gpu, GpuProcess, Probe, parse_probe
from rlmaster.hosts.slots import SlotRules, all_slots, device_of, is_usable, threads_per_slot

GB = 1_000_000_000
FREE = Gpu("GPU-a", "NVIDIA H200", 0.0, GB, 100 * GB, ())
OURS = GpuProcess(1, "me", True, 30 * GB)
THEIRS = GpuProcess(2, "eve", False, GB)


@pytest.fixture
def probe(answer) -> Probe:
    """A computer with eight cores and no GPU."""
    return replace(parse_probe(json.dumps(answer).encode(), "office"), gpus=())


@pytest.mark.parametrize(
    ("cores", "rules", "slots", "threads"),
    [
        (8, SlotRules(), 2, 4),
        (2, SlotRules(), 2, 1),
        (1, SlotRules(), 1, 1),
        (None, SlotRules(), 1, 1),
        (8, SlotRules(cpu_slots=3), 3, 2),
        (2, SlotRules(cpu_slots=5), 5, 1),
    ],
)
def test_cores_are_shared_out_among_a_few_slots(probe, cores, rules, slots, threads):
    probe = replace(probe, cores=cores)
    assert all_slots(probe, rules) == [f"cpu:{number}" for number in range(slots)]
    assert threads_per_slot(probe, rules) == threads


def test_each_gpu_has_its_slots_by_its_uuid(probe):
    probe = replace(probe, gpus=(FREE, replace(FREE, uuid="GPU-b")))
    assert all_slots(probe, SlotRules()) == ["GPU-a:0", "GPU-b:0"]
    two = SlotRules(slots_per_gpu=2)
    assert all_slots(probe, two) == ["GPU-a:0", "GPU-a:1", "GPU-b:0", "GPU-b:1"]
    assert threads_per_slot(probe, two) == 2


def test_a_slot_says_which_device_its_run_sees():
    assert device_of("GPU-a:1") == "GPU-a"
    assert device_of("cpu:0") == ""


@pytest.mark.parametrize(
    ("gpu", "taken", "usable"),
    [
        (FREE, [], True),
        (replace(FREE, memory_used_bytes=6 * GB), [], False),
        (replace(FREE, processes=(THEIRS,)), [], False),
        # A second run of ours on the same GPU: what the first has there is no stranger's.
        (replace(FREE, memory_used_bytes=31 * GB, processes=(OURS,)), ["GPU-a:0"], True),
        (replace(FREE, memory_used_bytes=40 * GB, processes=(OURS,)), ["GPU-a:0"], False),
        (replace(FREE, memory_used_bytes=31 * GB, processes=(OURS, THEIRS)), ["GPU-a:0"], False),
        # Our own process that no slot of ours accounts for, such as a notebook.
        (replace(FREE, memory_used_bytes=31 * GB, processes=(OURS,)), ["GPU-b:0"], False),
    ],
)
def test_a_gpu_on_which_somebody_else_computes_is_not_given_away(probe, gpu, taken, usable):
    assert is_usable("GPU-a:1", replace(probe, gpus=(gpu,)), taken) is usable


def test_a_gpu_that_has_gone_is_not_given_away_and_cores_always_are(probe):
    assert not is_usable("GPU-b:0", replace(probe, gpus=(FREE,)), [])
    assert is_usable("cpu:0", probe, ["cpu:1"])
