"""What all drawing embedders share: what they see, what gradients reach, and that they learn."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_sequences import BRIGHT, GREY, NUM_ACTIONS, frames_with_a_dot, sequences_with_a_dot

from rlmaster import embedder_choices
from rlmaster.embedder_choices import DrawingEmbedder
from rlmaster.embedders.base import load_networks, undisturbed
from rlmaster.embedders.drawing import INPUT_GAIN, BaseDrawingEmbedder
from rlmaster.experiment import EmbedderTraining
from rlmaster.replay.batches import SequenceBatch
from rlmaster.specification import resolve
from rlmaster.training.update import make_optimiser, make_update

EMBEDDERS = (
    "Autoencoder",
    "VariationalAutoencoder",
    "ForwardPredictor",
    "InverseDynamics",
    "RandomEncoder",
)
EVERY_OPTION = {
    "loss": "hinged",
    "motion_weight": 2.0,
    "worst_pixel_weight": 0.01,
    "latent_l2": 1e-3,
    "decoder_weight_decay": 1e-3,
    "dropout": 0.1,
    "latent_noise": 0.1,
    "input_noise": 0.1,
    "random_shift": 4,
    "inverse_dynamics_weight": 0.5,
}


def built(name: str = "Autoencoder", **fields: Any) -> BaseDrawingEmbedder:
    torch.manual_seed(0)
    wanted = {"latent_dim": 32, "channels": (8, 8, 8), **fields}
    specification: DrawingEmbedder = getattr(embedder_choices, name)(**wanted)
    embedder = resolve(specification.builds)(specification, num_actions=NUM_ACTIONS)
    embedder.prepare(frames_with_a_dot(64))
    return embedder


def batch_for(embedder: BaseDrawingEmbedder, count: int = 8, seed: int = 0) -> SequenceBatch:
    return sequences_with_a_dot(count, embedder.sequence_length, seed)


def drawing_error(embedder: BaseDrawingEmbedder, batch: SequenceBatch) -> float:
    with undisturbed(embedder):
        preview = embedder.preview(batch)
    return float((preview.reconstruction - preview.target).square().mean())


def learn(embedder: BaseDrawingEmbedder, updates: int) -> list[dict[str, Tensor]]:
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=3e-3))
    update = make_update(embedder, optimiser, torch.float32, compiled=False)
    batches = batch_for(embedder, count=128).split(16)
    return [update(batches[number % len(batches)]) for number in range(updates)]


def reached(embedder: BaseDrawingEmbedder) -> set[str]:
    """Return the parts of an embedder that its loss's gradient reaches."""
    embedder.zero_grad()
    embedder.loss(batch_for(embedder)).total.backward()
    named = embedder.named_parameters()
    return {n.split(".")[0] for n, w in named if w.grad is not None and w.grad.abs().sum() > 0}


# --------------------------------------------------------------------------- all of them


@pytest.mark.learns
@pytest.mark.parametrize("name", EMBEDDERS)
def test_it_learns_to_draw_the_dot(name: str) -> None:
    embedder = built(name)
    unseen = batch_for(embedder, count=32, seed=1)
    before = drawing_error(embedder, unseen)
    losses = learn(embedder, updates=100)
    assert drawing_error(embedder, unseen) < 0.5 * before
    if name == "InverseDynamics":
        assert sum(float(loss["action_accuracy"]) for loss in losses[-8:]) / 8 > 0.6


@pytest.mark.parametrize("options", [{}, EVERY_OPTION], ids=["plain", "every option"])
@pytest.mark.parametrize("name", EMBEDDERS)
def test_same_seed_same_weights_and_the_checkpoint_loads(name: str, options: dict) -> None:
    first, second = built(name, **options), built(name, **options)
    for embedder in (first, second):
        torch.manual_seed(3)
        learn(embedder, updates=3)
    weights = second.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in first.state_dict().items())
    loaded = built(name, **options)
    load_networks(loaded, copy.deepcopy(first.state_dict()))
    observation = batch_for(first).frames
    assert torch.equal(loaded.embed(observation), first.embed(observation))


