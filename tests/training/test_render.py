"""Rendering: the right episode, as the right networks draw it; nothing of the run changes."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rlmaster.embedders.base import BaseEmbedder, build_embedder
from rlmaster.experiment import Atari, Autoencoder, Experiment, RandomFrames
from rlmaster.replay import chunk_files
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training import render
from rlmaster.training.checkpoint import capture, list_checkpoints, write_best, write_checkpoint
from rlmaster.training.filmstrip import ROW_NAMES
from rlmaster.training.pictures import GAP, HEADER, PANEL, WHOLE_SCALE
from rlmaster.training.seeds import seeds_from
from rlmaster.training.stored_replay import NumberedEpisode, StoredReplay
from rlmaster.training.video import SCALE

LENGTHS = ([9, 30, 40], [25, 60])
"""Frames of the whole episodes of each environment; the last one is cut."""
ROWS = 100
STEPS = 190
"""Rows with an action: all but the last of each episode."""


@dataclass(frozen=True)
class PlayedStep:
    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    life_lost: np.ndarray
    episode_start: np.ndarray


def play(store: FrameStore, first_row: int, stop_row: int) -> None:
    """Play two environments with a ball of 4 pixels on a grey field; the last row ends it."""
    starts = [{0, *np.cumsum(lengths).tolist()} for lengths in LENGTHS]
    nothing = np.zeros(2, np.bool_)
    store.reserve(ROWS)
    for row in range(first_row, stop_row):
        frames = np.full((2, 1, 84, 84), 87, np.uint8)
        for environment in range(2):
            top, left = (7 * row + 30 * environment) % 80, (5 * row) % 80
            frames[environment, 0, top : top + 2, left : left + 2] = 236
        start = np.array([row in own for own in starts])
        over = np.array([row + 1 in own for own in starts])
        step = PlayedStep(frames, np.zeros(2, np.float32), over, nothing, nothing, start)
        store.append(step, None if row == ROWS - 1 else np.zeros(2, np.int64))


def experiment_of(steps: int = STEPS, **fields: object) -> Experiment:
    return Experiment(
        name="rendered",
        environment=Atari(game="Pong", num_environments=2),
        frames=RandomFrames(steps=steps, held_out_share=0.4),
        embedder=Autoencoder(latent_dim=8, channels=(2, 2, 2)),
        **fields,
    )


def keep_checkpoint(run: RunFolder, embedder: BaseEmbedder, step: int) -> Path:
    checkpoint = capture(step, embedder, torch.optim.Adam(embedder.parameters()), {"updates": step})
    write_best(run.checkpoints, checkpoint)
    return write_checkpoint(run.checkpoints, checkpoint)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FrameStore:
    """All frames in memory; what is saved of them takes several chunks."""
    monkeypatch.setattr(chunk_files, "FRAMES_PER_CHUNK", 32)
    store = FrameStore(2)
    play(store, 0, ROWS)
    return store


@pytest.fixture
def run(tmp_path: Path, store: FrameStore) -> RunFolder:
    """A run with its whole replay and one checkpoint of untrained networks."""
    run = RunFolder.create(
        tmp_path / "runs ü",
        config=experiment_of().to_data(),
        rationale="to be looked at",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    store.save(run.replay)
    torch.manual_seed(0)
    keep_checkpoint(run, build_embedder(experiment_of()), 30)
    return run


def nothing(*_: object) -> None:
    pass


@pytest.fixture
def rendering(run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch):
    """Run the program on the run; return exit code, what it said by kind, and its complaint."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def start(*options: str) -> tuple[int, dict[str, list], str]:
        code = render.main([str(run.path), *options])
        said = capsys.readouterr()
        by_kind: dict[str, list] = {}
        for line in said.out.splitlines():
            ((kind, value),) = json.loads(line).items()
            by_kind.setdefault(kind, []).append(value)
        return code, by_kind, said.err

    return start


