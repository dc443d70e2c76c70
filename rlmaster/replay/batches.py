"""What is sampled from a replay, on the device that trains.

Shapes: B batch, K stacked frames, S frames in a row, H and W pixels of a frame, V latents of an
observation, L numbers of a latent.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class TransitionBatch:
    """What was seen and done, what came of it in n steps, and what was seen then.

    A replay that keeps latents hands these out in place of frames: both observations are then
    `(B, V * L)` float32, that of the oldest frames first. With n = 1 the two observations of frames
    share memory, so neither may be changed in place.
    """

    observation: Tensor
    """Stacked frames, `(B, K, H, W)` uint8, the newest last, or their latents."""
    action: Tensor
    """Action taken there, `(B,)` int64."""
    reward: Tensor
    """n-step return: discounted sum of the rewards of the steps taken, `(B,)` float32."""
    discount: Tensor
    """discount ** steps taken; 0 where nothing is to be gained any more, `(B,)` float32."""
    next_observation: Tensor
    """Stacked frames after those steps, `(B, K, H, W)` uint8, or their latents."""
    importance_weight: Tensor
    """Corrects for how often it is drawn, at most 1; 1 where all are equally likely, `(B,)`."""
    index: Tensor
    """Names the transition for `update_priorities`, `(B,)` int64."""


@dataclass(frozen=True)
class SequenceBatch:
    """Frames in a row, oldest first, and what was done at each.

    A sequence ends at the frame that was drawn. Where it would reach back beyond the start of the
    episode it is zero and masked out, as an observation's stack is.
    """

    frames: Tensor
    """Grey levels, `(B, S, H, W)` uint8."""
    actions: Tensor
    """Action taken at each frame, `(B, S)` int64; -1 where none was or none is known."""
    rewards: Tensor
    """Unclipped reward that followed each frame, `(B, S)` float32."""
    terminated: Tensor
    """The game was over after the action, `(B, S)` bool."""
    truncated: Tensor
    """The episode was cut after the action, `(B, S)` bool."""
    mask: Tensor
    """Which frames were played and do not stand before the episode's start, `(B, S)` bool."""

    def split(self, size: int) -> list[Self]:
        """Return batches of that size, the last may be smaller; they share this one's memory."""
        parts = [getattr(self, field.name).split(size) for field in fields(self)]
        return [type(self)(*part) for part in zip(*parts, strict=True)]

    @classmethod
    def of_frames(cls, frames: Tensor) -> Self:
        """Return a batch of which nothing is known but its frames, `(B, S, H, W)`."""
        shape, device = frames.shape[:2], frames.device
        nothing = torch.zeros(shape, dtype=torch.bool, device=device)
        return cls(
            frames=frames,
            actions=torch.full(shape, -1, device=device),
            rewards=torch.zeros(shape, device=device),
            terminated=nothing,
            truncated=nothing,
            mask=~nothing,
        )
