"""Earlier runs that a launch builds on: their frames, their embedder, or the agent that plays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlmaster.earlier_runs.encoder import EarlierEncoder, Say, find_encoder, resolve_encoder
from rlmaster.earlier_runs.frames import find_frames_run, resolve_frames
from rlmaster.earlier_runs.policy import EarlierPolicy, find_policy, resolve_policy
from rlmaster.experiment_script import ScriptDescription
from rlmaster.run_folder import RunFolder


@dataclass(frozen=True)
class EarlierRuns:
    """What a new run takes along of earlier ones."""

    frames: RunFolder | None = None
    """The run whose frames it learns from; None where it collects its own."""
    policy: EarlierPolicy | None = None
    """The trained agent that plays its frames; None where no such agent does."""
    encoder: EarlierEncoder | None = None
    """The embedder that its agent begins with; None where that is random, or there is no agent."""

    @property
    def ids(self) -> list[str]:
        """Their ids, each once."""
        takes = (self.policy, self.encoder)
        runs = (self.frames, *(taken.run for taken in takes if taken))
        return list(dict.fromkeys(run.id for run in runs if run))


def find_earlier_runs(experiment: Mapping[str, Any], runs: Path) -> EarlierRuns:
    """Return what an experiment that is resolved takes along.

    Args:
        experiment: The experiment, as JSON data.
        runs: Where the project keeps its runs.

    Raises:
        UsageError: If a run of these is gone, or has no whole checkpoint any more.
    """
    return EarlierRuns(
        find_frames_run(experiment, runs),
        find_policy(experiment, runs),
        find_encoder(experiment, runs),
    )


def resolve_earlier_runs(
    descriptions: Iterable[ScriptDescription], runs: Path, say: Say
) -> list[ScriptDescription]:
    """Return experiments with the full ids of the runs that they build on, and what follows of it.

    What is resolved already, or builds on no run, stays as it is.

    Args:
        descriptions: The experiments, as their script says.
        runs: Where the project keeps its runs.
        say: Told once of each thing that is taken over from an earlier run, one sentence each.

    Raises:
        ProjectError: If no run is called as one of them says, or several are.
        UsageError: If what is wanted of a run is not whole, not here, or does not fit.
    """
    sentences: list[str] = []
    with_frames = [
        resolve_policy(resolve_frames(description, runs), runs) for description in descriptions
    ]
    resolved = [resolve_encoder(each, runs, sentences.append) for each in with_frames]
    for sentence in dict.fromkeys(sentences):
        say(sentence)
    return resolved
