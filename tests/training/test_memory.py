"""Memory: what is needed and what there is, on machines that say it and on those that do not."""

import os
from pathlib import Path

import pytest
import torch

from rlmaster.errors import TrainingError
from rlmaster.training import memory
from rlmaster.training.memory import available_bytes, require_memory

CPU = torch.device("cpu")


@pytest.fixture
def meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", path)
    return path


def test_more_frames_than_fit_are_refused_with_both_numbers(meminfo: Path) -> None:
    require_memory(2 * 2**30 // 7065, CPU)
    with pytest.raises(TrainingError, match=r"1,000,000 steps need 6\.6 GiB .* 2\.0 GiB are avail"):
        require_memory(1_000_000, CPU)


def test_without_a_word_of_caches_free_pages_count(
    meminfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo.write_text("MemTotal: 9 kB\n")
    pages = {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert available_bytes(CPU) == 40_960


def test_nothing_is_refused_where_nobody_knows(
    meminfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    meminfo.unlink()
    monkeypatch.setattr(os, "sysconf", unknown)
    assert available_bytes(CPU) is None
    require_memory(10**12, CPU)
