"""What screens and their threads tell each other and the app: messages go up."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.message import Message

from rlmaster.run_index.row import RunRow
from tui.reading.host_view import HostsView
from tui.reading.previews import Preview
from tui.reading.run_pages import RunPage
from tui.reading.run_reader import RunNews


@dataclass
class RunsRead(Message):
    """Those runs that one sees have been looked at."""

    page: RunPage


@dataclass
class RunsMarked(Message):
    """Runs that are to be marked have been looked up."""

    paths: list[str]
    """Relative to the folder of all runs."""


@dataclass
class RunRead(Message):
    """One run has been looked at."""

    news: RunNews


@dataclass
class PreviewRead(Message):
    """A picture that was asked for has been looked at."""

    path: Path
    preview: Preview | None
    problem: str = ""
    """Why there is none, in one sentence."""


@dataclass
class BaselineRead(Message):
    """What a run's configuration is compared with has been read."""

    kind: str
    label: str
    """What it is, safe to show."""
    values: dict[str, Any] | None
    """By dotted names; None where there is no such thing."""


@dataclass
class FilesMeasured(Message):
    """What lies in a run's folder has been measured."""

    sizes: dict[str, int]
    """Bytes of each file and folder in it, the largest first; folders end in a slash."""


@dataclass
class RunsFound(Message):
    """Runs that fit what was typed have been looked up."""

    typed: str
    rows: list[RunRow]
    problem: str = ""
    """Why there are none, in one sentence."""


@dataclass
class HostsRead(Message):
    """Computers have said how busy they are."""

    hosts: HostsView


class AskHosts(Message):
    """Somebody wants to know now how busy the computers are."""


@dataclass
class OpenRun(Message):
    """The person wants to see a run."""

    path: Path


@dataclass
class OpenNewRun(Message):
    """The person wants to start a run."""


@dataclass
class RunAgain(Message):
    """The person wants to start a run like another one, with changes."""

    path: Path


@dataclass
class CompareRuns(Message):
    """The person wants to see runs side by side."""

    paths: list[Path]


@dataclass
class OpenHosts(Message):
    """The person wants to see the computers."""


@dataclass
class ChooseAction(Message):
    """The person wants to do something with runs."""

    paths: list[Path]


@dataclass
class Launched(Message):
    """Runs were launched."""

    paths: list[Path]


@dataclass
class CommandAnswered(Message):
    """A command came to its end and answered."""

    answer: dict[str, Any]


@dataclass
class CommandFailed(Message):
    """A command came to its end without an answer."""

    reason: str
    """Why, in its own sentences, safe to show."""
    answer: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it had done by then, where it says so."""


@dataclass
class CommandSaid(Message):
    """A command told one of its steps."""

    line: str


@dataclass
class RationalesRead(Message):
    """Why earlier runs of an experiment were made has been read."""

    rationales: list[str]
    """Newest first."""


@dataclass
class LastSettingsRead(Message):
    """What the newest run of an experiment was made of has been read."""

    settings: dict[str, Any]
    """By dotted names; empty where there is no such run."""
