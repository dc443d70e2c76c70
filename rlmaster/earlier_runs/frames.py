"""Launches that learn from an earlier run's frames: which run that is, and whether it has them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.earlier_runs.parts import part
from rlmaster.errors import UsageError
from rlmaster.experiment import Atari, scientific_digest
from rlmaster.experiment_script import ScriptDescription
from rlmaster.frame_sources import ReplayFrames
from rlmaster.room import FRAME_SHAPE
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import find_run
from rlmaster.run_status import State

REPLAY_FRAMES = f"{ReplayFrames.__module__}:{ReplayFrames.__qualname__}"
NUM_ENVIRONMENTS = "environment.num_environments"
LEAST_EPISODES = 2
"""One to learn from, and one to measure with."""


def find_frames_run(experiment: Mapping[str, Any], runs: Path) -> RunFolder | None:
    """Return the run whose frames an experiment learns from; None where it collects its own.

    Of several that are called so, it is the completed one of the same seed.

    Args:
        experiment: The experiment, as JSON data.
        runs: Where the project keeps its runs.

    Raises:
        ProjectError: If no run is called that, or several are.
    """
    frames = part(experiment, "frames")
    if frames.get("type") != REPLAY_FRAMES:
        return None

    def suits(run: RunFolder) -> bool:
        same_seed = run.config().get("seed") == experiment.get("seed")
        return same_seed and run.status().state is State.COMPLETED

    return find_run(str(frames["run"]), runs, suits)


def resolve_frames(description: ScriptDescription, runs: Path) -> ScriptDescription:
    """Return an experiment with the full id of the run that it learns from, and its environments.

    An experiment that collects its own frames stays as it is.

    Args:
        description: The experiment, as its script says.
        runs: Where the project keeps its runs.

    Raises:
        ProjectError: If no run is called that, or several are.
        UsageError: If its frames are not whole, not here, not of the experiment's game or of
            another size, or too few.
    """
    run = find_frames_run(description.experiment, runs)
    if run is None:
        return description
    manifest = _whole_manifest(run)
    environment = part(description.experiment, "environment")
    _require_same_game(run, environment)
    _require_usable(run, manifest)
    number = int(manifest["num_environments"])
    experiment = {
        **description.experiment,
        "environment": {**environment, "num_environments": number},
        "frames": {**part(description.experiment, "frames"), "run": run.id},
    }
    chosen = [name for name in description.differs_from_default if name != NUM_ENVIRONMENTS]
    is_usual = number == Atari.model_fields["num_environments"].default
    return replace(
        description,
        experiment=experiment,
        digest=scientific_digest(experiment),
        differs_from_default=chosen if is_usual else [*chosen, NUM_ENVIRONMENTS],
    )


def _whole_manifest(run: RunFolder) -> JsonObject:
    """Return what a replay consists of, if all of it is here.

    Raises:
        UsageError: If it is not, with what to do.
    """
    manifest = read_json(run.replay / "manifest.json") or {}
    if _is_whole(run, manifest):
        return manifest
    if elsewhere := run.elsewhere():
        raise UsageError(
            f"the frames of run {run.short_id} are not all here; `rlmaster pull --replay "
            f"{run.short_id}` brings them from {elsewhere.host} once they are collected"
        )
    state = run.status().state
    raise UsageError(
        f"run {run.short_id} is {state} and has no whole replay; name a run that has collected all "
        "its frames"
    )


def _is_whole(run: RunFolder, manifest: JsonObject) -> bool:
    """Tell whether a manifest names all that a run has seen, and all of it is here.

    Who collects frames describes them once they are whole. Where an agent plays, they are whole at
    the end; what was brought here earlier holds fewer steps.
    """
    chunks = cast("list[Any]", manifest.get("chunks") or [])
    if not chunks or not all((run.replay / str(chunk["file"])).is_file() for chunk in chunks):
        return False
    if run.coverage_file.is_file():
        return True
    config = run.config()
    if not config.get("agent") or run.status().state is not State.COMPLETED:
        return False
    num_rows = int(chunks[-1]["first_row"]) + int(chunks[-1]["rows"]) + 1  # the newest is not kept
    return num_rows * int(manifest["num_environments"]) >= config["agent_training"]["steps"]


def _require_same_game(run: RunFolder, environment: Mapping[str, Any]) -> None:
    """Refuse frames that were played otherwise.

    Raises:
        UsageError: If game or protocol differ, with both.
    """
    played = part(run.config(), "environment")
    theirs, ours = (f"{e.get('game')} under {e.get('protocol')}" for e in (played, environment))
    if theirs != ours:
        raise UsageError(
            f"the frames of run {run.short_id} are of {theirs}, and this experiment is about "
            f"{ours}; name a run of the same game and protocol"
        )


def _require_usable(run: RunFolder, manifest: JsonObject) -> None:
    """Refuse frames that no embedder can look at, or that cannot be split.

    Raises:
        UsageError: If they are of another size, or all of one episode.
    """
    height, width = cast("list[int]", manifest.get("frame_shape") or FRAME_SHAPE)
    if (height, width) != FRAME_SHAPE:
        raise UsageError(
            f"the frames of run {run.short_id} are of {height}x{width} pixels, and embedders look "
            f"at {FRAME_SHAPE[0]}x{FRAME_SHAPE[1]}; name a run with frames of that size"
        )
    episodes = (read_json(run.coverage_file) or {}).get("episodes")
    if isinstance(episodes, int) and episodes < LEAST_EPISODES:
        raise UsageError(
            f"the frames of run {run.short_id} are all of one episode, and one is held out to "
            f"measure with; name a run with {LEAST_EPISODES} episodes or more"
        )
