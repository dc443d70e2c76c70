"""The app in a real terminal: keys go in, what one sees comes out, and a run is trained."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
from project_command import Rlmaster
from waiting import wait_until

pytestmark = [pytest.mark.learns, pytest.mark.system]

SEEN_S = 60.0
"""A training and its report take a while where other tests compute as well."""
BRAILLE = re.compile("[\u2801-\u28ff]")


class Terminal:
    """A tmux session of its own in which a shell runs the app, and then says how that ended.

    With `remain-on-exit`, tmux would say so itself; but where it keeps a record of logins, by
    libutempter, it misses the end of one program in twenty (github.com/tmux/tmux/issues/311).
    """

    def __init__(self, rlmaster: Rlmaster) -> None:
        self._tmux = ["tmux", "-S", str(rlmaster.scratch / "screen")]
        self._environment = {**rlmaster.environment, "RLMASTER_PROJECT": str(rlmaster.project)}
        app = shlex.join([sys.executable, "-m", "rlmaster"])
        shell = ["sh", "-c", f'{app}; echo "ended with status $?"; read -r _']
        self._do("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", *shell)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._do("send-keys", key)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    def resize(self, columns: int, rows: int) -> None:
        self._do("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self) -> str:
        return self._do("capture-pane", "-p")

    def sees(self, *words: str | re.Pattern[str]) -> None:
        def is_seen() -> bool:
            return all(re.search(self._pattern(word), self.text()) for word in words)

        try:
            wait_until(is_seen, SEEN_S)
        except AssertionError:
            raise AssertionError(f"{words} never came; the screen:\n{self.text()}") from None

    def close(self) -> None:
        self._do("kill-server")

    def _pattern(self, word: str | re.Pattern[str]) -> re.Pattern[str]:
        return re.compile(re.escape(word)) if isinstance(word, str) else word

    def _do(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout


@pytest.fixture
def terminal(rlmaster: Rlmaster) -> Iterator[Terminal]:
    opened = Terminal(rlmaster)
    yield opened
    opened.close()


def test_a_beginner_comes_from_nothing_to_a_finished_run_and_sees_all_of_it(terminal, rlmaster):
    launch_the_first_run(terminal)
    look_at_each_pane(terminal)
    go_to_a_run_like_it_and_back(terminal)
    rlmaster.launch("--set", "seed=2")
    compare_both(terminal)
    look_at_the_computers(terminal)
    terminal.press("q")
    terminal.sees("ended with status 0")


def launch_the_first_run(terminal: Terminal) -> None:
    terminal.sees("There are no runs yet")
    terminal.press("n")
    terminal.sees("It shows the whole path within seconds.")
    terminal.press("Enter")
    terminal.sees("nothing changed", "latent_dim")
    terminal.press("C-n")
    terminal.sees("Why this run?")
    terminal.press("C-n")
    terminal.sees("Write why first")
    terminal.type("Does a beginner come to a run?")
    terminal.press("C-n")
    terminal.sees("auto", "Asked again every")
    terminal.press("Enter")
    terminal.sees("Does a beginner come to a run?", "Launch")
    terminal.press("Enter")
    terminal.sees(re.compile(r"tiny-pong +\w{6} +(queued|running|completed)"))
    terminal.sees(re.compile(r"tiny-pong +\w{6} +completed"), BRAILLE, "▀▀▀▀", "training finished")


def look_at_each_pane(terminal: Terminal) -> None:
    shown = {
        "1": "Does a beginner come to a run?",
        "2": "canonical/error",
        "3": "newest of",
        "4": "training tiny-pong",
        "5": "training finished",
        "6": "latent_dim",
        "7": "progress.json",
    }
    for columns, rows in ((80, 24), (140, 45)):
        terminal.resize(20, 5)
        terminal.resize(columns, rows)
        for key, words in shown.items():
            terminal.press(key)
            terminal.sees(words)


def go_to_a_run_like_it_and_back(terminal: Terminal) -> None:
    terminal.press("a")
    terminal.sees("Run again with changes")
    terminal.press("n")
    terminal.sees(re.compile("begin", re.IGNORECASE))
    terminal.press("Escape")
    terminal.sees(re.compile(r"tiny-pong +\w{6} +completed"))
    terminal.press("Escape")
    terminal.sees("RLmaster  1 run")


def compare_both(terminal: Terminal) -> None:
    terminal.sees("RLmaster  2 runs")
    terminal.press("*")
    terminal.sees("2 marked")
    terminal.press("c")
    terminal.sees("What differs", "seed 2")
    terminal.press("Escape")
    terminal.sees("RLmaster  2 runs")


def look_at_the_computers(terminal: Terminal) -> None:
    terminal.press("h")
    terminal.sees("local", "memory", "disk")
    for size in ((20, 5), (80, 24)):
        terminal.resize(*size)
    terminal.sees("local", "memory", "disk")
    terminal.press("Escape")
    terminal.sees("RLmaster  2 runs")