def files_of(run: RunFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------- episodes


def test_episodes_are_counted_by_when_they_began(run):
    episodes = StoredReplay(run, experiment_of(), nothing).episodes

    assert [e.number for e in episodes] == [1, 2, 3, 4, 5, 6, 7]
    assert [(e.episode.first_row, e.episode.environment) for e in episodes] == [
        (0, 0), (0, 1), (9, 0), (25, 1), (39, 0), (79, 0), (85, 1),
    ]  # fmt: skip
    assert {e.number for e in episodes if not e.episode.ended} == {6, 7}


def test_those_are_held_out_that_training_holds_out(run, store):
    episodes = StoredReplay(run, experiment_of(), nothing).episodes

    split = store.split_episodes(0.4, seeds_from(experiment_of().seed).split)
    trained_on, held_out = split
    assert [e.episode for e in episodes if e.held_out] == sorted(
        held_out, key=lambda e: (e.first_row, e.environment)
    )
    assert {e.episode for e in episodes if e.held_out is False} == set(trained_on)


def test_while_frames_are_collected_numbers_hold_and_nothing_is_held_out_yet(run):
    after = StoredReplay(run, experiment_of(), nothing).episodes
    too_few = StoredReplay(run, experiment_of(10_000), nothing).episodes
    earlier = FrameStore(2)
    play(earlier, 0, 60)
    earlier.save(run.replay)
    before = StoredReplay(run, experiment_of(), nothing).episodes
    going_on = StoredReplay(run, experiment_of(100), nothing).episodes

    assert [e.held_out for e in before] == [None] * 5
    assert [e.held_out for e in going_on] == [None] * 5
    assert [e.held_out for e in too_few] == [None] * 7
    assert [e.episode.first_row for e in before] == [e.episode.first_row for e in after[:5]]
    assert all(e.held_out is not None for e in after)


@pytest.mark.parametrize("number", [1, 3, 5, 7])
def test_the_sequences_of_an_episode_are_those_that_were_played(run, store, number):
    replay = StoredReplay(run, experiment_of(), nothing)
    episode = replay.choose(number).episode
    alone = replay.store(episode)

    expected = store.sequences_at(store.frame_indices([episode]), 5)
    found = alone.sequences_at(alone.frame_indices(alone.episodes()), 5)
    assert [replace(episode, environment=0, first_row=0, stop_row=len(episode))] == alone.episodes()
    assert torch.equal(found.frames, expected.frames)
    assert torch.equal(found.actions, expected.actions)


def test_by_default_the_longest_whole_held_out_episode_is_chosen(run):
    replay = StoredReplay(run, experiment_of(), nothing)
    whole = [e for e in replay.episodes if e.held_out and e.episode.ended]
    longest = max(whole, key=lambda e: len(e.episode))

    assert replay.choose(None) == longest

    replay.episodes[longest.number - 1] = replace(longest, held_out=False)
    assert replay.choose(None) in whole
    assert len(replay.choose(None).episode) < len(longest.episode)

    replay.episodes = [replace(e, held_out=False) for e in replay.episodes]
    assert replay.choose(None).number == longest.number


# ------------------------------------------------------------------------------- what is made


def test_a_film_and_a_strip_are_made_and_nothing_else_changes(run, rendering, store):
    import av

    before = files_of(run)

    code, said, complaint = rendering("--episode", "3")

    assert (code, complaint) == (0, "")
    (answer,) = said["answer"]
    assert answer["episode"] == {
        "number": 3, "environment": 0, "frames": 30, "held_out": True, "ended": True,
    }  # fmt: skip
    what, why = said["note"]
    assert what == "episode 3, 30 frames, held out, of 7; networks of update-000000030"
    assert why.startswith("what moves is magnified, and not the ball: the stored frame in row 9 ")
    strip, video = Path(answer["strip"]), Path(answer["video"])
    assert strip == run.videos / "episode-0003-update-000000030.png"
    assert video == run.videos / "episode-0003-update-000000030.mp4"
    assert {**files_of(run), strip: b"", video: b""} == {**before, strip: b"", video: b""}
    with av.open(str(video)) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    played = store.frames_at(store.frame_indices([store.episodes()[1]]))[:, 0].numpy()
    assert len(shown) == len(played) == 30
    for frame, original in zip(shown, played, strict=True):
        left = frame[SCALE // 2 :: SCALE, SCALE // 2 : 84 * SCALE : SCALE]
        assert np.abs(left.astype(int) - original).mean() < 2
        assert abs(left.argmax() // 84 - original.argmax() // 84) <= 2  # the ball is in its row


def test_the_strip_shows_original_reconstruction_and_difference(run, rendering):
    code, said, _ = rendering("--episode", "5", "--out", str(run.path / "else" / "where"))

    assert code == 0
    assert not run.videos.exists()
    strip = np.asarray(Image.open(said["answer"][0]["strip"]).convert("L"))
    rows = [2 * HEADER + row * (PANEL + GAP) for row in range(3)]
    original, drawn, difference = (
        strip[top : top + PANEL : WHOLE_SCALE, ROW_NAMES : ROW_NAMES + PANEL : WHOLE_SCALE]
        for top in rows
    )
    inside = drawn < 255  # everywhere but where the line around what is magnified is drawn
    assert (original == 236).sum() == 4
    unframed = np.abs(original.astype(int) - drawn) == difference
    assert unframed[inside].mean() > 0.95
    magnified = strip[-3 * (PANEL + GAP) : -2 * (PANEL + GAP) - GAP]
    assert (magnified == 236).sum() >= 8 * 4 * 6 * 6  # the ball is in each of the windows


@pytest.mark.parametrize("which", ["newest", "best", "update-000000030"])
def test_the_checkpoint_that_is_asked_for_draws(run, rendering, which):
    embedder = build_embedder(experiment_of())
    embedder.background.fill_(1.0)  # all white
    torch.nn.init.zeros_(list(embedder.decoder.parameters())[-1])
    keep_checkpoint(run, embedder, 60)

    code, said, _ = rendering("--checkpoint", which)

    assert code == 0
    names = {"newest": "update-000000060", "best": "best-000000060"}
    assert said["answer"][0]["checkpoint"] == names.get(which, which)


def test_an_episode_of_one_frame_can_be_rendered(run, rendering, monkeypatch):
    def only_the_first(self, number):
        chosen = self.episodes[0]
        short = Episode(0, 0, 1, ended=False)
        return NumberedEpisode(chosen.number, short, held_out=None)

    monkeypatch.setattr(StoredReplay, "choose", only_the_first)

    code, said, _ = rendering()

    assert code == 0
    assert "episode 1, 1 frames, not yet assigned, not played to its end" in said["note"][0]


def test_the_runs_own_embedder_draws_whatever_it_prints(run, rendering):
    experiments = run.path.parents[1] / ".snapshots" / "abc" / "experiments"
    experiments.mkdir(parents=True)
    (experiments / "embedder_of_the_run.py").write_text(
        "print('hello')\n"
        "from rlmaster.embedders.autoencoder import AutoencoderEmbedder\n"
        "from rlmaster.experiment import Autoencoder\n"
        "class Own(Autoencoder):\n    builds = 'embedder_of_the_run:Network'\n"
        "class Network(AutoencoderEmbedder):\n    pass\n"
    )
    run.provenance_file.write_text(
        json.dumps({"script": "experiments/x.py", "snapshot": {"digest": "abc"}})
    )
    config = run.config()
    config["embedder"]["type"] = "embedder_of_the_run:Own"
    run.config_file.write_text(json.dumps(config))

    code, said, complaint = rendering()

    sys.modules.pop("embedder_of_the_run", None)
    assert (code, complaint) == (0, "hello\n")
    assert Path(said["answer"][0]["video"]).is_file()


def test_the_stored_episodes_can_be_listed_without_a_checkpoint(run, rendering):
    for checkpoint in list_checkpoints(run.checkpoints):
        (checkpoint / "manifest.json").unlink()

    code, said, _ = rendering("--list")

    assert code == 0
    rows = said["answer"][0]["episodes"]
    assert [row["frames"] for row in rows] == [9, 25, 30, 60, 40, 21, 15]
    assert not run.videos.exists()


# ---------------------------------------------------------------------------------- bad luck


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_replay(run: RunFolder) -> None:
    (run.replay / "manifest.json").unlink()


def damaged_chunk(run: RunFolder) -> None:
    flip_a_bit(run.replay / "chunk-000001.npz")


def missing_chunk(run: RunFolder) -> None:
    (run.replay / "chunk-000002.npz").unlink()


def no_checkpoint(run: RunFolder) -> None:
    for checkpoint in list_checkpoints(run.checkpoints):
        (checkpoint / "manifest.json").unlink()


def damaged_checkpoint(run: RunFolder) -> None:
    flip_a_bit(run.checkpoints / "update-000000030" / "networks.safetensors")


def other_networks(run: RunFolder) -> None:
    config = run.config()
    config["embedder"]["latent_dim"] = 9
    run.config_file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "options", "code", "sentence"),
    [
        (no_replay, [], 1, "has not finished collecting"),
        (no_replay, ["--list"], 1, "has not finished collecting"),
        (damaged_chunk, [], 1, "chunk-000001.npz is damaged"),
        (missing_chunk, [], 1, "chunk-000002.npz cannot be read"),
        (no_checkpoint, [], 1, "there is no checkpoint 'newest'"),
        (damaged_checkpoint, [], 1, "is whole"),
        (damaged_checkpoint, ["--checkpoint", "update-000000030"], 1, "safetensors is damaged"),
        (other_networks, [], 1, "does not fit the networks"),
        (nothing, ["--checkpoint", "update-7"], 1, "there are: update-000000030"),
        (nothing, ["--episode", "8"], 2, "there is no episode 8: the replay holds 7, counted from"),
        (nothing, ["--episode", "0"], 2, "there is no episode 0: the replay holds 7"),
        (nothing, ["--episode", "-1"], 2, "there is no episode -1: the replay holds 7"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence_and_leaves_nothing(
    run, rendering, damage, options, code, sentence
):
    damage(run)

    ended, said, complaint = rendering(*options)

    assert ended == code
    assert len(complaint.splitlines()) == 1
    assert sentence in complaint
    assert "answer" not in said
    assert not run.videos.exists()


def test_a_damaged_newest_checkpoint_is_passed_over_and_that_is_said(run, rendering):
    newer = keep_checkpoint(run, build_embedder(experiment_of()), 60)
    flip_a_bit(newer / "networks.safetensors")

    code, said, _ = rendering()

    assert code == 0
    assert said["answer"][0]["checkpoint"] == "update-000000030"
    assert "update-000000060/networks.safetensors is damaged" in said["note"][0]
    assert newer.is_dir()


def test_a_folder_that_cannot_be_written_is_one_sentence(run, rendering):
    (run.path / "file").touch()

    code, _, complaint = rendering("--out", str(run.path / "file"))

    assert code == 1
    assert len(complaint.splitlines()) == 1
    assert "say with --out where else" in complaint


def test_without_a_video_library_there_is_still_the_strip(run, rendering, monkeypatch):
    monkeypatch.setitem(sys.modules, "av.codec.codec", None)

    code, said, _ = rendering()

    (answer,) = said["answer"]
    assert code == 0
    assert answer["video"] is None
    assert answer["note"] == "no video: the package av (PyAV) is not installed"
    assert [path.name for path in run.videos.iterdir()] == [Path(answer["strip"]).name]


def test_an_interrupt_leaves_no_half_a_film(run, rendering, monkeypatch):
    def interrupted(frames: Iterator[object]) -> Iterator[object]:
        yield from list(frames) * 4  # enough for the encoder to have written something
        assert list(run.videos.glob(".*"))
        raise KeyboardInterrupt

    write = render.write_video
    monkeypatch.setattr(render, "write_video", lambda path, pairs: write(path, interrupted(pairs)))

    code, said, complaint = rendering()

    assert (code, complaint) == (130, "")
    assert "answer" not in said
    assert [path.suffix for path in run.videos.iterdir()] == [".png"]
