"""`rlmaster show`: one run on a page."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rlmaster.cli.arguments import JsonOption, RunArgument, find_run_folder
from rlmaster.cli.runs import NOW, STATE_COLOURS, age, row_data, silent_hosts
from rlmaster.cli.terminal import answer_json, plain

if TYPE_CHECKING:
    from rlmaster.durable_files import JsonObject
    from rlmaster.events import Event
    from rlmaster.run_folder import RunFolder
    from rlmaster.run_index.row import RunRow
    from rlmaster.run_status import Status

NEWEST_EVENTS = 8
LABEL_WIDTH = 11
PAGE_WIDTH = 100
"""Terminal cells of the widest page, and of one that no terminal shows."""
NEXT: dict[str, tuple[str, ...]] = {
    "prepared": ("follow",),
    "queued": ("follow", "queue", "stop"),
    "running": ("follow", "stop"),
    "completed": ("report", "conclude", "branch"),
    "failed": ("resume", "report", "branch"),
    "stopped": ("resume", "report", "branch"),
    "lost": ("resume", "report", "branch"),
}
"""The commands that are useful for a run in a state."""
ATTEMPT_FIELDS = ("attempt", "host", "start", "end", "state", "reason")
COMMANDS = {
    "follow": "follow {run}",
    "queue": "queue{place}",
    "stop": "stop {run}",
    "resume": "resume {run}",
    "report": "report {run}",
    "conclude": 'conclude {run} --text "..."',
    "branch": "branch {run} --set FIELD=VALUE",
}


@dataclass(frozen=True)
class Page:
    """What is shown of a run, all read at once."""

    run: "RunFolder"
    row: "RunRow"
    parents: "list[RunRow]"
    children: "list[RunRow]"
    result: str
    """What it came to, in a sentence."""
    host_choice: "JsonObject"
    """Where it was sent, who asked for that, and the ranking of that moment."""
    attempts: "list[JsonObject]"
    events: "list[Event]"
    """The newest, oldest first."""
    files: dict[str, Path]
    """What is worth opening, by what it is."""
    commands: list[str]
    """What can be done next."""
    silent: list[dict[str, str]]
    """Its host, since when and why, if the run lives there and nothing comes from there."""


def show_command(run: RunArgument = "last", as_json: JsonOption = False) -> None:
    """Show one run on a page: how it stands, why it was made, what came of it, what to do next."""
    folder, runs = find_run_folder(run)
    page = read_page(folder, runs)
    if as_json:
        answer_json(_page_data(page, runs))
        return
    for line in _page_lines(page):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# ----------------------------------------------------------------------------------- reading


def read_page(run: "RunFolder", runs: Path) -> Page:
    """Read all that the page of a run shows; a damaged file costs its own part."""
    from rlmaster.cli.indexing import synced_index
    from rlmaster.reports.summary import result_sentence
    from rlmaster.run_folder import Progress
    from rlmaster.run_index.row import read_row, readable

    status = _present_status(run)
    row = read_row(run, status)
    with synced_index(runs) as index:
        if index.row(run) != row:
            index.refresh(run, status)
        parents, children = index.named(row.parents), index.children(run.id)
    return Page(
        run,
        row,
        parents,
        children,
        result=result_sentence(readable(run.progress, Progress())),
        host_choice=readable(run.host_choice, {}),
        attempts=readable(run.attempts, []),
        events=_newest_events(run),
        files=_files(run),
        commands=_commands(run, row),
        silent=silent_hosts([] if row.is_final else [run], runs),
    )


def _present_status(run: "RunFolder") -> "Status":
    from rlmaster.run_index.row import readable, readable_status
    from rlmaster.run_status import FINAL_STATES

    status, _ = readable_status(run)
    if status.state in FINAL_STATES:
        return status
    from rlmaster.lifecycle import look_after

    return readable(lambda: look_after(run), status)


def _newest_events(run: "RunFolder") -> "list[Event]":
    from rlmaster.events import read_events
    from rlmaster.run_index.row import readable

    nothing: tuple[list[Event], int] = ([], 0)
    found, _ = readable(lambda: read_events(run.worker_events), nothing)
    more, _ = readable(lambda: read_events(run.training_events), nothing)
    return sorted([*found, *more], key=lambda event: event.time)[-NEWEST_EVENTS:]


def _files(run: "RunFolder") -> dict[str, Path]:
    videos, previews = run.video_files(), run.preview_files()
    wanted = {
        "report": run.report / "report.pdf",
        "report source": run.report / "report.tex",
        **{"video" if len(videos) == 1 else f"{path.stem} video": path for path in videos},
        "preview": previews[-1] if previews else None,
        "plots": run.plots,
        "curves": run.tensorboard,
        "log": run.log_file,
    }
    return {name: path for name, path in wanted.items() if path is not None and path.exists()}


def _commands(run: "RunFolder", row: "RunRow") -> list[str]:
    """Return what a person may type next; the queue is that of the computer where the run is."""
    from rlmaster.run_index.row import readable

    place = f" --host {row.host}" if readable(run.elsewhere, None) else ""
    words = [COMMANDS[name].format(run=row.short_id, place=place) for name in _next(row)]
    return [f"rlmaster {text}" for text in words]


def _next(row: "RunRow") -> Sequence[str]:
    return [name for name in NEXT[row.state] if name != "conclude" or not row.conclusion]


def _page_data(page: Page, runs: Path) -> dict[str, Any]:
    """Return the page as JSON data."""
    return {
        **row_data(page.row, runs),
        "config": page.row.config,
        "result": page.result,
        "children": [child.id for child in page.children],
        "host_choice": page.host_choice,
        "attempts": page.attempts,
        "events": [asdict(event) for event in page.events],
        "files": {name: str(path) for name, path in page.files.items()},
        "commands": page.commands,
        "unreachable": page.silent,
    }


# --------------------------------------------------------------------------------- for people


def _page_lines(page: Page) -> Iterator[str]:
    from rlmaster.cli.layout import is_coloured, one_line, painted, terminal_width, wrapped

    width = min(terminal_width() or PAGE_WIDTH, PAGE_WIDTH)
    row, coloured = page.row, is_coloured()
    colour = STATE_COLOURS[row.state] if coloured else ""
    yield f"{one_line(row.name)} {one_line(row.short_id)}  {painted(row.state, colour)}"
    for label, texts in _sections(page):
        lines = [line for text in texts for line in wrapped(text, width - LABEL_WIDTH)]
        for number, line in enumerate(lines):
            start = (label if number == 0 else "").ljust(LABEL_WIDTH)
            yield (painted(start, "grey" if coloured else "") + line).rstrip()
    label = painted("folder".ljust(LABEL_WIDTH), "grey" if coloured else "")
    yield label + plain(str(page.run.path))  # whole, so that it can be copied


def _sections(page: Page) -> Iterator[tuple[str, list[str]]]:
    """Yield what is known, each with its label; what is not known has no place on the page."""
    row, folder, now = page.row, page.run.path, datetime.now(UTC)
    everything = {
        "state": [_state_sentence(row, now)],
        "silent": [host["told"] for host in page.silent],
        "progress": [] if row.is_final and row.share == 1 else [_progress_sentence(row)],
        "result": [page.result],
        "standing": [row.standing],
        "why": [row.rationale],
        "learned": [row.conclusion],
        "tags": [", ".join(row.tags)],
        "agent": [row.who_plays],
        "differs": [_differences(row)],
        "builds on": [_name(parent) for parent in page.parents],
        "led to": [_name(child) for child in page.children],
        "frames": [page.run.coverage()],
        "host": [_host_sentence(page.host_choice)],
        "attempts": [_attempt_sentence(attempt) for attempt in page.attempts],
        "events": [_event_sentence(event, now) for event in reversed(page.events)],
        "files": [f"{name}: {path.relative_to(folder)}" for name, path in page.files.items()],
        "next": page.commands,
    }
    for label, texts in everything.items():
        if known := [text for text in texts if text.strip()]:
            yield label, known


def _state_sentence(row: "RunRow", now: datetime) -> str:
    passed = age(row.since, now)
    since = f" for {passed}" if passed not in ("", NOW) else ""
    if row.is_final:
        since = f" {_ago(row.since, now)}".rstrip()
    made = f", made {ago}" if (ago := _ago(row.created, now)) else ""
    place = f", on {row.host}" if row.host else ""
    slot = f" ({row.slot})" if row.slot else ""
    why = f": {row.reason}" if row.reason else ""
    return f"{row.state}{since}{made}, attempt {row.attempt}{place}{slot}{why}"


def _ago(moment: str, now: datetime) -> str:
    """Return when something was; nothing where it is not known."""
    passed = age(moment, now)
    return "just now" if passed == NOW else f"{passed} ago" if passed else ""


def _progress_sentence(row: "RunRow") -> str:
    if row.share is None:
        return row.phase
    left = "" if row.eta_s is None or row.is_final else f", about {_duration(row.eta_s)} left"
    done = f"{row.step:,} of {row.total:,} {row.axis} ({row.share:.0%})"
    return f"{row.phase}: {done}{left}" if row.phase else f"{done}{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _differences(row: "RunRow") -> str:
    config = row.config
    return ", ".join(f"{name}={config[name]}" for name in row.differs if name in config)


def _name(row: "RunRow") -> str:
    why = row.rationale.partition("\n")[0]
    return f"{row.short_id} {row.name}, {row.state}: {why}"


def _host_sentence(choice: "JsonObject") -> str:
    """Say where a run was sent, and what spoke for that host."""
    host, asked_for, ranking = (choice.get(name) for name in ("host", "asked_for", "ranking"))
    if not host:
        return ""
    entries = cast("list[Any]", ranking if isinstance(ranking, list) else [])
    ranked = cast("list[JsonObject]", [entry for entry in entries if isinstance(entry, dict)])
    why = "; ".join(str(entry.get("reason")) for entry in ranked if entry.get("host") == host)
    return f"{host}, asked for {asked_for or 'nothing'}" + (f": {why}" if why else "")


def _attempt_sentence(attempt: "JsonObject") -> str:
    number, host, start, end, state, reason = (
        str(attempt.get(name) or "") for name in ATTEMPT_FIELDS
    )
    times = " to ".join(time for time in (_minute(start), _minute(end)) if time)
    told = ", ".join(part for part in (times, f"on {host}" if host else "", state) if part)
    return f"{number}: {told}" + (f": {reason}" if reason else "")


def _minute(moment: str) -> str:
    """Return a time as people here read it."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return ""


def _event_sentence(event: "Event", now: datetime) -> str:
    where = f" at {event.step:,}" if event.step else ""
    when = _ago(event.time, now) or "at an unknown time"
    return f"{when}, {event.kind.replace('_', ' ')}{where}: {event.message}"
