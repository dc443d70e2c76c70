"""A run in words: why it was made, how it stands, what came of it, and where it comes from."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from textual.content import Content

from rlmaster.run_index.row import RunRow
from tui.reading.run_details import RunDetails
from tui.reading.run_overview import RunOverview
from tui.words.plain_text import one_line, printable
from tui.words.wording import age, parse_time, state_colour

SHOWN_RELATIVES = 12
"""Of a run that half the project builds on, the newest are named."""
SHOWN_UNCOMMITTED = 6
SHOWN_COMMIT = 10

Facts = dict[str, Content]


def facts(run: RunOverview, details: RunDetails | None, now: datetime) -> Facts:
    """Return what is known of a run, each with its label; what is not known has no place."""
    found: Facts = {"why": Content(run.rationale or "(no rationale)")}
    if details:
        found |= _findings(details)
    found["state"] = _state(run, details, now)
    if run.unreachable:
        found["host"] = Content.styled(f"{run.host} is {run.unreachable}", "$text-warning")
    if details:
        found |= _origins(details)
    found["folder"] = Content(printable(str(run.path)))
    return {label: text for label, text in found.items() if text.plain.strip()}


def _findings(details: RunDetails) -> Facts:
    """Return what came of the run."""
    row = details.row
    return {
        "learned": Content(printable(row.conclusion).strip()),
        "result": Content.styled(one_line(details.result), "bold $text-success"),
        "standing": Content(one_line(row.standing)),
        "tags": Content(", ".join(map(one_line, row.tags))),
    }


def _origins(details: RunDetails) -> Facts:
    """Return where the run comes from, and what comes from it."""
    attempts = [_attempt(attempt) for attempt in details.attempts]
    return {
        "agent": Content(one_line(details.row.who_plays)),
        "differs": Content(_differences(details.row)),
        "builds on": _relatives(details.parents),
        "led to": _relatives(details.children),
        "host choice": Content(_host_choice(details.host_choice)),
        "attempts": Content("\n".join(attempts)),
        "code": Content("\n".join(_code(details.provenance))),
        "made with": Content(_environment(details.environment)),
    }


def _state(run: RunOverview, details: RunDetails | None, now: datetime) -> Content:
    since = f" for {age(run.since, now)}" if run.since else ""
    made = f", made {age(run.created, now)} ago" if run.created else ""
    attempt = f", attempt {details.row.attempt}" if details else ""
    why = f": {run.reason}" if run.reason else ""
    return Content.assemble(
        (run.state, f"bold {state_colour(run.state)}"), f"{since}{made}{attempt}{why}"
    )


def _differences(row: RunRow) -> str:
    config = row.config
    return one_line(", ".join(f"{name}={config[name]}" for name in row.differs if name in config))


def _relatives(rows: list[RunRow]) -> Content:
    lines = [
        Content.assemble(
            f"{one_line(row.short_id)} {one_line(row.name)} ",
            (row.state, state_colour(row.state)),
            f" {one_line(row.rationale)}",
        )
        for row in rows[:SHOWN_RELATIVES]
    ]
    more = len(rows) - SHOWN_RELATIVES
    return Content("\n").join([*lines, *([Content(f"and {more} more")] if more > 0 else [])])


def _host_choice(choice: dict[str, Any]) -> str:
    """Say where a run was sent, and how each host stood at that moment, the chosen one first."""
    host = one_line(str(choice.get("host") or ""))
    if not host:
        return ""
    asked_for = one_line(str(choice.get("asked_for") or "nothing"))
    ranking = choice.get("ranking")
    entries = cast("list[Any]", ranking if isinstance(ranking, list) else [])
    ranked = [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
    ranked.sort(key=lambda entry: entry.get("host") != choice.get("host"))
    reasons = [one_line(f"{entry.get('host')}: {entry.get('reason')}") for entry in ranked]
    return "\n".join([f"{host}, asked for {asked_for}", *reasons])


def _attempt(attempt: dict[str, Any]) -> str:
    number, host, start, end, state, reason = (
        one_line(str(attempt.get(name) or ""))
        for name in ("attempt", "host", "start", "end", "state", "reason")
    )
    times = " to ".join(time for time in (_minute(start), _minute(end)) if time)
    told = ", ".join(part for part in (times, f"on {host}" if host else "", state) if part)
    return f"{number}: {told}" + (f": {reason}" if reason else "")


def _minute(text: str) -> str:
    """Return a time as people here read it."""
    moment = parse_time(text)
    try:
        return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else ""
    except (OverflowError, ValueError):
        return ""


def _code(provenance: dict[str, Any]) -> Iterator[str]:
    """Tell the script, the commit, and what was not committed."""
    if script := provenance.get("script"):
        yield one_line(str(script))
    git = provenance.get("git")
    known = cast("dict[str, Any]", git) if isinstance(git, dict) else {}
    if commit := known.get("commit"):
        yield one_line(f"commit {str(commit)[:SHOWN_COMMIT]}")
    changed = known.get("uncommitted")
    files = list(map(str, cast("list[Any]", changed))) if isinstance(changed, list) else []
    if files:
        more = f" and {len(files) - SHOWN_UNCOMMITTED} more" * (len(files) > SHOWN_UNCOMMITTED)
        yield one_line(f"not committed: {', '.join(files[:SHOWN_UNCOMMITTED])}{more}")


def _environment(environment: dict[str, Any]) -> str:
    packages = environment.get("packages")
    versions = cast("dict[str, Any]", packages) if isinstance(packages, dict) else {}
    gpus = environment.get("gpu")
    names = ", ".join(map(str, cast("list[Any]", gpus))) if isinstance(gpus, list) else ""
    parts = [
        f"Python {environment['python']}" if environment.get("python") else "",
        f"torch {versions['torch']}" if versions.get("torch") else "",
        str(environment.get("processor") or ""),
        names,
    ]
    return one_line(", ".join(filter(None, parts)))
