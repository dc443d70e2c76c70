"""What was found on a computer, for people: a line each, and what mends what is missing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlmaster.cli.terminal import plain

if TYPE_CHECKING:
    from rlmaster.finding import Finding


def is_fit(findings: "Sequence[Finding]") -> bool:
    """Tell whether nothing is missing that no run can do without."""
    return not any(finding.missing and finding.essential for finding in findings)


def show_findings(findings: "Sequence[Finding]") -> None:
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
    elif is_fit(findings):
        console.print("Nothing essential is missing.")
    else:
        names = ", ".join(finding.name for finding in missing if finding.essential)
        console.print(f"No run can do without: {names}.")
