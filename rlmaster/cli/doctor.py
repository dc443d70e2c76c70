"""`rlmaster doctor`: what this computer has and lacks, and what mends it."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.terminal import answer_json, plain

if TYPE_CHECKING:
    from rlmaster.doctor import Finding


def doctor_command(as_json: JsonOption = False) -> None:
    """Look for all that RLmaster uses on this computer.

    What is missing is named with what that costs and the command that mends it. The exit code is 1
    where something is missing that no run can do without.
    """
    from rlmaster.doctor import examine

    findings = examine(Path.cwd())
    essential = any(finding.missing and finding.essential for finding in findings)
    if as_json:
        rows = [finding.to_data() for finding in findings]
        answer_json({"fit_to_run": not essential, "findings": rows})
    else:
        _show(findings)
    raise typer.Exit(1 if essential else 0)


def _show(findings: "list[Finding]") -> None:
    """Write a line for each finding, and below what is missing its cost and remedy."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        style = ("red" if finding.essential else "yellow") if finding.missing else "green"
        mark = Text("missing" if finding.missing else "ok     ", style=style)
        console.print(mark, Text(plain(f" {finding.name:<{width}}  {finding.found}")))
        if finding.missing:
            indent = " " * (len(mark) + width + 4)
            console.print(Text(plain(f"{indent}costs: {finding.cost}")))
            console.print(Text(plain(f"{indent}mend:  {finding.remedy}")))
    missing = [finding for finding in findings if finding.missing]
    if not missing:
        console.print("Nothing is missing.")
    elif not any(finding.essential for finding in missing):
        console.print("Nothing essential is missing.")
    else:
        names = ", ".join(finding.name for finding in missing if finding.essential)
        console.print(f"No run can do without: {names}.")
