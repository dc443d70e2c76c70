"""What all embedders share that draw frames from their latent.

In Atari games almost all of a frame never changes, and what matters may be two pixels large. So the
networks see and draw only the difference from a background image, and pixels that differ from it
weigh more; with plain mean squared error the best answer for a long time is to leave the ball out.

Shapes: B batch, K stacked frames, S frames in a row, D drawn frames, F feature map, L latent, A
actions; frames are 84x84.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rlmaster.embedder_choices import DrawingEmbedder
from rlmaster.embedders.augmentation import randomly_shifted, with_noise
from rlmaster.embedders.base import (
    BaseEmbedder,
    EmbedderLoss,
    Preview,
    channels_innermost,
    unit_interval,
)
from rlmaster.embedders.foreground import foreground, median_background, motion
from rlmaster.embedders.inverse_dynamics import ActionHead, action_accuracy, action_error
from rlmaster.embedders.reconstruction import reconstruction_loss
from rlmaster.networks import FRAME_SIZE, FrameDecoder, FrameEncoder
from rlmaster.replay.batches import SequenceBatch

INPUT_GAIN = 4.0
"""Brings differences from the background, mostly under 0.5, to the scale weights start at."""


@dataclass(frozen=True)
class Sight:
    """A batch, as the networks see it."""

    frames: Tensor
    """Frames in a row, `(B, S, 84, 84)` in [0, 1], all shifted alike."""
    background: Tensor
    """The game's background, shifted as they are, `(1, 1, 84, 84)` or `(B, 1, 84, 84)`."""
    batch: SequenceBatch
    """Where they come from."""
    num_drawn: int
    """How many of the newest frames should come out, D."""

    @property
    def target(self) -> Tensor:
        """The frames that should come out, `(B, D, 84, 84)`: the newest."""
        return self.frames[:, -self.num_drawn :]


@dataclass(frozen=True)
class Term:
    """A part of a loss."""

    value: Tensor
    """A scalar."""
    weight: float = 1.0
    """How much it counts in the total."""


