from pathlib import Path

import pytest
import torch

from rlmaster.errors import TrainingError
from rlmaster.replay.frame_storage import free_room
from rlmaster.room import GIB, FreeRoom, choose_storage


@pytest.mark.parametrize(
    ("wanted", "needed", "free", "place"),
    [
        ("auto", 6, FreeRoom(10, 100, 100), "device"),
        ("auto", 7, FreeRoom(10, 100, 100), "memory"),
        ("auto", 80, FreeRoom(10, 100, 100), "memory"),
        ("auto", 81, FreeRoom(10, 100, 100), "disk"),
        ("auto", 90, FreeRoom(10, 100, 100), "disk"),
        ("auto", 7, FreeRoom(None, 100, 100), "device"),
        ("auto", 7, FreeRoom(10, None, 0), "memory"),
        ("memory", 6, FreeRoom(10, 100, 100), "memory"),
        ("disk", 6, FreeRoom(10, 100, 100), "disk"),
    ],
)
def test_frames_go_to_the_fastest_place_with_room(wanted, needed, free, place):
    assert choose_storage(wanted, needed, free) == place


def test_no_room_anywhere_is_explained_with_all_numbers():
    free = FreeRoom(10 * GIB, 20 * GIB, 10 * GIB)
    with pytest.raises(
        TrainingError,
        match=r"need 20\.0 GiB, .* take 6\.0 GiB on the device, 16\.0 GiB in memory, "
        r"9\.0 GiB on the disk; keep fewer steps",
    ):
        choose_storage("auto", 20 * GIB, free)
    with pytest.raises(TrainingError, match=r"may take 16\.0 GiB in memory; "):
        choose_storage("memory", 20 * GIB, free)


def test_room_is_that_of_this_computer(tmp_path: Path):
    free = free_room(torch.device("cpu"), tmp_path / "not" / "there")
    assert free.memory is not None
    assert free.disk is not None
    assert free.memory > 0
    assert free.disk > 0
    assert free_room(torch.device("cpu"), None).disk == 0
