"""What a report says, as plain text gathered from a run folder, before it takes any form.

A file that is missing or damaged costs its part of the report and leaves a note, never more.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from rlmaster.durable_files import JsonObject
from rlmaster.errors import RunFolderError
from rlmaster.experiment_data import class_name, meaningful, plays, training_style
from rlmaster.reports.summary import result_sentence
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status
from rlmaster.specification import flattened

LONGEST_VALUE = 240
"""Characters of a value in a table; the rest is in the file that it came from."""
MOST_ROWS = 500

T = TypeVar("T")
Row = tuple[str, str]


@dataclass
class Content:
    """A report's words and tables; every string is as somebody wrote it, and none is escaped."""

    name: str
    run_id: str
    created: str = ""
    state: str = ""
    """The state, and how far a run has come that has not ended well."""
    axis: str = "updates"
    tags: str = ""
    """Words to find the run by, separated by commas."""
    agent: str = ""
    """Who plays, by what, and how its encoder is trained; empty where nobody does."""
    rationale: str = ""
    result: str = ""
    standing: str = ""
    conclusion: str = ""
    chosen: list[Row] = field(default_factory=list[Row])
    """Hyperparameters that differ from their default, by dotted name."""
    left_at_default: list[Row] = field(default_factory=list[Row])
    provenance: list[Row] = field(default_factory=list[Row])
    notes: list[str] = field(default_factory=list[str])
    """What could not be read, a sentence each."""


def gather(run: RunFolder, standing: str = "") -> Content:
    """Read what a report says.

    Args:
        run: The run; of its files any may be missing or damaged.
        standing: How it stands among comparable runs; where empty, as provenance knew at launch.
    """
    content = Content(name=run.name, run_id=run.id)

    def read(what: str, reader: Callable[[], T], default: T) -> T:
        try:
            return reader()
        except (RunFolderError, OSError, ValueError, LookupError, TypeError, AttributeError) as e:
            content.notes.append(f"{what} is left out ({e})")
            return default

    facts, config = read("run.json", run.run, {}), read("config.json", run.config, {})
    provenance = read("provenance.json", run.provenance, {})
    environment = read("environment.json", run.environment, {})
    attempts = read("attempts.jsonl", run.attempts, [])
    status = read("status.json", run.status, Status(State.PREPARED))
    progress = read("progress.json", run.progress, Progress())
    content.created = _moment(facts.get("created"))
    content.state = read("the progress", lambda: _state(status, progress), str(status.state))
    content.axis = str(progress.result.get("axis") or progress.axis)
    content.tags = read("tags.json", lambda: ", ".join(run.tags()), "")
    content.agent = _agent(config)
    content.rationale = read("rationale.md", run.rationale, "")
    content.conclusion = read("conclusion.md", run.conclusion, "")
    content.result = read("the result", lambda: result_sentence(progress), "")
    content.standing = _sentence(standing or provenance.get("standing"))
    content.chosen, content.left_at_default = _hyperparameters(config, facts)
    covered = read("replay/coverage.json", run.coverage, "")
    content.provenance = [
        *_origin(provenance, facts),
        *_encoder(provenance),
        *([("Frames", _value(covered))] if covered else []),
        *_machine(environment, attempts),
    ]
    return content


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, such as `2 h 5 min`."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest_s, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2])


def _state(status: Status, progress: Progress) -> str:
    if status.state is State.COMPLETED or not progress.total:
        return str(status.state)
    return f"{status.state} at {progress.step:,} of {progress.total:,} {progress.axis}"


def _agent(config: JsonObject) -> str:
    """Say who plays: `DoubleDQN on the latents of Autoencoder, frozen`."""
    if not plays(config):
        return ""
    words = f"{class_name(config['agent'])} on the latents of {class_name(config.get('embedder'))}"
    return ", ".join(part for part in (words, training_style(config)) if part)


def _sentence(words: Any) -> str:
    """Return words with a full stop; nothing where there are none."""
    text = words.strip() if isinstance(words, str) else ""
    return f"{text}." if text and text[-1] not in ".!?" else text


