"""`rlmaster hosts setup`: what runs need on another computer, made there once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, YesOption
from rlmaster.cli.terminal import (
    INTERRUPTED,
    answer,
    answer_json,
    asking_person,
    confirm,
    is_interactive,
    say,
)
from rlmaster.errors import HostError, UsageError

if TYPE_CHECKING:
    from rlmaster.fleet.session import HostSession
    from rlmaster.hosts.environment import Pins
    from rlmaster.hosts.installing import Environment
    from rlmaster.hosts.inventory import Host
    from rlmaster.hosts.old_environments import OldEnvironment
    from rlmaster.hosts.remote import RemoteHost
    from rlmaster.project import Project

MOST_NAMED = 12
"""So many packages are named; of more their number is enough."""


def setup_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A host of hosts.toml.")],
    push: Annotated[
        bool | None,
        typer.Option(
            "--push/--no-push",
            help="Give the host your push addresses, so that runs there tell you themselves; or "
            "take them back.",
        ),
    ] = None,
    remove_old: Annotated[
        bool,
        typer.Option("--remove-old", help="Remove environments that no run there needs any more."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make what runs need on a host: its workspace, and a Python environment with all packages.

    Where that is there already, nothing is done. It may be interrupted and repeated at any time.
    """
    from rlmaster.hosts.environment import Pins
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    host = _ssh_host(project, name)
    pins = Pins.here(project.root)
    _refuse_without_addresses(push)
    try:
        with _session(project, host) as session:
            data = _set_up(session, pins, push, say if as_json else answer)
            if remove_old:
                old = _remove(session.remote, pins, yes)
                data["old"] = [environment.to_data() for environment in old]
    except KeyboardInterrupt:
        say(f"\ninterrupted, and ended on {name} too; `rlmaster hosts setup {name}` begins anew")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        answer_json({"host": name, **data})


def _ssh_host(project: "Project", name: str) -> "Host":
    from rlmaster.hosts.inventory import read_inventory

    host = read_inventory(project.hosts_file).find(name)
    if host.kind == "local":
        raise UsageError(
            f"{name} is this computer: `make setup` makes its environment, and `rlmaster doctor` "
            "says what it lacks"
        )
    return host


def _refuse_without_addresses(push: bool | None) -> None:
    """Refuse before anything is done where there is nothing to push with."""
    from rlmaster.hosts.push_config import refuse_without_addresses
    from rlmaster.user_config import read_user_config

    if push:
        refuse_without_addresses(read_user_config())


def _session(project: "Project", host: "Host") -> "HostSession":
    from rlmaster.fleet.session import HostSession

    return HostSession.connect(project, host, ask=asking_person())


def _set_up(
    session: "HostSession", pins: "Pins", push: bool | None, show: Callable[[str], None]
) -> dict[str, Any]:
    """Make what is not there, show how it stands, and return that as JSON data."""
    environment = _environment(session, pins)
    how = "made just now" if environment.made else "already there"
    show(f"{session.host.name}: Python {environment.python}, torch {environment.torch}, {how}")
    show(f"  {environment.executable}")
    show(f"  {environment.cuda_sentence}")
    return {
        "workspace": session.workspace,
        "environment": environment.to_data(),
        "push": _push(session.remote, push, show),
    }


def _environment(session: "HostSession", pins: "Pins") -> "Environment":
    """Make the environment, or look at the interpreter that the host was given.

    Raises:
        HostError: If runs cannot train with it.
    """
    from rlmaster.hosts.installing import check_environment, make_environment

    host, began = session.host, time.monotonic()

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:5.0f} s  {text}")

    if not host.python:
        environment = make_environment(session.remote, pins, tell)
    else:
        environment = check_environment(session.remote, host.python, pins, tell)
        _tell_of_differences(host.name, environment)
    if not environment.is_fit:
        raise HostError(_unfit(host.name, environment))
    return environment


def _tell_of_differences(host: str, environment: "Environment") -> None:
    """Say which packages are not those that everything was tried with here."""
    if environment.differing:
        say(f"{host} has other versions than here of {_listed(environment.differing)}")
    if environment.lacking:
        say(f"{host} has no {_listed(environment.lacking)}; what needs them fails or is left out")


def _unfit(host: str, environment: "Environment") -> str:
    what = "; ".join(f"{name}: {why}" for name, why in environment.failures.items())
    what = what or f"it is Python {environment.python}, which is too old"
    return (
        f"runs cannot train with {environment.executable} on {host} ({what}); install what is "
        f"missing there, or remove `python` of {host} from hosts.toml and run "
        f"`rlmaster hosts setup {host}` again"
    )


def _listed(packages: "tuple[str, ...]") -> str:
    named = ", ".join(packages[:MOST_NAMED])
    more = len(packages) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _push(remote: "RemoteHost", push: bool | None, show: Callable[[str], None]) -> str | None:
    """Give the host the push addresses, or take them back; say so without them."""
    from rlmaster.hosts.push_config import remove_push_config, send_push_config
    from rlmaster.user_config import read_user_config

    if push is None:
        return None
    if push:
        path = send_push_config(remote, read_user_config())
        show(f"{remote.host.name}: runs there tell you by push; {path} has your addresses")
        return "written"
    path = remove_push_config(remote)
    show(f"{remote.host.name}: runs there push nothing; {path} is not there")
    return "removed"


def _remove(remote: "RemoteHost", pins: "Pins", yes: bool) -> "list[OldEnvironment]":
    """List environments that nobody needs, and remove them once a person has agreed."""
    from rlmaster.cli.storage import readable
    from rlmaster.hosts.old_environments import old_environments, remove_environments

    found = old_environments(remote, pins)
    for old in found:
        say(f"{readable(old.size_bytes)}  {old.name}, {old.what}")
    if not found:
        say(f"{remote.host.name} has no old environment")
        return []
    if not yes and not is_interactive():
        raise UsageError("say --yes to remove what is listed: nobody is there to be asked")
    if not yes and not confirm(f"Remove {len(found)} of them from {remote.host.name}?"):
        return found
    removed = remove_environments(remote, pins, [old.name for old in found])
    for old in removed:
        say(f"{old.name} {'is removed' if old.removed else 'stays: it is in use now'}")
    return removed
