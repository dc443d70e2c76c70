"""Canonical frames: the same for every run, kept once, made anew where they are damaged."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rlmaster.experiment import Atari
from rlmaster.training import canonical
from rlmaster.training.canonical import FRAMES_BEFORE, canonical_frames, note_of

PONG = Atari(game="Pong")


@pytest.fixture(autouse=True)
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Play few rows, and keep them where nobody else does."""
    monkeypatch.setattr(canonical, "ROWS", 100)
    monkeypatch.setattr(canonical, "ENVIRONMENTS", 1)
    monkeypatch.setattr(canonical, "MEASURED_FRAMES", 40)
    monkeypatch.setenv("RLMASTER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "canonical"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Remember what was played."""
    games: list[str] = []
    play = canonical._played

    def remembered(atari: Atari, on_progress: canonical.OnProgress | None) -> canonical.Rows:
        games.append(atari.game)
        return play(atari, on_progress)

    monkeypatch.setattr(canonical, "_played", remembered)
    return games


def pixels(frames: canonical.CanonicalFrames) -> torch.Tensor:
    return frames.store.sequences_at(frames.indices, FRAMES_BEFORE + 1).frames


def test_they_are_played_once_and_are_the_same_from_the_cache(few: Path, played: list[str]) -> None:
    told: list[int] = []
    first = canonical_frames(PONG, on_progress=told.append)
    again = canonical_frames(PONG.model_copy(update={"num_environments": 3}))
    assert played == ["pong"]
    assert told == sorted(told)
    assert told[-1] < 2 * 100
    assert len(list(few.iterdir())) == 1
    assert torch.equal(pixels(first), pixels(again))
    assert np.array_equal(first.ram, again.ram)
    for file in few.iterdir():
        file.unlink()
    assert torch.equal(pixels(canonical_frames(PONG)), pixels(first))


def test_other_games_and_protocols_have_frames_of_their_own(few: Path, played: list[str]) -> None:
    for atari in (PONG, Atari(game="Pong", protocol="classic"), Atari(game="Freeway")):
        canonical_frames(atari)
    canonical_frames(Atari(game="Freeway"))
    assert played == ["pong", "pong", "freeway"]
    assert len(list(few.iterdir())) == 3
    assert note_of("pong") == ""
    assert "freeway are all of random play" in note_of("freeway")


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "other"])
def test_a_damaged_file_is_made_anew(few: Path, played: list[str], damage: str) -> None:
    first = canonical_frames(PONG)
    (file,) = few.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"bit": content, "cut": content[:1000], "empty": b"", "other": b"{}"}
    file.write_bytes(damaged[damage])
    assert torch.equal(pixels(canonical_frames(PONG)), pixels(first))
    assert played == ["pong", "pong"]
    canonical_frames(PONG)
    assert len(played) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RLMASTER_CACHE", str(tmp_path / "file"))
    assert len(canonical_frames(PONG).indices) == 40


def test_who_stops_while_they_are_played_leaves_nothing(few: Path) -> None:
    def stop(done: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        canonical_frames(PONG, on_progress=stop)
    assert not few.exists()


def test_each_has_all_that_an_embedder_may_look_at_and_half_are_an_agents() -> None:
    frames = canonical_frames(PONG)
    batch = frames.store.sequences_at(frames.indices, FRAMES_BEFORE + 1)
    assert batch.mask.all()
    assert (batch.actions[:, :-1] >= 0).all()
    assert len(np.unique(frames.indices)) == 40
    assert (frames.indices % 2 == 0).sum() == 20  # the first environment is of random play


def test_the_ball_is_where_it_is_said_to_be() -> None:
    frames = canonical_frames(PONG)
    assert frames.balls is not None
    shown = frames.store.frames_at(frames.indices)[:, 0].numpy()
    visible = frames.balls.visible
    assert visible.any()
    for frame, box in zip(shown[visible], frames.balls.box[visible].tolist(), strict=True):
        assert (frame[box[0] : box[2], box[1] : box[3]] > 200).any()  # the ball alone is so bright


def test_a_frame_whose_memory_is_a_step_ahead_does_not_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canonical, "ROWS", 400)
    monkeypatch.setattr(canonical, "MEASURED_FRAMES", 10_000)  # all that may
    frames = canonical_frames(Atari(game="Breakout"))
    store = frames.store
    last = {
        (episode.stop_row - 1) * store.num_environments + episode.environment
        for episode in store.episodes()
        if episode.ended
    }
    assert last
    assert not last & set(frames.indices.tolist())
