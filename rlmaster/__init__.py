"""RLmaster: do representations learned from pixels make reinforcement learning on Atari better?

The names below are what an experiment script or a notebook uses. Each is imported when it is first
asked for, so that nothing waits for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlmaster.cli.launch import launch
    from rlmaster.experiment import (
        Atari,
        Autoencoder,
        Embedder,
        EmbedderTraining,
        Experiment,
        FrameSource,
        RandomFrames,
        Recording,
        Requirements,
    )
    from rlmaster.loaded_run import LoadedRun, load_run

_HOMES = {
    "Atari": "rlmaster.experiment",
    "Autoencoder": "rlmaster.experiment",
    "Embedder": "rlmaster.experiment",
    "EmbedderTraining": "rlmaster.experiment",
    "Experiment": "rlmaster.experiment",
    "FrameSource": "rlmaster.experiment",
    "LoadedRun": "rlmaster.loaded_run",
    "RandomFrames": "rlmaster.experiment",
    "Recording": "rlmaster.experiment",
    "Requirements": "rlmaster.experiment",
    "launch": "rlmaster.cli.launch",
    "load_run": "rlmaster.loaded_run",
}

__all__ = [
    "Atari",
    "Autoencoder",
    "Embedder",
    "EmbedderTraining",
    "Experiment",
    "FrameSource",
    "LoadedRun",
    "RandomFrames",
    "Recording",
    "Requirements",
    "launch",
    "load_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlmaster' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
