"""Launches whose agent begins with an earlier run's embedder: which run, and whether it fits."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.earlier_runs.frames import find_frames_run
from rlmaster.earlier_runs.parts import part
from rlmaster.earlier_runs.weights import MANIFEST, newest_checkpoint
from rlmaster.errors import ProjectError, UsageError
from rlmaster.experiment import EncoderTraining, Experiment, scientific_digest
from rlmaster.experiment_script import ScriptDescription
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import find_run
from rlmaster.run_status import State
from rlmaster.specification import differing_fields, flattened

Say = Callable[[str], None]

SCRATCH = str(EncoderTraining.model_fields["weights"].default)
"""Stands where a run would be named, for an encoder that begins with random weights."""
DEFAULT_EMBEDDER: JsonObject = Experiment.model_fields["embedder"].default.to_data()
"""What an experiment has whose script says nothing of an embedder."""
ABOUT_THE_LOSS = frozenset(
    {
        *("loss", "foreground_weight", "motion_weight", "worst_pixel_weight", "kl_weight"),
        *("latent_l2", "decoder_weight_decay", "dropout", "latent_noise", "input_noise"),
        "random_shift",
    }
)
"""Fields of embedders that shape no network and no latent, so that they may differ.

Any other may, of embedders that users write too, and so has to be the same.
"""


@dataclass(frozen=True)
class EarlierEncoder:
    """An embedder that an earlier run has trained, and what that took."""

    run: RunFolder
    """The run that trained it."""
    checkpoint: Path
    """The newest whole checkpoint there."""
    updates: int | None
    """Updates after which that was written; None where the run trained an agent."""
    frames: int | None
    """Agent steps that were played for it; None where nobody knows."""

    def to_data(self) -> JsonObject:
        """Return what provenance keeps of it."""
        return {"run": self.run.id, "updates": self.updates, "frames": self.frames}


def find_encoder(experiment: Mapping[str, Any], runs: Path) -> EarlierEncoder | None:
    """Return the embedder that an experiment's agent begins with; None where that is random.

    Args:
        experiment: The experiment, as JSON data.
        runs: Where the project keeps its runs.

    Raises:
        ProjectError: If no run is called that, or several are that do as well.
        UsageError: If the run goes on, or its newest checkpoint is not whole or not here.
    """
    run = _find_encoder_run(experiment, runs)
    if run is None:
        return None
    checkpoint = newest_checkpoint(run)
    step = int((read_json(checkpoint / MANIFEST) or {}).get("step") or 0)
    if run.config().get("agent"):
        return EarlierEncoder(run, checkpoint, updates=None, frames=step)
    return EarlierEncoder(run, checkpoint, updates=step, frames=_frames_played(run, runs))


def resolve_encoder(description: ScriptDescription, runs: Path, say: Say) -> ScriptDescription:
    """Return an experiment with the full id of the run whose embedder its agent begins with.

    One that leaves its embedder at the default takes over that of the run; one whose agent begins
    from scratch stays as it is.

    Args:
        description: The experiment, as its script says.
        runs: Where the project keeps its runs.
        say: Told in a sentence which embedder is taken over.

    Raises:
        ProjectError: If no run is called that, or several are.
        UsageError: If its weights are not final, not whole, not here, or do not fit.
    """
    run = _find_encoder_run(description.experiment, runs)
    if run is None:
        return description
    _require_same_game(run, description.experiment)
    newest_checkpoint(run)
    if part(description.experiment, "embedder") == DEFAULT_EMBEDDER:
        description = _with_embedder_of(run, description, say)
    _require_same_shape(run, description.experiment)
    encoder = {**part(description.experiment, "encoder"), "weights": run.id}
    experiment = {**description.experiment, "encoder": encoder}
    return replace(description, experiment=experiment, digest=scientific_digest(experiment))


def digest_over_seeds(experiment: Mapping[str, Any], runs: Path) -> str:
    """Return the digest that runs share whose experiments, and whose encoders', differ by seed.

    Args:
        experiment: The experiment, resolved, as JSON data.
        runs: Where the project keeps its runs.
    """
    try:
        run = _find_encoder_run(experiment, runs)
    except ProjectError:  # a branch may outlive the run that its first encoder was from
        run = None
    digests = part(run.run(), "digests") if run else {}
    if not (theirs := digests.get("experiment")):
        return scientific_digest(experiment)
    encoder = {**part(experiment, "encoder"), "weights": theirs}
    return scientific_digest({**experiment, "encoder": encoder})


def _find_encoder_run(experiment: Mapping[str, Any], runs: Path) -> RunFolder | None:
    """Return the run that is called so; of several, the completed one of same seed and embedder.

    So a grid over seeds has the encoders of a grid over seeds.
    """
    weights = str(part(experiment, "encoder").get("weights") or SCRATCH)
    if weights == SCRATCH:
        return None
    return find_run(weights, runs, lambda run: _is_counterpart(run, experiment))


def _is_counterpart(run: RunFolder, experiment: Mapping[str, Any]) -> bool:
    """Tell whether a run has trained the embedder of an experiment, with the experiment's seed."""
    config = run.config()
    theirs, ours = (part(each, "embedder") for each in (config, experiment))
    return (
        run.status().state is State.COMPLETED
        and config.get("seed") == experiment.get("seed")
        and _game(config) == _game(experiment)
        and ours in (theirs, DEFAULT_EMBEDDER)
    )


