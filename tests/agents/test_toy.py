"""Every agent and style on the toy, whose values are known; the same seed gives the same again."""

import pytest
import torch
from toy import (
    DISCOUNT,
    LEFT,
    RIGHT,
    ROOMS,
    agent_of,
    all_transitions,
    observations,
    optimal_values,
    own_update,
    train,
    values_of,
)

from rlmaster.agent_choices import ValueAgent
from rlmaster.embedder_choices import Autoencoder
from rlmaster.experiment import EncoderTraining
from rlmaster.experiment_data import OWN_LOSS
from rlmaster.replay.batches import SequenceBatch

UPDATES = 120
QUICK = {
    "hidden_units": 64,
    "learning_rate": 5e-3,
    "target_period_updates": 1,
    "target_rate": 0.1,
    "discount": DISCOUNT,
    "v_min": -0.5,
    "v_max": 1.5,
    "num_atoms": 21,
}
NOISY = {"noisy": True, "noise_scale": 0.02}
AGENTS = {
    "dqn": {},
    "rmsprop": {"optimiser": "rmsprop", "learning_rate": 1e-3, "optimiser_epsilon": 0.1 / 32},
    "targets that jump": {"target_period_updates": 10, "target_rate": 1.0},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "categorical": {"categorical": True},
    "shifted": {"random_shift": 2},
    "all but noise": {"categorical": True, "double": True, "dueling": True},
}
FROZEN = EncoderTraining(losses="none")
DRAWN = Autoencoder(encoder="data_efficient", channels=(8, 8, 8), latent_dim=32, stacked_frames=4)


def learned(fields, *, n_step=1, encoder=None, seed=1):
    """Return an agent after its updates, in evaluation mode."""
    made = agent_of(ValueAgent(**{**QUICK, **fields}), encoder=encoder, seed=seed)
    train(made, all_transitions(n_step), UPDATES, encoder)
    return made.eval()


def reaches_the_optimum(made, tolerance=0.05) -> bool:
    """Tell whether values are those of dynamic programming, and actions the best."""
    seen, known = observations(torch.arange(ROOMS)), optimal_values()
    assert (values_of(made, seen) - known).abs().max().item() <= tolerance
    return torch.equal(made.act(seen), known.argmax(1))


def test_the_known_values_are_those_worked_by_hand():
    known = optimal_values()

    assert known[:, LEFT].tolist() == pytest.approx([0.5, 0.4, 0.8 * 0.512, 0.512, 0.64])
    assert known[:, RIGHT].tolist() == pytest.approx([0.8 * 0.512, 0.512, 0.64, 0.8, 1.0])


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_reaches_the_known_values(name):
    assert reaches_the_optimum(learned(AGENTS[name]))


def test_noisy_heads_come_near_them():
    assert reaches_the_optimum(learned({**NOISY, "learning_rate": 2e-3}), tolerance=0.1)


def test_rainbow_reaches_them_over_three_steps():
    fields = {**NOISY, "categorical": True, "double": True, "dueling": True}
    assert reaches_the_optimum(learned(fields, n_step=3))


@pytest.mark.parametrize("n_step", [2, 10])
def test_returns_over_several_steps_have_the_same_values(n_step):
    assert reaches_the_optimum(learned({}, n_step=n_step))


@pytest.mark.parametrize("name", ["dqn", "double", "dueling", "all but noise"])
def test_a_head_reaches_them_on_a_random_encoder_that_stays_frozen(name):
    fields = {**AGENTS[name], "learning_rate": 1e-2}
    assert reaches_the_optimum(learned(fields, encoder=FROZEN))


def learned_with_a_decoder(losses, *, is_pretrained):
    """Return an agent on an autoencoder after its updates, and how well that draws the rooms."""
    encoder = EncoderTraining(losses=losses)
    fields = QUICK if losses in ("td", "both") else {**QUICK, "learning_rate": 1e-2}
    made = agent_of(ValueAgent(**fields), DRAWN, encoder)
    rooms = SequenceBatch.of_frames(observations(torch.arange(ROOMS)))
    made.encoder.embedder.prepare(rooms.frames[:, -1:])
    draw = own_update(made)
    for _ in range(UPDATES * is_pretrained):
        draw()
    made.move_target(wholly=True)
    beside = draw if losses in OWN_LOSS else lambda: None
    train(made, all_transitions(), UPDATES, encoder, beside)
    drawn = made.eval().encoder.embedder.preview(rooms)
    return made, (drawn.reconstruction - drawn.target).square().mean().item()


@pytest.mark.parametrize(
    ("losses", "is_pretrained"),
    [("representation", False), ("both", False), ("none", True), ("td", True)],
    ids=["parallel", "joint", "frozen", "fine-tuned"],
)
def test_every_style_reaches_them_and_draws_where_it_learned_to(losses, is_pretrained):
    made, error = learned_with_a_decoder(losses, is_pretrained=is_pretrained)
    _, untrained = learned_with_a_decoder("none", is_pretrained=False)

    assert reaches_the_optimum(made)
    if losses != "td":  # which changes what the decoder looks at
        assert error < untrained / 2


def test_untrained_agents_know_nothing():
    made = agent_of(ValueAgent(**QUICK)).eval()

    with pytest.raises(AssertionError):
        reaches_the_optimum(made)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    fields = {**NOISY, "categorical": True, "double": True, "random_shift": 2}
    batch = all_transitions()

    def weights(seed):
        made = agent_of(ValueAgent(**{**QUICK, **fields}), seed=seed)
        train(made, batch, 10)
        return torch.cat([weight.flatten() for weight in made.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
