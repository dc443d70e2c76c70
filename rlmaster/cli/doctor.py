"""`rlmaster doctor`: what this computer has and lacks, and what mends it."""

from pathlib import Path

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.findings import is_fit, show_findings
from rlmaster.cli.terminal import answer_json


def doctor_command(as_json: JsonOption = False) -> None:
    """Look for all that RLmaster uses on this computer.

    What is missing is named with what that costs and the command that mends it. The exit code is 1
    where something is missing that no run can do without.
    """
    from rlmaster.doctor import examine

    findings = examine(Path.cwd())
    if as_json:
        rows = [finding.to_data() for finding in findings]
        answer_json({"fit_to_run": is_fit(findings), "findings": rows})
    else:
        show_findings(findings)
    raise typer.Exit(0 if is_fit(findings) else 1)
