"""What a replay does on a GPU, done on the processor: columns are tensors, nothing is numpy's."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from rlmaster.replay import cell_memory
from rlmaster.replay.frame_store import FrameStore

STAND_IN = "tensors on the processor"
DEVICES = [
    STAND_IN,
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    ),
]


def ring(
    num_environments: int, capacity_rows: int, frame_shape: tuple[int, int], device: str
) -> FrameStore:
    """Return an empty store on a device, or on the stand-in of one."""
    with pytest.MonkeyPatch.context() as patch:
        if device == STAND_IN:
            patch.setattr(cell_memory, "gathers_on_host", lambda _place, _device: False)
        return FrameStore(
            num_environments,
            capacity_rows=capacity_rows,
            frame_shape=frame_shape,
            ring=True,
            device="cpu" if device == STAND_IN else device,
        )


@contextmanager
def without_waiting(device: str) -> Iterator[None]:
    """Fail where the processor waits for the GPU while this holds."""
    if device == STAND_IN:
        yield
        return
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)
