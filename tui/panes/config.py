"""The configuration of a run, and what differs in it from something else."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.content import Content
from textual.widgets import Static

from rlmaster.run_folder import RunFolder
from tui.messages import BaselineRead
from tui.panes.pane import Pane
from tui.reading.baselines import KINDS, differences, fields_of, read_baseline
from tui.reading.run_reader import RunNews
from tui.screens.run_choice import RunChoiceScreen
from tui.words.plain_text import fit, one_line

WIDEST_NAME = 40


class ConfigPane(Pane):
    """Shows every field with its value, and the other value where it differs."""

    TITLE: ClassVar[str] = "Config"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "next_baseline", "Compare with"),
        Binding("o", "choose_baseline", "Other run"),
        Binding("x", "toggle_all", "Differences/all"),
    ]

    def __init__(self, id: str, folder: RunFolder) -> None:  # noqa: A002  Textual's word
        """Say whose configuration it is."""
        super().__init__(id=id)
        self._folder = folder
        self._fields: Mapping[str, Any] = {}
        self._chosen: frozenset[str] = frozenset()
        self._kind = KINDS[0]
        self._baseline: BaselineRead | None = None
        self._shows_all = True

    def compose(self) -> ComposeResult:
        """Lay out a table that scrolls both ways."""
        with ScrollableContainer(id="config-table"):
            yield Static(id="config-lines")

    def take(self, news: RunNews, now: datetime) -> None:
        """Keep the configuration, and which fields were chosen."""
        if news.details:
            row = news.details.row
            self._fields, self._chosen = row.config, frozenset(row.differs)

    def watch_is_shown(self) -> None:
        """Read what it is compared with once somebody looks."""
        super().watch_is_shown()
        if self.is_shown and self._baseline is None:
            self._read(self._kind)

    def draw(self) -> None:
        """Show the fields."""
        other = self._differences()
        names = [*self._fields, *(name for name in other if name not in self._fields)]
        shown = [name for name in names if self._shows_all or name in other]
        width = min(WIDEST_NAME, max(map(len, shown), default=0))
        lines = [self._line(name, width, other) for name in shown]
        self.query_one("#config-lines", Static).update(
            Content("\n").join(lines) if lines else Content.styled("no differences", "dim")
        )
        self.say_below(self._legend(len(other)))

    def _differences(self) -> Mapping[str, Any]:
        """Return the other value of each field that differs; of a default it may be unknown."""
        if self._baseline and self._baseline.values is not None:
            return differences(self._fields, self._baseline.values)
        if self._kind == KINDS[0]:
            return dict.fromkeys(self._chosen & self._fields.keys())
        return {}

    def _line(self, name: str, width: int, other: Mapping[str, Any]) -> Content:
        value = _text(self._fields[name]) if name in self._fields else "(not there)"
        label = fit(one_line(name), width)
        if name not in other:
            return Content.assemble(("  ", ""), (f"{label}  ", "$foreground-muted"), value)
        known = self._baseline.values if self._baseline else None
        was = "" if known is None else _text(known[name]) if name in known else "(not there)"
        return Content.assemble(
            ("≠ ", "$text-warning"),
            (f"{label}  ", "bold"),
            (value, "bold $text-warning"),
            (f"   instead of {was}" if was else "", "$foreground-muted"),
        )

    def _legend(self, count: int) -> str:
        label = self._baseline.label if self._baseline else f"the {KINDS[0]}"
        return f"{count} differ from {label}" if self._fields else "no configuration"

    # ------------------------------------------------------------------------------------- asking

    def action_next_baseline(self) -> None:
        """Compare with the next thing there is to compare with."""
        place = KINDS.index(self._kind) if self._kind in KINDS else -1
        self._kind = KINDS[(place + 1) % len(KINDS)]
        self._read(self._kind)

    def action_choose_baseline(self) -> None:
        """Ask for a run to compare with."""
        dialog = RunChoiceScreen(self._folder.path.parent.parent, "Compare with", self._folder)
        self.app.push_screen(dialog, self._compare_with)  # pyright: ignore[reportUnknownMemberType]

    def action_toggle_all(self) -> None:
        """Show all fields, or those alone that differ."""
        self._shows_all = not self._shows_all
        self.draw()

    def _compare_with(self, path: Path | None) -> None:
        if path:
            self._kind = str(path)
            self._read(self._kind, RunFolder(path))

    @work(thread=True, exclusive=True)
    def _read(self, kind: str, other: RunFolder | None = None) -> None:
        try:
            if other:
                label, values = f"run {one_line(other.short_id)}", fields_of(other)
            else:
                label, values = read_baseline(kind, self._folder)
        except OSError as error:
            label, values = f"what cannot be read ({one_line(str(error))})", None
        self.post_message(BaselineRead(kind, label, values))

    @on(BaselineRead)
    def show_baseline(self, message: BaselineRead) -> None:
        """Compare with it, unless something else has been asked for since."""
        message.stop()
        if message.kind != self._kind:
            return
        if message.values is None and message.kind in KINDS[1:]:
            self.action_next_baseline()  # there is no such run, so the next one is meant
            return
        self._baseline = message
        self.draw()


def _text(value: object) -> str:
    if isinstance(value, list):
        return one_line(str(value))  # pyright: ignore[reportUnknownArgumentType]
    return "none" if value is None else one_line(str(value)) or '""'
