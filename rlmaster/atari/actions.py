"""Which actions a game offers under a protocol, without playing it."""

from functools import cache

import ale_py
from ale_py import roms

from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.experiment import Atari


def num_actions(atari: Atari) -> int:
    """Return how many actions the game offers under its protocol."""
    return _num_actions(atari.game, PROTOCOLS[atari.protocol].full_action_space)


@cache
def _num_actions(game: str, full_action_space: bool) -> int:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.loadROM(str(roms.get_rom_path(game)))
    return len(ale.getLegalActionSet() if full_action_space else ale.getMinimalActionSet())
