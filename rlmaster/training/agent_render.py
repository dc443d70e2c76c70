"""Films of an agent made anew: it plays the run's evaluation again, by any of its checkpoints.

The episodes are those that training would have seen at that moment, for seeds and random actions
are the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlmaster.agents.base import BaseAgent
from rlmaster.errors import UsageError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.agent_film import film, frames_to_film, who_draws
from rlmaster.training.playing import Evaluator
from rlmaster.training.stored_replay import OnProgress
from rlmaster.training.update import best_device


def no_stored_episodes(run: RunFolder) -> UsageError:
    """Return the refusal to list an agent's episodes, or to film a certain one."""
    return UsageError(
        f"run {run.short_id} trained an agent, which is filmed as it plays its evaluation and not "
        "by stored episodes; leave out --episode and --list"
    )


def film_agent(
    agent: BaseAgent,
    experiment: Experiment,
    out: Path,
    checkpoint: str,
    on_progress: OnProgress,
    on_note: Callable[[str], None],
) -> dict[str, Any]:
    """Play the evaluation of a run, and film its best and its median episode.

    Args:
        agent: Who plays, on the best device.
        experiment: Says which games are played, and how many.
        out: Where to write.
        checkpoint: Name of what its weights are of; the files' names end with it.
        on_progress: Told how far it is.
        on_note: Told in a sentence what the episodes came to.

    Returns:
        `best` and `median`, the videos, and what each episode came to, as JSON data.

    Raises:
        TrainingError: If a video cannot be made.
    """
    evaluator = Evaluator.of_experiment(experiment, best_device())
    played = evaluator.play(agent, lambda step: on_progress("evaluating", step, 0, "steps"))
    returns = played.returns
    episodes = "1 episode" if len(returns.returns) == 1 else f"{len(returns.returns)} episodes"
    on_note(f"mean return of {episodes} {returns.mean:,.1f}; networks of {checkpoint}")
    total = frames_to_film(played)
    videos = film(
        who_draws(agent, experiment),
        evaluator,
        played,
        out,
        lambda done: on_progress("rendering", done, total, "frames"),
        suffix=f"-{checkpoint}",
    )
    pairs = zip(returns.returns, returns.steps, strict=True)
    return {
        "checkpoint": checkpoint,
        "mean_return": returns.mean,
        "episodes": [{"return": value, "steps": steps} for value, steps in pairs],
        **{name: str(path) for name, path in videos.items()},
    }
