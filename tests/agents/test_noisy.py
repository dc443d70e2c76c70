"""Noisy layers, against the paper's equations with the noise in plain sight."""

import math

import torch
from torch import nn
from torch.nn import functional

from rlmaster.agents.noisy import NoisyLinear, factor_noise


def layer(inputs: int = 3, outputs: int = 2, scale: float = 0.5) -> NoisyLinear:
    torch.manual_seed(0)
    return NoisyLinear(inputs, outputs, scale)


def test_weights_begin_as_the_paper_says() -> None:
    made = layer(400, 300, scale=0.5)
    for means in (made.weight.detach(), made.bias.detach()):
        assert 0.95 / 20 < float(means.abs().max()) <= 1 / 20
        assert abs(float(means.mean())) < 0.005
    assert torch.equal(made.weight_deviation, torch.full((300, 400), 0.5 / 20))
    assert torch.equal(made.bias_deviation, torch.full((300,), 0.5 / 20))


def test_every_weight_moves_by_the_product_of_its_factors() -> None:
    made = layer()
    nn.init.uniform_(made.weight_deviation)
    nn.init.uniform_(made.bias_deviation)
    made.requires_grad_(False)
    values = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    torch.manual_seed(7)
    shown = made(values)

    torch.manual_seed(7)
    of_outputs, of_inputs = torch.randn(2), torch.randn(3)
    for row, given in enumerate(values.tolist()):
        for output in range(2):
            of_output = math.copysign(math.sqrt(abs(of_outputs[output])), of_outputs[output])
            total = float(made.bias[output] + made.bias_deviation[output] * of_output)
            for number, value in enumerate(given):
                of_input = math.copysign(math.sqrt(abs(of_inputs[number])), of_inputs[number])
                deviation = float(made.weight_deviation[output, number])
                weight = float(made.weight[output, number]) + deviation * of_output * of_input
                total += weight * value
            assert math.isclose(float(shown[row, output]), total, abs_tol=1e-5)


def test_factors_have_both_signs_and_the_mean_of_their_square_is_that_of_a_normal_size() -> None:
    torch.manual_seed(0)
    factors = factor_noise(200_000, torch.device("cpu"))
    assert abs(float(factors.mean())) < 0.01
    assert abs(float(factors.square().mean()) - math.sqrt(2 / math.pi)) < 0.01


def test_training_draws_anew_each_time_and_evaluation_never() -> None:
    made = layer()
    values = torch.ones(4, 3)
    first, second = made(values), made(values)
    assert not torch.equal(first, second)
    assert torch.equal(first[0], first[3])  # one noise for the whole batch
    made.eval()
    state = torch.get_rng_state()
    assert torch.equal(made(values), functional.linear(values, made.weight, made.bias))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_random_state_gives_the_same_noise() -> None:
    made = layer()
    state = torch.get_rng_state()
    first = made(torch.ones(1, 3))
    torch.set_rng_state(state)
    assert torch.equal(made(torch.ones(1, 3)), first)


def test_means_and_deviations_learn() -> None:
    made = layer()
    made(torch.ones(1, 3)).sum().backward()
    for parameter in made.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).all())


def test_noise_is_drawn_in_float32_under_autocast_too() -> None:
    made = layer(64, 32)
    torch.manual_seed(7)
    exact = made(torch.ones(1, 64))
    torch.manual_seed(7)
    with torch.autocast("cpu", torch.bfloat16):
        rough = made(torch.ones(1, 64))
    assert rough.dtype is torch.bfloat16
    assert torch.allclose(rough.float(), exact, atol=0.02)


def test_it_is_one_graph_to_a_compiler() -> None:
    made = layer()
    compiled = torch.compile(made, backend="eager", fullgraph=True)
    torch.manual_seed(7)
    shown = compiled(torch.ones(1, 3))
    torch.manual_seed(7)
    assert torch.equal(shown, made(torch.ones(1, 3)))
