"""What the index keeps of a run: what lists, filters and standing need, read from its small files.

Whatever lies in the files, a row comes of it: a file that is damaged or cannot be read costs its
own part and no more.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar, cast

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.experiment_data import class_name, meaningful, plays, training_style
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import FINAL_STATES, State, Status

DAMAGE = (OSError, TypeError, ValueError, OverflowError, RecursionError)
"""What reading a file may raise that somebody else wrote, or broke."""
WHERE = ("environment.game", "environment.protocol")
YARDSTICK_FIELDS = (*WHERE, "training.updates", "training.batch_size")
"""With fields of the frames and the metric, what runs must share to be compared."""
PLAYING_YARDSTICK_FIELDS = (
    *WHERE,
    "agent_training.steps",
    "agent_training.evaluation_episodes",
    "agent_training.evaluation_exploration",
)
"""With the metric, what runs of agents must share, wherever their encoders learned."""
JSON_FIELDS = ("tags", "parents", "differs")
"""Fields of a row that hold several texts."""
FRAMES = "frames."
CANONICAL = "canonical/"
"""Begins a metric that is of the same frames for every run of a game."""
TRAINING = "training"
"""The phase that takes longest, and of which a share says how far the run is."""
UNKNOWN_TIME = datetime(1, 1, 1, tzinfo=UTC)
LONGEST_INTEGER = 2**63 - 1

T = TypeVar("T")


class RunRow(NamedTuple):
    """One run as the index knows it: plain values, of which none can be trusted to be printable."""

    path: str
    """Its folder, relative to the folder of all runs."""
    id: str
    short_id: str
    name: str
    """The experiment's name."""
    created: str
    """When it was made, ISO 8601 in UTC."""
    state: State
    attempt: int
    since: str
    """When it entered the state."""
    reason: str
    host: str
    """Where it is made: the name in hosts.toml of another computer, or that which ours has."""
    slot: str
    game: str
    embedder: str
    """Class name of the embedder's specification."""
    agent: str
    """Class name of the agent's specification; empty where nobody plays."""
    style: str
    """How the agent's encoder is trained, such as `frozen`; empty where nobody learns to play."""
    phase: str
    step: int
    total: int
    axis: str
    eta_s: float | None
    metric: str
    value: float | None
    """Its result; None where there is none, or none that is a finite number."""
    before: float | None
    best: float | None
    higher_is_better: bool
    """Whether a higher value of the metric is the better one."""
    standing: str
    """Best or worst so far, as it was written; empty until then."""
    rationale: str
    conclusion: str
    digest: str
    """Digest of the experiment; runs that share it differ by seed alone."""
    yardstick: str
    """Runs of the same yardstick may be compared."""
    tags: tuple[str, ...]
    parents: tuple[str, ...]
    """Ids of the runs it builds on."""
    differs: tuple[str, ...]
    """Dotted names of the fields that were chosen, which are not at their defaults."""
    config_json: str
    """The experiment as a JSON object of dotted names."""

    @property
    def config(self) -> JsonObject:
        """The experiment by dotted names, such as `embedder.latent_dim`."""
        return json.loads(self.config_json)

    @property
    def who_plays(self) -> str:
        """The agent and how its encoder is trained, such as `DoubleDQN, frozen`; empty for none."""
        return ", ".join(word for word in (self.agent, self.style) if word)

    @property
    def share(self) -> float | None:
        """How much of its phase is done, 0 to 1; None where it is not known."""
        return min(max(self.step / self.total, 0.0), 1.0) if self.total > 0 else None

    @property
    def trained_share(self) -> float | None:
        """How much of a run that trains is trained, 0 to 1; None in other phases."""
        return self.share if self.phase == TRAINING else None

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to it any more unless somebody asks for it."""
        return self.state in FINAL_STATES


def readable_status(run: RunFolder) -> tuple[Status, bool]:
    """Return how a run stands and whether that could be read; where it could not, it is lost."""
    try:
        return run.status(), True
    except DAMAGE as error:
        return Status(State.LOST, reason=f"{run.status_file.name} cannot be read: {error}"), False


def read_row(run: RunFolder, status: Status) -> RunRow:
    """Read a run's small files.

    Args:
        run: The run.
        status: How it stands, which some know better than its file.
    """
    facts = readable(lambda: read_json(run.run_file), None) or {}
    experiment = readable(lambda: meaningful(read_json(run.config_file) or {}), {})
    config = _flat(experiment)
    progress = readable(run.progress, Progress())
    result = progress.result
    placement = readable(run.elsewhere, None)
    metric = as_text(result.get("metric"))
    return RunRow(
        path=f"{run.name}/{run.id}",
        id=as_text(run.id),
        short_id=as_text(run.short_id),
        name=as_text(run.name),
        created=_created(run, facts),
        state=status.state,
        attempt=_count(status.attempt),
        since=as_text(status.since),
        reason=as_text(status.reason),
        host=as_text(placement.host if placement else status.host),
        slot=as_text(status.slot),
        game=as_text(config.get("environment.game")),
        embedder=as_text(class_name(experiment.get("embedder"))),
        agent=as_text(class_name(experiment.get("agent"))),
        style=training_style(experiment),
        phase=as_text(progress.phase),
        step=_count(progress.step),
        total=_count(progress.total),
        axis=as_text(progress.axis),
        eta_s=_number(progress.eta_s),
        metric=metric,
        value=_number(result.get("value")),
        before=_number(result.get("before")),
        best=_number(result.get("best")),
        higher_is_better=result.get("higher_is_better") is True,
        standing=as_text(readable(run.standing, "")),
        rationale=as_text(readable(run.rationale, "")),
        conclusion=as_text(readable(run.conclusion, "")),
        digest=as_text(_object(facts.get("digests")).get("experiment")),
        yardstick=readable(lambda: _yardstick(config, metric, plays(experiment)), ""),
        tags=tuple(map(as_text, readable(run.tags, ()))),
        parents=_texts(facts.get("parents")),
        differs=_texts(facts.get("differs_from_default")),
        config_json=readable(lambda: _json(config), "{}"),
    )


def readable(read: Callable[[], T], otherwise: T) -> T:
    """Return what can be read, or something else where that part is damaged."""
    try:
        return read()
    except DAMAGE:
        return otherwise


def _created(run: RunFolder, facts: JsonObject) -> str:
    """Return when a run was made: as it says itself, else by its id."""
    said = readable(lambda: _utc(datetime.fromisoformat(facts.get("created", ""))), None)
    moment = said or readable(lambda: run.created, UNKNOWN_TIME)
    return moment.isoformat(timespec="milliseconds")


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flat(experiment: JsonObject) -> JsonObject:
    # Here, because it brings pydantic along, which a list without a change does not wait for.
    from rlmaster.specification import flattened

    return readable(lambda: flattened(experiment), {})


def _yardstick(config: JsonObject, metric: str, has_agent: bool) -> str:
    """Return what two runs must share to be compared, as text."""
    if has_agent:
        fields = {name: config.get(name) for name in PLAYING_YARDSTICK_FIELDS}
        return _json({**fields, "metric": metric}, sort_keys=True)
    fields = {name: config.get(name) for name in YARDSTICK_FIELDS}
    # Canonical frames are the same for all, so runs that learned from others may be compared.
    frames = f"{FRAMES}steps" if metric.startswith(CANONICAL) else FRAMES
    fields |= {name: value for name, value in config.items() if name.startswith(frames)}
    return _json({**fields, "metric": metric}, sort_keys=True)


def _json(data: JsonObject, *, sort_keys: bool = False) -> str:
    """Return strict JSON, which knows no NaN; one in a file becomes null."""
    try:
        text = json.dumps(data, sort_keys=sort_keys, allow_nan=False, ensure_ascii=False)
    except ValueError:
        text = json.dumps(_without_nan(data), sort_keys=sort_keys, ensure_ascii=False)
    return as_text(text)


def _without_nan(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_nan(value) for key, value in cast("JsonObject", data).items()}
    if isinstance(data, list):
        return [_without_nan(value) for value in cast("list[Any]", data)]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(as_text, cast("list[Any]", value))) if isinstance(value, list) else ()


def as_text(value: object) -> str:
    """Return text that can be stored and printed as UTF-8; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = readable(lambda: float(value), math.nan)
    return number if math.isfinite(number) else None


def _count(value: object) -> int:
    number = _number(value)
    return 0 if number is None or abs(number) >= LONGEST_INTEGER else int(number)
