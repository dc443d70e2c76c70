"""A new run as far as it is chosen, and what the command line offers to choose from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from rlmaster.grid import as_typed, split_values
from rlmaster.run_folder import RunFolder
from tui.drafts.form import entries, set_options
from tui.words.plain_text import one_line, printable, unwrapped

AUTO = "auto"
"""Let the command line take the host that it ranks first."""
SCRATCH = "scratch"
"""Begin anew, with nothing of the run that settings are taken from."""


@dataclass(frozen=True)
class ExperimentChoice:
    """One script in `experiments/`, or what an earlier run was made of.

    Every text but the file is safe to show.
    """

    file: str
    name: str
    title: str = ""
    description: str = ""
    error: str = ""
    """Why it cannot be run; empty if it can."""
    chosen_values: dict[str, str] = field(default_factory=dict[str, str])
    """Dotted path and value of the fields that differ from their defaults."""
    requires: dict[str, str] = field(default_factory=dict[str, str])
    """What it needs of a computer, each as one would type it."""


@dataclass(frozen=True)
class HostChoice:
    """One computer; every text but the name is safe to show."""

    name: str
    kind: str
    fits: bool
    reason: str
    is_pending: bool = False
    """Whether it has not answered yet."""


@dataclass
class Draft:
    """A run that is not launched yet; going back and forth between the steps changes none of it."""

    experiment: ExperimentChoice | None = None
    run: str = ""
    """Folder of an earlier run whose settings it begins with; empty where a script has them."""
    begins_from: str = SCRATCH
    """What it takes of that run: `scratch`, or a checkpoint."""
    changes: dict[str, str] = field(default_factory=dict[str, str])
    """What is changed of the settings, each as one would type it behind `--set`."""
    rationale: str = ""
    host: str = AUTO
    step: int = 0
    """Where one was, counted from 0."""
    launched: int = 0
    """How many runs of its grid an earlier try has launched already."""
    hosts: list[HostChoice] = field(default_factory=list[HostChoice])
    """In order of ranking, as last heard."""

    @classmethod
    def of_run(cls, folder: RunFolder) -> "Draft":
        """Begin with the settings of an earlier run."""
        experiment = ExperimentChoice(file="", name=one_line(folder.name))
        return cls(experiment=experiment, run=str(folder.path))

    @property
    def is_blank(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.step or self.changes or self.rationale.strip())

    @property
    def source(self) -> list[str]:
        """What names its experiment behind `rlmaster experiments`."""
        if self.run:
            return ["--run", self.run]
        return [self.experiment.file] if self.experiment else []

    @property
    def settings(self) -> dict[str, str]:
        """The fields that are not at their defaults, with what is changed here."""
        chosen = self.experiment.chosen_values if self.experiment else {}
        return {**chosen, **{name: one_line(text) for name, text in self.changes.items()}}

    @property
    def needs(self) -> dict[str, str]:
        """What the run needs of a computer; of a grid, what its first run does."""
        needed = dict(self.experiment.requires) if self.experiment else {}
        for name, text in self.changes.items():
            if name.startswith("requires."):
                needed[name.removeprefix("requires.")] = split_values(text)[0]
        return needed

    def take(self, experiment: ExperimentChoice) -> None:
        """Choose an experiment; changes that were made to another one do not fit it."""
        if self.experiment is not None and self.experiment.file != experiment.file:
            self.changes.clear()
            self.launched = 0
        self.experiment = experiment

    def launch_arguments(self, rationale_file: str) -> list[str]:
        """Return the command that launches it."""
        command = ["launch", *self.source]
        if self.run:
            command = ["branch", self.run, "--from", self.begins_from]
        command += [*set_options(self.changes), "--rationale-file", rationale_file]
        command += ["--host", self.host, "--yes", "--detach", "--json"]
        return command + (["--begin-at", str(self.launched + 1)] if self.launched else [])

    def host_line(self) -> str:
        """Say which host is taken, and why."""
        if self.host == AUTO:
            first = next((host for host in self.hosts if host.fits), None)
            return f"{AUTO}: now {first.name}, {first.reason}" if first else f"{AUTO}: the best one"
        reason = next((host.reason for host in self.hosts if host.name == self.host), "")
        return f"{one_line(self.host)}: {reason}" if reason else one_line(self.host)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data, without what is only heard."""
        return {name: value for name, value in asdict(self).items() if name != "hosts"}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Draft":
        """Read what `to_data` gave.

        Raises:
            TypeError: If it is something else.
            KeyError: If something is missing.
        """
        kept = {known.name: data[known.name] for known in fields(cls) if known.name != "hosts"}
        chosen = kept.pop("experiment")
        blank = cls()
        for name, value in kept.items():
            if not isinstance(value, type(getattr(blank, name))):
                raise TypeError(f"{name} is {value!r}")
        return cls(experiment=ExperimentChoice(**chosen) if chosen else None, **kept)


def parse_experiment(entry: Mapping[str, Any]) -> ExperimentChoice:
    """Read what `rlmaster experiments --json` says of one."""
    file = str(entry["file"])
    differing = cast("list[object]", entry.get("differs_from_default") or [])
    requires = _value(entry.get("experiment"), "requires")
    return ExperimentChoice(
        file=file,
        name=one_line(str(entry.get("name") or file)),
        title=one_line(str(entry.get("title") or "")),
        description=unwrapped(printable(str(entry.get("description") or ""))).strip(),
        error=printable(str(entry.get("error") or "")).strip(),
        chosen_values={
            one_line(str(path)): one_line(as_typed(_value(entry.get("experiment"), str(path))))
            for path in differing
        },
        requires={
            str(name): as_typed(value)
            for name, value in cast("dict[str, object]", requires or {}).items()
        },
    )


def _value(data: object, path: str) -> object:
    for key in path.split("."):
        data = cast("dict[str, object]", data).get(key) if isinstance(data, dict) else None
    return data


def parse_hosts(answer: Mapping[str, Any]) -> list[HostChoice]:
    """Read what `rlmaster hosts --json` answers, in order of ranking."""
    return [
        HostChoice(
            name=str(entry["name"]),
            kind=one_line(str(entry.get("kind") or "")),
            fits=bool(entry.get("fits")),
            reason="asking ..."
            if entry.get("pending")
            else one_line(str(entry.get("reason") or "")),
            is_pending=bool(entry.get("pending")),
        )
        for entry in entries(answer, "hosts")
    ]
