"""`rlmaster hosts`, and the choice of a host for a launch."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.host_rows import host_rows, show_live
from rlmaster.cli.terminal import answer, answer_json, asking_person, plain, say
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.experiment import Requirements
    from rlmaster.hosts.inventory import Host
    from rlmaster.hosts.selection import Candidate, Ranked
    from rlmaster.launcher import HostChoice
    from rlmaster.project import Project
    from rlmaster.room import Room
    from rlmaster.ssh.connection import AskPassphrase

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the host is called.")]
UserOption = Annotated[
    bool, typer.Option("--user", help="Change your own file, not the project's.")
]
NeedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--need", metavar="FIELD=VALUE", help="Rank for a run that needs this, such as gpu=true."
    ),
]
LiveOption = Annotated[
    float | None,
    typer.Option(
        "--live",
        min=1.0,
        metavar="SECONDS",
        help="With --json: a line at once, and one for each answer; hosts are asked so often.",
    ),
]

hosts_app = typer.Typer(
    help="The computers that runs may use, best first, each with its load as it is now.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@hosts_app.callback()
def hosts_command(
    context: typer.Context,
    needs: NeedOption = None,
    every_s: LiveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the computers that runs may use, best first.

    Each with its load as it is now, and why it ranks where it does.
    """
    if context.invoked_subcommand is not None:
        return
    from rlmaster.experiment import Requirements
    from rlmaster.project import Project
    from rlmaster.specification import with_overrides

    if every_s is not None and not as_json:
        raise UsageError("--live is for programs; add --json, or leave it out to see the hosts now")
    requirements = with_overrides(Requirements(), needs or ())
    project = Project.containing(Path.cwd())
    if every_s is not None:
        show_live(project, requirements, every_s)
    elif as_json:
        candidates = measure_hosts(project, requirements)
        answer_json({"hosts": host_rows(candidates, requirements, project.runs)})
    else:
        for ranked in rank_hosts(project, requirements):
            answer(describe(ranked))


