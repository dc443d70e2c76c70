"""Every error that RLmaster raises on purpose: what happened, and what to do next.

    RlmasterError                 exit code 1
    ├── UsageError                2   what the person asked for cannot be done as asked
    │   ├── SpecificationError        an experiment's fields: one problem or several
    │   ├── ScriptError               an experiment script cannot be read
    │   ├── ProjectError              no project here, or nothing of that name in it
    │   └── InventoryError            hosts.toml, or a host that it does not know
    ├── HostError                 3   a computer cannot be reached or lacks what a run needs
    │   ├── HostKeyError              it may not be the computer that it was
    │   ├── AuthenticationError       it does not let this account in; trying again changes nothing
    │   ├── SilenceError              it did not answer in time
    │   └── RemoteError               what was asked of it was refused there, with this sentence
    ├── RunFolderError            1   a run folder is missing, damaged or in the wrong state
    ├── LaunchError               1   a run was made but could not be started
    ├── ReportError               1   a report cannot be made from what is there
    └── TrainingError             1   an experiment cannot be trained as specified

The command line prints the sentence and exits with the code; nobody sees a traceback for these.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


class RlmasterError(Exception):
    """The root of the tree; its text is meant for the person at the terminal."""

    exit_code: ClassVar[int] = 1


class UsageError(RlmasterError):
    """What the person asked for cannot be done as asked."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one field of a specification."""

    field: str
    """Dotted path of the field, such as `environment.game`."""
    message: str
    """What the value is, and what would be right."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class SpecificationError(UsageError):
    """An experiment's fields do not hold; `problems` has one entry for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems and join them, one a line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ScriptError(UsageError):
    """An experiment script cannot be read."""


class ProjectError(UsageError):
    """There is no RLmaster project here, or nothing of the wanted name in it."""


class InventoryError(UsageError):
    """`hosts.toml` is not valid, or does not know the wanted host."""


class HostError(RlmasterError):
    """A computer cannot be reached, or lacks what a run needs."""

    exit_code = 3


class HostKeyError(HostError):
    """A computer's host key is unknown, or not the one that is known."""


class AuthenticationError(HostError):
    """A computer does not let this account in; a person has to change something first."""


class SilenceError(HostError):
    """A computer did not answer in time."""


class RemoteError(HostError):
    """The command `rlmaster` refused on another computer what it was asked."""

    def __init__(self, sentence: str, remote_exit_code: int) -> None:
        """Keep how it ended there, which says of what kind the error is."""
        self.remote_exit_code = remote_exit_code
        super().__init__(sentence)


class RunFolderError(RlmasterError):
    """A run folder is missing, damaged, or in a state that does not allow what was asked."""


class LaunchError(RlmasterError):
    """A run folder was made, but its worker could not be started."""


class ReportError(RlmasterError):
    """A report cannot be made from what the run folder holds."""


class TrainingError(RlmasterError):
    """The experiment cannot be trained as it is specified."""


def near_match(word: str, known: Iterable[str]) -> str:
    """Return a clause that names what `word` may have been meant to be, or nothing."""
    choices = list(known)
    # What differs by a letter needs no second guess.
    matches = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.9)
    matches = matches or difflib.get_close_matches(word.lower(), choices, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
