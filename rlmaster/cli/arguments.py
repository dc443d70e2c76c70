"""Arguments that several commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Six characters, a path, `last`, or a unique part.")
]
RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Six characters, paths, or unique parts.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def find_run_folder(run: str) -> "tuple[RunFolder, Path]":
    """Return the run that an argument stands for, and the folder of all runs it lies in.

    Raises:
        ProjectError: If no run is called that, or several are.
    """
    from rlmaster.project import Project
    from rlmaster.run_folder import find_run, run_at

    if folder := run_at(run):
        return folder, folder.path.parent.parent
    runs = Project.containing(Path.cwd()).runs
    return find_run(run, runs), runs