def _hyperparameters(config: JsonObject, facts: JsonObject) -> tuple[list[Row], list[Row]]:
    """Return the fields that differ from their default, and the others."""
    differs = facts.get("differs_from_default")
    names = [str(name) for name in cast("list[Any]", differs)] if isinstance(differs, list) else []
    chosen: list[Row] = []
    others: list[Row] = []
    shown_above = ("name", "tags")
    rest = {key: value for key, value in meaningful(config).items() if key not in shown_above}
    for number, (name, value) in enumerate(flattened(rest).items()):
        if number == MOST_ROWS:
            others.append(("...", "more fields are in config.json"))
            break
        is_chosen = any(name == known or name.startswith(f"{known}.") for known in names)
        (chosen if is_chosen else others).append((name, _value(value)))
    return chosen, others


def _origin(provenance: JsonObject, facts: JsonObject) -> Iterator[Row]:
    """Yield where code and host choice came from, as far as is known."""
    if script := _at(provenance, "script"):
        yield "Script", _value(script)
    if commit := _at(provenance, "git", "commit"):
        yield "Git commit", _value(commit)
    uncommitted = _at(provenance, "git", "uncommitted")
    if isinstance(uncommitted, list):
        files = cast("list[Any]", uncommitted)
        yield "Uncommitted files", _shortened(f"{len(files)}: {_value(files)}") if files else "none"
    if digest := _at(provenance, "snapshot", "digest") or _at(facts, "digests", "snapshot"):
        yield "Code snapshot", _value(digest)
    if digest := _at(facts, "digests", "experiment"):
        yield "Experiment digest", _value(digest)
    if parents := facts.get("parents"):
        yield "Builds on", _value(parents)
    if host := _at(provenance, "host_choice", "host"):
        yield "Host", _value(host)
        if reason := _reason(provenance, host):
            yield "Why this host", _value(reason)


def _encoder(provenance: JsonObject) -> Iterator[Row]:
    """Yield which run trained the encoder before, and how many agent steps that took."""
    run, steps = (_at(provenance, "encoder_from", name) for name in ("run", "frames"))
    if run:
        took = f", which played {steps:,} agent steps" if isinstance(steps, int) else ""
        yield "Encoder from", f"{_value(run)}{took}"


def _reason(provenance: JsonObject, host: Any) -> Any:
    """Return why a host was chosen, from the ranking of all."""
    ranking = _at(provenance, "host_choice", "ranking")
    for entry in cast("list[Any]", ranking) if isinstance(ranking, list) else []:
        if _at(entry, "host") == host:
            return _at(entry, "reason")
    return None


def _machine(environment: JsonObject, attempts: Sequence[JsonObject]) -> Iterator[Row]:
    """Yield what the run ran on, how often and how long."""
    versions = {"Python": _at(environment, "python")}
    for package in ("torch", "ale-py", "gymnasium", "numpy"):
        versions[package] = _at(environment, "packages", package)
    known = [f"{name} {_value(version)}" for name, version in versions.items() if version]
    if known:
        yield "Software", ", ".join(known)
    if processor := _at(environment, "processor"):
        threads = _at(environment, "threads")
        yield "Processor", _value(processor) + (f", {_value(threads)} threads" if threads else "")
    if gpu := _at(environment, "gpu"):
        yield "GPU", _value(gpu)
    if attempts:
        spent = duration(sum(_attempt_s(attempt) for attempt in attempts))
        yield "Training time", f"{spent} in {len(attempts)} attempt{'s'[: len(attempts) != 1]}"


def _attempt_s(attempt: JsonObject) -> float:
    """Return how long an attempt took, 0 where that is not known."""
    try:
        start = datetime.fromisoformat(attempt["start"])
        return max(0.0, (datetime.fromisoformat(attempt["end"]) - start).total_seconds())
    except (KeyError, ValueError, TypeError):
        return 0.0


def _moment(text: Any) -> str:
    """Return an ISO 8601 time as people write it."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%-d %B %Y, %H:%M} UTC"
    except (ValueError, TypeError):
        return ""


def _at(data: Any, *keys: str) -> Any:
    """Return what lies at a path of keys, or None where the path breaks off."""
    for key in keys:
        if not isinstance(data, dict):
            return None
        data = cast("JsonObject", data).get(key)
    return data


def _value(value: Any) -> str:
    """Return a JSON value as text for a table."""
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, list) and value:
        return _shortened(", ".join(_value(item) for item in cast("list[Any]", value)))
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
