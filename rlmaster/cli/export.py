"""`rlmaster export`: keep a run's trained agent as a small folder that can be committed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import JsonOption, RunArgument, find_run_folder, require_checkpoint
from rlmaster.cli.learning_child import answer_of_child
from rlmaster.cli.terminal import answer, answer_json
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder


def export_command(
    run: RunArgument = "last",
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder to write; experiments/policies/GAME of the project by default.",
            metavar="FOLDER",
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="newest, best, or a folder in checkpoints/.", metavar="NAME")
    ] = "newest",
    as_json: JsonOption = False,
) -> None:
    """Write a run's trained agent as a small folder: weights, configuration, what it comes to.

    Only the weights that acting needs are kept, in float16. The run's evaluation is played with
    them, and what that came to is written beside. A policy that is in the folder is replaced.
    `frames.policy=FOLDER` lets it play frames, and `rlmaster.load_policy(FOLDER)` loads it.
    """
    from rlmaster.policy_folder import PolicyFolder

    source, _ = find_run_folder(run)
    _require_player(source)
    require_checkpoint(source, checkpoint)
    target = PolicyFolder(_place(folder, source))
    target.require_replaceable()
    made = answer_of_child(
        source,
        "rlmaster.training.export",
        [str(target.path), f"--checkpoint={checkpoint}"],
        interrupted=f"interrupted; {target.path} is as it was",
    )
    if as_json:
        answer_json({"folder": str(target.path), **made})
    else:
        answer(str(target.path))


def _place(folder: Path | None, run: "RunFolder") -> Path:
    """Return where a policy goes, by its real path, whose last part is then no link."""
    from rlmaster.earlier_runs.parts import part
    from rlmaster.project import Project

    if folder is not None:
        return folder.expanduser().resolve()
    game = str(part(run.config(), "environment").get("game"))
    return Project.containing(Path.cwd()).experiments / "policies" / game


def _require_player(run: "RunFolder") -> None:
    """Refuse a run that has no trained agent.

    Raises:
        UsageError: With what to choose instead.
    """
    from rlmaster.earlier_runs.parts import part
    from rlmaster.earlier_runs.policy import RANDOM_AGENT

    agent = part(run.config(), "agent")
    if not agent:
        raise UsageError(
            f"run {run.short_id} trained an embedder alone, so there is no agent to export; name a "
            "run that trained an agent"
        )
    if agent.get("type") == RANDOM_AGENT:
        raise UsageError(
            f"the agent of run {run.short_id} acts at random and has no weights to export; name a "
            "run whose agent learned"
        )
