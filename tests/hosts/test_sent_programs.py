"""The programs that are sent to hosts: what they need, and what both sides must know alike."""

import ast

import pytest

from rlmaster.fleet import known_files, run_files
from rlmaster.hosts.push_config import HEADING
from rlmaster.hosts.remote import SCRIPTS
from rlmaster.hosts.scripts import (
    check_script,
    files_script,
    place_script,
    probe_script,
    push_script,
    stream_script,
    workspace_script,
)
from rlmaster.placement import machine
from rlmaster.run_status import FINAL_STATES


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*_script.py")), ids=lambda path: path.stem)
def test_what_is_sent_needs_no_more_than_python_3_8_and_its_library(script):
    tree = ast.parse(script.read_text(), feature_version=(3, 8))
    imported = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert not [module for module in imported if module and module.startswith("rlmaster")]


@pytest.mark.parametrize("script", [place_script, probe_script, workspace_script])
def test_a_computer_has_one_name_whoever_asks_it(script):
    assert script.machine() == machine()


def test_both_sides_know_the_same_of_runs():
    assert set(place_script.ENDED) == set(stream_script.FINAL_STATES) == set(FINAL_STATES)
    assert files_script.POINTERS == run_files.POINTERS
    assert stream_script.TAIL_BYTES == known_files.TAIL_BYTES
    assert (stream_script.STATUS, stream_script.CLAIMS) == (run_files.STATUS, run_files.CLAIMS)


def test_both_sides_know_who_has_written_where_notices_go():
    assert check_script.PUSH_MARK == push_script.MARK
    assert HEADING.encode().startswith(push_script.MARK)