@hosts_app.command("add")
def add_command(  # noqa: PLR0913 - each argument is an option of the command
    name: NameArgument,
    address: Annotated[
        str | None,
        typer.Option(help="A name from ~/.ssh/config, or user@host:port; by default NAME."),
    ] = None,
    workspace: Annotated[
        str | None, typer.Option(help="Folder there for runs, code and environments.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Interpreter there; by default `hosts setup` makes one.")
    ] = None,
    cpu_slots: Annotated[
        int | None, typer.Option(help="Runs at a time where there is no GPU.")
    ] = None,
    slots_per_gpu: Annotated[int | None, typer.Option(help="Runs at a time on each GPU.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="A word that experiments may ask for.")
    ] = None,
    notes: Annotated[str | None, typer.Option(help="What is shown beside its load.")] = None,
    for_user: UserOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write another computer into hosts.toml, to be reached over SSH."""
    from rlmaster.hosts.inventory_file import HostsEditor
    from rlmaster.project import Project

    editor = HostsEditor(Project.containing(Path.cwd()).hosts_file, for_user)
    keys = {
        "kind": "ssh",
        "address": address,
        "workspace": workspace,
        "python": python,
        "cpu_slots": cpu_slots,
        "slots_per_gpu": slots_per_gpu,
        "tags": tags or None,
        "notes": notes,
    }
    host = editor.add(name, keys)
    say(f"{name} is in {editor.path}")
    say(f"rlmaster hosts test {name} shows what it lacks, rlmaster hosts setup {name} makes it")
    if as_json:
        answer_json({"host": host.name, "file": str(editor.path)})


@hosts_app.command("remove")
def remove_command(
    name: NameArgument, for_user: UserOption = False, as_json: JsonOption = False
) -> None:
    """Take a host out of hosts.toml; nothing is changed on the computer itself."""
    from rlmaster.fleet.owed import owed
    from rlmaster.hosts.inventory_file import HostsEditor
    from rlmaster.hosts.reachability import forget_host
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    editor = HostsEditor(project.hosts_file, for_user)
    editor.remove(name)
    forget_host(project.runs, name)
    say(f"{name} is no longer in {editor.path}")
    placements = [run.placement() for run in owed(project.runs)]
    if left := sum(placement is not None and placement.host == name for placement in placements):
        say(f"runs that are still there: {left}; they go on, and are seen once it is added again")
    if as_json:
        answer_json({"host": name, "file": str(editor.path), "runs_there": left})


@hosts_app.command("drain")
def drain_command(
    name: NameArgument,
    reopen: Annotated[bool, typer.Option("--open", help="Start waiting runs again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a host start nothing more, or start waiting runs again; what runs goes on."""
    from rlmaster.cli import queue
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    host = read_inventory(Project.containing(Path.cwd()).hosts_file).find(name)
    there = None if host.kind == "local" else host.name
    change = queue.open_command if reopen else queue.drain_command
    change(host=there, as_json=as_json)


def describe(ranked: "Ranked") -> str:
    """Return a host and why it ranks where it does, on one line."""
    return f"{ranked.host}: {ranked.reason}"


def rank_hosts(
    project: "Project",
    requirements: "Requirements | None" = None,
    only: str | None = None,
    room: "Room | None" = None,
) -> "list[Ranked]":
    """Measure every host, all at once, and return them best first.

    Args:
        project: Whose hosts.
        requirements: What the run needs; None for what runs usually need.
        only: The one host to measure; None for all.
        room: What its frames and networks take; None where that is not known.
    """
    from rlmaster.hosts.selection import rank

    return rank(measure_hosts(project, requirements, only), requirements, room)


def measure_hosts(
    project: "Project", requirements: "Requirements | None" = None, only: str | None = None
) -> "list[Candidate]":
    """Measure every host, all at once, and return them in the inventory's order.

    Args:
        project: Whose hosts.
        requirements: What the run needs, for what is shown meanwhile.
        only: The one host to measure; None for all.
    """
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.hosts.survey import survey

    inventory = read_inventory(project.hosts_file)
    hosts = inventory.hosts if only is None else (inventory.find(only),)
    candidates: list[Candidate] = []
    with _shown(hosts, requirements) as (show, ask):
        for candidate in survey(project, hosts, ask=ask):
            candidates.append(candidate)
            show(candidate)
    places = {host.name: place for place, host in enumerate(hosts)}
    candidates.sort(key=lambda candidate: places[candidate.host.name])
    return candidates


@contextmanager
def _shown(
    hosts: "Sequence[Host]", requirements: "Requirements | None"
) -> "Generator[tuple[Callable[[Candidate], None], AskPassphrase | None]]":
    """Show hosts as they answer, where a terminal is there and other computers are asked.

    Returns:
        What shows an answer, and what asks the person meanwhile.
    """
    ask = asking_person()
    if not sys.stderr.isatty() or all(host.kind == "local" for host in hosts):
        yield lambda _candidate: None, ask
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from rlmaster.hosts.selection import rank

    lines = {host.name: f"{host.name}: asking ..." for host in hosts}

    def text() -> Text:
        return Text("\n".join(map(plain, lines.values())), no_wrap=True, overflow="ellipsis")

    def show(candidate: "Candidate") -> None:
        lines[candidate.host.name] = describe(rank([candidate], requirements)[0])
        live.update(text(), refresh=True)

    def ask_between(key: str) -> str | None:
        live.stop()
        try:
            return ask(key) if ask else None
        finally:
            live.start()

    with Live(text(), console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield show, ask_between if ask else None


def choose_host(
    project: "Project",
    name: str,
    ranking: "list[Ranked] | None" = None,
    requirements: "Requirements | None" = None,
    room: "Room | None" = None,
) -> "HostChoice":
    """Decide where a run goes.

    Args:
        project: Whose hosts.
        name: A host's name, of which alone it is measured how busy it is, or `auto` for the best.
        ranking: The ranking, where it was measured a moment ago.
        requirements: What the run needs; None for what runs usually need.
        room: What its frames and networks take; None where that is not known.

    Raises:
        InventoryError: If no host is called that.
        UsageError: If the run needs more room than the host, or any host, has.
        HostError: If the host, or every host, cannot take a run.
    """
    from rlmaster.errors import HostError
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.launcher import HostChoice

    inventory = read_inventory(project.hosts_file)
    only = None if name == "auto" else inventory.find(name).name
    if ranking is None:
        ranking = rank_hosts(project, requirements, only, room)
    chosen = ranking[0] if only is None else next(r for r in ranking if r.host == only)
    is_too_large = all(r.is_outgrown for r in ranking) if only is None else chosen.is_outgrown
    refusal = UsageError if is_too_large else HostError
    if not chosen.fits and len(ranking) > 1 and only is None:
        raise refusal(f"no host can take the run: {'; '.join(map(describe, ranking))}")
    if not chosen.fits:
        raise refusal(f"{chosen.host} cannot take the run: {chosen.reason}")
    return HostChoice(inventory.find(chosen.host), name, ranking)
