"""`rlmaster hosts`, and the choice of a host for a launch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.terminal import answer, answer_json

if TYPE_CHECKING:
    from rlmaster.hosts.selection import Ranked
    from rlmaster.launcher import HostChoice
    from rlmaster.project import Project


def hosts_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the computers that runs may use, best first.

    Each with its load as it is now, and why it ranks where it does.
    """
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    ranking = rank_hosts(project)
    if as_json:
        kinds = {host.name: host.kind for host in read_inventory(project.hosts_file).hosts}
        rows = [{"name": r.host, "kind": kinds[r.host], **r.to_data()} for r in ranking]
        answer_json({"hosts": rows})
        return
    for ranked in ranking:
        answer(describe(ranked))


def describe(ranked: "Ranked") -> str:
    """Return a host and why it ranks where it does, on one line."""
    return f"{ranked.host}: {ranked.reason}"


def rank_hosts(project: "Project") -> "list[Ranked]":
    """Measure every host and return them best first."""
    from rlmaster.errors import HostError
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.hosts.probing import probe_local, unmeasured
    from rlmaster.hosts.queue import Queue
    from rlmaster.hosts.selection import Candidate, rank

    queue = Queue.here()
    waiting, drained = len(queue.waiting()), queue.is_drained
    candidates: list[Candidate] = []
    for host in read_inventory(project.hosts_file).hosts:
        try:
            probe = probe_local(project.root)
        except HostError as error:  # too busy to answer, but here, and with a queue
            probe = unmeasured(str(error))
        candidates.append(Candidate(host, probe, waiting=waiting, drained=drained))
    return rank(candidates)


def choose_host(
    project: "Project", name: str, ranking: "list[Ranked] | None" = None
) -> "HostChoice":
    """Decide where a run goes.

    Args:
        project: Whose hosts.
        name: A host's name, or `auto` for the best.
        ranking: The ranking, where it was measured a moment ago.

    Raises:
        InventoryError: If no host is called that.
        HostError: If the host, or every host, cannot take a run.
    """
    from rlmaster.errors import HostError
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.launcher import HostChoice

    inventory = read_inventory(project.hosts_file)
    if name != "auto":
        inventory.find(name)
    ranking = rank_hosts(project) if ranking is None else ranking
    chosen = ranking[0] if name == "auto" else next(r for r in ranking if r.host == name)
    if not chosen.fits:
        raise HostError(f"{chosen.host} cannot take the run: {chosen.reason}")
    return HostChoice.of(inventory.find(chosen.host), name, ranking)
