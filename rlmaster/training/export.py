"""`python -m rlmaster.training.export RUN_FOLDER FOLDER`: keep a run's agent as a small policy.

The weights that acting needs are kept in float16, a quarter of a checkpoint's networks or less.
Whether that costs anything is not assumed but played: the evaluation's episodes are played with the
very weights that are written, and the result says what they came to, and which share of the actions
the unrounded weights would have chosen too. `rlmaster export` starts this as a child.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from rlmaster.agents.base import BaseAgent
from rlmaster.durable_files import JsonObject, read_json
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.experiment_data import meaningful
from rlmaster.grid import as_typed
from rlmaster.policy_folder import CONFIG, RESULT, WEIGHTS, PolicyFolder
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES
from rlmaster.specification import flattened
from rlmaster.training.acting_weights import acting_weights
from rlmaster.training.answering import OnNote, answer_parent
from rlmaster.training.checkpoint import MANIFEST
from rlmaster.training.kept_networks import load_player
from rlmaster.training.playing import Evaluator
from rlmaster.training.stored_replay import OnProgress
from rlmaster.training.trained_policy import load_agent
from rlmaster.training.update import best_device

PACKAGES = ("torch", "ale-py")
"""Of which another version may play otherwise."""


class BesideTheOriginal(BaseAgent):
    """Plays as one agent does, and counts how often another would have done the same."""

    def __init__(self, agent: BaseAgent, original: BaseAgent) -> None:
        """Let an agent play, and another look on."""
        super().__init__(agent.encoder, num_actions=agent.num_actions)
        self.agent, self.original = agent, original
        self.chosen, self.same = 0, 0

    def act(self, observation: Tensor) -> Tensor:
        """Return the first agent's actions, `(B,)`."""
        actions = self.agent.act(observation)
        self.chosen += len(actions)
        self.same += int((actions == self.original.act(observation)).sum())
        return actions


def export(
    run: RunFolder, folder: PolicyFolder, which: str, on_progress: OnProgress, on_note: OnNote
) -> JsonObject:
    """Write the agent of a run as a policy, after playing its evaluation with what is written.

    Args:
        run: Who trained it.
        folder: Where it goes; a policy that is there is replaced.
        which: Which checkpoint: `newest`, `best` or a folder's name.
        on_progress: Told the agent steps played so far.
        on_note: Told in a sentence what the policy came to, and what is passed over.

    Returns:
        What `result.json` holds.

    Raises:
        RlmasterError: If the run has no such agent, or the folder cannot be written.
    """
    folder.require_replaceable()
    config = run.config()
    experiment = Experiment.from_data(config)
    original, checkpoint = load_player(run, experiment, which, on_note)
    weights = acting_weights(original, experiment)
    content = save(weights, {"run": run.id, "checkpoint": checkpoint.name, "format": "pt"})
    measured = measure(weights, original, experiment, on_progress)
    result: JsonObject = {
        **origin(run, config, checkpoint),
        "policy": {**measured, "bytes": len(content)},
    }
    try:
        folder.replace({WEIGHTS: content, CONFIG: _as_json(config), RESULT: _as_json(result)})
    except OSError as error:
        raise TrainingError(
            f"cannot write {folder.path} ({error.strerror or error}); free some space, or name "
            "another folder"
        ) from error
    on_note(_sentence(result, checkpoint))
    return result


def measure(
    weights: Mapping[str, Tensor],
    original: BaseAgent,
    experiment: Experiment,
    on_progress: OnProgress,
) -> JsonObject:
    """Play the evaluation with exported weights, and return what they came to.

    Args:
        weights: What acting needs, rounded.
        original: The agent before that, on the best device.
        experiment: Says which games are played, and how many.
        on_progress: Told the agent steps played so far.
    """
    device = best_device()
    player = BesideTheOriginal(load_agent(experiment, weights).to(device), original)
    evaluator = Evaluator.of_experiment(experiment, device)
    on_progress("evaluating", 0, 0, "steps")
    returns = evaluator.play(
        player, lambda step: on_progress("evaluating", step, 0, "steps")
    ).returns
    pairs = zip(returns.returns, returns.steps, strict=True)
    return {
        "mean_return": returns.mean,
        "episodes": [{"return": value, "steps": steps} for value, steps in pairs],
        "random_actions": experiment.agent_training.evaluation_exploration,
        "same_actions": player.same / player.chosen,
        "versions": {name: version(name) for name in PACKAGES},
        "weights": sum(weight.numel() for weight in weights.values()),
    }


def origin(run: RunFolder, config: JsonObject, checkpoint: Path) -> JsonObject:
    """Return where a policy comes from, as far as the run's files know it."""
    packages: dict[str, str] = run.environment().get("packages") or {}
    return {
        "run": run.id,
        "experiment": run.name,
        "parents": run.run().get("parents"),
        "seed": config.get("seed"),
        "command": launch_command(run, config),
        "checkpoint": checkpoint.name,
        "step": (read_json(checkpoint / MANIFEST) or {}).get("step"),
        "wall_time_s": wall_time_s(run),
        "versions": {name: packages.get(name) for name in PACKAGES},
        "result": run.progress().result,
    }


def launch_command(run: RunFolder, config: JsonObject) -> str | None:
    """Return what launches such a run again; None of one that was launched from a notebook.

    All that differs from the defaults is set, since nobody knows what the script said then.
    """
    script = run.provenance().get("script")
    if not script:
        return None
    fields = flattened(meaningful(config))
    differing = [name for name in run.run().get("differs_from_default") or [] if name in fields]
    parts = {part: fields.get(f"{part}.type") for part in ("embedder", "agent")}
    settings = {part: str(kind).rpartition(":")[2] for part, kind in parts.items() if kind}
    settings |= {name: as_typed(fields[name]) for name in (*differing, "seed") if name in fields}
    pairs = (f"--set {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
    return " ".join(["rlmaster launch", shlex.quote(str(script)), *pairs])


def wall_time_s(run: RunFolder) -> float | None:
    """Return how long all attempts of a run took together, in seconds; None while it goes on."""
    attempts = run.attempts()
    if not attempts or run.status().state not in FINAL_STATES:
        return None
    try:
        times = [[datetime.fromisoformat(a[end]) for end in ("start", "end")] for a in attempts]
    except (KeyError, TypeError, ValueError):  # of an attempt whose end nobody saw
        return None
    return round(sum((end - start).total_seconds() for start, end in times), 1)


def _sentence(result: JsonObject, checkpoint: Path) -> str:
    policy = result["policy"]
    count = len(policy["episodes"])
    episodes = "1 episode" if count == 1 else f"{count} episodes"
    return (
        f"{checkpoint.name}, {policy['bytes'] / 1e6:.2f} MB: mean return of {episodes} "
        f"{policy['mean_return']:,.1f}; without rounding, {policy['same_actions']:.2%} of the "
        "actions would be the same"
    )


def _as_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, tell on stdout how it goes, and return the exit code."""
    parser = argparse.ArgumentParser(prog="rlmaster export", description=__doc__)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", default="newest", help="newest, best or a folder's name")
    chosen = parser.parse_args(arguments)
    run, folder = RunFolder(chosen.run_folder), PolicyFolder(chosen.folder)

    def work(on_progress: OnProgress, on_note: OnNote) -> JsonObject:
        return export(run, folder, chosen.checkpoint, on_progress, on_note)

    return answer_parent(run, work)


if __name__ == "__main__":
    sys.exit(main())
