"""The console's memory: which byte means what."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from rlmaster.errors import UsageError
from rlmaster.experiment import atari_games


def ram_variables(game: str) -> Mapping[str, int]:
    """Return the byte, 0 to 127, in which each variable of a game lies, by its name.

    Args:
        game: Name as ale-py spells it, such as `ms_pacman`.

    Raises:
        UsageError: If nobody has annotated the game.
    """
    tables = _tables()
    if game not in tables:
        raise UsageError(
            f"it is not known what the bytes of {game}'s memory mean; choose one of the games for "
            f"which it is: {', '.join(tables)}"
        )
    return tables[game]


def games_with_ram() -> tuple[str, ...]:
    """Return the games whose memory is annotated, as ale-py spells them."""
    return tuple(_tables())


@cache
def _tables() -> Mapping[str, Mapping[str, int]]:
    text = resources.files("rlmaster").joinpath("data/atari_ram.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    spelt = {name.replace("_", ""): name for name in atari_games()}
    tables: dict[str, dict[str, int]] = {}
    for game, variable, byte, _category in rows:
        tables.setdefault(spelt[game], {})[variable] = int(byte)
    return MappingProxyType({game: MappingProxyType(table) for game, table in tables.items()})
