"""Whether what a run keeps in memory fits, asked before hours are spent on it."""

from pathlib import Path

import torch

from rlmaster.embedder_choices import Embedder
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.replay.frame_storage import available_bytes, free_room
from rlmaster.room import (
    FRAME_BYTES,
    FROZEN_WEIGHT_BYTES,
    GIB,
    TRAINED_WEIGHT_BYTES,
    Storage,
    choose_storage,
)
from rlmaster.specification import resolve

MOST_ACTIONS = 18
"""Actions of the game that offers most."""


def require_room_for_frames(
    num_frames: int, storage: Storage, device: torch.device, folder: Path
) -> None:
    """Refuse to collect more than fits where the frames shall live.

    Args:
        num_frames: Frames of 84x84 pixels that will be collected.
        storage: Where they shall live.
        device: Where training gathers its batches.
        folder: Where they would lie on disk.

    Raises:
        TrainingError: With what is needed and what is available.
    """
    choose_storage(storage, num_frames * FRAME_BYTES, free_room(device, folder))


def require_room_for_latent(embedder: Embedder, device: torch.device) -> None:
    """Refuse an embedder whose weights do not fit into memory.

    Args:
        embedder: The specification; of a class that cannot be built without content nothing is
            known.
        device: Where it is trained.

    Raises:
        TrainingError: With what is needed and what is available.
    """
    needed, available = _weight_bytes(embedder), available_bytes(device)
    if available is not None and needed > available:
        raise TrainingError(
            f"a latent of {embedder.latent_dim:,} numbers needs {needed / GIB:.1f} GiB of memory "
            f"to be trained, and {available / GIB:.1f} GiB are available on {device}; ask for a "
            "smaller one or fewer channels (embedder.latent_dim, embedder.channels)"
        )


def _weight_bytes(embedder: Embedder) -> int:
    """Return what is kept of the networks' weights; 0 where nobody can say."""
    try:
        with torch.device("meta"):  # where tensors have a size and no content
            module: BaseEmbedder = resolve(embedder.builds)(embedder, num_actions=MOST_ACTIONS)
    except Exception:  # one's own class may ask for content, or for anything else
        return 0
    return sum(
        weight.numel() * (TRAINED_WEIGHT_BYTES if weight.requires_grad else FROZEN_WEIGHT_BYTES)
        for weight in module.parameters()
    )
