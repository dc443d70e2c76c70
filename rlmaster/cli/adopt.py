"""Commands that a host is asked over SSH when a run is handed over to it, or is built upon.

No person types them, so help does not list them, and they always answer in JSON.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.host_side import FolderArgument, status_row
from rlmaster.cli.terminal import answer_json

Count = Annotated[int | None, typer.Option(min=1)]


def adopt_command(
    folder: FolderArgument,
    attempt: Annotated[int, typer.Option(min=1)] = 1,
    slots_per_gpu: Annotated[int, typer.Option(min=1)] = 1,
    cpu_slots: Count = None,
    as_json: JsonOption = True,
) -> None:
    """Begin with a run that another computer has sent here, unless that was done before."""
    from rlmaster.guests import adopt
    from rlmaster.hosts.local import attach_command
    from rlmaster.hosts.queue import Queue
    from rlmaster.hosts.slots import SlotRules
    from rlmaster.run_folder import RunFolder

    _forget_the_way_here()
    run = RunFolder(folder)
    waits = adopt(run, attempt, SlotRules(cpu_slots, slots_per_gpu))
    answer_json(
        {
            "runs": [status_row(run, run.status())],
            "waits": waits,
            "is_drained": Queue.here().is_drained,
            "attach": attach_command(run.path) or "",
        }
    )


def _forget_the_way_here() -> None:
    """Leave nothing in the environment of runs that tells how this command was found."""
    ours = ("PYTHONPATH", "RLMASTER_PROJECT", "RLMASTER_HOSTS")
    for name in (*ours, "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY"):
        os.environ.pop(name, None)


def kept_command(
    folder: FolderArgument,
    which: Annotated[str, typer.Option("--checkpoint", metavar="NAME")] = "newest",
    as_json: JsonOption = True,
) -> None:
    """Say which checkpoint of a run is the newest, the best, or the one of a name."""
    from rlmaster.run_folder import RunFolder

    run = RunFolder(folder)
    checkpoint: Path | None = run.find_checkpoint(which)
    known = [path.name for path in run.checkpoint_folders()]
    answer_json({"checkpoint": checkpoint.name if checkpoint else "", "known": known})
