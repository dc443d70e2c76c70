import pytest

from rlmaster.atari.scores import ReferenceScores, human_normalised_score, reference_scores
from rlmaster.experiment import atari_games


def test_the_table_has_57_games_as_we_spell_them_and_humans_beat_chance_in_each():
    known = {game: reference_scores(game) for game in atari_games()}
    measured = {game: scores for game, scores in known.items() if scores is not None}
    assert len(measured) == 57
    assert all(scores.human > scores.random for scores in measured.values())
    assert measured["pong"] == ReferenceScores(random=-20.7, human=14.6)
    assert measured["ms_pacman"] == ReferenceScores(random=307.3, human=6951.6)
    assert measured["zaxxon"] == ReferenceScores(random=32.5, human=9173.3)


@pytest.mark.parametrize(
    ("game", "score", "expected"),
    [
        ("pong", -20.7, 0.0),
        ("pong", 14.6, 1.0),
        ("pong", 21.0, 41.7 / 35.3),
        ("breakout", 1.7 - 28.8, -1.0),
        ("freeway", 14.8, 0.5),
    ],
)
def test_random_play_is_0_and_a_human_1(game, score, expected):
    assert human_normalised_score(game, score) == pytest.approx(expected)


def test_a_game_that_nobody_measured_has_no_such_score():
    assert reference_scores("tetris") is None
    assert human_normalised_score("tetris", 100.0) is None
