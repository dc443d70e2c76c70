import json
import subprocess
import sys

import pytest

LEARNING_LIBRARIES = {"torch", "gymnasium", "ale_py"}
CONTROL_SIDE = [
    "rlmaster",
    "rlmaster.cli",
    "rlmaster.launcher",
    "rlmaster.fleet.shipping",
    "rlmaster.worker",
    "rlmaster.follower",
    "rlmaster.experiment_script",
    "rlmaster.loaded_run",
    "tui.app",
]


def modules_after(code: str) -> set[str]:
    """Return what a fresh Python has loaded after some code."""
    ask = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", CONTROL_SIDE)
def test_the_control_side_loads_no_learning_library(module):
    assert not modules_after(f"import {module}") & LEARNING_LIBRARIES


def test_the_names_of_an_experiment_script_load_no_learning_library():
    loaded = modules_after("from rlmaster import *")

    assert "rlmaster.experiment" in loaded
    assert not loaded & LEARNING_LIBRARIES


def test_importing_the_package_loads_none_of_its_modules():
    loaded = modules_after("import rlmaster")

    assert not {name for name in loaded if name.startswith("rlmaster.")}


def test_the_command_line_waits_for_no_heavy_library():
    assert not modules_after("import rlmaster.cli") & {
        "pydantic",
        "numpy",
        "matplotlib",
        "textual",
        "tensorboard",
        "dbus_fast",
        "apprise",
        "jinja2",
    }


def test_a_launch_on_this_computer_waits_for_no_ssh_library():
    assert "paramiko" not in modules_after("import rlmaster.launcher, rlmaster.cli.adopt")
