import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.commands import CommandLine

FAKE_COMMAND = Path(__file__).parent / "fake_command.py"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


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
        """Say what a command does: `messages`, `answer`, `exit_code`, `hang`."""
        self.answers[name] = behaviour
        self._plan.write_text(json.dumps(self.answers))

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
        "experiment": {"training": {"updates": 300}},
        "differs_from_default": ["training.updates"],
        "error": None,
    }
    broken = {"file": "/experiments/a_broken.py", "name": "a_broken", "error": "line 2: NameError"}
    host = {"name": "local", "kind": "local", "fits": True, "reason": "nobody is here"}
    busy = {"name": "box", "kind": "ssh", "fits": False, "reason": "no GPU is free"}
    command.plan("experiments", answer={"experiments": [broken, experiment]})
    command.plan("hosts", answer={"hosts": [host, busy]})
    return command
