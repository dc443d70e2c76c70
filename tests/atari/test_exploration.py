import shutil
from dataclasses import replace

import numpy as np
import pytest

from rlmaster.atari.excursions import Play, unpacked
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.protocols import PROTOCOLS

STICKY = PROTOCOLS["machado2018"]
SHORT_EPISODES = replace(PROTOCOLS["classic"], max_episode_frames=200)


def explorer(game="montezuma_revenge", protocol=STICKY, **changed):
    play = Play(game, protocol, 16, cell_rows=8, cell_columns=11, cell_levels=8)
    arguments = {"num_streams": 3, "max_cells": 1000, "seed": 3}
    return Exploration(play, **arguments | changed)


def played(exploration, rounds):
    """Return everything that some rounds give, by name, `(T, N, ...)` each."""
    rows = [row for _ in range(rounds) for row in exploration.play_round()]
    steps, actions, ram = zip(*rows, strict=True)
    arrays = {name: np.stack([vars(step)[name] for step in steps]) for name in vars(steps[0])}
    return arrays | {"actions": np.stack(actions), "ram": np.stack(ram)}


def assert_same(first, second):
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


@pytest.mark.parametrize(
    ("game", "protocol"),
    [("montezuma_revenge", STICKY), ("breakout", SHORT_EPISODES)],
)
def test_frames_depend_on_the_seed_alone_whatever_the_number_of_processes(game, protocol):
    with (
        explorer(game, protocol) as alone,
        explorer(game, protocol, num_processes=2) as two,
    ):
        rows = played(alone, 10)
        assert_same(rows, played(two, 10))
        assert list(alone.states.items()) == list(two.states.items())


def test_another_seed_gives_other_frames():
    with explorer(seed=3) as first, explorer(seed=4) as second:
        rows = [played(exploration, 1)["observation"] for exploration in (first, second)]
    assert not np.array_equal(*rows)


@pytest.mark.parametrize("protocol", [STICKY, SHORT_EPISODES])
def test_each_excursion_is_an_episode_or_several_where_the_game_ends_on_the_way(protocol):
    with explorer("breakout", protocol) as exploration:
        rows = played(exploration, 12)
    ended = rows["terminated"] | rows["truncated"]
    assert not (rows["terminated"] & rows["truncated"]).any()
    assert ended[16::17].all()
    assert rows["episode_start"][0::17].all()
    assert np.array_equal(rows["episode_start"][1:], ended[:-1])
    assert (rows["reward"][rows["episode_start"]] == 0).all()
    on_the_way = np.delete(ended, np.s_[16::17], axis=0)
    assert on_the_way.any() == (protocol is SHORT_EPISODES)
    lives_less = rows["lives"][1:] < rows["lives"][:-1]
    assert np.array_equal(rows["life_lost"][1:], lives_less & ~rows["episode_start"][1:])
    assert rows["life_lost"].any()
    assert set(np.unique(rows["actions"])) == {0, 1, 2, 3}


def test_an_excursion_starts_with_the_frame_of_a_state_of_the_archive():
    with explorer() as exploration:
        played(exploration, 3)
        shown = {unpacked(state).grey.tobytes() for state in exploration.states.values()}
        cells = set(exploration.states)
        starts = next(exploration.play_round())[0].observation[:, 0]
    assert len(shown) > 3
    assert {exploration._play.cell(frame) for frame in starts} <= cells


def test_states_are_drawn_uniformly_over_the_cells(monkeypatch):
    with explorer(num_streams=300, max_cells=5) as exploration:
        exploration.states = {bytes([number]): bytes([number]) for number in range(5)}
        tasks = []
        monkeypatch.setattr(exploration._explorers[0], "ask", lambda _, asked: tasks.extend(asked))
        monkeypatch.setattr(exploration._explorers[0], "answer", list)
        with pytest.raises(ValueError, match="at least one array"):
            next(exploration.play_round())
    counts = np.bincount([task.start[0] for task in tasks], minlength=5)
    assert counts == pytest.approx(60, rel=0.4)
    assert len({task.seed for task in tasks}) == 300


def test_cells_stay_as_few_as_they_may_be_and_their_states_get_on():
    with explorer("ms_pacman", max_cells=2) as exploration:
        frames_played = []
        for _ in range(6):
            played(exploration, 1)
            assert len(exploration.states) <= 2
            state = unpacked(next(iter(exploration.states.values())))
            frames_played.append(state.frames_played)
    # The game begins only after some four seconds in which all frames share a cell.
    assert frames_played == sorted(frames_played)
    assert frames_played[-1] > frames_played[0]


def test_an_exploration_that_was_cut_goes_on_as_if_it_had_not_been(tmp_path):
    with explorer() as whole, explorer() as first, explorer(num_processes=2) as second:
        rows = played(whole, 7)
        for rounds in (2, 3, 1):  # the last save is one too far: its rows were lost
            played(first, rounds)
            first.save(tmp_path)
        assert second.restore(tmp_path, 5)
        assert sorted(file.name for file in tmp_path.iterdir()) == [
            "archive-000000002.npz",
            "archive-000000005.npz",
        ]
        rest = played(second, 1)
        second.save(tmp_path)
        assert_same({name: values[5 * 17 : 6 * 17] for name, values in rows.items()}, rest)
        with explorer() as third:
            assert third.restore(tmp_path, 6)
            rest = played(third, 1)
            assert list(third.states.items()) == list(whole.states.items())
    assert_same({name: values[6 * 17 :] for name, values in rows.items()}, rest)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_archive_that_is_not_whole_changes_nothing(tmp_path, damage):
    with explorer() as exploration, explorer() as again:
        for _ in range(2):
            played(exploration, 1)
            exploration.save(tmp_path)
        file = tmp_path / "archive-000000001.npz"
        content = file.read_bytes()
        file.unlink()
        if damage == "cut":
            file.write_bytes(content[: len(content) // 2])
        states = dict(again.states)
        assert not again.restore(tmp_path, 2)
        assert not again.restore(tmp_path, 7)
        assert (again.rounds, again.states) == (0, states)


def test_the_files_stay_few_and_any_of_the_last_two_saves_can_be_gone_on_from(tmp_path):
    with explorer("breakout") as exploration, explorer("breakout") as again:
        for rounds in range(1, 16):
            played(exploration, 1)
            exploration.save(tmp_path)
            if rounds > 1:
                assert again.restore(copied(tmp_path), rounds - 1)
            assert again.restore(copied(tmp_path), rounds)
            assert list(again.states.items()) == list(exploration.states.items())
        size = sum(file.stat().st_size for file in tmp_path.glob("*.npz"))
        states = sum(len(state) for state in exploration.states.values())
        assert len(list(tmp_path.glob("*.npz"))) < 12
        assert size < 8 * states
        exploration.save(tmp_path)  # once more, without anything new
        assert again.restore(tmp_path, 15)


def copied(folder):
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in folder.glob("*.npz"):
        shutil.copy(file, copy)
    return copy
