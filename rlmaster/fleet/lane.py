"""A lane: things that take their time are done one after the other beside what must go on."""

import queue
import threading
from collections.abc import Callable, Hashable

from rlmaster.errors import RlmasterError

Failed = Callable[[str], None]
"""Told in a sentence why something could not be done."""


class Lane:
    """A thread that begins with the first thing to do, and keeps no program from ending."""

    def __init__(self, failed: Failed) -> None:
        """Make an empty lane.

        Args:
            failed: Told why something could not be done, from the lane's own thread.
        """
        self._failed = failed
        self._waiting: queue.SimpleQueue[tuple[Hashable, Callable[[], object]]] = (
            queue.SimpleQueue()
        )
        self._names: set[Hashable] = set()
        """Of what waits or is being done."""
        self._thread: threading.Thread | None = None

    def do(self, name: Hashable, work: Callable[[], object]) -> None:
        """Do something in its turn, unless something of that name waits or is being done."""
        if name in self._names:
            return
        self._names.add(name)
        self._waiting.put((name, work))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def is_at(self, name: Hashable) -> bool:
        """Tell whether something of that name waits or is being done."""
        return name in self._names

    def _work(self) -> None:
        while True:
            name, work = self._waiting.get()
            try:
                work()
            except (RlmasterError, OSError) as error:
                self._failed(str(error))
            except Exception as error:  # what one run brings about must not end the others' lane
                self._failed(f"{type(error).__name__}: {error}")
            finally:
                self._names.discard(name)
