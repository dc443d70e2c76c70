"""A screen that looks at files again and again, but only while somebody looks at it."""

import threading
from collections.abc import Callable

from textual import events, on, work
from textual.message import Message
from textual.screen import Screen

from tui.threads import cancel_workers, cancelled_event

POLL_INTERVAL_S = 0.5


class PollingScreen(Screen[None]):
    """Calls `look` in a thread, at once and at intervals, and posts what it returns to itself."""

    def __init__(self, look: Callable[[], Message | None]) -> None:
        """Remember how to look; it is called in a thread, never twice at a time."""
        super().__init__()
        self._look = look
        self._looking = threading.Lock()

    @on(events.ScreenResume)
    def start_polling(self) -> None:
        """Look at once, and go on."""
        self._poll()

    @on(events.ScreenSuspend)
    def stop_polling(self) -> None:
        """Leave the files alone."""
        cancel_workers(self)

    @work(thread=True, exclusive=True)
    def _poll(self) -> None:
        cancelled = cancelled_event()
        while not cancelled.is_set():
            with self._looking:
                message = self._look()
            if message is not None:
                self.post_message(message)
            cancelled.wait(POLL_INTERVAL_S)
