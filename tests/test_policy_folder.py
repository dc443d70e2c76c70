"""A policy in a folder is whole or as it was, whatever happens while it is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlmaster.errors import UsageError
from rlmaster.policy_folder import CONFIG, RESULT, WEIGHTS, PolicyFolder

FIRST = {WEIGHTS: b"first", CONFIG: b"{}", RESULT: b"{}"}
SECOND = {**FIRST, WEIGHTS: b"second"}
KILLED = """
import os, sys
from pathlib import Path
from rlmaster import policy_folder

rename, step = Path.rename, sys.argv[2]
def die(*_): os.kill(os.getpid(), 9)
def rename_and_die(source, target):
    rename(source, target)
    die()

if step == "written":
    policy_folder.sync_tree = die
else:
    Path.rename = rename_and_die
policy_folder.PolicyFolder(Path(sys.argv[1])).replace({"policy.safetensors": b"half"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> PolicyFolder:
    return PolicyFolder(tmp_path / "policies" / "pong [1]")


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_policy_takes_the_place_of_an_earlier_one_alone(folder: PolicyFolder) -> None:
    folder.replace(FIRST)
    assert content(folder.path) == FIRST
    folder.replace(SECOND)
    assert content(folder.path) == SECOND
    assert list(folder.path.parent.iterdir()) == [folder.path]


@pytest.mark.parametrize("step", ["written", "renamed"])
def test_a_kill_leaves_no_half_policy(step: str, folder: PolicyFolder) -> None:
    folder.replace(FIRST)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder.path), step], timeout=60, check=False
    )
    assert killed.returncode == -9
    visible = [path for path in folder.path.parent.iterdir() if not path.name.startswith(".")]
    assert visible == ([folder.path] if step == "written" else [])
    kept = folder.path if step == "written" else folder.path.with_name(".pong [1].old")
    assert content(kept) == FIRST
    folder.replace(SECOND)
    assert content(folder.path) == SECOND
    assert list(folder.path.parent.iterdir()) == [folder.path]


def test_what_cannot_be_written_leaves_the_earlier_one(folder: PolicyFolder) -> None:
    folder.replace(FIRST)
    with pytest.raises(FileNotFoundError):
        folder.replace({"no/such/folder": b""})
    assert content(folder.path) == FIRST
    assert list(folder.path.parent.iterdir()) == [folder.path]


@pytest.mark.parametrize("names", [["notes.md"], [CONFIG], [WEIGHTS, CONFIG, "notes.md"]])
def test_a_folder_with_something_else_is_not_replaced(
    names: list[str], folder: PolicyFolder
) -> None:
    folder.path.mkdir(parents=True)
    for name in names:
        (folder.path / name).write_text("mine")
    with pytest.raises(UsageError, match="so it is not replaced; name a new folder"):
        folder.replace(FIRST)
    assert sorted(content(folder.path)) == sorted(names)


def test_a_file_is_not_replaced_and_an_empty_folder_is_filled(folder: PolicyFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.replace(FIRST)
    assert content(folder.path) == FIRST
    with pytest.raises(UsageError, match="is not a policy and nothing else"):
        PolicyFolder(folder.weights_file).require_replaceable()
