"""The run folder: the only place that knows which file holds what.

Control and learning side meet here and nowhere else. Each file has one writer, small files are
replaced atomically, streams only grow: whoever reads needs no lock.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

from rlmaster.durable_files import (
    JsonObject,
    append_line,
    read_json,
    read_lines,
    utc_now,
    write_atomically,
    write_json,
)
from rlmaster.errors import RunFolderError
from rlmaster.placement import Placement
from rlmaster.run_status import State, Status

SCHEMA_VERSION = 1
ID_TIME = "%Y%m%d-%H%M%S"
ID_CHARACTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""No 0, 1, i, l, o: the six characters are read aloud and typed."""


WORKER_VARIABLE = "RLMASTER_WORKER"
"""Environment variable that tells training the process id of its worker."""


@dataclass(frozen=True)
class Progress:
    """How far training is, for people who watch."""

    phase: str = ""
    """What is being done: restoring, collecting, preparing, compiling, training, rendering."""
    step: int = 0
    total: int = 0
    axis: str = "updates"
    """What is counted: steps or updates."""
    rate_per_s: float = 0.0
    """Counted steps in a second, of late."""
    eta_s: float | None = None
    """Estimated seconds until `total`."""
    values: dict[str, float] = field(default_factory=dict[str, float])
    """Newest value of each scalar."""
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the run came to, once it is known: `metric`, `value`, `before`, `best`, `unit`."""

    @property
    def place(self) -> str:
        """Where training is, such as `collecting 4,000`; it differs as long as anything moves."""
        return f"{self.phase} {self.step:,}".strip()


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        """Point at a folder; nothing is read yet."""
        self.path = path
        self.run_file = path / "run.json"
        self.config_file = path / "config.json"
        self.rationale_file = path / "rationale.md"
        self.conclusion_file = path / "conclusion.md"
        self.tags_file = path / "tags.json"
        self.provenance_file = path / "provenance.json"
        self.placement_file = path / "placement.json"
        self.environment_file = path / "environment.json"
        self.status_file = path / "status.json"
        self.attempts_file = path / "attempts.jsonl"
        self.progress_file = path / "progress.json"
        self.requests = path / "requests"
        self.worker_events = path / "events" / "worker.jsonl"
        self.training_events = path / "events" / "training.jsonl"
        self.log_file = path / "log.txt"
        self.tensorboard = path / "tensorboard"
        self.tensorboard_images = path / "tensorboard" / "images"
        self.previews = path / "previews"
        self.videos = path / "videos"
        self.tensors = path / "tensors"
        self.checkpoints = path / "checkpoints"
        self.replay = path / "replay"
        self.coverage_file = path / "replay" / "coverage.json"
        self.encoder_weights = path / "encoder"
        self.policy = path / "policy"
        self.plots = path / "plots"
        self.report = path / "report"
        self.report_tex = path / "report" / "report.tex"
        self.report_pdf = path / "report" / "report.pdf"
        self.standing_file = path / "report" / "standing.json"

    @classmethod
    def create(cls, runs: Path, *, config: Mapping[str, Any], **facts: Any) -> Self:
        """Make the folder of a new run at once: `reserve` and `fill`."""
        folder = cls.reserve(runs, str(config["name"]))
        folder.fill(config=config, **facts)
        return folder

    @classmethod
    def reserve(cls, runs: Path, name: str) -> Self:
        """Make a folder that nobody else can have made; it is no run until it is filled.

        Args:
            runs: Where the project keeps its runs.
            name: The experiment's name.

        Raises:
            RunFolderError: If nothing can be written there.
        """
        try:
            return cls(_make_exclusive_folder(runs / name))
        except OSError as error:
            raise _cannot_make(runs, error) from error

    def fill(
        self,
        *,
        config: Mapping[str, Any],
        rationale: str,
        provenance: Mapping[str, Any],
        digests: Mapping[str, str],
        differs_from_default: Sequence[str],
        parents: Sequence[str] = (),
    ) -> None:
        """Write what is known at launch; the folder counts as a run only once it is whole.

        Args:
            config: The resolved experiment, as JSON data.
            rationale: Why the run is made.
            provenance: Code, host choice and standing at launch.
            digests: SHA-256 of `experiment` and `snapshot`.
            differs_from_default: Dotted paths of the fields that were chosen.
            parents: Ids of the runs that it builds on.

        Raises:
            RunFolderError: If it cannot be written.
        """
        try:
            for inner in (self.requests, self.worker_events.parent, self.previews):
                inner.mkdir(exist_ok=True)
            write_json(self.config_file, config, durable=True)
            _write_text(self.rationale_file, rationale)
            write_json(self.provenance_file, provenance, durable=True)
            run = {
                "schema_version": SCHEMA_VERSION,
                "id": self.id,
                "name": str(config["name"]),
                "created": utc_now(),
                "parents": list(parents),
                "study": None,
                "digests": dict(digests),
                "differs_from_default": list(differs_from_default),
            }
            write_json(self.run_file, run, durable=True)  # last: its presence makes this a run
        except OSError as error:
            raise _cannot_make(self.path.parent.parent, error) from error

    @property
    def id(self) -> str:
        """The run's id: UTC time and six characters."""
        return self.path.name

    @property
    def created(self) -> datetime:
        """When the run was made, which its id says to the second; of a renamed copy, its folder."""
        moment = self.path.name.rpartition("-")[0]
        try:
            return datetime.strptime(moment, ID_TIME).replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(self.path.stat().st_ctime, UTC)

    @property
    def short_id(self) -> str:
        """The six characters that name the run in conversation."""
        return self.path.name.rpartition("-")[2]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.path.parent.name

    def exists(self) -> bool:
        """Tell whether this is a whole run."""
        return self.run_file.is_file()

    def run(self) -> JsonObject:
        """Return `run.json`.

        Raises:
            RunFolderError: If it is missing or damaged.
        """
        return self._required(self.run_file)

    def config(self) -> JsonObject:
        """Return the experiment as plain JSON data, whatever version wrote it.

        Raises:
            RunFolderError: If it is missing or damaged.
        """
        return self._required(self.config_file)

    def provenance(self) -> JsonObject:
        """Return where code and host choice came from; empty where it is not known."""
        return read_json(self.provenance_file) or {}

    def host_choice(self) -> JsonObject:
        """Return where the run goes, with which Python, and why; empty where it is not known."""
        return self._origin("host_choice")

    def goes_on_from(self) -> JsonObject:
        """Return the folder of the parent, and its checkpoint, on the host that both are on.

        Empty where a run begins anew, or took what it begins with from here.
        """
        return self._origin("goes_on_from")

    def encoder_from(self) -> JsonObject:
        """Return which run trained the embedder that the agent began with, and what that took.

        That is `run`, its id, `updates`, None where it trained an agent, and `frames`, the agent
        steps played, None where nobody knows. Empty where the agent began with a random embedder.
        """
        return self._origin("encoder_from")

    def placement(self) -> Placement | None:
        """Return where the run is made; None where it never left the computer of its launch."""
        return Placement.from_data(read_json(self.placement_file) or {})

    def is_here(self) -> bool:
        """Tell whether the run is made in this very folder, and this is no mirror of it."""
        return self.elsewhere() is None

    def elsewhere(self) -> Placement | None:
        """Return where the run is made if this is only its mirror; None where it is made here."""
        placement = self.placement()
        return None if placement is None or placement.is_here(self.path) else placement

    def is_guest(self) -> bool:
        """Tell whether the run is made here for a project on another computer."""
        placement = self.placement()
        return placement is not None and placement.kind != "local" and placement.is_here(self.path)

    def write_placement(self, placement: Placement) -> None:
        """Keep where the run is made."""
        write_json(self.placement_file, placement.to_data(), durable=True)

    def code_paths(self) -> list[Path]:
        """Return where Python finds the run's code: its snapshot, and the script's folder there.

        Empty where provenance is missing.
        """
        known = self.provenance()
        try:
            snapshot = self.path.parent.parent / ".snapshots" / str(known["snapshot"]["digest"])
            return [snapshot, snapshot / Path(str(known["script"])).parent]
        except (KeyError, TypeError):
            return []

    def code_folder(self) -> Path:
        """Return the snapshot that the run is made with.

        Raises:
            RunFolderError: If it is gone.
        """
        code = self.code_paths()
        if not code or not code[0].is_dir():
            raise RunFolderError(
                f"the code of run {self.short_id} is gone from "
                f"{self.path.parent.parent / '.snapshots'}; `rlmaster branch {self.short_id}` "
                "starts it anew with the present code"
            )
        return code[0]

    def environment(self) -> JsonObject:
        """Return the packages and hardware the run had; empty before it started."""
        return read_json(self.environment_file) or {}

    def rationale(self) -> str:
        """Return why the run was made."""
        return _read_text(self.rationale_file)

    def conclusion(self) -> str:
        """Return what was learned, empty until somebody wrote it."""
        return _read_text(self.conclusion_file)

    def write_conclusion(self, text: str) -> None:
        """Keep what was learned; a text of nothing but spaces takes it back."""
        if text.strip():
            _write_text(self.conclusion_file, text)
        else:
            self.conclusion_file.unlink(missing_ok=True)

    def tags(self) -> tuple[str, ...]:
        """Return the words to find the run by: the experiment's, until they were changed."""
        changed = read_json(self.tags_file)
        given = (read_json(self.config_file) or {}) if changed is None else changed
        words = given.get("tags")
        return tuple(map(str, cast("list[Any]", words))) if isinstance(words, list) else ()

    def write_tags(self, tags: Sequence[str]) -> None:
        """Replace the tags; those of the experiment stay in its configuration."""
        write_json(self.tags_file, {"tags": list(tags)}, durable=True)

    def coverage(self) -> str:
        """Return what the run's frames cover; empty until all are there, or where they are not."""
        return str((read_json(self.coverage_file) or {}).get("sentence") or "")

    def standing(self) -> str:
        """Return how the run stands among earlier ones; empty until that was written."""
        return str((read_json(self.standing_file) or {}).get("sentence") or "")

    def status(self) -> Status:
        """Return how the run stands; one nobody has started is prepared, a damaged one lost."""
        data = read_json(self.status_file)
        if data is None and not self.status_file.exists():
            return Status(State.PREPARED, since=(read_json(self.run_file) or {}).get("created", ""))
        return Status.from_data(data or {}) or Status(
            State.LOST, reason=f"{self.status_file.name} is damaged"
        )

    def write_status(self, status: Status) -> None:
        """Replace `status.json`; only the holder of the run lock may."""
        write_json(self.status_file, status.to_data(), durable=True)

    def progress(self) -> Progress:
        """Return how far training is; empty before its first word."""
        data = read_json(self.progress_file) or {}
        usual = Progress()
        known = {name: data[name] for name in asdict(usual) if name in data}
        return replace(usual, **{k: v for k, v in known.items() if _fits(v, getattr(usual, k))})

    def write_progress(self, progress: Progress) -> None:
        """Replace `progress.json`; only training does."""
        write_json(self.progress_file, asdict(progress))

    def append_attempt(self, attempt: Mapping[str, Any]) -> None:
        """Append to the list of attempts; only the holder of the run lock may."""
        append_line(self.attempts_file, attempt)

    def attempts(self) -> list[JsonObject]:
        """Return every attempt, oldest first."""
        return read_lines(self.attempts_file)[0]

    def last_log_lines(self, count: int) -> list[str]:
        """Return the end of the log; none where there is no log yet."""
        return _read_text(self.log_file).splitlines()[-count:]

    def checkpoint_folders(self) -> list[Path]:
        """Return the checkpoints that are named by their step, oldest first."""
        found = (self.checkpoints.glob(f"{name}-*/manifest.json") for name in ("update", "step"))
        return sorted(path.parent for paths in found for path in paths)

    def find_checkpoint(self, which: str = "newest") -> Path | None:
        """Return the `newest` checkpoint, the `best`, or one by its name; None if it is not whole.

        Checksums are compared, so it takes a moment.
        """
        if which == "newest":
            return next(filter(_is_whole, reversed(self.checkpoint_folders())), None)
        best = str((read_json(self.checkpoints / "best.json") or {}).get("checkpoint") or "")
        name = best if which == "best" else which
        is_name = bool(name) and name == Path(name).name
        found = self.checkpoints / name
        return found if is_name and _is_whole(found) else None

    def preview_files(self) -> list[Path]:
        """Return the previews, oldest first."""
        return sorted(self.previews.glob("*.png"))

    def video_files(self) -> list[Path]:
        """Return the videos by name."""
        return sorted(self.videos.glob("*.mp4"))

    def _origin(self, name: str) -> JsonObject:
        """Return a group of provenance; empty where it is not known."""
        known = self.provenance().get(name)
        return cast("JsonObject", known) if isinstance(known, dict) else {}

    def _required(self, path: Path) -> JsonObject:
        data = read_json(path)
        if data is None:
            raise RunFolderError(f"{path} is missing or damaged, so {self.path} is no whole run")
        return data


