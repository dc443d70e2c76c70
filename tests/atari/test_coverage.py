import json
from dataclasses import asdict
from math import log

import numpy as np
import pytest

from rlmaster.atari.coverage import coverage, ram_entropies
from rlmaster.atari.ram import ram_variables


def test_frames_and_cells_are_counted_once():
    frames = np.zeros((3, 2, 84, 84), np.uint8)
    frames[1, 0, 0, 0] = 1  # another frame, the same cell
    frames[2, 1] = 200  # another cell
    covered = coverage("pong", frames)
    assert (covered.frames, covered.distinct_frames, covered.cells) == (6, 3, 2)
    assert covered.ram_entropy_nats == {}


def test_entropies_are_those_of_the_variables():
    ram = np.zeros((4, 2, 128), np.uint8)
    ram[..., ram_variables("pong")["ball_x"]] = [[0, 1], [2, 3], [4, 5], [6, 255]]
    ram[..., ram_variables("pong")["ball_y"]] = [[9, 9], [9, 9], [9, 9], [7, 7]]
    entropies = ram_entropies("pong", ram)
    assert set(entropies) == set(ram_variables("pong"))
    assert entropies["ball_x"] == pytest.approx(log(8))
    assert entropies["ball_y"] == pytest.approx(-(0.75 * log(0.75) + 0.25 * log(0.25)))
    assert entropies["player_y"] == 0


def test_it_is_json_data_also_where_the_memory_means_nothing_known():
    frames, ram = np.zeros((1, 2, 84, 84), np.uint8), np.zeros((1, 2, 128), np.uint8)
    data = json.loads(json.dumps(asdict(coverage("air_raid", frames, ram))))
    assert data == {"frames": 2, "distinct_frames": 1, "cells": 1, "ram_entropy_nats": {}}
    assert asdict(coverage("pong", frames, ram))["ram_entropy_nats"]["ball_x"] == 0
