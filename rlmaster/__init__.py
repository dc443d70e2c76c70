"""RLmaster: do representations learned from pixels make reinforcement learning on Atari better?

The names below are what an experiment script or a notebook uses. Each is imported when it is first
asked for, so that nothing waits for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlmaster.cli.launch import launch
    from rlmaster.embedder_choices import (
        Autoencoder,
        Embedder,
        ForwardPredictor,
        InverseDynamics,
        RandomEncoder,
        VariationalAutoencoder,
    )
    from rlmaster.experiment import (
        Atari,
        EmbedderTraining,
        Experiment,
        Recording,
        Requirements,
    )
    from rlmaster.frame_sources import (
        AgentFrames,
        FrameSource,
        RandomFrames,
        ReplayFrames,
        UniformStateFrames,
    )
    from rlmaster.loaded_run import LoadedRun, load_run

_HOMES = {
    "AgentFrames": "rlmaster.frame_sources",
    "Atari": "rlmaster.experiment",
    "Autoencoder": "rlmaster.embedder_choices",
    "Embedder": "rlmaster.embedder_choices",
    "EmbedderTraining": "rlmaster.experiment",
    "Experiment": "rlmaster.experiment",
    "ForwardPredictor": "rlmaster.embedder_choices",
    "FrameSource": "rlmaster.frame_sources",
    "InverseDynamics": "rlmaster.embedder_choices",
    "LoadedRun": "rlmaster.loaded_run",
    "RandomEncoder": "rlmaster.embedder_choices",
    "RandomFrames": "rlmaster.frame_sources",
    "Recording": "rlmaster.experiment",
    "ReplayFrames": "rlmaster.frame_sources",
    "Requirements": "rlmaster.experiment",
    "UniformStateFrames": "rlmaster.frame_sources",
    "VariationalAutoencoder": "rlmaster.embedder_choices",
    "launch": "rlmaster.cli.launch",
    "load_run": "rlmaster.loaded_run",
}

__all__ = [
    "AgentFrames",
    "Atari",
    "Autoencoder",
    "Embedder",
    "EmbedderTraining",
    "Experiment",
    "ForwardPredictor",
    "FrameSource",
    "InverseDynamics",
    "LoadedRun",
    "RandomEncoder",
    "RandomFrames",
    "Recording",
    "ReplayFrames",
    "Requirements",
    "UniformStateFrames",
    "VariationalAutoencoder",
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
