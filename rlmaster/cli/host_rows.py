"""What `rlmaster hosts --json` says of each host, once or again and again."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rlmaster.cli.terminal import INTERRUPTED, asking_person, nobody_reads

if TYPE_CHECKING:
    from rlmaster.experiment import Requirements
    from rlmaster.fleet.live_survey import LiveSurvey
    from rlmaster.hosts.selection import Candidate, Ranked
    from rlmaster.project import Project

GLANCE_S = 0.5
"""Between two looks whether hosts.toml has changed, and whether anybody still reads."""


def host_rows(
    candidates: "Sequence[Candidate]",
    requirements: "Requirements | None",
    runs: Path,
    pending: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return what is known of hosts as JSON data, best first.

    Args:
        candidates: The hosts with their answers, in the order of hosts.toml.
        requirements: What the run needs that they are ranked for; None for the usual.
        runs: Where the project keeps its runs.
        pending: Names of those that have not answered yet.
    """
    from rlmaster.hosts.selection import rank

    places = {candidate.host.name: place for place, candidate in enumerate(candidates)}
    rows: list[dict[str, Any]] = []
    for ranked in rank(candidates, requirements):
        place = places[ranked.host]
        is_pending = ranked.host in pending
        rows.append(
            {**_row(candidates[place], ranked, runs), "place": place, "pending": is_pending}
        )
    return rows


def _row(candidate: "Candidate", ranked: "Ranked", runs: Path) -> dict[str, Any]:
    from rlmaster.hosts.slots import all_slots

    host, probe = candidate.host, candidate.probe
    return {
        "name": host.name,
        "kind": host.kind,
        "address": host.ssh_address if host.kind == "ssh" else "",
        "notes": host.notes,
        "tags": list(host.tags),
        **ranked.to_data(),
        "slots": len(all_slots(probe, host.slot_rules)) if probe else None,
        "waiting": candidate.waiting,
        "drained": candidate.drained,
        "unreachable": None if probe else _unreachable(candidate, runs),
    }


def _unreachable(candidate: "Candidate", runs: Path) -> dict[str, str] | None:
    """Return since when a host is known not to answer, and why; None where it is here."""
    from rlmaster.hosts.reachability import unreachable_since

    known = unreachable_since(runs, candidate.host.name)
    return {"since": known.since, "reason": known.reason} if known else None


def show_live(project: "Project", requirements: "Requirements | None", every_s: float) -> None:
    """Write what is known of all hosts, a line each time that this changes, until nobody reads.

    The first line says what is known before anybody is asked.
    """
    from rlmaster.fleet.live_survey import LiveSurvey

    survey = LiveSurvey(project, every_s, asking_person())
    told = ""
    try:
        told = _tell(survey, project, requirements, told)
        survey.start()
        while not nobody_reads():
            survey.wait(GLANCE_S)
            survey.read_hosts()
            told = _tell(survey, project, requirements, told)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # who read left since it was last looked; what is not written is lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        survey.stop()


def _tell(
    survey: "LiveSurvey", project: "Project", requirements: "Requirements | None", told: str
) -> str:
    """Write a line unless it is the one that was written last; return it."""
    known = survey.known()
    pending = [one.candidate.host.name for one in known if one.is_pending]
    candidates = [one.candidate for one in known]
    rows = host_rows(candidates, requirements, project.runs, pending)
    line = json.dumps({"hosts": rows, "problem": survey.problem}, ensure_ascii=False)
    if line != told:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return line