@pytest.mark.parametrize("stacked_frames", [1, 3])
@pytest.mark.parametrize(
    ("encoder", "size"),
    [("nature", 392), ("data_efficient", 72), ("sac_ae", 9800), ("residual", 968)],
)
@pytest.mark.parametrize("name", EMBEDDERS)
def test_stacks_and_latents_have_the_size_that_is_asked_for(
    name: str, encoder: str, size: int, stacked_frames: int
) -> None:
    fields = {"encoder": encoder, "projection": "none", "stacked_frames": stacked_frames}
    embedder = built(name, latent_dim=size, latent_normalisation="none", **fields)
    batch = batch_for(embedder, count=2)
    assert embedder.embed(sequences_with_a_dot(2, 4).frames).shape == (2, size)
    preview = embedder.preview(batch)
    assert preview.reconstruction.shape == preview.target.shape == (2, 1, 84, 84)
    assert torch.equal(preview.target, batch.frames[:, -1:] / 255)
    assert 0 <= preview.reconstruction.min() <= preview.reconstruction.max() <= 1
    assert torch.isfinite(embedder.loss(batch).total)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_only_the_newest_frames_are_embedded(name: str) -> None:
    embedder = built(name, stacked_frames=2)
    stack = sequences_with_a_dot(2, 4).frames
    older, newer = stack.clone(), stack.clone()
    older[:, :2] = 0
    newer[:, 2] = 0
    assert torch.equal(embedder.embed(stack), embedder.embed(older))
    assert not torch.equal(embedder.embed(stack), embedder.embed(newer))


@pytest.mark.parametrize("name", EMBEDDERS)
def test_networks_see_grey_levels_in_the_unit_interval_less_the_background(name: str) -> None:
    embedder, seen = built(name), []
    embedder.encoder.convolutions.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    batch = batch_for(embedder)
    embedder.embed(batch.frames)
    embedder.loss(batch)
    levels = [0, INPUT_GAIN * (BRIGHT - GREY) / 255]
    assert [frames.unique().tolist() for frames in seen] == [pytest.approx(levels)] * 2


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Autoencoder", {"encoder", "decoder"}),
        ("VariationalAutoencoder", {"encoder", "decoder", "log_variance"}),
        ("ForwardPredictor", {"encoder", "decoder"}),
        ("InverseDynamics", {"encoder", "decoder", "action_head"}),
        ("RandomEncoder", {"decoder"}),
    ],
)
def test_the_gradient_reaches_what_it_should_and_nothing_else(name: str, parts: set[str]) -> None:
    embedder = built(name)
    assert reached(embedder) == parts
    trained = [weight for group in embedder.parameter_groups() for weight in group["params"]]
    assert {id(w) for w in trained} == {id(w) for w in embedder.parameters() if w.requires_grad}
    assert len(trained) == len(set(trained))


def test_without_any_frame_that_was_played_or_action_that_is_known_the_loss_is_a_number() -> None:
    for name in EMBEDDERS:
        embedder = built(name, **EVERY_OPTION)
        batch = SequenceBatch.of_frames(torch.zeros(2, embedder.sequence_length, 84, 84).byte())
        batch.mask.zero_()
        losses = embedder.loss(batch)
        assert torch.isfinite(losses.total)
        assert all(torch.isfinite(part) for part in losses.parts.values())


