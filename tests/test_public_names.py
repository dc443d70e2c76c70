import pytest

import rlmaster

PUBLIC_NAMES = [
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
