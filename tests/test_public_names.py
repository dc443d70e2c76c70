import pytest

import rlmaster

PUBLIC_NAMES = [
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


def test_the_public_names_are_these():
    assert rlmaster.__all__ == PUBLIC_NAMES


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_there_and_documented(name):
    value = getattr(rlmaster, name)

    assert value.__name__ == name
    assert value.__doc__


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'Experimnt'"):
        _ = rlmaster.Experimnt
