"""Previews and videos: the right part is magnified, at integer scale, and players can show it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlmaster.errors import TrainingError
from rlmaster.run_folder import RunFolder
from rlmaster.training import video
from rlmaster.training.pictures import (
    PANEL,
    WINDOW,
    ZOOM,
    Drawn,
    Window,
    draw_preview,
    moving_window,
    usual_motion,
)
from rlmaster.training.video import write_video


def pong_like_frames(count: int = 50) -> np.ndarray:
    """A paddle that jumps about in one column, and a ball of two pixels that is anywhere."""
    random = np.random.default_rng(0)
    frames = np.full((count, 84, 84), 87, np.uint8)
    for frame in frames:
        top = random.integers(10, 60)
        frame[top : top + 12, 76:78] = 150
        row, column = random.integers(20, 70), random.integers(10, 60)
        frame[row : row + 2, column] = 236
    return frames


def test_the_window_is_around_the_ball_not_the_paddle() -> None:
    frames = pong_like_frames()
    usual, background = usual_motion(frames[1:], frames[:-1]), np.median(frames, axis=0)
    for frame, previous in zip(frames[1:], frames[:-1], strict=True):
        window, _ = moving_window(frame, previous, usual, background)
        assert (window.cut(frame) == 236).sum() == 2


def test_a_window_stays_inside_the_frame() -> None:
    frame, previous = np.zeros((84, 84), np.uint8), np.zeros((84, 84), np.uint8)
    frame[0, 83] = 255
    nothing = np.zeros((84, 84), np.float32)
    window, surprise = moving_window(frame, previous, nothing, background=nothing)
    assert window == Window(0, 84 - WINDOW)
    assert surprise > 0


def test_the_window_is_where_a_thing_is_and_not_where_it_has_left() -> None:
    background = np.full((84, 84), 87, np.uint8)
    background[70:] = 236  # a floor, brighter than most of the frame
    frame, previous = background.copy(), background.copy()
    previous[71, 10] = 87  # a dent in the floor that is gone now
    frame[30, 60] = 200
    usual = np.zeros((84, 84), np.float32)
    window, _ = moving_window(frame, previous, usual, background)
    assert (window.cut(frame) == 200).sum() == 1


def test_panels_show_the_pixels_at_integer_scale() -> None:
    original = pong_like_frames(2)
    drawn = np.full_like(original, 87)
    windows = [Window(20, 30), Window(40, 10)]
    picture = draw_preview(Drawn(original, drawn, windows), "update 3")
    boxes = json.loads(picture.info["zoomed_panels"])
    assert len(boxes) == 3
    left, top, right, bottom = boxes[0]
    panel = np.asarray(picture)[top:bottom, left:right, 0]
    assert panel.shape == (PANEL, PANEL)
    assert np.array_equal(panel[::ZOOM, ::ZOOM], windows[0].cut(original[0]))
    left, top, right, bottom = boxes[2]
    difference = np.asarray(picture)[top:bottom, left:right, 0][::ZOOM, ::ZOOM]
    expected = np.abs(windows[0].cut(original[0]).astype(int) - 87)
    assert np.array_equal(difference, expected)


def test_the_video_is_h264_and_shows_both_sides(tmp_path: Path) -> None:
    import av

    originals = pong_like_frames(30)
    drawn = np.full_like(originals, 40)
    path = tmp_path / "film.mp4"
    write_video(path, zip(originals, drawn, strict=True))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
    assert len(frames) == 30
    height, width = frames[0].shape
    assert height % 2 == width % 2 == 0
    assert abs(int(frames[0][height // 2, width - 20]) - 40) < 6
    assert frames[0][:, : width // 2].max() > 200
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_in_the_making_is_not_listed_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    frames = pong_like_frames(100)

    def interrupted() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from zip(frames, frames, strict=True)
        assert list(run.videos.iterdir())
        assert run.video_files() == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(run.videos / "held_out.mp4", interrupted())
    assert list(run.videos.iterdir()) == []


def test_a_video_that_cannot_be_encoded_or_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = pong_like_frames(2)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"no video: .*file"):
        write_video(tmp_path / "file" / "film.mp4", [(frames[0], frames[1])])
    monkeypatch.setattr(video, "SCALE", 1)
    monkeypatch.setattr(video, "GAP", 1)  # an odd width, which the encoder refuses
    with pytest.raises(TrainingError, match="no video: "):
        write_video(tmp_path / "film.mp4", [(frames[0], frames[1])])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
