import itertools
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rlmaster.experiment import Requirements
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.probe import Gpu, GpuProcess, Probe
from rlmaster.hosts.selection import Candidate, rank
from rlmaster.room import Room

GB = 1_000_000_000
IDLE = Probe(
    hostname="vm",
    clock_s=1.8e9,
    boot_id="b3e7",
    cores=2,
    load=0.3,
    utilisation=0.04,
    memory_total_bytes=24 * GB,
    memory_available_bytes=22 * GB,
    disk_free_bytes=80 * GB,
    gpus=(),
    gpu_source="none",
    runs=(),
    reasons={},
)
FREE_GPU = Gpu("GPU-1", "NVIDIA H200", 0.0, GB, 150 * GB, ())
TAKEN_GPU = replace(FREE_GPU, processes=(GpuProcess(7, "eve", False, GB),))
NEEDS = Requirements()


def candidate(name: str, probe: Probe | None = IDLE, **fields) -> Candidate:
    slots = fields.pop("slots", 1)
    return Candidate(Host(name, cpu_slots=slots, slots_per_gpu=slots), probe, **fields)


def order(*candidates: Candidate, requirements: Requirements = NEEDS) -> list[str]:
    return [ranked.host for ranked in rank(candidates, requirements)]


def reason(probe: Probe | None, requirements: Requirements = NEEDS, **fields) -> str:
    (ranked,) = rank([candidate("a", probe, **fields)], requirements)
    return ranked.reason


def test_reasons_are_sentences_a_person_can_weigh():
    assert reason(IDLE) == (
        "idle: 2 cores 4% busy, load 0.3, 22 GB of memory free, 80 GB of disk space free, no GPU"
    )
    busy = replace(IDLE, utilisation=0.9, cores=1, gpus=(FREE_GPU, TAKEN_GPU))
    assert reason(busy) == (
        "no runs, but others compute: 1 core 90% busy, load 0.3, 22 GB of memory free, "
        "80 GB of disk space free, 1 of 2 GPUs free (NVIDIA H200, 149 GB)"
    )
    running = replace(IDLE, runs=("x",), gpus=(TAKEN_GPU,))
    assert reason(running, slots=2, waiting=3).startswith("1 of 2 slots taken, 3 waiting: ")
    assert reason(running).endswith(", 1 GPU in use")
    assert reason(None, unreachable="timed out") == "timed out"
    assert reason(None) == "it did not answer"


def test_a_host_without_runs_is_called_what_was_measured_of_it():
    assert reason(replace(IDLE, load=1.2)).startswith(
        "no runs, but busy within the last minute: 2 cores 4% busy, load 1.2, "
    )
    assert reason(replace(IDLE, load=1.2, utilisation=None)).startswith(
        "no runs, but busy within the last minute: 2 cores, load 1.2, "
    )
    assert reason(replace(IDLE, load=None, utilisation=0.9)).startswith(
        "no runs, but others compute: 2 cores 90% busy, load unknown, "
    )


def test_a_host_whose_queue_is_drained_says_so_and_how_it_is_opened():
    drained = "drained: nothing is started until `rlmaster queue open`; "
    assert reason(IDLE, drained=True).startswith(f"{drained}idle: 2 cores")
    running = replace(IDLE, runs=("x",))
    assert reason(running, drained=True).startswith(f"{drained}1 of 1 slot taken, 0 waiting: ")


def test_notes_of_the_inventory_stand_beside_what_was_measured():
    (ranked,) = rank([Candidate(Host("a", notes="quiet after six"), IDLE)])
    assert ranked.reason.endswith(", no GPU (quiet after six)")


def test_what_is_not_known_is_said():
    unknown = replace(
        IDLE,
        cores=None,
        load=None,
        utilisation=None,
        memory_available_bytes=None,
        disk_free_bytes=None,
        gpus=None,
        reasons={"gpu": "no answer within 2 s"},
    )
    assert reason(unknown) == (
        "no runs: cores unknown, load unknown, an unknown amount of memory free, "
        "an unknown amount of disk space free, GPUs unknown (no answer within 2 s)"
    )


