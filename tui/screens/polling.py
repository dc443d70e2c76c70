"""A screen that looks at files again and again, but only while somebody looks at it."""

import threading
from collections.abc import Callable

from textual import events, on, work
from textual.message import Message
from textual.screen import Screen

from tui.threads import cancel_workers, cancelled_event

POLL_INTERVAL_S = 0.5
GLANCES = 5
"""In each interval, at whether anybody still looks or has news: quitting does not wait for it."""


class PollingScreen(Screen[None]):
    """Calls `look` in a thread, at once and at intervals, and posts what it returns to itself."""

    def __init__(self, look: Callable[[], Message | None]) -> None:
        """Remember how to look; it is called in a thread, never twice at a time."""
        super().__init__()
        self._look = look
        self._looking = threading.Lock()
        self._news = threading.Event()

    @on(events.ScreenResume)
    def start_polling(self) -> None:
        """Look at once, and go on."""
        self._poll()

    @on(events.ScreenSuspend)
    def stop_polling(self) -> None:
        """Leave the files alone."""
        cancel_workers(self)

    def look_now(self) -> None:
        """Look at once: something is known to have changed."""
        self._news.set()

    def finish_looking(self) -> None:
        """Let go of what was kept between two looks, in the thread that looked."""

    @work(thread=True, exclusive=True)
    def _poll(self) -> None:
        cancelled = cancelled_event()
        with self._looking:
            while not cancelled.is_set():
                self._news.clear()
                message = self._look()
                if message is not None and not cancelled.is_set():
                    self.post_message(message)
                for _ in range(GLANCES):
                    if cancelled.is_set() or self._news.wait(POLL_INTERVAL_S / GLANCES):
                        break
            self.finish_looking()
