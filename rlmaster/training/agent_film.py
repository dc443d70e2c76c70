"""The films of an evaluation: its best and its median episode, and what the encoder makes of them.

Shapes: H and W pixels of a frame.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rlmaster.agents.base import BaseAgent
from rlmaster.embedders.base import BaseEmbedder
from rlmaster.experiment import Experiment
from rlmaster.experiment_data import is_drawn
from rlmaster.replay.frame_store import Episode, FrameStore
from rlmaster.training.gallery import drawn_pairs
from rlmaster.training.pictures import Frames
from rlmaster.training.playing import Advance, Evaluator, Played
from rlmaster.training.video import write_video

FILMED_STEPS = 3000
"""Agent steps at an episode's beginning that are filmed, 200 s of video; the rest is left out."""


def frames_to_film(played: Played) -> int:
    """Return how many frames the films of an evaluation have together, at most."""
    lengths = [played.returns.steps[number] for number in _filmed(played).values()]
    return sum(min(length, FILMED_STEPS) + 1 for length in lengths)


def who_draws(agent: BaseAgent, experiment: Experiment) -> BaseEmbedder | None:
    """Return an agent's embedder where it draws something that means something, else None."""
    embedder = agent.encoder.embedder
    return embedder if embedder.draws and is_drawn(experiment.to_data()) else None


def film(
    embedder: BaseEmbedder | None,
    evaluator: Evaluator,
    played: Played,
    folder: Path,
    on_progress: Advance,
    *,
    suffix: str = "",
) -> dict[str, Path]:
    """Write the best and the median episode as `best.mp4` and `median.mp4`.

    The screen is on the left, and on the right what the agent's embedder draws of it, a
    reconstruction or a prediction.

    Args:
        embedder: Who draws; None lets the screen stand alone.
        evaluator: Who played, and plays the same actions again.
        played: The evaluation.
        folder: The run's `videos`.
        on_progress: Told how many frames are written, of `frames_to_film`; at first, while they are
            played again, 0 at every step.
        suffix: What follows `best` and `median` in the files' names.

    Returns:
        The two videos, by `best` and `median`.

    Raises:
        TrainingError: If a video cannot be made.
    """
    filmed = _filmed(played)
    store = evaluator.play_again(
        played, list(filmed.values()), FILMED_STEPS, lambda _step: on_progress(0)
    )
    videos = {name: folder / f"{name}{suffix}.mp4" for name in filmed}
    written = 0
    for stream, video in enumerate(videos.values()):
        episode = next(part for part in store.episodes() if part.environment == stream)
        moments = _moments(embedder, store, episode)
        write_video(video, _counted(moments, written, on_progress))
        written += len(episode)
    return videos


def _filmed(played: Played) -> Mapping[str, int]:
    """Return the number of the episode that each video shows."""
    return {"best": played.returns.best_episode, "median": played.returns.median_episode}


def _moments(
    embedder: BaseEmbedder | None, store: FrameStore, episode: Episode
) -> Iterable[Sequence[Frames]]:
    """Return what stands side by side at each moment of an episode, `(H, W)` each."""
    if embedder is not None:
        return drawn_pairs(embedder, store, [episode], lambda _done: None)
    rows = range(episode.first_row, episode.stop_row)
    return ([store.frames_of_row(row)[episode.environment]] for row in rows)


def _counted(
    moments: Iterable[Sequence[Frames]], written: int, on_progress: Advance
) -> Iterator[Sequence[Frames]]:
    """Yield moments, and tell after each how many are written, with those written before."""
    for number, moment in enumerate(moments, start=written + 1):
        yield moment
        on_progress(number)