# ------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "fields", "length", "least"),
    [
        ("Autoencoder", {}, 1, 1),
        ("Autoencoder", {"stacked_frames": 4}, 4, 1),
        ("Autoencoder", {"motion_weight": 1.0}, 2, 1),
        ("Autoencoder", {"motion_weight": 1.0, "stacked_frames": 4}, 5, 1),
        ("Autoencoder", {"inverse_dynamics_weight": 1.0, "stacked_frames": 4}, 5, 2),
        ("ForwardPredictor", {}, 5, 2),
        ("ForwardPredictor", {"inverse_dynamics_weight": 1.0}, 5, 2),
        ("InverseDynamics", {"motion_weight": 1.0}, 2, 2),
    ],
)
def test_an_embedder_asks_for_as_many_frames_as_it_looks_at(
    name: str, fields: dict, length: int, least: int
) -> None:
    embedder = built(name, **fields)
    assert (embedder.sequence_length, embedder.least_frames) == (length, least)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_loss_is_its_parts_by_their_weights(name: str) -> None:
    fields = {"latent_l2": 0.25, "inverse_dynamics_weight": 0.5}
    embedder = built(name, **fields)
    losses = embedder.loss(batch_for(embedder))
    weights = {"reconstruction": 1, "latent_l2": 0.25, "inverse_dynamics": 0.5}
    weights |= {"action_accuracy": 0, "kl_divergence": 1e-6}
    expected = sum(weights[part] * float(value) for part, value in losses.parts.items())
    assert len(losses.parts) == (5 if name == "VariationalAutoencoder" else 4)
    assert float(losses.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert not any(value.requires_grad for value in losses.parts.values())


def test_a_loss_of_one_term_has_no_parts() -> None:
    embedder = built()
    assert embedder.loss(batch_for(embedder)).parts == {}


def test_latent_l2_is_the_mean_square_of_the_latents() -> None:
    embedder = built("ForwardPredictor", latent_l2=1.0, inverse_dynamics_weight=1.0)
    batch = batch_for(embedder)
    latents = embedder.embed(batch.frames[:, :-1])  # of what is drawn from, not of both stacks
    expected = float(latents.detach().square().mean())
    assert float(embedder.loss(batch).parts["latent_l2"]) == pytest.approx(expected, rel=1e-5)


def test_only_the_decoder_decays_and_by_the_step_size() -> None:
    plain, decaying = built(), built(decoder_weight_decay=0.5)
    before = [weight.detach().clone() for weight in plain.decoder.parameters()]
    for embedder in (plain, decaying):
        learn(embedder, updates=1)
    encoders = zip(plain.encoder.parameters(), decaying.encoder.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in encoders)
    drawn = zip(before, plain.decoder.parameters(), decaying.decoder.parameters(), strict=True)
    for first, one, other in drawn:
        assert torch.allclose(other, one - 3e-3 * 0.5 * first, atol=1e-7)


@pytest.mark.parametrize("option", ["dropout", "latent_noise", "input_noise", "random_shift"])
def test_what_disturbs_draws_from_torch_and_only_while_training(option: str) -> None:
    fields: dict[str, Any] = {option: 4 if option == "random_shift" else 0.5}
    embedder = built(**fields)
    batch = batch_for(embedder)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return float(embedder.loss(batch).total.detach())

    assert loss(1) == loss(1) != loss(2)
    embedder.eval()
    assert loss(1) == loss(2) == pytest.approx(float(built().loss(batch).total.detach()))


def test_noise_of_the_input_is_not_in_the_target() -> None:
    embedder = built(input_noise=0.5)
    batch = batch_for(embedder)
    assert torch.equal(embedder._see(batch).target, batch.frames[:, -1:] / 255)
    stack = embedder._stacks(embedder._see(batch)) / 4
    noise = stack - (batch.frames / 255 - embedder.background)
    assert float(noise.std()) == pytest.approx(0.5, rel=0.02)


def test_background_and_target_are_shifted_as_the_input_is() -> None:
    embedder = built("ForwardPredictor", random_shift=4)
    embedder.background.copy_(torch.rand(1, 1, 84, 84))
    sight = embedder._see(batch_for(embedder, count=3))
    offset = sight.frames - sight.background
    empty = SequenceBatch.of_frames(torch.full((3, 5, 84, 84), GREY, dtype=torch.uint8))
    torch.manual_seed(7)
    moved = embedder._see(empty)
    assert offset.shape == (3, 5, 84, 84)
    assert moved.background.shape == (3, 1, 84, 84)
    assert not torch.equal(moved.background[0], moved.background[1])
    still = moved.background - GREY / 255
    assert torch.allclose(moved.background - moved.frames, still.expand(-1, 5, -1, -1))


def test_moving_pixels_weigh_more_where_there_was_a_frame_before() -> None:
    embedder = built(motion_weight=5.0, foreground_weight=0.0)
    batch = sequences_with_a_dot(2, 2)
    batch.frames.fill_(GREY)
    batch.frames[:, 1, 10, 20:23] = 200
    batch.mask[1, 0] = False
    weight = embedder._pixel_weight(embedder._see(batch))
    assert weight[0].sum() == 84 * 84 + 3 * 5
    assert weight[0, 0, 10, 20] == 6
    assert weight[1].sum() == 84 * 84


@pytest.mark.learns
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile cannot link from such a path")
def test_the_loss_with_every_option_compiles_and_is_the_same() -> None:
    disturbing = ("dropout", "latent_noise", "input_noise", "random_shift")
    options = {name: value for name, value in EVERY_OPTION.items() if name not in disturbing}

    def losses(*, compiled: bool) -> list[float]:
        embedder = built("ForwardPredictor", **options)
        optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=1e-3))
        update = make_update(embedder, optimiser, torch.float32, compiled=compiled)
        batch = batch_for(embedder)
        return [float(value) for _ in range(3) for value in update(batch).values()]

    assert losses(compiled=True) == pytest.approx(losses(compiled=False), rel=1e-3)
