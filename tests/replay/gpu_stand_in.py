"""What a replay does on a GPU, done on the processor: columns are tensors, nothing is numpy's."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from rlmaster.replay import cell_memory

STAND_IN = "tensors on the processor"
DEVICES = [
    STAND_IN,
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    ),
]


@contextmanager
def device_of_tensors(device: str) -> Iterator[str]:
    """Give the device that a store is to be made for while this holds."""
    if device != STAND_IN:
        yield device
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_memory, "gathers_on_host", lambda _place, _device: False)
        yield "cpu"


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
