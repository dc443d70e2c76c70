"""`rlmaster watch`: bring here what runs on other computers write, and show which hosts answer."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.terminal import INTERRUPTED, asking_person, say
from rlmaster.errors import RlmasterError

if TYPE_CHECKING:
    from rlmaster.fleet.happenings import Happening
    from rlmaster.fleet.watch import Watcher
    from rlmaster.project import Project
    from rlmaster.run_folder import RunFolder
    from rlmaster.ssh.connection import AskPassphrase

WAKE_S = 2.0
"""Between two looks whether anybody mirrors a run that is read here."""
FIRST_CONTACT_S = 12.0
"""How long a host has to be reached, or not, before a run of it is shown all the same."""
LEAVE_S = 5.0
LOOK_AFTER_S = 3.0
"""Between two looks whether the runs of this computer live."""


def watch_command(
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show nothing, and end when nothing is to come.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each change.")
    ] = False,
) -> None:
    """Follow the runs on all other computers. Ctrl-C leaves that to a process in the background.

    Runs of this computer whose worker is gone are marked as lost meanwhile.
    """
    from rlmaster.fleet.owed import wake_watcher
    from rlmaster.project import Project

    project = Project.containing(Path.cwd())
    _mark_what_is_owed(project.runs)
    if quiet:
        _watch_quietly(project)
        return
    try:
        _watch_in_sight(project, as_json=as_json)
    except KeyboardInterrupt:
        say("the runs go on, and so does following them, in the background")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        wake_watcher(project.runs)


def _mark_what_is_owed(runs: Path) -> None:
    """Give runs that live elsewhere the marker that they may have lost."""
    from rlmaster.cli.indexing import synced_index
    from rlmaster.fleet.owed import owe_if_elsewhere

    with synced_index(runs) as index:
        active = index.active()
    for run in active:
        with suppress(OSError):  # deleted at this moment
            owe_if_elsewhere(run)


def _watch_quietly(project: "Project") -> None:
    """Watch until nothing more can come, or somebody who can be asked takes over."""
    from rlmaster.fleet.owed import owed
    from rlmaster.fleet.watch import Watcher, is_wanted, sole_watch

    while True:
        with sole_watch(project.runs, quiet=True) as is_ours:
            if not is_ours:
                return
            watcher = Watcher(project)
            watcher.watch(until_settled=True, leave_when=lambda: is_wanted(project.runs))
        # Something may just have come that found the lock still held.
        if is_wanted(project.runs) or all(map(watcher.is_out_of_reach, owed(project.runs))):
            return


def _watch_in_sight(project: "Project", *, as_json: bool) -> None:
    """Watch until Ctrl-C, in place of another process that does as soon as that ends.

    A program that reads what is told and goes away without a word ends it too.
    """
    from rlmaster.cli.watch_screen import open_screen
    from rlmaster.fleet.watch import sole_watch

    with (
        _repeated(lambda: _look_after(project.runs), LOOK_AFTER_S),
        open_screen(project.runs, as_json=as_json) as screen,
    ):
        is_said = False
        while screen.is_read():
            with sole_watch(project.runs, quiet=False) as is_ours:
                if is_ours:
                    with _running(project, screen.tell, screen.ask):
                        screen.show()
            if not is_said:
                is_said = True
                screen.say("another `rlmaster watch` is at it; this one takes over when it ends")
            screen.show_for(WAKE_S)


def _look_after(runs: Path) -> None:
    """See to it that a run of this computer that nobody works on any more is not said to run."""
    from rlmaster.cli.runs import mark_what_is_lost
    from rlmaster.run_index import RunIndex

    # What could not be read, or told to a queue, is tried again a moment later.
    with suppress(RlmasterError, OSError, ValueError), RunIndex(runs) as index:
        index.sync()
        mark_what_is_lost(index)


@contextmanager
def watched_beside(run: "RunFolder", runs: Path, *, quiet: bool) -> Generator[None]:
    """See to it that a run elsewhere is mirrored while it is read here.

    Whoever shows it mirrors it too, unless another process that shows something does.

    Args:
        run: The run.
        runs: Where the project keeps its runs.
        quiet: Whether that is left to a process in the background.
    """
    from rlmaster.fleet.owed import owe_if_elsewhere, wake_watcher
    from rlmaster.fleet.watch import sole_watch
    from rlmaster.project import Project

    owe_if_elsewhere(run)
    try:
        if quiet:
            with _awake(runs):
                yield
            return
        with sole_watch(runs, quiet=False) as is_ours:
            if is_ours:
                first = _FirstContact(run)
                with _running(Project(runs.parent), first, asking_person()):
                    first.wait()
                    yield
                return
        with _awake(runs):
            yield
    finally:
        wake_watcher(runs)


class _FirstContact:
    """Hears whether the host of a run answers, and lets one wait until that is known.

    So nobody is asked for a passphrase while a bar moves on the screen.
    """

    def __init__(self, run: "RunFolder") -> None:
        placement = run.placement()
        self._host = placement.host if placement else ""
        self._is_known = threading.Event()

    def __call__(self, happening: "Happening") -> None:
        from rlmaster.fleet.happenings import HostSeen

        if isinstance(happening, HostSeen) and happening.host == self._host:
            self._is_known.set()

    def wait(self) -> None:
        """Wait for a bounded time."""
        say(f"connecting to {self._host}")
        self._is_known.wait(FIRST_CONTACT_S)


@contextmanager
def _running(
    project: "Project", tell: "Callable[[Happening], None]", ask: "AskPassphrase | None"
) -> "Generator[Watcher]":
    """Watch in a thread; the watch lock is ours."""
    from rlmaster.fleet.watch import Watcher

    watcher = Watcher(project, tell=tell, ask=ask)
    thread = threading.Thread(target=watcher.watch, daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.stop()
        thread.join(LEAVE_S)


@contextmanager
def _awake(runs: Path) -> Generator[None]:
    """See to it, every moment, that some process mirrors what is read here."""
    from rlmaster.errors import HostError
    from rlmaster.fleet.owed import wake_watcher

    def wake() -> None:
        with suppress(HostError):  # tried again a moment later
            wake_watcher(runs)

    with _repeated(wake, WAKE_S):
        yield


@contextmanager
def _repeated(action: Callable[[], None], pause_s: float) -> Generator[None]:
    """Do something in a thread, at once and again and again, until the context is left."""
    is_over = threading.Event()

    def go_on() -> None:
        while True:
            action()
            if is_over.wait(pause_s):
                return

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(LEAVE_S)