def test_a_host_that_lacks_something_says_what():
    full = replace(IDLE, disk_free_bytes=GB // 2)
    assert reason(full) == "does not fit: 0.5 GB of disk space free, 1.0 GB needed"
    requirements = Requirements(memory_gb=30, disk_gb=0, gpu=True)
    assert reason(IDLE, requirements) == (
        "does not fit: 22 GB of memory free, 30 GB needed, a free GPU is needed, but no GPU"
    )
    assert reason(replace(IDLE, gpus=(TAKEN_GPU,)), Requirements(gpu=True)).endswith("1 GPU in use")


def test_a_host_without_room_for_the_frames_comes_after_one_that_has_it():
    large = replace(IDLE, memory_total_bytes=200 * GB, runs=("x",), gpus=(FREE_GPU,))
    needed = Room(frames=100 * GB)

    best, worst = rank([candidate("small"), candidate("large", large)], NEEDS, needed)

    assert (best.host, best.fits, best.is_outgrown) == ("large", True, False)
    assert (worst.host, worst.fits, worst.is_outgrown) == ("small", False, True)
    assert worst.reason.startswith("does not fit: the frames need 93.1 GiB, and they may take ")
    (on_disk,) = rank([candidate("a", replace(IDLE, disk_free_bytes=120 * GB))], NEEDS, needed)
    (unknown,) = rank([candidate("a", replace(IDLE, disk_free_bytes=None))], NEEDS, needed)
    assert on_disk.fits
    assert unknown.fits


def test_fitting_comes_before_runs_before_gpu_memory_before_load():
    full = replace(IDLE, disk_free_bytes=0, gpus=(FREE_GPU,))
    running = replace(IDLE, runs=("x",), gpus=(FREE_GPU,))
    loaded = replace(IDLE, utilisation=0.9)
    with_gpu = replace(loaded, gpus=(FREE_GPU,))
    assert order(
        candidate("silent", None),
        candidate("full", full),
        candidate("running", running),
        candidate("loaded", loaded),
        candidate("idle"),
        candidate("with-gpu", with_gpu),
    ) == ["with-gpu", "idle", "loaded", "running", "full", "silent"]


def test_runs_and_queue_count_by_slot():
    two = replace(IDLE, runs=("x", "y"))
    one = replace(IDLE, runs=("x",))
    assert order(candidate("small", one, slots=1), candidate("big", two, slots=8)) == [
        "big",
        "small",
    ]
    assert order(candidate("queue", one, waiting=2), candidate("runs", two)) == ["runs", "queue"]


def test_load_counts_by_core_and_the_higher_measure_wins():
    many_cores = replace(IDLE, cores=16, load=4.0)
    few_cores = replace(IDLE, cores=2, load=2.0)
    just_started = replace(IDLE, cores=16, load=0.0, utilisation=1.0)
    assert order(
        candidate("started", just_started),
        candidate("few", few_cores),
        candidate("many", many_cores),
    ) == ["many", "started", "few"]


def test_memory_of_a_gpu_in_use_does_not_count():
    assert order(
        candidate("taken", replace(IDLE, gpus=(TAKEN_GPU,), utilisation=0.4)),
        candidate("none", replace(IDLE, utilisation=0.3)),
    ) == ["none", "taken"]


numbers = st.none() | st.floats(0, 64) | st.sampled_from([0.0, 1.0])
sizes = st.none() | st.sampled_from([0, GB // 2, GB, 50 * GB])
gpu_lists = st.none() | st.lists(st.sampled_from([FREE_GPU, TAKEN_GPU]), max_size=2).map(tuple)
probes = st.builds(
    replace,
    st.just(IDLE),
    cores=st.none() | st.integers(1, 64),
    load=numbers,
    utilisation=numbers,
    memory_available_bytes=sizes,
    disk_free_bytes=sizes,
    gpus=gpu_lists,
    runs=st.none() | st.lists(st.just("x"), max_size=3).map(tuple),
)
candidate_lists = st.lists(
    st.builds(
        Candidate,
        st.builds(Host, st.sampled_from("abcd"), cpu_slots=st.integers(1, 4)),
        st.none() | probes,
        waiting=st.integers(0, 3),
    ),
    max_size=6,
)
REMOTE = replace(IDLE, python="/home/me/rl/bin/python")


def test_tags_that_are_asked_for_must_be_there():
    host = Host("a", tags=("a100", "quiet"))
    needs = Requirements(tags=("quiet", "h100", "fast"))

    (lacking,) = rank([Candidate(host, IDLE)], needs)
    (fitting,) = rank([Candidate(host, IDLE)], Requirements(tags=("quiet",)))

    assert lacking.reason == "does not fit: it has no tag h100 and no tag fast"
    assert fitting.fits


def test_another_computer_needs_a_python_that_is_there():
    made, named = Host("a", "ssh"), Host("a", "ssh", python="~/rl/bin/python")
    for host, words in (
        (made, "it has no environment yet; `rlmaster hosts setup a` makes it"),
        (named, "there is no Python ~/rl/bin/python there; correct it in hosts.toml"),
    ):
        (without,) = rank([Candidate(host, IDLE)])
        assert without.reason == f"does not fit: {words}"
        assert rank([Candidate(host, REMOTE)])[0].fits


def test_what_opens_a_drained_host_depends_on_where_it_is():
    here, there = (
        rank([Candidate(Host("a", kind), REMOTE, drained=True)])[0] for kind in ("local", "ssh")
    )
    assert here.reason.startswith("drained: nothing is started until `rlmaster queue open`; idle")
    assert there.reason.startswith(
        "drained: nothing is started until `rlmaster hosts drain a --open`; idle"
    )


needs = st.builds(Requirements, gpu=st.booleans())


@given(candidate_lists, needs)
def test_every_candidate_is_ranked_once_and_becomes_json(candidates, requirements):
    ranking = rank(candidates, requirements)
    assert sorted(ranked.host for ranked in ranking) == sorted(c.host.name for c in candidates)
    for ranked in ranking:
        assert json.loads(json.dumps(ranked.to_data(), allow_nan=False))["reason"] == ranked.reason
        assert ranked.reason.isprintable()


@given(candidate_lists, needs)
def test_no_host_that_does_not_fit_comes_before_one_that_does(candidates, requirements):
    fits = [ranked.fits for ranked in rank(candidates, requirements)]
    assert fits == sorted(fits, reverse=True)


@given(candidate_lists, needs)
def test_what_fits_answered_and_has_what_is_needed(candidates, requirements):
    for ranked in rank(candidates, requirements):
        if ranked.fits:
            assert ranked.probe is not None
            assert ranked.probe.disk_free_bytes in (None, GB, 50 * GB)
            assert ranked.probe.memory_available_bytes in (None, GB, 50 * GB)
            assert not requirements.gpu or FREE_GPU in (ranked.probe.gpus or ())


@given(st.lists(st.none() | probes, max_size=6), needs)
def test_any_two_hosts_come_in_the_same_order_alone_as_among_others(listed, requirements):
    candidates = {str(number): candidate(str(number), probe) for number, probe in enumerate(listed)}
    ranking = order(*candidates.values(), requirements=requirements)
    for better, worse in itertools.combinations(ranking, 2):
        pair = (candidates[better], candidates[worse])
        assert order(*pair, requirements=requirements) == [better, worse]


@given(probes, st.integers(1, 5), needs)
def test_equal_hosts_stay_in_the_order_of_the_inventory(probe, count, requirements):
    names = [str(number) for number in range(count)]
    assert order(*(candidate(n, probe) for n in names), requirements=requirements) == names
