"""Whether what a run keeps in memory fits, asked before hours are spent on it."""

from pathlib import Path

import torch

from rlmaster.embedder_choices import ConvolutionalEmbedder, DrawingEmbedder, Embedder
from rlmaster.errors import TrainingError
from rlmaster.replay.frame_storage import (
    GIB,
    Storage,
    available_bytes,
    choose_storage,
    free_room,
)

FRAME_BYTES = 84 * 84
WEIGHT_BYTES = 4 * 4
"""A weight, its gradient, and the two moments that Adam keeps of it, float32 each."""


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
    """Refuse a latent whose linear layers do not fit into memory.

    Args:
        embedder: The specification; of one's own classes nothing is known.
        device: Where it is trained.

    Raises:
        TrainingError: With what is needed and what is available.
    """
    if not isinstance(embedder, ConvolutionalEmbedder) or embedder.projection == "none":
        return
    layers = 2 if isinstance(embedder, DrawingEmbedder) else 1
    weights = layers * embedder.latent_dim * embedder.feature_map_size
    needed, available = weights * WEIGHT_BYTES, available_bytes(device)
    if available is not None and needed > available:
        raise TrainingError(
            f"a latent of {embedder.latent_dim:,} numbers needs {needed / GIB:.1f} GiB of memory "
            f"to be trained, and {available / GIB:.1f} GiB are available on {device}; ask for a "
            "smaller one (embedder.latent_dim)"
        )
