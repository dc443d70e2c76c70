"""Where a branch begins: with networks and frames of its parent, or anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlmaster.cli.terminal import asking_person
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.run_folder import RunFolder

KEPT_WHEN_GOING_ON = {
    *("environment", "frames", "seed", "encoder.weights", "encoder.losses"),
    *("agent.replay_steps", "agent.prioritised", "agent.optimiser"),
}
"""What a run that goes on from another one's frames and networks cannot change."""
GIVE_SHAPE = {
    *("embedder.type", "embedder.latent_dim", "embedder.stacked_frames", "embedder.encoder"),
    *("embedder.channels", "embedder.projection", "embedder.latent_normalisation"),
    *("agent.type", "agent.dueling", "agent.noisy", "agent.categorical"),
    *("agent.hidden_units", "agent.num_atoms", "agent.v_min", "agent.v_max"),
}
"""Fields that networks take their shape from, or the meaning of their outputs."""
KEPT_BY_DEFAULT = {*KEPT_WHEN_GOING_ON, *GIVE_SHAPE, "embedder"}
"""Where one of these is changed, a branch begins anew unless --from says otherwise."""


class BranchStart(NamedTuple):
    """Where a branch begins."""

    checkpoint: Path | None
    """The parent's checkpoint that it goes on from; None where it begins anew."""
    sentence: str
    """What the person is told of it."""


def start_of_branch(
    parent: "RunFolder", description: "ScriptDescription", start: str | None
) -> BranchStart:
    """Decide where a branch begins.

    Args:
        parent: The run that it builds on.
        description: The parent's experiment with what is changed.
        start: `newest`, `best`, a checkpoint by its name, or `scratch`; None to choose.

    Raises:
        UsageError: If it could only fail or do nothing, with what can be done instead.
    """
    from rlmaster.launched_experiment import launched_experiment
    from rlmaster.lifecycle import look_after
    from rlmaster.run_status import FINAL_STATES

    fields = _changed_fields(launched_experiment(parent), description.experiment)
    groups = {name.partition(".")[0] for name in fields}
    changed = fields | groups
    if start == "scratch" or (start is None and changed & KEPT_BY_DEFAULT):
        why = f"it begins anew, since {', '.join(sorted(groups))} is changed"
        return BranchStart(None, "" if start else why)
    if kept := sorted(changed & KEPT_WHEN_GOING_ON):
        raise UsageError(
            f"a run that goes on from {parent.short_id} cannot change {', '.join(kept)}; "
            "--from scratch begins anew"
        )
    if (state := look_after(parent).state) not in FINAL_STATES:
        raise UsageError(
            f"run {parent.short_id} is {state}; stop it first, or begin anew with --from scratch"
        )
    if shape := sorted(fields & GIVE_SHAPE):
        raise UsageError(
            f"the networks of {parent.short_id} do not fit another {', '.join(shape)}; "
            "--from scratch begins anew"
        )
    checkpoint, known = _find_checkpoint(parent, start or "newest")
    if checkpoint is None and start is not None:
        raise UsageError(
            f"run {parent.short_id} has no whole checkpoint {start!r}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    if checkpoint is None:
        why = f"it begins anew, since run {parent.short_id} has kept no whole checkpoint"
        return BranchStart(None, why)
    _refuse_if_done(parent, checkpoint, description.experiment)
    return BranchStart(checkpoint, f"it goes on from {checkpoint.name} of run {parent.short_id}")


def _refuse_if_done(parent: "RunFolder", checkpoint: Path, experiment: dict[str, Any]) -> None:
    """Refuse to go on from a checkpoint that is as far as the branch shall come."""
    from rlmaster.experiment_data import budget, budget_field

    field, wanted, done = budget_field(experiment), budget(experiment), _step_of(checkpoint)
    if done >= wanted:
        raise UsageError(
            f"run {parent.short_id} has {done:,} {field.rpartition('.')[2]} already at "
            f"{checkpoint.name}, so nothing is left of {wanted:,}; ask for more "
            f"(--set {field}=...), or begin anew with --from scratch"
        )


def _find_checkpoint(parent: "RunFolder", which: str) -> tuple[Path | None, list[str]]:
    """Return a checkpoint of a run that has ended, and the names of all that it has.

    Of a run on another computer it need not be here.
    """
    if parent.is_here():
        return parent.find_checkpoint(which), [path.name for path in parent.checkpoint_folders()]
    from rlmaster.fleet.parents import ask_for_checkpoint
    from rlmaster.project import Project

    project = Project.containing(parent.path)
    kept = ask_for_checkpoint(project, parent, which, asking_person())
    return parent.checkpoints / kept.checkpoint if kept.checkpoint else None, list(kept.known)


def _step_of(checkpoint: Path) -> int:
    """Return the update or agent step of a checkpoint, as its name says; 0 if it does not."""
    digits = checkpoint.name.partition("-")[2].partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _changed_fields(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the fields in which two experiments differ; what is only in one is a default.

    An agent that only one of them has is another type of agent.
    """
    from rlmaster.experiment_data import meaningful, plays
    from rlmaster.specification import flattened

    old, new = flattened(meaningful(before)), flattened(meaningful(after))
    differing = {name for name in old.keys() & new.keys() if old[name] != new[name]}
    return differing | ({"agent.type"} if plays(before) != plays(after) else set())
