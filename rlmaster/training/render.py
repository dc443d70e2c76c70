"""`python -m rlmaster.training.render RUN_FOLDER`: film what a run's networks make of the game.

Nothing is trained and nothing of the run is changed; a film and a strip of pictures are added, or
two films where the networks are an agent's, which plays for them. What is said on stdout is one
JSON object a line, for `rlmaster render`, which starts this as a child: `progress` and `note` on
the way, `answer` last.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from torch import Tensor

from rlmaster.agents.base import BaseAgent
from rlmaster.durable_files import write_atomically
from rlmaster.embedders.base import BaseEmbedder, build_embedder, load_networks
from rlmaster.errors import RlmasterError, RunFolderError, TrainingError
from rlmaster.experiment import Experiment
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training.agent_render import film_agent, no_stored_episodes
from rlmaster.training.checkpoint import find_checkpoint, list_checkpoints, read_networks
from rlmaster.training.filmstrip import draw_filmstrip
from rlmaster.training.gallery import drawn_pairs, moving_moments
from rlmaster.training.stored_replay import OnProgress, StoredReplay
from rlmaster.training.trained_policy import load_agent
from rlmaster.training.update import best_device
from rlmaster.training.video import write_video

MOMENTS = 8
"""Columns of the strip."""
INTERRUPTED = 130


def load_embedder(
    run: RunFolder, experiment: Experiment, which: str, on_note: Callable[[str], None]
) -> tuple[BaseEmbedder, Path]:
    """Return networks on the best device and in evaluation mode, and the checkpoint they are of.

    Args:
        run: Whose networks.
        experiment: What the run's config.json describes.
        which: `best`, a folder's name, or `newest`, which passes over damaged ones.
        on_note: Told of each that is passed over.

    Raises:
        RunFolderError: If there is no such checkpoint, it is damaged, or does not fit.
        TrainingError: If there is no such embedder.
    """
    embedder = build_embedder(experiment)
    checkpoint, weights = _read_weights(run, which, on_note)
    try:
        load_networks(embedder, weights)
    except TrainingError as error:
        raise _misfit(checkpoint) from error
    return embedder.to(best_device()).eval(), checkpoint


def load_player(
    run: RunFolder, experiment: Experiment, which: str, on_note: Callable[[str], None]
) -> tuple[BaseAgent, Path]:
    """Return an agent on the best device and in evaluation mode, and the checkpoint it is of.

    Arguments and errors are those of `load_embedder`.
    """
    checkpoint, weights = _read_weights(run, which, on_note)
    try:
        agent = load_agent(experiment, weights)
    except TrainingError as error:
        raise _misfit(checkpoint) from error
    return agent.to(best_device()), checkpoint


def _misfit(checkpoint: Path) -> RunFolderError:
    return RunFolderError(
        f"{checkpoint} does not fit the networks that the run's config.json describes; one of "
        "the two was changed or copied from another run"
    )


def _read_weights(
    run: RunFolder, which: str, on_note: Callable[[str], None]
) -> tuple[Path, dict[str, Tensor]]:
    checkpoint = find_checkpoint(run.checkpoints, which)
    if which != "newest":
        return checkpoint, read_networks(checkpoint)
    for checkpoint in reversed(list_checkpoints(run.checkpoints)):
        try:
            return checkpoint, read_networks(checkpoint)
        except RunFolderError as error:
            on_note(f"{error}; it is passed over")
    raise RunFolderError(f"no checkpoint in {run.checkpoints} is whole; --checkpoint best may be")


def draw_strip(embedder: BaseEmbedder, store: FrameStore, path: Path, about: str) -> None:
    """Write a PNG of moments of an episode in which something moves.

    Args:
        embedder: Who draws.
        store: The episode alone.
        path: The PNG; it appears when it is whole.
        about: What the strip is of; its error is added.

    Raises:
        TrainingError: If the episode is shorter than what the embedder looks at.
    """
    moments = moving_moments(store, store.episodes(), MOMENTS, least_frames=embedder.least_frames)
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
    on_note: Callable[[str], None],
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
    try:
        out.mkdir(parents=True, exist_ok=True)
        draw_strip(embedder, store, strip, about)
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
    run, stdout = RunFolder(chosen.run_folder), sys.stdout

    def tell(kind: str, value: Any) -> None:
        stdout.write(f"{json.dumps({kind: value})}\n")
        stdout.flush()

    def on_progress(phase: str, step: int, total: int, axis: str) -> None:
        tell("progress", {"phase": phase, "step": step, "total": total, "axis": axis})

    try:
        with redirect_stdout(sys.stderr):  # whatever the run's own code prints is no answer
            _import_from(run)
            if chosen.list:
                answer = list_episodes(run, on_progress)
            else:
                answer = render(
                    run,
                    number=chosen.episode,
                    which=chosen.checkpoint,
                    out=chosen.out or run.videos,
                    on_progress=on_progress,
                    on_note=lambda sentence: tell("note", sentence),
                )
        tell("answer", answer)
    except RlmasterError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _import_from(run: RunFolder) -> None:
    """Let the run's own embedders be found, before present files of the same name."""
    paths = [str(path) for path in run.code_paths()]
    sys.path[:0] = paths[1:]  # the script's folder
    sys.path += paths[:1]  # the snapshot, behind because it holds a package rlmaster too


if __name__ == "__main__":
    sys.exit(main())
