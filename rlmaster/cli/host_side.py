"""Commands that a host is asked over SSH, for runs that another computer's project has there.

No person types them, so help does not list them, and they answer in JSON whatever is asked.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.terminal import answer_json
from rlmaster.durable_files import utc_now
from rlmaster.errors import RlmasterError, RunFolderError

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_status import Status

FoldersArgument = Annotated[list[Path], typer.Argument(metavar="FOLDER")]
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER")]


def look_after_command(folders: FoldersArgument, as_json: JsonOption = True) -> None:
    """Say how runs stand, after writing what nobody else is left to write."""
    from rlmaster.lifecycle import look_after, wake_queue_runner

    rows = [_row(folder, look_after) for folder in folders]
    answer_json({"runs": rows, "now": utc_now()})  # by which clocks are compared
    wake_queue_runner()


def release_command(folder: FolderArgument, as_json: JsonOption = True) -> None:
    """End a run that is made elsewhere now, and see to it that nobody resumes it here."""
    from rlmaster.guests import release

    answer_json({"runs": [_row(folder, release)]})


def discard_command(folders: FoldersArgument, as_json: JsonOption = True) -> None:
    """Remove runs for good that have ended and are kept elsewhere."""
    answer_json({"runs": [_row(folder, _discard) for folder in folders]})


def _discard(run: "RunFolder") -> "Status":
    from rlmaster.fleet.run_files import strange_files
    from rlmaster.lifecycle import look_after
    from rlmaster.trash import delete, remove_for_good

    files = (path for path in run.path.rglob("*") if path.is_symlink() or not path.is_dir())
    strange = strange_files(path.relative_to(run.path).as_posix() for path in files)
    if strange:
        raise RunFolderError(f"it has files that are nowhere else, such as {strange[0]!r}")
    status = look_after(run)
    remove_for_good(delete(run))
    return status


def _row(folder: Path, act: Any) -> dict[str, Any]:
    """Do something with a run; return how it stands then, or what kept that from being done."""
    from rlmaster.run_folder import RunFolder

    run = RunFolder(folder)
    try:
        if not run.exists():
            raise RunFolderError(f"there is no run in {folder}")
        return {**status_row(run, act(run)), "error": None}
    except (RlmasterError, OSError) as error:
        nothing = {"state": None, "reason": "", "status": None}
        return {"run_id": run.id, **nothing, "error": str(error), "is_there": run.exists()}


def status_row(run: "RunFolder", status: "Status") -> dict[str, Any]:
    """Return how a run stands, as every command that changes it answers."""
    return {
        "run_id": run.id,
        "state": status.state,
        "reason": status.reason,
        "attempt": status.attempt,
        "status": status.to_data(),
    }
