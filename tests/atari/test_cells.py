import numpy as np

from rlmaster.atari.cells import cells_of


def test_frames_share_a_cell_where_they_look_alike_coarsely():
    frame = np.random.default_rng(0).integers(60, 90, size=(84, 84), dtype=np.uint8)
    brighter, slightly = frame.copy(), frame.copy()
    brighter[20:40, 20:40] = 250
    slightly[5, 5] += 1
    first, second, third = cells_of(np.stack([frame, brighter, slightly]))
    assert first == third
    assert first != second
    assert cells_of(frame[None]) == [first]


def test_a_worked_example():
    frame = np.zeros((84, 84), np.uint8)
    frame[:42, 42:] = 255
    frame[42:, :42] = 64
    assert cells_of(frame[None], 2, 2, 4) == [bytes([0, 3, 1, 0])]
    assert cells_of(frame[None], 1, 1, 256) == [bytes([80])]
