import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from rlmaster.errors import TrainingError
from rlmaster.replay import cell_memory
from rlmaster.replay.cell_memory import CellMemory, RecycledBuffers, Sender
from rlmaster.replay.frame_store import FrameStore

CPU = torch.device("cpu")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def address(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()


def test_memory_is_used_again_once_nobody_holds_any_view_of_it():
    buffers = RecycledBuffers()
    first = torch.from_numpy(buffers.take((4, 5)))
    view = first[1:, 2:]
    second = torch.from_numpy(buffers.take((4, 5)))
    assert address(second) != address(first)
    used_first = address(first)
    del first
    third = torch.from_numpy(buffers.take((4, 5)))
    assert address(third) not in (used_first, address(second))
    del view
    gc.collect()
    assert address(torch.from_numpy(buffers.take((4, 5)))) == used_first
    assert address(torch.from_numpy(buffers.take((5, 4)))) != used_first


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_a_gpu)])
def test_what_was_sent_stays_as_it_was_and_memory_is_used_again(device):
    sender = Sender(torch.device(device), num_bytes=64)
    values = [np.arange(4) + number for number in range(9)]
    values += [np.array([True, False]), np.float32([1.5]), np.arange(99), np.empty(0, np.int64)]
    values += [np.arange(6, dtype=np.uint8).reshape(2, 3).T]
    sent = []
    for each in values:
        scratch = each.copy()
        sent.append(sender.send(scratch))
        scratch[...] = 0
    for each, tensor in zip(values, sent, strict=True):
        assert tensor.device.type == device
        assert np.array_equal(tensor.cpu().numpy(), each)
        assert tensor.cpu().numpy().dtype == each.dtype


def test_only_a_few_buffers_are_kept_and_no_large_one(monkeypatch):
    buffers = RecycledBuffers()
    for length in range(1, 20):
        buffers.take((length,))
    assert len(buffers._buffers) == cell_memory.RECYCLED_BUFFERS
    monkeypatch.setattr(cell_memory, "LARGEST_RECYCLED_BYTES", 10)
    assert all(len(buffers.take((11,))) == 11 for _ in range(9))
    assert max(map(len, buffers._buffers)) < 20


@pytest.mark.parametrize("place", ["device", "memory", "disk"])
def test_frames_are_gathered_from_every_place_and_cell_0_is_black(tmp_path, place):
    memory = CellMemory(7, (2, 3), CPU, place, tmp_path / "replay")
    memory.cells[1:] = torch.arange(1, 7, dtype=torch.uint8)[:, None, None]
    gathered = memory.gather(np.array([[0, 3], [6, 1]]))
    assert gathered.shape == (2, 2, 2, 3)
    assert gathered[:, :, 1, 2].tolist() == [[0, 3], [6, 1]]
    assert memory.streams(2)[:, :, 0, 0].tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize("place", ["device", "memory", "disk"])
def test_something_else_can_be_kept_beside_the_frames(tmp_path, place):
    frames = CellMemory(7, (2, 3), CPU, place, tmp_path / "replay")
    beside = frames.beside((2,), torch.float32)
    frames.cells[1:] = 9
    beside.cells[1:] = torch.arange(12).view(6, 2) / 8
    gathered = beside.gather(np.array([[0, 3], [6, 1]]))
    assert gathered.dtype is torch.float32
    assert gathered[:, :, 1].tolist() == [[0, 5 / 8], [11 / 8, 1 / 8]]
    assert beside.streams(2)[2, 1].tolist() == [10 / 8, 11 / 8]


def test_frames_on_disk_leave_no_file(tmp_path, filled_store, synthetic_steps):
    folder = tmp_path / "replay"
    store = FrameStore(2, frame_shape=(2, 3), storage="disk", disk_folder=folder)
    store.reserve(3)
    for step in synthetic_steps([[3], [4]], 3):
        store.append(step, np.zeros(2, np.int64))
    assert "(deleted)" in Path("/proc/self/maps").read_text()
    assert list(folder.iterdir()) == []
    store.reserve(30)
    assert torch.equal(
        store.stack_at(np.arange(6)), filled_store([[3], [4]], 3).stack_at(np.arange(6))
    )


def test_a_disk_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        TrainingError, match=r"cannot keep 42 bytes of the replay on disk in .*free some"
    ):
        CellMemory(7, (2, 3), CPU, "disk", tmp_path / "file")


@on_a_gpu
@pytest.mark.parametrize("place", ["device", "memory"])
def test_batches_are_gathered_for_a_gpu(place):
    device = torch.device("cuda")
    memory = CellMemory(7, (2, 3), device, place)
    memory.cells[1:] = torch.arange(1, 7, dtype=torch.uint8, device=memory.cells.device)[
        :, None, None
    ]
    for _ in range(20):
        gathered = memory.gather(np.array([[0, 3], [6, 1]]))
        assert gathered.is_cuda
        assert gathered[:, :, 1, 2].tolist() == [[0, 3], [6, 1]]
