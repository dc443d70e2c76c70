import json
import sys
from pathlib import Path

import pytest

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.children.commands import CommandLine

FAKE_COMMAND = Path(__file__).parent / "fake_command.py"


def _field(name: str, kind: str, value: object, default: object, **more: object):
    known = {"name": name, "kind": kind, "value": value, "default": default, "has_default": True}
    words = {"help": f"What {name} is.", "allowed": f"a good {kind}"}
    return {**known, **words, "differs_from_default": value != default, **more}


FIELDS = [
    _field("environment.protocol", "choice", "classic", "classic", choices=["classic", "modern"]),
    _field("training.updates", "integer", 300, 50_000, bounds={"minimum": 1}),
    _field("training.rate", "number", 0.5, 0.5, bounds={"above": 0, "maximum": 1}),
    _field("requires.gpu", "switch", False, False),
    _field("seed", "integer", 1, 1),
]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what the app remembers that no other test uses."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def empty_project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    (root / "experiments").mkdir(parents=True)
    (root / "hosts.toml").touch()
    return Project(root)


@pytest.fixture
def make_run(empty_project: Project):
    def make(rationale: str = "To see.", name: str = "pong") -> RunFolder:
        return RunFolder.create(
            empty_project.runs,
            config={"name": name},
            rationale=rationale,
            provenance={},
            digests={},
            differs_from_default=[],
        )

    return make


class FakeCommand:
    """A command line that answers as it is told, and keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "plan.json"
        self._asked = folder / "asked.jsonl"
        self.answers: dict[str, object] = {}
        self.line = CommandLine(folder, (sys.executable, str(FAKE_COMMAND), str(folder)))

    def plan(self, name: str, **behaviour: object) -> None:
        """Say what a command does: `messages`, `answers`, `answer`, `exit_code`, `hang`,
        `waits_for` (a word, until which it stays, see `let`).

        The name may have arguments behind it; of several that fit, the longest counts.
        """
        self.answers[name] = behaviour
        self._plan.write_text(json.dumps(self.answers))

    def let(self, word: str) -> None:
        """Let a command go on that waits for this word."""
        (self._plan.parent / word).touch()

    def asked(self, name: str) -> list[dict[str, object]]:
        """Return each call of a command: its arguments, process id, and rationale if it had one."""
        lines = self._asked.read_text().splitlines() if self._asked.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call["arguments"][0] == name]


@pytest.fixture
def fake_command(tmp_path: Path) -> FakeCommand:
    folder = tmp_path / "command"
    folder.mkdir()
    command = FakeCommand(folder)
    experiment = {
        "file": "/experiments/pong.py",
        "name": "pong",
        "title": "Can it draw the ball?",
        "description": "Can it draw the ball?\n\nTwo lines\nof text.",
        "experiment": {"training": {"updates": 300}, "requires": {"gpu": False}},
        "differs_from_default": ["training.updates"],
        "error": None,
    }
    form = {**experiment, "fields": FIELDS, "problems": [], "number_of_runs": 1}
    broken = {"file": "/experiments/a_broken.py", "name": "a_broken", "error": "line 2: NameError"}
    host = {"name": "local", "kind": "local", "fits": True, "reason": "nobody is here"}
    busy = {"name": "box", "kind": "ssh", "fits": False, "reason": "no GPU is free"}
    command.plan("experiments", answer=form)
    command.plan("experiments --live", answers=[broken, experiment])
    command.plan("hosts", answer={"hosts": [host, busy]})
    return command
