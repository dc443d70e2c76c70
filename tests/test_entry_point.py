"""The first moments of the command, in which a Ctrl-C finds it importing."""

import tomllib
from pathlib import Path

import pytest

INTERRUPTED_AT = """\
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["rlmaster", {command!r}]
from rlmaster.__main__ import main

main()
"""


@pytest.mark.parametrize("module", ["rlmaster.cli", "typer", "rlmaster.cli.storage"])
def test_an_interrupt_while_it_imports_is_one_word(rlmaster, module):
    done = rlmaster.python("-c", INTERRUPTED_AT.format(module=module, command="runs"))

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize("module", ["rlmaster.cli", "sqlite3"])
def test_an_interrupt_while_a_shell_asks_for_completions_is_not_heard(rlmaster, module):
    done = rlmaster.python(
        *("-c", INTERRUPTED_AT.format(module=module, command="")),
        environment={
            "_RLMASTER_COMPLETE": "complete_bash",
            "COMP_WORDS": "rlmaster show a",
            "COMP_CWORD": "2",
        },
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_command_that_is_installed_begins_there():
    pyproject = Path(__file__).parent.parent / "pyproject.toml"

    scripts = tomllib.loads(pyproject.read_text())["project"]["scripts"]

    assert scripts == {"rlmaster": "rlmaster.__main__:main"}
