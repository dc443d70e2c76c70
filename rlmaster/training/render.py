"""`python -m rlmaster.training.render RUN_FOLDER`: film what a run's networks make of the game.

Nothing is trained and nothing of the run is changed; a film and a strip of pictures are added, or
two films where the networks are an agent's, which plays for them. `rlmaster render` starts this as
a child.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlmaster.atari.ball import BallBoxes
from rlmaster.durable_files import write_atomically
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training.agent_render import film_agent, no_stored_episodes
from rlmaster.training.answering import OnNote, answer_parent
from rlmaster.training.filmstrip import draw_filmstrip
from rlmaster.training.gallery import ball_moments, drawn_pairs, moving_moments
from rlmaster.training.kept_networks import load_embedder, load_player
from rlmaster.training.stored_replay import OnProgress, StoredReplay
from rlmaster.training.update import best_device
from rlmaster.training.video import write_video

MOMENTS = 8
"""Columns of the strip."""


def draw_strip(
    embedder: BaseEmbedder,
    store: FrameStore,
    path: Path,
    about: str,
    balls: BallBoxes | None = None,
) -> None:
    """Write a PNG of moments of an episode with the ball, or else in which something moves.

    Args:
        embedder: Who draws.
        store: The episode alone.
        path: The PNG; it appears when it is whole.
        about: What the strip is of; its error is added.
        balls: Where the ball is in each frame, if that is known.

    Raises:
        TrainingError: If the episode is shorter than what the embedder looks at.
    """
    least, episodes = embedder.least_frames, store.episodes()
    indices = store.frame_indices(episodes, after=least - 1)
    seen = balls.at(indices) if balls else None
    if seen is not None and seen.visible.any():
        moments = ball_moments(store, indices, seen, MOMENTS)
    else:
        moments = moving_moments(store, episodes, MOMENTS, least_frames=least)
    drawn = moments.drawn_by(embedder)
    caption = f"{about}   mean squared error of these moments {drawn.error:.2g}"
    content = io.BytesIO()
    draw_filmstrip(drawn, moments.indices.tolist(), caption).save(content, format="PNG")
    write_atomically(path, content.getvalue())


def draw_video(
    embedder: BaseEmbedder, store: FrameStore, path: Path, on_progress: OnProgress
) -> None:
    """Write an MP4 of an episode, original beside what is drawn of it.

    Args:
        embedder: Who draws.
        store: The episode alone.
        path: The MP4; it appears when it is whole.
        on_progress: Told how many frames are done.

    Raises:
        TrainingError: If it cannot be made.
    """

    def advance(done: int) -> None:
        on_progress("rendering", done, store.num_rows, "frames")

    advance(0)
    write_video(path, drawn_pairs(embedder, store, store.episodes(), advance))


def render(
    run: RunFolder,
    *,
    number: int | None,
    which: str,
    out: Path,
    on_progress: OnProgress,
    on_note: OnNote,
) -> dict[str, Any]:
    """Make the film and the strip of an episode, or the films of an agent's evaluation.

    Args:
        run: Whose networks and replay.
        number: Which episode, counted from 1; None for `StoredReplay.choose` to say. An agent has
            none to choose from.
        which: Which checkpoint: `newest`, `best` or a folder's name.
        out: Where to write.
        on_progress: Told how far it is.
        on_note: Told in a sentence what is rendered, and what is passed over.

    Returns:
        What was made, as JSON data: `strip` and `video`, or `best` and `median`. The video is None,
        and `note` says why, where there is none.

    Raises:
        RlmasterError: If anything that is needed is missing or damaged, or nothing can be written.
    """
    experiment = Experiment.from_data(run.config())
    if experiment.agent is not None:
        if number is not None:
            raise no_stored_episodes(run)
        agent, checkpoint = load_player(run, experiment, which, on_note)
        films = film_agent(agent, experiment, out, checkpoint.name, on_progress, on_note)
        return {"run_id": run.id, **films, "note": ""}
    embedder, checkpoint = load_embedder(run, experiment, which, on_note)
    replay = StoredReplay(run, experiment, on_progress)
    chosen = replay.choose(number)
    on_note(f"{chosen}, of {len(replay.episodes):,}; networks of {checkpoint.name}")
    store = replay.store(chosen.episode, best_device())
    strip = out / f"episode-{chosen.number:04d}-{checkpoint.name}.png"
    about = f"{run.name} {run.short_id}   {checkpoint.name}   {chosen}"
    balls = _balls(replay, chosen.episode, store, on_progress, on_note)
    try:
        out.mkdir(parents=True, exist_ok=True)
        draw_strip(embedder, store, strip, about, balls)
    except OSError as error:
        raise TrainingError(
            f"cannot write {strip} ({error.strerror or error}); free some space, or say with --out "
            "where else"
        ) from error
    video, note = strip.with_suffix(".mp4"), ""
    try:
        draw_video(embedder, store, video, on_progress)
    except TrainingError as error:
        video, note = None, str(error)
    return {
        "run_id": run.id,
        "episode": chosen.to_data(),
        "checkpoint": checkpoint.name,
        "strip": str(strip),
        "video": str(video) if video else None,
        "note": note,
    }


def _balls(
    replay: StoredReplay,
    episode: Episode,
    store: FrameStore,
    on_progress: OnProgress,
    on_note: OnNote,
) -> BallBoxes | None:
    """Return where the ball is in an episode; None where that cannot be known, which is said."""
    try:
        return replay.balls(episode, store, on_progress)
    except TrainingError as error:
        on_note(f"what moves is magnified, and not the ball: {error}")
        return None


def list_episodes(run: RunFolder, on_progress: OnProgress) -> dict[str, Any]:
    """Return every stored episode as JSON data.

    Raises:
        RunFolderError: If there is no replay, or a chunk is missing or damaged.
        UsageError: If the run trained an agent.
    """
    experiment = Experiment.from_data(run.config())
    if experiment.agent is not None:
        raise no_stored_episodes(run)
    replay = StoredReplay(run, experiment, on_progress)
    return {"run_id": run.id, "episodes": [episode.to_data() for episode in replay.episodes]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Render or list, tell on stdout how it goes, and return the exit code."""
    parser = argparse.ArgumentParser(prog="rlmaster render", description=__doc__)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--episode", type=int, help="which one, counted from 1")
    parser.add_argument("--checkpoint", default="newest", help="newest, best or a folder's name")
    parser.add_argument("--out", type=Path, help="folder to write into; the run's videos/")
    parser.add_argument("--list", action="store_true", help="list the stored episodes instead")
    chosen = parser.parse_args(arguments)
    run = RunFolder(chosen.run_folder)

    def work(on_progress: OnProgress, on_note: OnNote) -> dict[str, Any]:
        if chosen.list:
            return list_episodes(run, on_progress)
        return render(
            run,
            number=chosen.episode,
            which=chosen.checkpoint,
            out=chosen.out or run.videos,
            on_progress=on_progress,
            on_note=on_note,
        )

    return answer_parent(run, work)


if __name__ == "__main__":
    sys.exit(main())