def _game(experiment: Mapping[str, Any]) -> object:
    return part(experiment, "environment").get("game")


def _require_same_game(run: RunFolder, experiment: Mapping[str, Any]) -> None:
    """Refuse an embedder of another game; that it was played by other rules changes no screen.

    Raises:
        UsageError: If the games differ, with both.
    """
    theirs, ours = _game(run.config()), _game(experiment)
    if theirs != ours:
        raise UsageError(
            f"the embedder of run {run.short_id} knows {theirs}, and this experiment is about "
            f"{ours}; name a run of the same game"
        )


def _require_same_shape(run: RunFolder, experiment: Mapping[str, Any]) -> None:
    """Refuse an embedder of other networks or latents than an experiment's.

    Raises:
        UsageError: If they differ, with what both have.
    """
    theirs, ours = (part(e, "embedder") for e in (run.config(), experiment))
    if differences := ", ".join(_differences(theirs, ours)):
        raise UsageError(
            f"run {run.short_id} has another embedder than this experiment: {differences}; give "
            "the experiment the same one, or none, which takes over that of the run"
        )


def _differences(theirs: JsonObject, ours: JsonObject) -> Iterator[str]:
    """Yield in words how two embedders differ; a field that only one has is newer than the other.

    Of those of different types that alone is said.
    """
    if theirs.get("type") != ours.get("type"):
        yield f"{_class_name(theirs)} instead of {_class_name(ours)}"
        return
    there, here = flattened(theirs), flattened(ours)
    for name in (name for name in here if name in there and name not in ABOUT_THE_LOSS):
        if there[name] != here[name]:
            yield f"{name} {there[name]} instead of {here[name]}"


def _with_embedder_of(
    run: RunFolder, description: ScriptDescription, say: Say
) -> ScriptDescription:
    """Return an experiment with the embedder of a run, and say so if that changes it."""
    embedder = part(run.config(), "embedder")
    if not embedder or embedder == DEFAULT_EMBEDDER:
        return description
    flat = flattened(embedder)
    chosen = [f"{name}={flat[name]}" for name in differing_fields(embedder, DEFAULT_EMBEDDER)]
    fields = ", ".join(field for field in chosen if not field.startswith("type="))
    say(
        f"the script leaves the embedder at its default, so it is that of run {run.short_id}: "
        f"{_class_name(embedder)}({fields})"
    )
    theirs = cast("list[Any]", run.run().get("differs_from_default") or [])
    named = [name for name in map(str, theirs) if name.startswith("embedder.")]
    return replace(
        description,
        experiment={**description.experiment, "embedder": embedder},
        differs_from_default=[*description.differs_from_default, *named],
    )


def _class_name(embedder: JsonObject) -> str:
    return str(embedder.get("type")).rpartition(":")[2]


def _frames_played(run: RunFolder, runs: Path) -> int | None:
    """Return the agent steps that a run, or the one whose frames it learned from, has played."""
    steps = part(run.config(), "frames").get("steps")
    if isinstance(steps, int):
        return steps
    try:
        source = find_frames_run(run.config(), runs)
    except ProjectError:  # it has been deleted since
        return None
    return _frames_played(source, runs) if source else None
