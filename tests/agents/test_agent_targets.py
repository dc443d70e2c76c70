"""What makes the targets, and what stays as it is while the rest learns.

What earlier work got wrong has a test each: targets through the online encoder, shifts of their own
for the two observations, and frozen weights that drift.
"""

from dataclasses import replace

import pytest
import torch
from made_agents import EVERY_SWITCH, agent, copied, is_unchanged, random_batch, randomise
from torch import Tensor, nn
from toy import train

from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.embedder_choices import Autoencoder
from rlmaster.experiment import EncoderTraining
from rlmaster.replay.batches import TransitionBatch

DRAWN = Autoencoder(latent_dim=6, channels=(8, 8, 8), stacked_frames=4)


# ---------------------------------------------------------------------------------- the targets


@pytest.mark.parametrize("fields", [{}, {"categorical": True}, {"dueling": True}])
def test_targets_pass_through_the_target_encoder(fields):
    made, batch = agent(**fields), random_batch()
    everywhere = replace(batch, discount=torch.full((16,), 0.9))
    following = made._following(everywhere.next_observation)

    randomise(made.encoder)
    randomise(made.head)
    assert torch.equal(made._following(everywhere.next_observation), following)

    randomise(made.target_encoder)
    assert not torch.isclose(made._following(everywhere.next_observation), following).all(1).any()


def test_a_double_target_is_chosen_online_and_valued_by_the_target_networks():
    made, batch = agent(double=True), random_batch()
    randomise(made.encoder)
    randomise(made.head)

    values = made.target_head(made.target_encoder(batch.next_observation))[:, :, 0]
    best = made.act(batch.next_observation)

    assert torch.equal(made._following(batch.next_observation)[:, 0], values[range(16), best])
    assert not torch.equal(values.argmax(1), best)


@pytest.mark.parametrize("fields", [{}, EVERY_SWITCH])
def test_no_gradient_reaches_the_targets(fields):
    made = agent(**fields)

    loss = made.loss(random_batch())
    loss.total.backward()

    assert all(weight.grad is not None for weight in made.head_parameters())
    for target in (made.target_head, made.target_encoder):
        assert all(weight.grad is None for weight in target.parameters())
        assert not any(weight.requires_grad for weight in target.parameters())
    assert not loss.priority.requires_grad
    assert not loss.parts["mean_value"].requires_grad


def test_targets_move_after_each_period_and_at_no_other_update():
    made = agent(target_period_updates=5)

    moving = [number for number in range(1, 21) if made.target_moves(number)]

    assert moving == [5, 10, 15, 20]


def test_targets_move_by_their_rate_and_wholly_where_asked():
    made = agent(target_rate=0.25)
    before = made.target_head.advantage[0].bias.clone()
    randomise(made)
    nn.init.constant_(made.head.advantage[0].bias, 2.0)
    made.target_head.advantage[0].bias.copy_(before)

    made.move_target()
    assert torch.allclose(made.target_head.advantage[0].bias, 0.75 * before + 0.5)

    made.move_target(wholly=True)
    for target, online in ((made.target_head, made.head), (made.target_encoder, made.encoder)):
        assert is_unchanged(target, copied(online))


def test_the_target_encoder_has_a_rate_of_its_own():
    made = agent(target_rate=1.0, encoder=EncoderTraining(target_rate=0.5))
    before = [weight.clone() for weight in made.target_encoder.parameters()]
    randomise(made.encoder)
    randomise(made.head)

    made.move_target()

    assert is_unchanged(made.target_head, copied(made.head))
    weights = zip(before, made.encoder.parameters(), made.target_encoder.parameters(), strict=True)
    for old, online, target in weights:
        assert torch.allclose(target, (old + online) / 2, atol=1e-6)


def test_targets_begin_as_the_online_networks():
    made = agent(**EVERY_SWITCH)

    assert is_unchanged(made.target_head, copied(made.head))
    assert is_unchanged(made.target_encoder, copied(made.encoder))


# -------------------------------------------------------------------------------------- shifts


def watched(made: ValueBasedAgent, batch: TransitionBatch) -> tuple[Tensor, Tensor]:
    """Return the frames that encoder and target encoder are given for a loss."""
    seen: dict[str, Tensor] = {}
    for name in ("encoder", "target_encoder"):
        getattr(made, name).register_forward_pre_hook(
            lambda _module, given, name=name: seen.update({name: given[0]})
        )
    made.loss(batch)
    return seen["encoder"], seen["target_encoder"]


def test_observation_and_next_observation_are_shifted_alike():
    batch = random_batch()
    batch = replace(batch, next_observation=batch.observation)

    now, later = watched(agent(random_shift=4), batch)

    assert torch.equal(now, later)
    moved = [not torch.equal(*pair) for pair in zip(now, batch.observation, strict=True)]
    assert sum(moved) >= 12  # one in 81 shifts is by nothing


def test_each_observation_keeps_its_own_frames_where_it_is_shifted():
    batch = random_batch()
    now, later = watched(agent(random_shift=2), batch)

    for shifted, frames in ((now, batch.observation), (later, batch.next_observation)):
        for row in range(16):
            middle = shifted[row, :, 2:-2, 2:-2]
            places = [(y, x) for y in range(5) for x in range(5)]
            assert any(
                torch.equal(middle, frames[row, :, y : y + 80, x : x + 80]) for y, x in places
            )


@pytest.mark.parametrize("shift", [0, 4])
def test_frames_are_left_as_they_are_without_a_shift_and_in_evaluation_mode(shift):
    made, batch = agent(random_shift=shift), random_batch()
    made.train(shift == 0)

    now, later = watched(made, batch)

    assert torch.equal(now, batch.observation)
    assert torch.equal(later, batch.next_observation)


# ------------------------------------------------------------------------------ frozen encoders


@pytest.mark.parametrize("losses", ["none", "representation"])
@pytest.mark.parametrize("embedder", [None, DRAWN])
@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_a_frozen_encoder_does_not_drift(losses, embedder, optimiser):
    if embedder is None and losses == "representation":
        embedder = Autoencoder(latent_dim=6, channels=(8, 8, 8))
    encoder = EncoderTraining(losses=losses)
    made = agent(
        embedder, encoder, optimiser=optimiser, learning_rate=0.01, target_period_updates=3
    )
    frozen, head = copied(made.encoder), copied(made.head)

    train(made, random_batch(4), 20, encoder)

    assert is_unchanged(made.encoder, frozen)
    assert is_unchanged(made.target_encoder, frozen)
    assert all(weight.grad is None for weight in made.encoder.parameters())
    assert not is_unchanged(made.head, head)


def test_an_encoder_that_was_trained_stays_as_it_is_from_when_it_is_frozen():
    made, batch = agent(learning_rate=0.01), random_batch(4)
    start = copied(made.encoder)
    train(made, batch, 3)
    trained = copied(made.encoder)
    assert not is_unchanged(made.encoder, start)

    made.encoder.td_trains = False
    train(made, batch, 10)

    assert is_unchanged(made.encoder, trained)


def test_latents_that_were_made_before_give_the_same_loss():
    made, batch = (
        agent(encoder=EncoderTraining(losses="none"), **EVERY_SWITCH).eval(),
        random_batch(),
    )
    latents = replace(
        batch,
        observation=made.encoder(batch.observation),
        next_observation=made.encoder(batch.next_observation),
    )

    first, second = made.loss(batch), made.loss(latents)

    assert torch.equal(first.total, second.total)
    assert torch.equal(first.priority, second.priority)
