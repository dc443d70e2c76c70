"""`rlmaster hosts test`: what other computers have and lack for runs, and what mends it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.findings import is_fit, show_findings
from rlmaster.cli.terminal import answer, answer_json, asking_person
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.finding import Finding
    from rlmaster.hosts.environment import Pins
    from rlmaster.hosts.inventory import Host
    from rlmaster.project import Project


def check_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A host of hosts.toml.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Look at every host.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for all that runs need on a host, from the connection to the GPU.

    What is missing is named with what that costs and what mends it. Nothing there is changed. The
    exit code is 1 where something is missing that no run can do without.
    """
    from rlmaster.hosts.checking import in_background
    from rlmaster.hosts.environment import Pins
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    hosts, pins = _chosen(project, name, every=every), Pins.here(project.root)

    checks = {host.name: in_background(partial(_check, project, host, pins)) for host in hosts}
    found = {name: check.result() for name, check in checks.items()}
    if as_json:
        answer_json({"hosts": [_row(name, findings) for name, findings in found.items()]})
    else:
        _show(found)
    raise typer.Exit(0 if all(map(is_fit, found.values())) else 1)


def _chosen(project: "Project", name: str | None, *, every: bool) -> "list[Host]":
    from rlmaster.hosts.inventory import read_inventory

    inventory = read_inventory(project.hosts_file)
    if (name is None) != every:
        raise UsageError("name one host, or say --all")
    return list(inventory.hosts) if name is None else [inventory.find(name)]


def _check(project: "Project", host: "Host", pins: "Pins") -> "list[Finding]":
    if host.kind == "local":
        from rlmaster.doctor import examine

        return examine(project.root)
    from rlmaster.hosts.checking import check_host

    return check_host(host, pins, asking_person())


def _row(name: str, findings: "list[Finding]") -> dict[str, Any]:
    rows = [finding.to_data() for finding in findings]
    return {"name": name, "fit_to_run": is_fit(findings), "findings": rows}


def _show(found: "dict[str, list[Finding]]") -> None:
    for number, (name, findings) in enumerate(found.items()):
        if len(found) > 1:
            answer(f"{'' if number == 0 else chr(10)}{name}")
        show_findings(findings)
