"""What the streaming program sends first, and how much of it is on its way at a time."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlmaster.fleet.run_files import RULES
from rlmaster.hosts.scripts.stream_script import CHUNK_BYTES, WINDOW_BYTES, Streamer, Wire

RULES_DATA = [rule.to_data() for rule in RULES]
CURVES = [f"tensorboard/events.out.tfevents.{n}" for n in range(4)]


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A way out that nobody reads."""
    reading, writing = os.pipe()
    yield Wire(writing)
    os.close(reading)
    os.close(writing)


@pytest.fixture
def streamer(wire: Wire, tmp_path: Path) -> Streamer:
    """The program when it has looked at a run with a lot to send."""
    for path in CURVES:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(os.urandom(WINDOW_BYTES))
    streamer = Streamer(RULES_DATA, wire)
    asked = {"run_id": "a", "number": 1, "folder": str(tmp_path), "known": {}}
    streamer.obey(json.dumps({"track": asked}).encode())
    streamer.look(0.0)
    streamer.send()
    return streamer


def frames(wire: Wire) -> list[tuple[str, int]]:
    """Take path and offset of each frame that waits."""
    said, found = bytes(wire.waiting), list[tuple[str, int]]()
    wire.waiting.clear()
    while said:
        line, _, rest = said.partition(b"\n")
        header = json.loads(line)
        found.append((header.get("path", header["kind"]), header.get("offset", 0)))
        said = rest[header["size"] :]
    return found


def acknowledge(streamer: Streamer) -> None:
    """Say that all has arrived."""
    streamer.obey(json.dumps({"alive": streamer.wire.sent_bytes}).encode())


def test_no_more_is_on_its_way_than_the_other_side_has_room_for(streamer, wire):
    frames(wire)
    streamer.send()
    assert WINDOW_BYTES <= wire.sent_bytes < WINDOW_BYTES + CHUNK_BYTES + 1_000
    assert frames(wire) == []
    acknowledge(streamer)
    streamer.send()
    assert frames(wire)


def test_each_file_gets_its_turn(streamer, wire):
    sent = [path for path, _ in frames(wire) if path in CURVES]
    assert sent == CURVES
    acknowledge(streamer)
    streamer.send()
    assert frames(wire)[: len(CURVES)] == [(path, CHUNK_BYTES) for path in CURVES]


def test_what_is_urgent_goes_before_all_that_waits(streamer, wire, tmp_path):
    frames(wire)
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "training.jsonl").write_bytes(b"{}\n")
    acknowledge(streamer)
    streamer.look(0.2)
    streamer.send()
    assert frames(wire)[0] == ("events/training.jsonl", 0)


def test_nothing_is_sent_of_a_run_that_is_not_wanted_any_more(streamer, wire):
    frames(wire)
    streamer.obey(b'{"untrack": "a"}')
    acknowledge(streamer)
    streamer.look(0.2)
    streamer.send()
    assert frames(wire) == []
