import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmaster.errors import HostError
from rlmaster.hosts.probe import MOST_BYTES, Gpu, GpuProcess, Probe, parse_probe


def parse(data: object) -> Probe:
    return parse_probe(json.dumps(data).encode(), "office")


def test_a_whole_answer_is_read(answer):
    assert parse(answer) == Probe(
        hostname="office",
        clock_s=1.8e9,
        boot_id="b3e7",
        cores=8,
        load=0.5,
        utilisation=0.1,
        memory_total_bytes=64_000_000_000,
        memory_available_bytes=60_000_000_000,
        disk_free_bytes=500_000_000_000,
        gpus=(
            Gpu(
                uuid="GPU-1",
                name="NVIDIA H200",
                utilisation=0.9,
                memory_used_bytes=8_000_000_000,
                memory_total_bytes=150_000_000_000,
                processes=(GpuProcess(7, "eve", False, 7_000_000_000),),
            ),
        ),
        gpu_source="nvml",
        runs=("20260101-120000-abc234",),
        reasons={},
        slots=("cpu-0",),
        waiting=3,
        drained=True,
        machine="office-0123456789ab",
        home="/home/me",
        workspace="/home/me/rlmaster-workspace",
        python="/home/me/rl/bin/python",
    )


def test_an_answer_without_a_queue_has_none(answer):
    for part in ("slots", "queue", "machine", "home", "workspace", "python"):
        del answer[part]
    probe = parse(answer)
    assert (probe.slots, probe.waiting, probe.drained, probe.python) == (None, None, False, "")


def test_what_could_not_be_measured_is_none_and_explained(answer):
    for part in ("boot_id", "cpu", "memory", "disk", "gpu", "runs"):
        answer[part] = None
        answer["reasons"][part] = "broken"
    probe = parse(answer)
    assert (probe.boot_id, probe.cores, probe.utilisation, probe.gpus) == (None, None, None, None)
    assert (probe.memory_total_bytes, probe.disk_free_bytes, probe.runs) == (None, None, None)
    assert dict(probe.reasons) == answer["reasons"]


def test_probe_becomes_json_and_keeps_every_number(answer):
    data = json.loads(json.dumps(parse(answer).to_data()))
    assert data["gpus"][0]["processes"][0]["memory_bytes"] == 7_000_000_000
    assert data["cores"] == 8


@pytest.mark.parametrize(
    ("used", "processes", "free"),
    [
        (0, [], True),
        (7_000_000_000, [], True),
        (8_000_000_000, [], False),
        (0, [{"pid": 7, "own": True}], True),
        (0, [{"pid": 7, "own": False}], False),
        (0, None, True),
    ],
)
def test_a_gpu_is_free_without_other_people_and_with_its_memory(answer, used, processes, free):
    answer["gpu"]["gpus"][0].update(memory_used_bytes=used, processes=processes)
    gpus = parse(answer).gpus
    assert gpus is not None
    assert gpus[0].is_free is free


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", "office did not answer the probe: it said nothing"),
        (b" \n", "office did not answer the probe: it said nothing"),
        (b"Welcome!\n{}", "something else: 'Welcome!"),
        (b"\x1b[2J\xff", "something else: '��*.2J"),
        (b"[" * 100_000, "something else"),
        (b"[1]", r"the answer is not an object but \[1\]"),
        (b'{"cpu": 3}', "cpu is not an object but 3"),
        (b'{"clock_s": "late"}', "clock_s of the answer is not a number but 'late'"),
        (b'{"clock_s": NaN}', "clock_s of the answer is not a number but nan"),
        (b'{"cpu": {"cores": -1}}', "cores of cpu is not a number but -1"),
        (b'{"cpu": {"cores": 1e400}}', "cores of cpu is not a number but inf"),
        (b'{"cpu": {"cores": true}}', "cores of cpu is not a number but True"),
        (b'{"gpu": {"gpus": {}}}', "gpus of gpu is not a list but {}"),
        (b'{"gpu": {"gpus": [3]}}', "gpus is not an object but 3"),
        (b'{"hostname": ["x"]}', r"hostname of the answer is not text but \['x'\]"),
        (b"1" * (MOST_BYTES + 1), "more than 1,000,000 bytes"),
    ],
)
def test_garbage_is_refused_in_a_sentence(output, words):
    with pytest.raises(HostError, match=words) as caught:
        parse_probe(output, "office")
    assert str(caught.value).isprintable()


def test_the_last_words_explain_an_empty_answer():
    with pytest.raises(HostError, match=r"probe: SyntaxError: invalid syntax$"):
        parse_probe(b"", "office", b"Traceback\n  File\nSyntaxError: invalid syntax\n")


def test_text_from_elsewhere_cannot_move_the_cursor(answer):
    answer["hostname"] = "\x1b[2J" + "x" * 10_000
    answer["reasons"] = {"cpu\x07": "\x1b]0;title\x07"}
    answer["runs"] = ["\r../x"]
    probe = parse(answer)
    assert probe.runs is not None
    texts = [probe.hostname, *probe.reasons, *probe.reasons.values(), *probe.runs]
    assert all(text.isprintable() and len(text) <= 200 for text in texts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def is_read_or_refused(output: bytes) -> bool:
    """Tell whether an answer becomes JSON data or one printable sentence."""
    try:
        said = json.dumps(parse_probe(output, "office").to_data(), allow_nan=False)
    except HostError as error:
        said = str(error)
    return said.isprintable()


def places(data: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to everything inside JSON data."""
    found = [path] if path else []
    items: Any = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        found += places(value, (*path, key))
    return found


@given(value=json_values, choice=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_that_is_wrong_anywhere_is_read_or_refused(answer, value, choice):
    changed: Any = json.loads(json.dumps(answer))
    *way, last = choice.choice(places(changed))
    inner = changed
    for key in way:
        inner = inner[key]
    inner[last] = value
    assert is_read_or_refused(json.dumps(changed).encode())


@given(output=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(output):
    assert is_read_or_refused(output)
