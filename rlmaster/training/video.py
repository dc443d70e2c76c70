"""Videos: what is played, and beside it what is drawn of it, as H.264 in MP4."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rlmaster.errors import TrainingError
from rlmaster.training.pictures import Frames

FRAMES_PER_S = 15
"""The game's own speed: 60 emulator frames a second, one kept of four."""
SCALE = 4
GAP = 8


def write_video(path: Path, moments: Iterable[Sequence[Frames]]) -> None:
    """Write one or more frames side by side for each moment, such as original and reconstruction.

    Args:
        path: The MP4; it appears when it is whole.
        moments: The frames of each moment, `(H, W)` each, always as many.

    Raises:
        TrainingError: If PyAV is not installed here, or it cannot encode or write.
    """
    try:
        from av.codec.codec import UnknownCodecError
        from av.error import FFmpegError
    except ImportError:
        raise TrainingError("no video: the package av (PyAV) is not installed") from None
    partial = path.with_name(f".{path.stem}.partial")  # no *.mp4, which would be shown
    try:
        path.parent.mkdir(exist_ok=True)
        try:
            _encode(partial, moments)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (FFmpegError, UnknownCodecError, OSError) as error:
        raise TrainingError(f"no video: {error}") from error


def _encode(path: Path, moments: Iterable[Sequence[Frames]]) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_S)
        stream.pix_fmt = "yuv420p"  # what every player takes
        stream.options = {"crf": "18", "preset": "veryfast"}
        for number, frames in enumerate(moments):
            image = side_by_side(frames)
            if number == 0:
                stream.height, stream.width = image.shape
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def side_by_side(frames: Sequence[Frames]) -> Frames:
    """Return frames `(H, W)` in one picture at SCALE, with gaps; its sides are even numbers."""
    large = [frame.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for frame in frames]
    gap = np.full((large[0].shape[0], GAP), 128, np.uint8)
    return np.concatenate([part for frame in large for part in (gap, frame)][1:], axis=1)
