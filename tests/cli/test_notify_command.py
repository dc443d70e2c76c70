import json
import tomllib
from pathlib import Path

import pytest

from rlmaster.cli.notify import EXAMPLE
from rlmaster.durable_files import utc_now
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State, Status
from rlmaster.user_config import PATH_VARIABLE, read_user_config


@pytest.fixture
def config_file(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    return path


def push_to(config_file: Path, *urls: str) -> None:
    config_file.write_text(f"[notify]\npush = {json.dumps(urls)}\n")
    config_file.chmod(0o600)


def test_a_test_notice_is_sent_everywhere_and_each_answer_said(command, config_file, receiver):
    push_to(config_file, receiver.ntfy, "json://localhost:1/t0ken", receiver.json)

    outcome = command("notify", "test")

    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        f"notice delivered to ntfy://127.0.0.1:{receiver.port}",
        "notice not delivered to json://localhost:1: it did not take it, cannot be reached or does "
        "not answer; check host and port",
        f"notice delivered to json://127.0.0.1:{receiver.port}",
    ]
    assert outcome.err == "asking 3 services\n"
    assert receiver.titles() == ["RLmaster: a test"] * 2


def test_where_everything_arrives_all_is_well(command, config_file, receiver):
    push_to(config_file, receiver.json)
    config_file.chmod(0o644)

    outcome = command("notify", "test")

    assert outcome.code == 0
    assert outcome.err == (
        "asking 1 service\n"
        f"others may read {config_file}, which holds push addresses; run `chmod 600` on it\n"
    )


def test_programs_get_one_object(command, config_file, receiver):
    push_to(config_file, receiver.json)
    receiver.status = 401

    outcome = command("notify", "test", "--json")

    assert outcome.code == 1
    answer = json.loads(outcome.out)
    (row,) = answer.pop("channels")
    assert answer == {"config_file": str(config_file), "warning": ""}
    assert row["channel"] == f"json://127.0.0.1:{receiver.port}"
    assert row["delivered"] is False
    assert row["note"].startswith("it answered 401 Unauthorized; check")


def test_where_nothing_is_configured_it_says_how(command, config_file):
    outcome = command("notify", "test")

    assert outcome.code == 0
    assert f"put lines like these into {config_file}:" in outcome.err
    assert outcome.out == EXAMPLE + "\n"
    assert len(EXAMPLE.splitlines()) == 4


def test_the_lines_that_it_shows_are_valid(config_file):
    config_file.write_text(EXAMPLE)

    shown, config = tomllib.loads(EXAMPLE)["notify"], read_user_config()
    assert (*config.push,) == (*shown["push"],)
    assert config.kinds == set(shown["kinds"])
    assert config.desktop


def test_a_desktop_that_is_gone_is_a_failure(command, config_file, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")

    outcome = command("notify", "test")

    assert outcome.code == 1
    assert outcome.out.startswith(
        "notice not delivered to the desktop: the desktop session cannot be reached"
    )
    assert "put lines like these" in outcome.err


def test_a_config_that_is_not_valid_is_a_mistake_of_the_person(command, config_file):
    config_file.write_text("[notify]\npusch = []\n")

    outcome = command("notify", "test")

    assert outcome.code == 2
    assert outcome.err == (
        f"{config_file}, line 2: pusch is no key that is known in [notify]; did you mean push?\n"
    )


def test_who_follows_a_run_to_its_end_is_told_of_it_once(rlmaster, project, config_file, receiver):
    push_to(config_file, receiver.json)
    run = RunFolder.create(
        project / "runs",
        config={"name": "pong"},
        rationale="Because.",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    run.write_status(Status(State.FAILED, since=utc_now(), reason="the power went out"))
    where = {PATH_VARIABLE: str(config_file)}

    first = rlmaster("follow", run.short_id, environment=where)
    second = rlmaster("follow", run.short_id, environment=where)

    said = f"notice delivered to json://127.0.0.1:{receiver.port}"
    assert (first.returncode, said in first.stderr) == (1, True)
    assert (second.returncode, said in second.stderr) == (1, False)
    (told,) = receiver.received
    assert told["title"] == f"pong {run.short_id}: failed"
    assert told["message"].startswith("the power went out\n")
