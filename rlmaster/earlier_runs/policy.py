"""Launches whose frames are played by an agent that was trained before: which, and if it fits."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlmaster.agent_choices import RandomAgent
from rlmaster.durable_files import JsonObject, link_or_copy, read_json, write_json
from rlmaster.earlier_runs.parts import part
from rlmaster.earlier_runs.weights import MANIFEST, NETWORKS, newest_checkpoint
from rlmaster.errors import LaunchError, ProjectError, UsageError
from rlmaster.experiment import scientific_digest
from rlmaster.experiment_script import ScriptDescription
from rlmaster.frame_sources import RANDOM, SCRIPTED, AgentFrames
from rlmaster.policy_folder import CONFIG, WEIGHTS
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import find_run

AGENT_FRAMES = f"{AgentFrames.__module__}:{AgentFrames.__qualname__}"
RANDOM_AGENT = f"{RandomAgent.__module__}:{RandomAgent.__qualname__}"


@dataclass(frozen=True)
class EarlierPolicy:
    """An agent that was trained before and now plays frames."""

    name: str
    """How the experiment names it: the run's full id, or the folder, from the project if inside."""
    config: JsonObject
    """The experiment that trained it."""
    weights: Path
    """The file with its weights."""
    sha256: str
    """Checksum of that."""
    run: RunFolder | None = None
    """The run that trained it; None where it is a folder that holds nothing else."""

    def __str__(self) -> str:
        if self.run is None:
            return f"the policy in {self.name}"
        return f"{self.weights.parent.name} of run {self.run.short_id}"

    def bring(self, folder: Path) -> None:
        """Bring it along into a new folder of a run, which any computer can then play from.

        Raises:
            LaunchError: If that cannot be written.
        """
        try:
            folder.mkdir()
            # A run's weights never change in place; those of a folder may.
            take = link_or_copy if self.run else shutil.copyfile
            take(self.weights, folder / NETWORKS)
            write_json(folder / CONFIG, self.config)
            write_json(folder / MANIFEST, {"sha256": {NETWORKS: self.sha256}}, durable=True)
        except OSError as error:
            raise LaunchError(
                f"{self} cannot be brought along ({error}); free some space, or copy it again"
            ) from error


def find_policy(experiment: Mapping[str, Any], runs: Path) -> EarlierPolicy | None:
    """Return the trained agent that plays an experiment's frames; None where there is none.

    Args:
        experiment: The experiment, as JSON data.
        runs: Where the project keeps its runs.

    Raises:
        ProjectError: If no folder and no run is called that, or several runs are.
        UsageError: If it is not final, not whole, not here, or cannot play the game.
    """
    frames = part(experiment, "frames")
    name = str(frames.get("policy"))
    if frames.get("type") != AGENT_FRAMES or name in (SCRIPTED, RANDOM):
        return None
    folder = (runs.parent / name).absolute()
    if _is_folder(folder) and not RunFolder(folder).exists():
        policy = _in_folder(folder, runs.parent.absolute())
    else:
        policy = _of_run(name, runs)
    game = part(experiment, "environment").get("game")
    if (theirs := part(policy.config, "environment").get("game")) != game:
        raise UsageError(
            f"{policy} knows the screens and actions of {theirs}, and this experiment is about "
            f"{game}; name a policy of the same game"
        )
    return policy


def resolve_policy(description: ScriptDescription, runs: Path) -> ScriptDescription:
    """Return an experiment with the full name of the trained agent that plays its frames.

    One whose frames no such agent plays stays as it is.

    Args:
        description: The experiment, as its script says.
        runs: Where the project keeps its runs.

    Raises:
        ProjectError: If no folder and no run is called that, or several runs are.
        UsageError: If it is not final, not whole, not here, or cannot play the game.
    """
    policy = find_policy(description.experiment, runs)
    if policy is None:
        return description
    frames = {**part(description.experiment, "frames"), "policy": policy.name}
    experiment = {**description.experiment, "frames": frames}
    return replace(description, experiment=experiment, digest=scientific_digest(experiment))


def _of_run(name: str, runs: Path) -> EarlierPolicy:
    try:
        run = find_run(name, runs)
    except ProjectError as error:
        raise ProjectError(
            f"frames.policy is not `{SCRIPTED}`, `{RANDOM}` or a folder of the project, and {error}"
        ) from error
    config = run.config()
    _require_player(config, f"run {run.short_id}")
    checkpoint = newest_checkpoint(run)
    sums = part(read_json(checkpoint / MANIFEST) or {}, "sha256")
    return EarlierPolicy(run.id, config, checkpoint / NETWORKS, str(sums.get(NETWORKS)), run)


def _in_folder(folder: Path, project: Path) -> EarlierPolicy:
    """Return the policy that a folder holds, which is named by its place in the project."""
    weights, config = folder / WEIGHTS, read_json(folder / CONFIG)
    if config is None or not weights.is_file():
        raise UsageError(
            f"{folder} is no policy, which is {WEIGHTS} and the {CONFIG} that it was "
            "trained with; name a folder that has both, or a run"
        )
    inside = folder.is_relative_to(project)
    name = (folder.relative_to(project) if inside else folder).as_posix()
    _require_player(config, name)
    try:
        with weights.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            f"{weights} cannot be read ({error.strerror or error}); check who may"
        ) from error
    return EarlierPolicy(name, config, weights, checksum)


def _require_player(config: JsonObject, where: str) -> None:
    """Refuse what has no trained agent.

    Raises:
        UsageError: With what to choose instead.
    """
    agent = part(config, "agent")
    if not agent:
        raise UsageError(
            f"{where} trained an embedder alone, so it has no agent to play frames; name a run "
            "that trained an agent"
        )
    if agent.get("type") == RANDOM_AGENT:
        raise UsageError(
            f"the agent of {where} acts at random, which takes no weights; choose "
            f"frames.policy={RANDOM}"
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for a path
        return False
