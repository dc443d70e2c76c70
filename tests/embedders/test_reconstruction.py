"""Reconstruction losses, against numbers worked by hand."""

import pytest
import torch

from rlmaster.embedder_choices import Autoencoder
from rlmaster.embedders.foreground import motion
from rlmaster.embedders.reconstruction import pixel_error, reconstruction_loss

TARGET = torch.tensor([0.5, 0.5, 0.5, 0.5]).view(1, 1, 2, 2)
FRAME = torch.tensor([0.5, 0.51, 0.7, 0.1]).view(1, 1, 2, 2)
GOOD_ENOUGH = 10 / 65_025


@pytest.mark.parametrize(
    ("kind", "errors"),
    [
        ("squared_error", [0, 0.0001, 0.04, 0.16]),
        ("absolute_error", [0, 0.01, 0.2, 0.4]),
        ("hinged", [GOOD_ENOUGH, GOOD_ENOUGH, 0.04, 0.16]),
    ],
)
def test_errors_of_pixels(kind: str, errors: list[float]) -> None:
    assert pixel_error(FRAME, TARGET, kind).flatten().tolist() == pytest.approx(errors, abs=1e-7)


def test_what_is_good_enough_has_no_gradient() -> None:
    frame = FRAME.clone().requires_grad_()
    pixel_error(frame, TARGET, "hinged").sum().backward()
    assert frame.grad is not None
    assert frame.grad.flatten().tolist() == pytest.approx([0, 0, 0.4, -0.8])


def test_the_mean_is_weighted_and_the_worst_pixel_is_added() -> None:
    weight = torch.tensor([1.0, 1.0, 1.0, 11.0]).view(1, 1, 2, 2)
    plain = reconstruction_loss(FRAME, TARGET, weight, Autoencoder())
    assert float(plain) == pytest.approx((0.0001 + 0.04 + 11 * 0.16) / 4)
    both = torch.cat([FRAME, TARGET])
    specification = Autoencoder(worst_pixel_weight=0.5, loss="absolute_error")
    worst = reconstruction_loss(both, torch.cat([TARGET] * 2), torch.ones(()), specification)
    assert float(worst) == pytest.approx((0.01 + 0.2 + 0.4) / 8 + 0.5 * (0.16 + 0) / 2)


def test_what_does_not_count_is_not_the_worst() -> None:
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    specification = Autoencoder(worst_pixel_weight=0.5, loss="absolute_error")
    loss = reconstruction_loss(FRAME, TARGET, weight, specification)
    assert float(loss) == pytest.approx((0.01 + 0.2) / 4 + 0.5 * 0.04)


def test_motion_is_what_differs_from_the_frame_before_if_there_was_one() -> None:
    before = torch.cat([TARGET] * 2)
    moved = motion(before, torch.cat([FRAME] * 2), torch.tensor([[True], [False]]))
    assert moved.flatten().tolist() == [False, False, True, True] + [False] * 4
