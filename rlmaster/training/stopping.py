"""How a request to end reaches training, which first keeps its work."""

from collections.abc import Iterator
from contextlib import contextmanager


class StopRequested(BaseException):
    """Somebody asked the run to keep its work and end.

    Like KeyboardInterrupt no Exception, so that no library which catches those swallows it.
    """


class Stop:
    """Whether somebody asked the run to end, for the loop to look at between two pieces of work."""

    def __init__(self) -> None:
        """Start without a request."""
        self.requested = False
        self._at_once = False

    def request(self) -> None:
        """Ask; a signal handler may, since it runs in the loop's own thread.

        Raises:
            StopRequested: Where there is nothing to keep first.
        """
        self.requested = True
        if self._at_once:
            raise StopRequested

    def check(self) -> None:
        """Obey, where there is nothing to keep.

        Raises:
            StopRequested: If somebody has asked.
        """
        if self.requested:
            raise StopRequested

    @contextmanager
    def at_once(self, *, when: bool = True) -> Iterator[None]:
        """Let a request cut short what may take long and leaves nothing to keep, as compiling does.

        Args:
            when: Whether that is so at all.
        """
        if when:
            self.check()
        self._at_once = when
        try:
            yield
        finally:
            self._at_once = False
