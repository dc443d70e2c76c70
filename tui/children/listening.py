"""What the app hears as long as it is open; each function is all the work of one thread."""

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from tui.children.commands import JsonObject
from tui.children.feeds import feed
from tui.messages import HostsRead
from tui.reading.host_view import parse_hosts
from tui.threads import cancelled_event

if TYPE_CHECKING:
    from tui.app import RlmasterApp

HOSTS_EVERY_S = 10
"""Between two questions how busy a computer is."""
LOOK_OUT_S = 2.0
"""Between two looks at what runs do that one does not look at."""


def follow_other_computers(app: "RlmasterApp") -> None:
    """Have brought here what other computers make, and tell which of them come and go."""
    from tui.notices import HostLookout

    lookout = HostLookout(app.project.runs)

    def take(told: JsonObject) -> None:
        if notice := lookout.hear(told):
            app.tell([notice])
        app.call_from_thread(app.take_news)

    feed(app.command, ["watch", "--json"], cancelled_event(), take)


def ask_hosts(app: "RlmasterApp") -> None:
    """Hear again and again how busy the computers are."""

    def take(told: JsonObject) -> None:
        app.post_message(HostsRead(parse_hosts(told)))

    feed(app.command, ["hosts", "--live", str(HOSTS_EVERY_S), "--json"], cancelled_event(), take)


def look_out(app: "RlmasterApp") -> None:
    """Tell what happens in runs, whichever screen one looks at."""
    from tui.notices import RunLookout

    lookout, cancelled = RunLookout(app.project.runs), cancelled_event()
    while not cancelled.wait(LOOK_OUT_S):
        with suppress(OSError, ValueError, sqlite3.Error):  # what cannot be read is read later
            app.tell(lookout.look())
