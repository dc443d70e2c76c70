import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rlmaster.atari.strip import main, play
from rlmaster.experiment import Atari


def test_a_child_writes_a_strip_and_prints_its_path(tmp_path):
    file = tmp_path / "strip ü.png"
    command = [sys.executable, "-m", "rlmaster.atari.strip", "Pong", "--out", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{file}\n"
    with Image.open(file) as strip:
        assert strip.size == (6 * (4 * 84 + 8) + 8, 30 + 2 * 210 + 8 + 4 * 84 + 8)


@pytest.mark.parametrize("protocol", ["machado2018", "classic"])
def test_both_rows_show_the_same_moment(protocol):
    looks = play(Atari(game="breakout", protocol=protocol), seed=3, steps=300, count=7)
    assert [look.step for look in looks] == [0, 50, 100, 150, 200, 250, 300]
    bricks = slice(57, 93)
    for look in looks:
        black = (look.screen[bricks, 8:152].sum(axis=2) == 0).mean()
        dark = (look.frame[23:37, 5:79] < 20).mean()
        assert dark == pytest.approx(black, abs=0.03)
    assert not np.array_equal(looks[0].frame, looks[-1].frame)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Breakoot"], "did you mean breakout"),
        (["pong", "--protocol", "modern"], "protocol"),
        (["pong", "--count", "0"], "--count must be 1 to 50"),
        (["pong", "--steps", "2"], "--steps"),
        (["pong", "--out", "/nowhere/strip.png"], "cannot write /nowhere/strip.png"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, capsys):
    assert main(["--out", str(tmp_path / "strip.png"), *arguments]) == 2
    assert sentence in capsys.readouterr().err
