"""The weights that an earlier run has come to, for a launch that builds on them."""

from pathlib import Path

from rlmaster.errors import UsageError
from rlmaster.lifecycle import look_after
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES

MANIFEST, NETWORKS = "manifest.json", "networks.safetensors"
FILES = (MANIFEST, NETWORKS)
"""What is taken of a checkpoint: its checksums and its weights."""


def newest_checkpoint(run: RunFolder) -> Path:
    """Return the newest whole checkpoint of a run that has ended.

    Raises:
        UsageError: If there is none, with what to do.
    """
    if (state := look_after(run).state) not in FINAL_STATES:
        raise UsageError(
            f"run {run.short_id} is {state}, so its weights still change; take them once it has "
            f"ended, or end it with `rlmaster stop {run.short_id}`"
        )
    if checkpoint := run.find_checkpoint("newest"):
        return checkpoint
    if elsewhere := run.elsewhere():
        raise UsageError(
            f"the newest checkpoint of run {run.short_id} is not here; `rlmaster pull --all "
            f"{run.short_id}` brings it from {elsewhere.host}"
        )
    raise UsageError(
        f"run {run.short_id} is {state} and has kept no whole checkpoint; name a run that has"
    )
