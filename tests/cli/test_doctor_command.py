import json

import pytest

from rlmaster.run_lock import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def few_programs(tmp_path, own_locks, monkeypatch):
    """Nothing but what is built in, so that something is missing, and at once."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_what_is_missing_has_a_cost_and_a_remedy(command):
    outcome = command("doctor")

    lines = outcome.out.splitlines()
    assert outcome.code == 0
    assert lines[-1] == "Nothing essential is missing."
    tmux = next(n for n, line in enumerate(lines) if line.startswith("missing  tmux"))
    assert lines[tmux].endswith("there is no tmux")
    assert lines[tmux + 1].lstrip().startswith("costs: workers run all the same")
    assert lines[tmux + 2].lstrip() == "mend:  apt install tmux"
    assert any(line.startswith("ok       Python") for line in lines)
    assert "\x1b" not in outcome.out


def test_with_json_stdout_is_one_object(command):
    answer = json.loads(command("doctor", "--json").out)

    assert answer["fit_to_run"] is True
    tmux = next(finding for finding in answer["findings"] if finding["name"] == "tmux")
    assert set(tmux) == {"name", "found", "missing", "cost", "remedy", "essential"}
    assert tmux["missing"] is True


def test_without_something_essential_the_exit_code_is_1(command, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nowhere"))

    outcome = command("doctor")

    assert outcome.code == 1
    assert outcome.out.splitlines()[-1] == "No run can do without: locks."
    assert json.loads(command("doctor", "--json").out)["fit_to_run"] is False


def test_outside_a_project_the_computer_is_looked_at_all_the_same(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    outcome = command("doctor")

    assert outcome.code == 0
    assert "is in no RLmaster project" in outcome.out
