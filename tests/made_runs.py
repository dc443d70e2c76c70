"""Run folders as a launch, a worker and training leave them, without any of them."""

from pathlib import Path
from typing import Any

from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status

CONFIG: dict[str, Any] = {
    "environment": {"game": "pong", "protocol": "machado2018"},
    "frames": {"type": "rlmaster.experiment:RandomFrames", "steps": 1000},
    "embedder": {"type": "rlmaster.experiment:Autoencoder", "latent_dim": 64, "loss": "squared"},
    "training": {"updates": 100, "batch_size": 32, "learning_rate": 5e-4},
    "seed": 1,
    "tags": ["ball"],
}
PLAYING: dict[str, Any] = {
    "agent": {"type": "rlmaster.agent_choices:DoubleDQN", "dueling": False, "learning_rate": 1e-4},
    "agent_training": {"steps": 1000, "evaluation_episodes": 10, "evaluation_exploration": 0.001},
    "encoder": {"weights": "20260101-000000-abcdef", "losses": "none"},
}
"""Groups of fields of a run that plays by a frozen encoder."""


def make_run(
    runs: Path,
    name: str = "pong",
    *,
    run_id: str = "",
    rationale: str = "why",
    parents: tuple[str, ...] = (),
    config: dict[str, Any] | None = None,
) -> RunFolder:
    """Make a run that nobody has started.

    Args:
        runs: Where the project keeps its runs.
        name: The experiment's name.
        run_id: The run's id, if it shall have a certain one.
        rationale: Why it is made.
        parents: Ids of the runs that it builds on.
        config: Groups of fields that differ from CONFIG.
    """
    run = RunFolder.create(
        runs,
        config={"name": name, **CONFIG, **(config or {})},
        rationale=rationale,
        provenance={"script": "x.py"},
        digests={"experiment": "e", "snapshot": "s"},
        differs_from_default=["embedder.latent_dim", "seed"],
        parents=parents,
    )
    if run_id:
        run.path.rename(run.path.parent / run_id)
        run = RunFolder(run.path.parent / run_id)
    return run


def set_state(run: RunFolder, state: State, since: str = "", **facts: Any) -> None:
    """Say how a run stands."""
    run.write_status(Status(state, since=since or "2026-01-01T00:00:00.000+00:00", **facts))


def complete(run: RunFolder, value: float, since: str = "", **result: Any) -> RunFolder:
    """Let a run come to a result."""
    known = {"metric": "held_out/error", "before": 0.5, "best": value, **result}
    run.write_progress(Progress("training", 100, 100, "updates", result={**known, "value": value}))
    set_state(run, State.COMPLETED, since)
    return run


def complete_playing(run: RunFolder, value: float, since: str = "", **result: Any) -> RunFolder:
    """Let a run that plays come to a result."""
    known = {
        "metric": "evaluation/return",
        "name": "mean return of 10 episodes",
        "axis": "steps",
        "before": -20.3,
        "best": value,
        "higher_is_better": True,
        **result,
    }
    run.write_progress(Progress("training", 1000, 1000, "steps", result={**known, "value": value}))
    set_state(run, State.COMPLETED, since)
    return run
