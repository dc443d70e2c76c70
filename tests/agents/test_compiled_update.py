"""A compiled update of an agent, its optimiser's step included, is the plain one."""

import pytest
import torch
from made_agents import agent, copied, random_batch

from rlmaster.agent_choices import ValueAgent
from rlmaster.embedder_choices import PixelEncoder
from rlmaster.experiment import EncoderTraining
from rlmaster.training.agent_update import make_agent_optimiser, make_agent_update

TINY = PixelEncoder(channels=(2, 2, 2), latent_dim=98)


def learned(*, compiled: bool) -> dict[str, torch.Tensor]:
    """Return the weights after three updates."""
    torch.manual_seed(1)
    made = agent(TINY, double=True)
    specification = ValueAgent(double=True, learning_rate=0.01, optimiser="rmsprop")
    optimiser = make_agent_optimiser(made, specification, EncoderTraining())
    update = make_agent_update(made, optimiser, torch.float32, compiled=compiled)
    for number in range(3):
        update(random_batch(4, seed=number))
    return copied(made)


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
def test_a_compiled_update_changes_the_weights_as_the_plain_one_does() -> None:
    plain, compiled = learned(compiled=False), learned(compiled=True)

    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-5)
