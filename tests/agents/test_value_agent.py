"""The value-based agent's formulas, by hand and by slow loops, and its noise and precision."""

import math

import pytest
import torch
from made_agents import EVERY_SWITCH, agent, random_batch, randomise
from torch import Tensor, nn

from rlmaster.agents.value_agent import ValueBasedAgent, ValueHead
from rlmaster.replay.batches import TransitionBatch

LATENTS = 72


def outputs_are(head: ValueHead, outputs: list[float]) -> None:
    """Let a head say the same whatever it is given."""
    last = head.advantage[2]
    nn.init.zeros_(last.weight)
    last.bias.data.copy_(torch.tensor(outputs))


def transition(action: int, reward: float, discount: float, weight: float = 1.0) -> TransitionBatch:
    """Return one with nothing to see."""
    nothing = torch.zeros(1, LATENTS)
    return TransitionBatch(
        observation=nothing,
        action=torch.tensor([action]),
        reward=torch.tensor([reward]),
        discount=torch.tensor([discount]),
        next_observation=nothing,
        importance_weight=torch.tensor([weight]),
        index=torch.zeros(1, dtype=torch.int64),
    )


# ------------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    ("double", "discount", "error"),
    [
        # The target network's best is 5: 1 + 0.5 * 5 - 2.
        (False, 0.5, 1.5),
        # The online network's best is action 1, of which the target network says 0.5.
        (True, 0.5, -0.75),
        # The episode is over, and nothing follows: 1 - 2.
        (False, 0.0, -1.0),
        (True, 0.0, -1.0),
        # Three steps at 0.5 are over before the next look: 1 + 0.125 * 5 - 2.
        (False, 0.125, -0.375),
    ],
)
def test_targets_of_what_is_worked_by_hand(double, discount, error):
    made = agent(double=double)
    outputs_are(made.head, [1.0, 3.0, 2.0])
    outputs_are(made.target_head, [5.0, 0.5, 2.0])

    loss = made.loss(transition(action=2, reward=1.0, discount=discount, weight=0.25))

    huber = error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5
    assert loss.priority.tolist() == pytest.approx([abs(error)])
    assert loss.total.item() == pytest.approx(0.25 * huber)
    assert loss.parts["mean_value"].item() == 3.0


def test_the_action_of_the_highest_value_is_taken():
    made = agent()
    outputs_are(made.head, [1.0, 3.0, 2.0])

    actions = made.act(torch.zeros(4, LATENTS))

    assert (actions.tolist(), actions.dtype) == ([1, 1, 1, 1], torch.int64)


def test_a_dueling_head_adds_to_the_value_what_is_above_the_mean_advantage():
    made = agent(dueling=True)
    outputs_are(made.head, [1.0, 6.0, 2.0])
    nn.init.zeros_(made.head.value[2].weight)
    nn.init.constant_(made.head.value[2].bias, 10.0)

    outputs = made.head(torch.randn(2, LATENTS))

    assert outputs[:, :, 0].tolist() == [[8.0, 13.0, 9.0]] * 2


def test_a_dueling_head_of_distributions_takes_the_mean_of_each_atom():
    made = agent(dueling=True, categorical=True, num_atoms=2, num_actions=2)
    outputs_are(made.head, [1.0, 2.0, 5.0, 10.0])  # both atoms of action 0, then of action 1
    nn.init.zeros_(made.head.value[2].weight)
    made.head.value[2].bias.data.copy_(torch.tensor([100.0, 200.0]))

    outputs = made.head(torch.randn(1, LATENTS))

    assert outputs.tolist() == [[[98.0, 196.0], [102.0, 204.0]]]


def test_a_categorical_loss_and_its_priority_are_those_worked_by_hand():
    made = agent(categorical=True, num_atoms=3, v_min=-1, v_max=1, num_actions=2)
    outputs_are(made.head, [0.0] * 6)
    unlikely = [3.0, 0.0, -3.0]
    target = torch.tensor([0.5, 0.25, 0.25]).log().tolist()
    outputs_are(made.target_head, [*unlikely, *target])

    loss = made.loss(transition(action=0, reward=0.5, discount=0.5, weight=0.5))

    # Atoms -1, 0, 1 move to 0, 0.5, 1 with 0.5, 0.25, 0.25; half of the middle goes to each side.
    entropy = -(0.625 * math.log(0.625) + 0.375 * math.log(0.375))
    assert loss.total.item() == pytest.approx(0.5 * math.log(3), rel=1e-5)
    assert loss.priority.tolist() == pytest.approx([math.log(3) - entropy], rel=1e-5)
    assert loss.parts["mean_value"].item() == pytest.approx(0.0, abs=1e-6)


