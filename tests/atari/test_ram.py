import pytest

from rlmaster.atari.ram import games_with_ram, ram_variables
from rlmaster.errors import UsageError
from rlmaster.experiment import atari_games


def test_the_table_names_bytes_of_games_as_we_spell_them():
    assert ram_variables("pong")["ball_x"] == 49
    assert ram_variables("ms_pacman")["player_x"] == 10
    games = games_with_ram()
    assert len(games) == 24
    assert set(games) <= set(atari_games())
    for game in games:
        assert all(0 <= byte < 128 for byte in ram_variables(game).values())


def test_a_game_that_nobody_annotated_gets_a_sentence_that_names_those_that_are():
    with pytest.raises(UsageError, match=r"air_raid's memory mean; .*asteroids, battle_zone"):
        ram_variables("air_raid")
