"""What can be done with runs: the table of it, and what of that suits the runs at hand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlmaster.run_folder import RunFolder
from rlmaster.run_status import FINAL_STATES, RESUMABLE_STATES, State
from tui.words.plain_text import one_line

ALIVE_STATES = frozenset(State) - FINAL_STATES


@dataclass(frozen=True)
class RunAtHand:
    """A run that something may be done with; every text but the path is safe to show."""

    path: Path
    short_id: str
    name: str
    state: State
    host: str = ""
    """Where it is made, if that is another computer."""
    silence: str = ""
    """Since when and why that computer does not answer; empty while it does."""
    report: Path | None = None
    """Its report, if there is one."""
    film: Path | None = None
    """Its newest film, if there is one."""

    @property
    def label(self) -> str:
        """Name and short id."""
        return f"{self.name} {self.short_id}"


def read_run(path: Path) -> RunAtHand | None:
    """Look at a run; None where it is gone or cannot be read."""
    run = RunFolder(path)
    try:
        state, placement = run.status().state, run.elsewhere()
        films = run.video_files()
        is_there = run.exists()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not is_there:
        return None
    return RunAtHand(
        path=path,
        short_id=one_line(run.short_id),
        name=one_line(run.name),
        state=state,
        host=one_line(placement.host) if placement else "",
        silence=_silence(path.parent.parent, placement.host) if placement else "",
        report=next((file for file in _reports(run) if file.is_file()), None),
        film=films[-1] if films else None,
    )


def _reports(run: RunFolder) -> list[Path]:
    return [run.report / "report.pdf", run.report / "report.tex"]


def _silence(runs: Path, host: str) -> str:
    from rlmaster.hosts.reachability import unreachable_since

    found = unreachable_since(runs, host)
    return one_line(str(found)) if found else ""


@dataclass(frozen=True)
class Action:
    """Something that can be done with runs."""

    name: str
    """Names the method of `Actor` that does it."""
    key: str
    """Its letter in the menu."""
    words: str
    """What it is called."""
    suits: Callable[[RunAtHand], bool] = lambda run: True
    """Whether it can be done with a run."""
    on_several: bool = False
    """Whether it can be done with several at once."""
    on_one: bool = True
    """Whether it can be done with one alone."""

    def fitting(self, runs: Sequence[RunAtHand]) -> list[RunAtHand]:
        """Return those of the runs at hand that it can be done with; none where it does not fit."""
        if not (self.on_several if len(runs) > 1 else self.on_one):
            return []
        return [run for run in runs if self.suits(run)]

    def title(self, fitting: Sequence[RunAtHand], of: int) -> str:
        """Say what it does with so many of the runs at hand."""
        if of == 1:
            return self.words
        return f"{self.words} ({len(fitting)} of {of})" if len(fitting) < of else self.words


def _in(states: Iterable[State]) -> Callable[[RunAtHand], bool]:
    known = frozenset(states)
    return lambda run: run.state in known


ACTIONS = (
    Action("stop", "s", "Stop, keeping its work", _in(ALIVE_STATES), on_several=True),
    Action(
        "abandon",
        "g",
        "Give up, since its computer does not answer",
        lambda run: run.state in ALIVE_STATES and bool(run.silence),
    ),
    Action("resume", "r", "Resume", _in(RESUMABLE_STATES), on_several=True),
    Action("move", "h", "Resume on another host …", _in(RESUMABLE_STATES)),
    Action("run_again", "n", "Run again with changes …"),
    Action("compare", "m", "Compare", on_several=True, on_one=False),
    Action("conclude", "c", "Conclusion: what was learned …"),
    Action("tag", "t", "Tags …", on_several=True),
    Action("open_report", "o", "Open the report", lambda run: run.report is not None),
    Action("make_report", "w", "Write the report anew, and open it"),
    Action("open_film", "v", "Open the film", lambda run: run.film is not None),
    Action("make_film", "f", "Film an episode, and open it", lambda run: not run.host),
    Action("tensorboard", "b", "TensorBoard", on_several=True),
    Action("copy_path", "p", "Copy the path", on_several=True),
    Action("copy_command", "y", "Copy the command that shows it"),
    Action("delete", "d", "Delete …", _in(FINAL_STATES), on_several=True),
)


def suiting(runs: Sequence[RunAtHand]) -> dict[Action, list[RunAtHand]]:
    """Return what can be done with the runs at hand, each with those it is done with."""
    found = {action: action.fitting(runs) for action in ACTIONS}
    return {action: fitting for action, fitting in found.items() if fitting}
