"""How long something may take altogether, whatever it is made of."""

import time
from collections.abc import Generator
from contextlib import contextmanager


class Deadline:
    """A moment until which something must be done; it stands still while a person is asked."""

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """What is left, never less than nothing."""
        return max(0.0, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left_s == 0.0

    def no_later_than(self, seconds: float | None) -> None:
        """Bring it forward, so that at most so many seconds are left."""
        if seconds is not None and seconds < self.left_s:
            self.seconds, self._end = seconds, time.monotonic() + seconds

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """Not count what happens inside."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - begin

    def __str__(self) -> str:
        return f"{self.seconds:.1f}".removesuffix(".0") + " s"
