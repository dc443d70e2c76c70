"""Launching several runs with one command: where each goes, and what is said on the way."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.terminal import INTERRUPTED, answer_json, ask, say
from rlmaster.errors import HostError, RlmasterError, UsageError
from rlmaster.grid import progress_line

if TYPE_CHECKING:
    from rlmaster.experiment import Requirements
    from rlmaster.experiment_script import ScriptDescription
    from rlmaster.hosts.selection import Candidate
    from rlmaster.launcher import HostChoice
    from rlmaster.project import Project
    from rlmaster.run_folder import RunFolder

BeginOption = Annotated[
    int,
    typer.Option(
        "--begin-at", metavar="N", help="Of a grid, the first run to launch; 1 for all of it."
    ),
]
LaunchOne = Callable[["ScriptDescription", "HostChoice"], "RunFolder"]


class Placing:
    """Decides where each run of a launch goes; those that were just queued count as waiting."""

    def __init__(self, project: "Project", wanted: str, candidates: "Sequence[Candidate]") -> None:
        """Take what was measured a moment ago."""
        self._project, self._wanted = project, wanted
        self._candidates = list(candidates)

    def choose(self, description: "ScriptDescription") -> "HostChoice":
        """Return where a run goes.

        Raises:
            UsageError: If it needs more room than there is anywhere.
            HostError: If the host, or every host, cannot take it.
        """
        from rlmaster.cli.hosts import choose_host
        from rlmaster.hosts.selection import rank
        from rlmaster.room import Room

        ranking = rank(self._candidates, requirements(description), Room.of(description.experiment))
        return choose_host(self._project, self._wanted, ranking)

    def count(self, choice: "HostChoice") -> None:
        """Remember that a run was queued for a host."""
        self._candidates = [
            dataclasses.replace(candidate, waiting=candidate.waiting + 1)
            if candidate.host.name == choice.host.name
            else candidate
            for candidate in self._candidates
        ]


def requirements(description: "ScriptDescription") -> "Requirements":
    """Return what a run needs of its computer."""
    from rlmaster.experiment import Requirements

    return Requirements.from_data(description.experiment.get("requires") or {})


def decide_placing(
    project: "Project",
    name: str | None,
    runs: "Sequence[ScriptDescription]",
    *,
    yes: bool,
    may_ask: bool,
) -> Placing:
    """Decide where runs go, asking where somebody is there who may be asked.

    Raises:
        UsageError: If nobody is there, and nothing was said.
        HostError: If a run fits nowhere.
    """
    from rlmaster.cli.hosts import describe, measure_hosts
    from rlmaster.hosts.selection import rank
    from rlmaster.room import Room

    name = "auto" if name is None and yes else name
    needs = requirements(runs[0])
    if name is not None:
        only = None if name == "auto" else name
        return _fitting(Placing(project, name, measure_hosts(project, needs, only)), runs)
    if not may_ask:
        raise UsageError(
            "nobody is asked here, so say where it runs: --host NAME, --host auto or --yes"
        )
    candidates = measure_hosts(project, needs)
    ranking = rank(candidates, needs, Room.of(runs[0].experiment))
    say(f"\n  auto: the best of these, now {ranking[0].host}")
    for ranked in ranking:
        say(f"  {describe(ranked)}")
    while True:
        wanted = ask("Where does it run?", default="auto")
        try:
            return _fitting(Placing(project, wanted, candidates), runs)
        except (UsageError, HostError) as error:
            say(str(error))


def _fitting(placing: Placing, runs: "Sequence[ScriptDescription]") -> Placing:
    """Return it once each run is known to fit somewhere, so that a grid is not begun in vain."""
    for run in runs:
        placing.choose(run)
    return placing


def grid_part(
    runs: "Sequence[ScriptDescription]", begin_at: int, *, follow: bool | None
) -> "Sequence[ScriptDescription]":
    """Return the runs of a grid that are to be launched.

    Raises:
        UsageError: If there are none, or more than can be watched.
    """
    if not 1 <= begin_at <= len(runs):
        raise UsageError(f"--begin-at is 1 to {len(runs)} here, not {begin_at}")
    if follow and len(runs) > 1:
        raise UsageError(
            f"--follow watches one run, and these are {len(runs)}; leave it out, and see them all "
            "with `rlmaster watch`"
        )
    return runs[begin_at - 1 :]


def launch_each(
    runs: "Sequence[ScriptDescription]",
    placing: Placing,
    launch_one: LaunchOne,
    *,
    of: int,
    as_json: bool,
) -> "list[RunFolder]":
    """Launch runs one after another, and say after a failure or a Ctrl-C how far that came.

    Args:
        runs: What is launched, the last ones of a grid or all of it.
        placing: Decides where each goes.
        launch_one: Launches one.
        of: How many the whole grid has.
        as_json: Whether to print what was launched before a failure, too.
    """
    made: list[RunFolder] = []
    try:
        for number, description in enumerate(runs, start=of - len(runs) + 1):
            choice = placing.choose(description)
            if of > 1:
                say(progress_line(number, of, choice.host.name))
            made.append(launch_one(description, choice))
            placing.count(choice)
    except KeyboardInterrupt:
        _tell_how_far(made, of - len(runs), of)
        say("\ninterrupted; `rlmaster runs` shows whether the run had been queued by then")
        raise typer.Exit(INTERRUPTED) from None
    except RlmasterError:
        _tell_how_far(made, of - len(runs), of)
        if as_json and made:
            answer_json({"runs": [run_row(run) for run in made]})
        raise
    return made


def _tell_how_far(made: "Sequence[RunFolder]", before: int, of: int) -> None:
    if of > 1:
        ids = f" ({', '.join(run.short_id for run in made)})" if made else ""
        say(
            f"launched {len(made)} of {of - before} runs{ids}; the same command with --begin-at "
            f"{before + len(made) + 1} launches the rest"
        )


def end_of_grid(runs: "Sequence[RunFolder]", *, as_json: bool) -> None:
    """Say what was launched."""
    say(f"launched {len(runs)} runs; rlmaster watch shows how they go")
    if as_json:
        answer_json({"runs": [run_row(run) for run in runs]})


def run_row(run: "RunFolder") -> dict[str, Any]:
    """Return what programs are told of a run that was launched."""
    status, placement = run.status(), run.placement()
    return {
        "run_id": run.id,
        "run_folder": str(run.path),
        "host": placement.host if placement else run.host_choice().get("host"),
        "state": status.state,
        "attempt": status.attempt,
    }
