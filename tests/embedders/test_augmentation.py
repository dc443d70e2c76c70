"""Random shifts, against padding by the edge and cropping."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rlmaster.embedders.augmentation import randomly_shifted, with_noise


@given(st.integers(0, 2**31), st.integers(0, 6), st.integers(1, 3))
def test_each_sequence_is_a_crop_of_itself_padded_by_its_edge(seed, pixels, length) -> None:
    torch.manual_seed(seed)
    frames = torch.rand(3, length, 9, 8)
    shifted = randomly_shifted(frames, pixels)
    padded = functional.pad(frames, [pixels] * 4, mode="replicate")
    for number in range(3):
        crops = (
            padded[number, :, row : row + 9, column : column + 8]
            for row in range(2 * pixels + 1)
            for column in range(2 * pixels + 1)
        )
        assert any(torch.equal(shifted[number], crop) for crop in crops)


def test_every_shift_comes_in_each_direction() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(9.0).expand(500, 1, 9, 9)
    for frames, axis in ((ramp, 3), (ramp.transpose(2, 3), 2)):
        middle = randomly_shifted(frames, 2).select(axis, 4)[:, 0, 4]
        assert middle.unique().tolist() == [2, 3, 4, 5, 6]


def test_noise_is_normal_of_its_deviation() -> None:
    torch.manual_seed(0)
    noise = with_noise(torch.full((100_000,), 3.0), 0.5)
    assert abs(float(noise.mean()) - 3) < 0.01
    assert abs(float(noise.std()) - 0.5) < 0.01
