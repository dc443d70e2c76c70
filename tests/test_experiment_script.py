import os
import time

import pytest
from waiting import wait_until

from rlmaster import experiment_script
from rlmaster.errors import ScriptError, SpecificationError
from rlmaster.experiment import Atari, Embedder, Experiment
from rlmaster.experiment_script import describe_experiment, describe_script

GOOD = """\
from rlmaster import Atari, Experiment
experiment = Experiment(name="x", environment=Atari(game="Pong"), seed=5)
"""


@pytest.fixture
def script(tmp_path):
    """Write a script and return its path."""

    def write(text):
        path = tmp_path / "a script.py"
        path.write_text(text)
        return path

    return write


def error_of(path) -> str:
    with pytest.raises(ScriptError) as caught:
        describe_script(path)
    return str(caught.value)


def alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --------------------------------------------------------------------------- scripts that work


def test_a_script_is_described(script):
    path = script(f'"""Pong: does it learn?\n\nMore words.\n"""\n{GOOD}')

    found = describe_script(path)

    expected = Experiment(name="x", environment=Atari(game="Pong"), seed=5)
    assert found.file == str(path)
    assert found.title == "Pong: does it learn?"
    assert found.experiment == expected.to_data()
    assert found.digest == expected.digest()
    assert found.differs_from_default == ["seed"]


def test_without_a_docstring_the_title_is_the_name(script):
    assert describe_script(script(GOOD)).title == "x"


def test_overrides_are_applied(script):
    found = describe_script(script(GOOD), ["embedder.latent_dim=9", "seed=1"])

    assert found.experiment["embedder"]["latent_dim"] == 9
    assert found.differs_from_default == ["embedder.latent_dim"]


def test_bad_overrides_are_problems_of_their_fields(script):
    with pytest.raises(SpecificationError) as caught:
        describe_script(script(GOOD), ["sed=1", "training.updates=none"])

    assert [problem.field for problem in caught.value.problems] == ["sed", "training.updates"]


def test_what_a_script_prints_harms_nobody(script, capfd):
    path = script(f'import sys\nprint("{{}}" * 100_000)\nprint("x", file=sys.stderr)\n{GOOD}')

    assert describe_script(path).experiment["name"] == "x"
    assert capfd.readouterr() == ("", "")


def test_a_script_may_import_torch(script):
    path = script(f"import torch\n{GOOD}assert torch.ones(2).sum() == 2\n")

    assert describe_script(path).experiment["name"] == "x"


def test_a_script_reads_no_input(script):
    assert "EOFError" in error_of(script(f"input()\n{GOOD}"))


def test_a_script_may_define_the_embedder_it_uses_and_import_its_neighbours(script, tmp_path):
    (tmp_path / "neighbour.py").write_text("LATENT_DIM = 12\n")
    path = script(
        "from neighbour import LATENT_DIM\n"
        "from rlmaster import Atari, Embedder, Experiment\n"
        "class Mine(Embedder):\n"
        '    """A small one."""\n'
        '    builds = "neighbour:Network"\n'
        "experiment = Experiment(\n"
        '    name="x", environment=Atari(game="Pong"), embedder=Mine(latent_dim=LATENT_DIM)\n'
        ")\n"
    )

    found = describe_script(path, ["embedder.latent_dim=13"])

    assert found.experiment["embedder"] == {"type": "a script:Mine", "latent_dim": 13}


def test_the_only_experiment_counts_whatever_it_is_called(script):
    assert describe_script(script(GOOD.replace("experiment =", "mine ="))).experiment["name"] == "x"


def test_main_is_not_run(script):
    path = script(f'{GOOD}\nif __name__ == "__main__":\n    raise SystemExit(9)\n')

    assert describe_script(path).experiment["name"] == "x"


# ---------------------------------------------------------------------- scripts that do not work


def test_a_syntax_error_is_shown_with_its_line(script):
    assert error_of(script(f"{GOOD}experiment = Experiment(\n")) == (
        "a script.py, line 3: '(' was never closed in `experiment = Experiment(`"
    )


@pytest.mark.parametrize("content", [b"x = '\xff'\n", b"# coding: nonsense\n", b"x = 1\0\n"])
def test_a_file_that_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "bad.py"
    path.write_bytes(content)

    assert "bad.py" in error_of(path)


