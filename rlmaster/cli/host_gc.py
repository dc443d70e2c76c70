"""`rlmaster gc --host`: what nobody needs on a host, listed first and then removed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlmaster.cli.terminal import answer_json, asking_person, say
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlmaster.fleet.clearing import GuestRun


def clear_host(
    name: str,
    age: str,
    older_than_s: float,
    *,
    give_up_frames: bool,
    only_list: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """List what nobody needs on a host and, once a person agrees, remove it; return an exit code.

    Args:
        name: The host's.
        age: What `--older-than` says, as it is passed on.
        older_than_s: The same in seconds.
        give_up_frames: Whether frames and checkpoints may go that are only there.
        only_list: Whether nothing is removed.
        yes: Whether nobody is asked.
        as_json: Whether an object is printed.
    """
    from rlmaster.cli.storage import ask_first, readable
    from rlmaster.fleet.clearing import discard, garbage_there, guest_runs
    from rlmaster.fleet.session import HostSession
    from rlmaster.hosts.inventory import read_inventory
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    host = read_inventory(project.hosts_file).find(name)
    if host.kind == "local":
        raise UsageError(f"{name} is this computer; leave out --host")
    say(f"connecting to {name}")
    with HostSession.connect(project, host, ask=asking_person()) as session:
        garbage = garbage_there(session, age, remove=False)
        guests = list(guest_runs(session, older_than_s, say))
        going = [guest for guest in guests if guest.may_go(give_up_frames=give_up_frames)]
        staying = [guest for guest in guests if guest not in going]
        size_bytes = sum(g.size_bytes for g in going) + sum(row["bytes"] for row in garbage)
        _list(name, garbage, going, staying)
        errors: dict[str, str] = {}
        if (garbage or going) and not only_list:
            ask_first(f"Remove {readable(size_bytes)} from {name} for good?", yes)
            errors = discard(session, going)
            garbage = garbage_there(session, age, remove=True)
    for guest in going:
        if error := errors.get(guest.run.id):
            say(f"run {guest.run.short_id} stays on {name}: {error}")
    if as_json:
        rows = [_row(guest, guest in going and not only_list, errors) for guest in guests]
        answer_json({"host": name, "garbage": garbage, "runs": rows})
    return int(bool(errors) or any(row["error"] for row in garbage))


def _list(
    name: str,
    garbage: "Sequence[dict[str, Any]]",
    going: "Sequence[GuestRun]",
    staying: "Sequence[GuestRun]",
) -> None:
    from rlmaster.cli.storage import in_column, readable

    for row in garbage:
        say(f"{in_column(row['bytes'])}  {row['kind']}: {row['what']}")
    for guest in going:
        lost = f"{readable(guest.only_there_bytes)} of frames and checkpoints are only there"
        here = f"{lost} and will be lost" if guest.only_there else "all of it is here"
        say(f"{in_column(guest.size_bytes)}  run: {_described(guest)}, {here}")
    for guest in staying:
        only = f"{readable(guest.only_there_bytes)} of it are only there"
        say(f"{in_column(guest.size_bytes)}  stays: {_described(guest)}, {only}")
    if staying:
        say(
            "`rlmaster pull RUN --all` brings what is only there; --give-up-frames lets frames and "
            "checkpoints go that nobody will go on from"
        )
    if not garbage and not going:
        say(f"there is nothing to remove on {name}")


def _described(guest: "GuestRun") -> str:
    status = guest.run.status()
    return f"{guest.run.short_id} of {guest.run.name}, {status.state} on {status.since[:10]}"


def _row(guest: "GuestRun", is_to_go: bool, errors: dict[str, str]) -> dict[str, Any]:
    return {
        "run_id": guest.run.id,
        "name": guest.run.name,
        "bytes": guest.size_bytes,
        "only_there_bytes": guest.only_there_bytes,
        "removed": is_to_go and guest.run.id not in errors,
        "error": errors.get(guest.run.id),
    }
