"""Shared libraries in C that stand in for hardware: GPUs, and a clock that is wrong."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


@functools.cache
def fake_nvml() -> bytes:
    """Return a libnvidia-ml.so.1 that reports what a file says; see fake_nvml.c."""
    return _built("fake_nvml.c", "-Wl,-soname,libnvidia-ml.so.1")


@functools.cache
def fake_clock() -> bytes:
    """Return a library that is to be preloaded; see fake_clock.c."""
    return _built("fake_clock.c")


def _built(source: str, *options: str) -> bytes:
    """Build a shared library; skip the test where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip(f"gcc is not installed, so {source} cannot be built")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "library.so")
        path = Path(__file__).parent / source
        subprocess.run(["gcc", "-shared", "-fPIC", *options, "-o", library, path], check=True)
        return library.read_bytes()
