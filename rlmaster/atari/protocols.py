"""Protocols: every option of the emulator and its preprocessing, named after who set it.

Nothing is left to a library's default, so results stay comparable when such a default changes.
Rewards are always raw, and a lost life never interrupts the emulator: both are interpreted when the
replay is sampled. Where a paper and the field's practice differ, practice wins, because published
scores were measured with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rlmaster.experiment import OBSERVATION_FRAMES


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that is fixed about how a game is played and seen."""

    frame_skip: int
    """Emulator frames for which one action is held: one agent step."""
    maxpool: bool
    """Whether the last two emulator frames of a step are merged, against sprites that flicker."""
    repeat_action_probability: float
    """Chance, at each emulator frame, that the previous action is repeated (sticky actions)."""
    max_noop_frames: int
    """An episode starts with up to so many frames without action, drawn uniformly."""
    fire_at_reset: bool
    """Whether FIRE is pressed once at an episode's start, in games that have it."""
    life_loss_is_terminal: bool
    """Whether learning treats a lost life as the end (no bootstrapping) while the game goes on."""
    full_action_space: bool
    """Whether all 18 actions are offered instead of those that do something in the game."""
    max_episode_frames: int
    """Emulator frames after which an episode is truncated, no-ops at its start not counted."""
    screen_size_pixels: int
    """Height and width of a frame, in grey levels, shrunk by averaging areas."""
    stacked_frames: int
    """Newest frames that make one observation."""


# Mnih et al. (2015): screen, stack and skip that every later protocol kept, no-op starts, and a
# lost life is terminal in training. FIRE at reset is from OpenAI Baselines' wrappers, which most
# code copied. 108,000 frames are 30 minutes at 60 Hz: van Hasselt et al. (2016), DQN Zoo.
_CLASSIC = Protocol(
    frame_skip=4,
    maxpool=True,
    repeat_action_probability=0.0,
    max_noop_frames=30,
    fire_at_reset=True,
    life_loss_is_terminal=True,
    full_action_space=False,
    max_episode_frames=108_000,
    screen_size_pixels=84,
    stacked_frames=OBSERVATION_FRAMES,
)

# Machado et al. (2018), as Dopamine (Castro et al. 2018) runs it: sticky actions are the only
# source of chance, and episodes end with the game. The paper itself proposes frame skip 5, all 18
# actions and 5 minutes; published curves since then use 4, the minimal set and 30 minutes.
_MACHADO_2018 = replace(
    _CLASSIC,
    repeat_action_probability=0.25,
    max_noop_frames=0,
    fire_at_reset=False,
    life_loss_is_terminal=False,
)

# Kaiser et al. (2020) set the budget of 100,000 agent steps; the options are those of van Hasselt
# et al. (2019) and Schwarzer et al. (2021), which do not press FIRE.
_ATARI_100K = replace(_CLASSIC, fire_at_reset=False)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {"machado2018": _MACHADO_2018, "classic": _CLASSIC, "atari_100k": _ATARI_100K}
)
"""Protocols by the names that an experiment uses."""
