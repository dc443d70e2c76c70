"""A line or three over the runs: how busy the computers are, and what waits there."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Textual leaves open what a widget's own `app` is.

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from textual import events
from textual.content import Content
from textual.widgets import Static

from tui.messages import OpenHosts
from tui.reading.host_view import HostsView, HostView, KnowsHosts
from tui.words.host_text import QUIET, strip_cell

SEPARATOR = "  │  "
MOST_LINES = 3
ROOM_FOR_LINES = (100, 30)
"""In less room one line must do."""


class HostStrip(Static):
    """Shows hosts in as many lines as there is room for; a click opens the page of all hosts."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin with nothing; the app tells what it learns."""
        super().__init__(id=id, markup=False)
        self._hosts = HostsView()

    def on_mount(self) -> None:
        """Follow what the app learns of hosts."""
        self.watch(self.app, "hosts", self._take)

    def _take(self, hosts: HostsView) -> None:
        self._hosts = hosts
        self._draw()

    def on_resize(self, _event: events.Resize) -> None:
        """Fill the new width."""
        self._draw()

    def on_click(self) -> None:
        """Show all hosts."""
        self.post_message(OpenHosts())

    def _draw(self) -> None:
        columns, rows = ROOM_FOR_LINES
        has_room = self.app.size.width >= columns and self.app.size.height >= rows
        now = cast("KnowsHosts", self.app).clock()
        shown = strip(self._hosts, self.size.width - 2, MOST_LINES if has_room else 1, now)
        self.display = bool(shown)
        if shown != self.content:
            self.update(shown)


def strip(hosts: HostsView, width: int, most_lines: int, now: datetime) -> Content:
    """Lay out hosts in lines of a width; what has no place is counted at the end."""
    if hosts.problem:
        return Content.styled(f"✗ {hosts.problem}", "$text-error")
    if not hosts.hosts:
        return Content("") if hosts.is_known else Content.styled("asking the hosts …", QUIET)
    is_short = most_lines == 1
    for shown in range(len(hosts.hosts), 1, -1):
        lines = _lines(_cells(hosts.hosts, shown, now, is_short=is_short), width)
        if len(lines) <= most_lines:
            return Content("\n").join(lines)
    return Content(SEPARATOR).join(_cells(hosts.hosts, 1, now, is_short=is_short))


def _cells(
    hosts: Sequence[HostView], shown: int, now: datetime, *, is_short: bool
) -> list[Content]:
    cells = [strip_cell(host, now, is_short=is_short) for host in _most_telling(hosts, shown)]
    left = len(hosts) - shown
    return [*cells, Content.styled(f"+{left} more", QUIET)] if left else cells


def _most_telling(hosts: Sequence[HostView], count: int) -> list[HostView]:
    """Return so many hosts in their order: those first of which there is most to say."""
    by_news = sorted(
        hosts, key=lambda host: (not host.running, not host.is_silent, not host.waiting)
    )
    chosen = {host.name for host in by_news[:count]}
    return [host for host in hosts if host.name in chosen]


def _lines(cells: Sequence[Content], width: int) -> list[Content]:
    """Put as many cells on a line as it has room for."""
    lines = [cells[0]]
    for cell in cells[1:]:
        longer = Content.assemble(lines[-1], (SEPARATOR, "$foreground 20%"), cell)
        if longer.cell_length <= width:
            lines[-1] = longer
        else:
            lines.append(cell)
    return lines
