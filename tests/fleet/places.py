"""Placements of runs, as a launch writes them."""

from dataclasses import replace
from typing import Any

from rlmaster.placement import Placement, machine
from rlmaster.run_folder import RunFolder


def put_on(run: RunFolder, host: str = "office", **changes: Any) -> Placement:
    """Place a run on another computer, which nobody asks."""
    placement = Placement(
        host=host,
        kind="ssh",
        computer=host,
        machine=f"{host}-0123456789ab",
        folder=f"/root/rlmaster-workspace/runs/{run.name}/{run.id}",
        workspace="/root/rlmaster-workspace",
        python="/usr/bin/python3",
        threads=1,
    )
    placement = replace(placement, **changes)
    run.write_placement(placement)
    return placement


def put_here(run: RunFolder, **changes: Any) -> Placement:
    """Place a run on this computer, as a guest of some project elsewhere or after it came back."""
    return put_on(run, machine=machine(), folder=str(run.path.absolute()), **changes)
