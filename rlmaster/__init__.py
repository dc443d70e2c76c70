"""RLmaster: do representations learned from pixels make reinforcement learning on Atari better?

The names below are what an experiment script or a notebook uses. Each is imported when it is first
asked for, so that nothing waits for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlmaster.agent_choices import (
        C51,
        DQN,
        Agent,
        DataEfficientRainbow,
        DoubleDQN,
        FastAgent,
        LearningAgent,
        Rainbow,
        RandomAgent,
        ValueAgent,
    )
    from rlmaster.cli.launch import launch
    from rlmaster.embedder_choices import (
        Autoencoder,
        Embedder,
        ForwardPredictor,
        InverseDynamics,
        PixelEncoder,
        RandomEncoder,
        VariationalAutoencoder,
    )
    from rlmaster.experiment import (
        AgentTraining,
        Atari,
        EmbedderTraining,
        EncoderTraining,
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
    from rlmaster.loaded_run import LoadedRun, load_policy, load_run

_HOMES = {
    "Agent": "rlmaster.agent_choices",
    "AgentFrames": "rlmaster.frame_sources",
    "AgentTraining": "rlmaster.experiment",
    "Atari": "rlmaster.experiment",
    "Autoencoder": "rlmaster.embedder_choices",
    "C51": "rlmaster.agent_choices",
    "DQN": "rlmaster.agent_choices",
    "DataEfficientRainbow": "rlmaster.agent_choices",
    "DoubleDQN": "rlmaster.agent_choices",
    "Embedder": "rlmaster.embedder_choices",
    "EmbedderTraining": "rlmaster.experiment",
    "EncoderTraining": "rlmaster.experiment",
    "Experiment": "rlmaster.experiment",
    "FastAgent": "rlmaster.agent_choices",
    "ForwardPredictor": "rlmaster.embedder_choices",
    "FrameSource": "rlmaster.frame_sources",
    "InverseDynamics": "rlmaster.embedder_choices",
    "LearningAgent": "rlmaster.agent_choices",
    "LoadedRun": "rlmaster.loaded_run",
    "PixelEncoder": "rlmaster.embedder_choices",
    "Rainbow": "rlmaster.agent_choices",
    "RandomAgent": "rlmaster.agent_choices",
    "RandomEncoder": "rlmaster.embedder_choices",
    "RandomFrames": "rlmaster.frame_sources",
    "Recording": "rlmaster.experiment",
    "ReplayFrames": "rlmaster.frame_sources",
    "Requirements": "rlmaster.experiment",
    "UniformStateFrames": "rlmaster.frame_sources",
    "ValueAgent": "rlmaster.agent_choices",
    "VariationalAutoencoder": "rlmaster.embedder_choices",
    "launch": "rlmaster.cli.launch",
    "load_policy": "rlmaster.loaded_run",
    "load_run": "rlmaster.loaded_run",
}

__all__ = [
    "C51",
    "DQN",
    "Agent",
    "AgentFrames",
    "AgentTraining",
    "Atari",
    "Autoencoder",
    "DataEfficientRainbow",
    "DoubleDQN",
    "Embedder",
    "EmbedderTraining",
    "EncoderTraining",
    "Experiment",
    "FastAgent",
    "ForwardPredictor",
    "FrameSource",
    "InverseDynamics",
    "LearningAgent",
    "LoadedRun",
    "PixelEncoder",
    "Rainbow",
    "RandomAgent",
    "RandomEncoder",
    "RandomFrames",
    "Recording",
    "ReplayFrames",
    "Requirements",
    "UniformStateFrames",
    "ValueAgent",
    "VariationalAutoencoder",
    "launch",
    "load_policy",
    "load_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlmaster' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