def test_nothing_is_left_to_learn_of_a_distribution_that_is_its_target():
    made = agent(categorical=True, num_atoms=3, v_min=-1, v_max=1, num_actions=2)
    target = torch.tensor([0.0, 0.75, 0.25]).clamp(min=1e-9).log().tolist()
    outputs_are(made.head, target * 2)

    loss = made.loss(transition(action=1, reward=0.25, discount=0.0))

    assert loss.priority.tolist() == pytest.approx([0.0], abs=1e-5)
    assert loss.total.item() > 0.5  # the entropy, of which no update can rid


# ----------------------------------------------------------------------------- by a slow loop


def slow_losses(made: ValueBasedAgent, batch: TransitionBatch) -> tuple[Tensor, Tensor]:
    """Return loss and priority of each transition, one after the other, as the papers have them."""
    double, losses, priorities = made.specification.double, [], []
    for row in range(len(batch.action)):
        now, later = batch.observation[row : row + 1], batch.next_observation[row : row + 1]
        values = made.head(made.encoder(now))[0, :, 0]
        with torch.no_grad():
            targets = made.target_head(made.target_encoder(later))[0, :, 0]
            chooser = made.head(made.encoder(later))[0, :, 0] if double else targets
            best = max(range(3), key=lambda action, seen=chooser: float(seen[action]))
            target = batch.reward[row] + batch.discount[row] * targets[best]
        error = target - values[batch.action[row]]
        losses.append(error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5)
        priorities.append(error.abs().detach())
    return torch.stack(losses), torch.stack(priorities)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_loss_priority_and_gradient_are_those_of_a_slow_loop(double, dueling):
    made, batch = agent(double=double, dueling=dueling), random_batch()
    randomise(made.head)
    losses, priorities = slow_losses(made, batch)
    weights = [*made.head.parameters(), *made.encoder.parameters()]
    slow = torch.autograd.grad((losses * batch.importance_weight).sum() / 16, weights)

    loss = made.loss(batch)

    assert torch.allclose(loss.priority, priorities, atol=1e-5)
    gradients = torch.autograd.grad(loss.total, weights)
    for shown, expected in zip(gradients, slow, strict=True):
        assert torch.allclose(shown, expected, atol=1e-6)


def test_the_two_targets_differ_where_the_networks_disagree():
    batch, priorities = random_batch(), []
    for double in (False, True):
        made = agent(double=double)
        randomise(made.head)
        priorities.append(made.loss(batch).priority)

    differs = ~torch.isclose(*priorities)
    assert bool(differs.any())
    assert not bool(differs[batch.discount == 0].any())


# --------------------------------------------------------------------------- noise and precision


def test_a_noisy_agent_explores_in_training_mode_alone():
    made, batch = agent(**EVERY_SWITCH, noise_scale=5.0), random_batch(32)
    assert not torch.equal(made.act(batch.observation), made.act(batch.observation))
    assert not torch.equal(made.loss(batch).total, made.loss(batch).total)

    made.eval()
    state = torch.get_rng_state()
    assert torch.equal(made.act(batch.observation), made.act(batch.observation))
    assert torch.equal(made.loss(batch).total, made.loss(batch).total)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fields", [{}, EVERY_SWITCH])
def test_losses_are_reduced_in_float32_under_autocast(fields):
    made, batch = agent(**fields).eval(), random_batch()
    exact = made.loss(batch)

    with torch.autocast("cpu", torch.bfloat16):
        rough = made.loss(batch)

    assert rough.total.dtype is rough.priority.dtype is torch.float32
    assert rough.total.item() == pytest.approx(exact.total.item(), rel=0.05)


@pytest.mark.parametrize("fields", [{}, {**EVERY_SWITCH, "random_shift": 4}])
def test_the_loss_is_one_graph_to_a_compiler(fields):
    made, batch = agent(**fields), random_batch(4)
    compiled = torch.compile(made.loss, backend="eager", fullgraph=True)

    torch.manual_seed(7)
    shown = compiled(batch)
    torch.manual_seed(7)

    assert torch.equal(shown.total, made.loss(batch).total)
