"""How many emulator frames an episode starts with, drawn as ale-py's vector environment draws."""

import numpy as np
from numpy.typing import NDArray

_WORDS = 624
"""Of the Mersenne Twister's state."""
_RANGE = 2**32
"""Numbers that it draws from."""


class NoOps:
    """Numbers of frames without action, 0 to `max_noop_frames` - 1, from a seed.

    What C++ calls `std::mt19937` and `std::uniform_int_distribution`, so that an emulator by itself
    starts each episode as the vector environment does.
    """

    def __init__(self, max_noop_frames: int, seed: int) -> None:
        """Start from a seed.

        Args:
            max_noop_frames: Numbers to draw from, `Protocol.max_noop_frames`; 0 always gives 0.
            seed: The emulator's seed, 0 to 2**31 - 1.
        """
        self._numbers = max(1, max_noop_frames)
        self._twister = np.random.MT19937()
        self._twister.state = {
            "bit_generator": "MT19937",
            "state": {"key": _first_words(seed), "pos": _WORDS},
        }

    def draw(self) -> int:
        """Return the frames without action of the next episode."""
        while True:  # Lemire (2019), as in GCC's C++ library: unbiased, hardly ever a second turn.
            product = int(self._twister.random_raw()) * self._numbers
            if product % _RANGE >= _RANGE % self._numbers:
                return product // _RANGE


def _first_words(seed: int) -> NDArray[np.uint32]:
    """Return the Mersenne Twister's state for a seed (Matsumoto and Nishimura 1998, 2002)."""
    words = [seed]
    for number in range(1, _WORDS):
        words.append((1_812_433_253 * (words[-1] ^ (words[-1] >> 30)) + number) % _RANGE)
    return np.array(words, np.uint32)
