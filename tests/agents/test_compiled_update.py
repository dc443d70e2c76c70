"""A compiled update of an agent, its optimiser's step included, is the plain one.

On a GPU it is a CUDA graph besides.
"""

from dataclasses import fields, replace

import pytest
import torch
from made_agents import EVERY_SWITCH, agent, copied, random_batch
from torch._dynamo.utils import counters

from rlmaster.agent_choices import ValueAgent
from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.embedder_choices import PixelEncoder
from rlmaster.experiment import EncoderTraining
from rlmaster.replay.batches import TransitionBatch
from rlmaster.training import agent_update
from rlmaster.training.agent_update import make_agent_optimiser, make_agent_update
from rlmaster.training.captured_update import CapturedUpdate, can_be_captured

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

TINY = PixelEncoder(channels=(2, 2, 2), latent_dim=98)


def learned(
    *, compiled: bool, updates: int = 3, device: str = "cpu", optimiser: str = "rmsprop"
) -> dict[str, torch.Tensor]:
    """Return the weights after so many updates, the last three of which spare the encoder."""
    torch.manual_seed(1)
    made = agent(TINY, double=True).to(device)
    specification = ValueAgent(double=True, learning_rate=0.01, optimiser=optimiser)
    stepping = make_agent_optimiser(made, specification, EncoderTraining())
    update = make_agent_update(
        made, stepping, torch.float32, compiled=compiled, max_gradient_norm=1.0
    )
    assert isinstance(update, CapturedUpdate) == (compiled and device == "cuda")
    for number in range(updates):
        made.encoder.td_trains = number < updates - 3
        update(on(device, random_batch(4, seed=number)))
        made.move_target()
    return copied(made)


def on(device: str, batch: TransitionBatch) -> TransitionBatch:
    """Return a batch on a device."""
    moved = {field.name: getattr(batch, field.name).to(device) for field in fields(batch)}
    return replace(batch, **moved)


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("as_a_whole", [True, False])
def test_a_compiled_update_changes_the_weights_as_the_plain_one_does(
    optimiser: str, as_a_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not as_a_whole:  # as by a torch that cannot follow gradients
        monkeypatch.setattr(agent_update, "can_be_whole", lambda _: False)
    plain, compiled = (
        learned(compiled=compiled, updates=6, optimiser=optimiser) for compiled in (False, True)
    )

    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
@pytest.mark.parametrize("switches", [{"double": True}, EVERY_SWITCH])
def test_on_a_processor_an_update_of_any_agent_is_one_graph(switches: dict[str, bool]) -> None:
    torch._dynamo.reset()
    counters.clear()
    made = agent(TINY, **switches)
    optimiser = make_agent_optimiser(made, ValueAgent(**switches), EncoderTraining())
    make_agent_update(made, optimiser, torch.float32, compiled=True)(random_batch())
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@on_a_gpu
@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_updates_that_a_gpu_recorded_change_the_weights_as_plain_ones_do(optimiser: str) -> None:
    plain, captured = (
        learned(compiled=compiled, updates=16, device="cuda", optimiser=optimiser)
        for compiled in (False, True)
    )
    for name, weight in plain.items():
        torch.testing.assert_close(captured[name], weight, rtol=1e-2, atol=1e-3)


@on_a_gpu
def test_each_update_that_a_gpu_recorded_draws_noise_of_its_own() -> None:
    made = agent(TINY, noisy=True).to("cuda")
    specification = ValueAgent(noisy=True, learning_rate=1e-30)
    optimiser = make_agent_optimiser(made, specification, EncoderTraining())
    update = make_agent_update(made, optimiser, torch.float32, compiled=True)
    batch = on("cuda", random_batch())
    losses = [update(batch)[0]["loss"] for _ in range(9)]
    assert len({float(loss) for loss in losses}) == len(losses)


class OwnAgent(ValueBasedAgent):
    """An agent that a user wrote, who may do in Python what no graph repeats."""


def test_only_agents_whose_losses_are_known_become_a_graph_and_only_on_a_gpu() -> None:
    specification = ValueAgent()
    of_rlmaster = agent(TINY)
    own = OwnAgent(specification, of_rlmaster.encoder, num_actions=3)
    for made, for_gpu in [(of_rlmaster, True), (own, False)]:
        optimiser = make_agent_optimiser(made, specification, EncoderTraining())
        assert not can_be_captured(made, optimiser)
        for group in optimiser.param_groups:
            group["capturable"] = True
        assert can_be_captured(made, optimiser) == for_gpu