def test_a_missing_file_is_refused(tmp_path):
    assert "cannot be read" in error_of(tmp_path / "none.py")


def test_a_script_without_an_experiment_is_told_what_to_assign(script):
    assert "experiment = Experiment(...)" in error_of(script("x = 1\n"))


def test_of_several_experiments_one_must_be_called_experiment(script):
    two = (
        GOOD.replace("experiment =", "a =")
        + 'b = Experiment(name="y", environment=a.environment)\n'
    )

    assert "there are 2 experiments in it (a, b)" in error_of(script(two))
    assert describe_script(script(f"{two}experiment = b\n")).experiment["name"] == "y"


SEVERAL = """\
from rlmaster import Atari, Experiment
pong = Experiment(name="p", environment=Atari(game="Pong"))
breakout = Experiment(name="b", environment=Atari(game="Breakout"))
seeds = [1, 2]
"""


def test_one_of_several_experiments_can_be_chosen_by_name(script):
    found = describe_script(script(SEVERAL), ["seed=2"], "breakout")

    assert (found.experiment["name"], found.experiment["seed"]) == ("b", 2)
    assert describe_script(script(f"{SEVERAL}experiment = pong\n"), name="breakout").title == "b"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("brekout", "did you mean breakout?"),
        ("seeds", "there are pong, breakout"),
        ("experiment", "there are pong, breakout"),
    ],
)
def test_a_name_that_no_experiment_has_is_refused(script, name, hint):
    with pytest.raises(ScriptError) as caught:
        describe_script(script(SEVERAL), name=name)

    assert f"no experiment called {name!r} in it; {hint}" in str(caught.value)


@pytest.mark.parametrize("place", ["__main__", "function"])
def test_a_class_that_no_run_could_import_is_refused(place):
    class Mine(Embedder):
        builds = "mine:Network"

    if place == "__main__":
        Mine.__module__, Mine.__qualname__ = "__main__", "Mine"
    experiment = Experiment(name="x", environment=Atari(game="Pong"), embedder=Mine())

    with pytest.raises(SpecificationError, match="file beside the experiment script") as caught:
        describe_experiment(experiment)

    assert [problem.field for problem in caught.value.problems] == ["embedder"]


def test_an_exception_is_shown_with_the_scripts_own_line(script):
    assert error_of(script(f"{GOOD}\n1 / 0\n")) == (
        "a script.py: line 4: ZeroDivisionError: division by zero"
    )
    assert "line 2: JSONDecodeError" in error_of(script("import json\njson.loads('x')\n"))


def test_fields_that_do_not_hold_are_problems(script):
    with pytest.raises(SpecificationError, match="did you mean pong"):
        describe_script(script(GOOD.replace("Pong", "Pnog")))


def test_a_script_that_ends_itself_is_named(script):
    assert "exit code 3" in error_of(script(f"{GOOD}raise SystemExit(3)\n"))
    assert error_of(script("import os\nprint('bye', flush=True)\nos._exit(0)\n")) == (
        "a script.py ended by itself while it was read; its last words: bye"
    )


def test_a_script_that_kills_itself_is_named(script):
    assert "ended by itself" in error_of(script("import os\nos.kill(os.getpid(), 9)\n"))


def test_a_script_that_hangs_is_ended_with_its_children(script, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment_script, "DEADLINE_S", 4.0)
    path = script(
        "import pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "child.wait()\n"
    )

    message = error_of(path)

    assert "still busy after 4 s" in message
    assert "__main__" in message
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not alive(child))


def test_a_program_that_a_script_leaves_behind_neither_delays_nor_survives(script, tmp_path):
    path = script(
        f"import pathlib, subprocess\n{GOOD}"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
    )
    began = time.monotonic()

    assert describe_script(path).experiment["name"] == "x"

    assert time.monotonic() - began < 30
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not alive(child))


def test_nothing_is_left_in_the_temporary_folder(script, own_locks):
    describe_script(script(GOOD))

    assert os.listdir(own_locks) == []  # noqa: PTH208


def test_an_experiment_that_is_here_already_is_described_alike(script):
    found = describe_script(script(GOOD))

    assert describe_experiment(Experiment.from_data(found.experiment), file=found.file) == found