class BaseDrawingEmbedder(BaseEmbedder):
    """Stacked frames through a narrow latent, and out again.

    Subclasses say which come out and what the decoder is given, and may add terms to the loss.
    """

    background: Tensor
    draws_next_frame: ClassVar[bool] = False
    """Whether the frame that comes out is the one after those that went in."""
    draws_whole_stack: ClassVar[bool] = True
    """Whether otherwise all that went in come out, or the newest alone."""

    def __init__(
        self, specification: DrawingEmbedder, *, num_actions: int, decoder_inputs: int | None = None
    ) -> None:
        """Build the networks with random weights.

        Args:
            specification: What to build.
            num_actions: Actions that the game offers, A.
            decoder_inputs: Numbers that frames are drawn from; L if not given.
        """
        whole = self.draws_whole_stack and not self.draws_next_frame
        self._num_drawn = specification.stacked_frames if whole else 1
        knows_action = specification.inverse_dynamics_weight > 0
        needs_step = self.draws_next_frame or knows_action
        length = specification.stacked_frames + needs_step
        super().__init__(
            specification.latent_dim,
            sequence_length=max(length, self._num_drawn + 1 if specification.motion_weight else 0),
            least_frames=2 if needs_step else 1,
        )
        self.specification = specification
        self.encoder = FrameEncoder(specification)
        inputs = specification.latent_dim if decoder_inputs is None else decoder_inputs
        self.decoder = FrameDecoder(specification.channels, inputs, num_frames=self._num_drawn)
        self.action_head = (
            ActionHead(specification.latent_dim, num_actions) if knows_action else None
        )
        self.register_buffer("background", torch.zeros(1, 1, FRAME_SIZE, FRAME_SIZE))

    # ------------------------------------------------------------------ what an embedder offers

    def prepare(self, frames: Tensor) -> None:
        """Take the median of training frames as the background."""
        self.background.copy_(median_background(frames))

    def embed(self, observation: Tensor) -> Tensor:
        """Return the latent `(B, L)` of the newest frames of an observation."""
        newest = channels_innermost(observation[:, -self.specification.stacked_frames :])
        return self.encoder(_contrast(unit_interval(newest), self.background))

    def loss(self, batch: SequenceBatch) -> EmbedderLoss:
        """Return the error of the drawn frames, and the other terms that the options ask for."""
        terms = self._terms(self._see(batch))
        total = torch.stack([term.weight * term.value for term in terms.values()]).sum()
        parts = {name: term.value.detach() for name, term in terms.items()}
        return EmbedderLoss(total, parts if len(parts) > 1 else {})

    def preview(self, batch: SequenceBatch) -> Preview:
        """Return the newest frame, and what is drawn in its place."""
        sight = self._see(batch)
        features = self.encoder.convolutions(self._drawn_stack(sight))
        code, _ = self._code(features, self.encoder.head(features))
        newest = self._draw(code, sight)[:, -1:].clamp(0, 1)
        return Preview(sight.target[:, -1:], newest)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trained parameters; the decoder's are apart, for they can decay."""
        drawing = set(self.decoder.parameters())
        others = [w for w in self.parameters() if w.requires_grad and w not in drawing]
        decay = self.specification.decoder_weight_decay
        groups = [
            {"params": list(self.decoder.parameters()), "weight_decay": decay},
            {"params": others},
        ]
        return [group for group in groups if group["params"]]

    # ------------------------------------------------------------------ what a subclass may say

    def _code(self, features: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Term]]:
        """Return what frames are drawn from, `(B, L)`, and the terms that follow from it.

        Args:
            features: Flattened feature maps, `(B, F)`.
            latents: `(B, L)`.
        """
        del features
        return latents, {}

    def _draw(self, code: Tensor, sight: Sight) -> Tensor:
        """Return frames `(B, D, 84, 84)`, float32 and unbounded."""
        return sight.background + self.decoder(code).float()

    # ------------------------------------------------------------------------------- its parts

    def _see(self, batch: SequenceBatch) -> Sight:
        frames, shift = unit_interval(batch.frames), self.specification.random_shift
        if not (self.training and shift):
            return Sight(frames, self.background, batch, self._num_drawn)
        background = self.background.expand(len(frames), -1, -1, -1)
        shifted = randomly_shifted(torch.cat([frames, background], 1), shift)
        return Sight(shifted[:, :-1], shifted[:, -1:], batch, self._num_drawn)

    def _terms(self, sight: Sight) -> dict[str, Term]:
        features = self.encoder.convolutions(self._stacks(sight))
        latents = self.encoder.head(features)
        count = len(sight.frames)  # the drawn stacks; after them the others, where there are any
        code, terms = self._code(features[:count], latents[:count])
        drawn, weight = self._draw(self._disturbed(code), sight), self._pixel_weight(sight)
        error = reconstruction_loss(drawn, sight.target, weight, self.specification)
        terms["reconstruction"] = Term(error)
        if self.specification.latent_l2:
            size = latents[:count].square().mean()
            terms["latent_l2"] = Term(size, self.specification.latent_l2)
        if self.action_head is not None:
            terms |= self._action_terms(self.action_head, latents, sight)
        return terms

    def _pixel_weight(self, sight: Sight) -> Tensor:
        """Return how much each pixel of the target counts, `(B, D, 84, 84)`.

        It is 1 and more, and 0 in frames from before the episode began.
        """
        count, was_played = self._num_drawn, sight.batch.mask
        in_front = foreground(sight.target, sight.background)
        weight = 1 + self.specification.foreground_weight * in_front
        if self.specification.motion_weight:
            before = sight.frames[:, -count - 1 : -1]
            moved = motion(before, sight.target, was_played[:, -count - 1 : -1])
            weight = weight + self.specification.motion_weight * moved
        return weight * was_played[:, -count:, None, None]

    def _action_terms(self, head: ActionHead, latents: Tensor, sight: Sight) -> dict[str, Term]:
        drawn, other = latents.chunk(2)
        before, after = (drawn, other) if self.draws_next_frame else (other, drawn)
        logits, actions = head(before, after).float(), sight.batch.actions[:, -2]
        weight = self.specification.inverse_dynamics_weight
        return {
            "inverse_dynamics": Term(action_error(logits, actions), weight),
            "action_accuracy": Term(action_accuracy(logits, actions), 0),
        }

    def _disturbed(self, code: Tensor) -> Tensor:
        """Return what the decoder is given, with noise and gaps while training."""
        if not self.training:
            return code
        noisy = with_noise(code, self.specification.latent_noise)
        return functional.dropout(noisy, self.specification.dropout)

    def _stacks(self, sight: Sight) -> Tensor:
        """Return all stacks that need a latent, those that frames are drawn from first."""
        if self.action_head is None:
            return self._drawn_stack(sight)
        return torch.cat([self._drawn_stack(sight), self._other_stack(sight)])

    def _drawn_stack(self, sight: Sight) -> Tensor:
        return self._stack(sight, steps_ago=int(self.draws_next_frame))

    def _other_stack(self, sight: Sight) -> Tensor:
        return self._stack(sight, steps_ago=int(not self.draws_next_frame))

    def _stack(self, sight: Sight, steps_ago: int) -> Tensor:
        end = self.sequence_length - steps_ago
        frames = sight.frames[:, end - self.specification.stacked_frames : end]
        noise = self.specification.input_noise if self.training else 0.0
        return _contrast(with_noise(frames, noise), sight.background)


def _contrast(frames: Tensor, background: Tensor) -> Tensor:
    return (frames - background) * INPUT_GAIN
