"""What screens and their threads tell each other and the app: messages go up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message

from tui.run_overview import RunOverview
from tui.run_reader import RunNews


@dataclass
class RunsRead(Message):
    """All runs have been looked at."""

    runs: list[RunOverview]


@dataclass
class RunRead(Message):
    """One run has been looked at."""

    news: RunNews


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


@dataclass
class CommandSaid(Message):
    """A command told one of its steps."""

    line: str


@dataclass
class RationalesRead(Message):
    """Why earlier runs of an experiment were made has been read."""

    rationales: list[str]
    """Newest first."""