def _is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint's files are those that were written."""
    sums = (read_json(checkpoint / "manifest.json") or {}).get("sha256")
    if not isinstance(sums, dict):
        return False
    try:
        for name, expected in cast("dict[str, Any]", sums).items():
            with (checkpoint / Path(name).name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    return False
    except OSError:
        return False
    return True


def _fits(value: object, usual: object) -> bool:
    """Tell whether a value read from a file has the type that readers rely on."""
    if usual is None or isinstance(usual, int | float):
        return value is None or isinstance(value, int | float)
    return isinstance(value, type(usual))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _write_text(path: Path, text: str) -> None:
    """Replace a text file; bytes of a command line that are no UTF-8 are kept as they are."""
    write_atomically(path, text.strip().encode(errors="surrogateescape") + b"\n", durable=True)


def _cannot_make(runs: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot make a run folder in {runs} ({error.strerror or error}); "
        "free some space or check who may write there"
    )


def _make_exclusive_folder(experiment_folder: Path) -> Path:
    """Make a run folder that nobody else can have made."""
    experiment_folder.mkdir(parents=True, exist_ok=True)
    while True:
        moment = datetime.now(UTC).strftime(ID_TIME)
        path = experiment_folder / (
            f"{moment}-" + "".join(secrets.choice(ID_CHARACTERS) for _ in range(6))
        )
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def list_runs(runs: Path) -> list[RunFolder]:
    """Return all whole runs, newest first."""
    return sorted(_all_runs(runs), key=lambda run: run.id, reverse=True)


def _all_runs(runs: Path) -> Iterator[RunFolder]:
    for path in runs.glob("[!.]*/[!.]*"):
        folder = RunFolder(path)
        if folder.exists():
            yield folder


def as_float_map(values: Any) -> dict[str, float]:
    """Return only the numbers of a JSON object, for readers of files that others wrote."""
    if not isinstance(values, dict):
        return {}
    items = cast("dict[str, Any]", values).items()
    return {key: float(value) for key, value in items if isinstance(value, int | float)}
