"""Curves over a run's steps. Importing this module loads numpy, which takes a while."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy
from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.plot_widget import Legend

from rlmaster.reports.scalars import smooth
from tui.reading.curves import Curve, Line, bounded, letter_of, thinned, within
from tui.widgets.axes import Plain, PowersOfTen, Steps
from tui.widgets.plot_canvas import PlotCanvas
from tui.words.wording import number

if TYPE_CHECKING:
    from tui.reading.curves import Floats

LINE_PARTS = tuple(f"curve-plot--line-{index}" for index in range(6))
"""After the last colour the first comes again, but the letters go on."""
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99, 0.999)
"""Weights of the past; TensorBoard begins with the second."""
ROOM_FOR_AXES = (24, 5)
"""Columns and rows of the plot below which its axes have no marks."""
LABEL_COLUMNS = 10
"""What a label below the plot needs."""
NARROWEST_VIEW = 1e-6
"""Share of all steps that can be zoomed into."""
BORDERS = 2
"""Columns, and rows, of the plot that its box takes."""
SMALLEST_HEIGHT = 1e-290
MARGIN = 0.04
"""Share of the height that is left free above and below the curves."""


class CurvePlot(PlotWidget, can_focus=False, inherit_bindings=False):
    """Lines that grow with a run; where keys and mouse may, they zoom, pan and read values."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom_x_in", "Zoom", key_display="+"),
        Binding("minus", "zoom_x_out", "Zoom out", show=False, key_display="-"),
        Binding("0", "show_all", "All", show=False),
        Binding("left", "pan_left", "Earlier", show=False),
        Binding("right", "pan_right", "Later", show=False),
        Binding("shift+left,comma", "read(-1)", "Read values before", show=False),
        Binding("shift+right,full_stop", "read(1)", "Read values after", show=False),
        Binding("left_square_bracket", "smooth(-1)", "Less smooth", show=False, key_display="["),
        Binding("right_square_bracket", "smooth(1)", "Smooth", key_display="]"),
        Binding("l", "toggle_logarithm", "Log axis"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*LINE_PARTS, "curve-plot--faint"}
    DEFAULT_CSS = """
    CurvePlot {
        & > .plot--axis { color: $foreground 25%; }
        & > .plot--tick { color: $foreground-muted; text-style: none; }
        & > .curve-plot--faint { color: $foreground 30%; }
        & > .curve-plot--line-0 { color: $text-primary; }
        & > .curve-plot--line-1 { color: $text-warning; }
        & > .curve-plot--line-2 { color: $text-success; }
        & > .curve-plot--line-3 { color: $text-error; }
        & > .curve-plot--line-4 { color: $text-accent; }
        & > .curve-plot--line-5 { color: $text-secondary; }
        &:focus > .plot--axis { color: $primary; }
        #readout { dock: top; height: auto; max-height: 3; padding: 0 1; }
    }
    """
    KEYBOARD_ZOOM_FACTOR = 0.5
    MOUSE_ZOOM_FACTOR = 0.2
    KEYBOARD_PAN_FACTOR = 8.0

    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(9)

    smoothing = reactive(0.0)
    """Weight of the past in each value that is drawn, as in TensorBoard."""
    is_logarithmic = reactive(False)
    """Whether the axis of values is one of logarithms."""
    cursor: reactive[float | None] = reactive(None)
    """The step whose values are read; the newest ones where it is None."""

    def __init__(self, id: str | None = None, *, is_interactive: bool = False) -> None:  # noqa: A002
        """Begin without points.

        Args:
            id: What styles and queries call it.
            is_interactive: Whether keys and mouse act on it.
        """
        # The wheel turned up shows more detail, as on a map.
        super().__init__(id=id, allow_pan_and_zoom=is_interactive, invert_mouse_wheel=True)
        self.can_focus = is_interactive
        self._lines: Sequence[Line] = ()
        self._prepared: list[Curve] = []
        self._view: tuple[float, float] | None = None

    def compose(self) -> ComposeResult:
        """Put what the lines mean above them; the rest is laid out as in the library."""
        yield Static(id="readout")
        with Grid():
            for name in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield PlotCanvas(1, 1, id=name)
        yield Legend(id="legend")

    def on_mount(self) -> None:
        """Draw what was there before the plot was."""
        self.call_after_refresh(self._prepare)  # PlotWidget clears itself when it is mounted

    def show(self, curve: Curve) -> None:
        """Show this curve instead of what was there before."""
        self.show_lines([Line.of("", curve)])

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines instead of those before, thinned to what can be seen."""
        self._lines = lines
        self._prepare()

    @property
    def view(self) -> tuple[float, float] | None:
        """First and last step that are seen; None while all are."""
        return self._view

    # ------------------------------------------------------------------------------- what is asked

    def watch_smoothing(self) -> None:
        """Draw with another smoothness."""
        self._prepare()

    def watch_is_logarithmic(self) -> None:
        """Draw along the other axis."""
        self._prepare()

    def watch_cursor(self) -> None:
        """Read other values."""
        self._draw()

    def action_smooth(self, by: int) -> None:
        """Smooth more or less."""
        place = SMOOTHINGS.index(self.smoothing) + by
        self.smoothing = SMOOTHINGS[max(0, min(place, len(SMOOTHINGS) - 1))]

    def action_toggle_logarithm(self) -> None:
        """Change the axis of values."""
        self.is_logarithmic = not self.is_logarithmic

    def action_show_all(self) -> None:
        """Leave zoom and cursor."""
        self._view = self.cursor = None
        self._draw()

    def action_read(self, columns: int) -> None:
        """Move the cursor along the steps; it begins at the newest."""
        first, last = self._view or self._extent()
        apart = (last - first) / max(1, self._plot_size[0])
        step = last if self.cursor is None else self.cursor
        self.cursor = max(first, min(step + columns * apart, last))

    @on(PlotWidget.ScaleChanged)
    def keep_view(self, event: PlotWidget.ScaleChanged) -> None:
        """Stay within the run's steps, and draw the stretch that is seen now in all its detail."""
        event.stop()
        low, high = self._extent()
        width = event.x_max - event.x_min
        if width >= high - low:
            self._view = None
        elif width > NARROWEST_VIEW * (high - low):
            first = max(low, min(event.x_min, high - width))
            self._view = first, first + width
        self._draw()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Read the values under the mouse."""
        if self.can_focus and event.button == 0 and self._prepared:
            place = event.screen_offset - self.query_one("#plot").region.offset
            step, _ = self.get_coordinate_from_pixel(*place)
            first, last = self._view or self._extent()
            self.cursor = step if first <= step <= last else None

    def on_leave(self) -> None:
        """Read the newest values once the mouse is elsewhere."""
        if not self.is_mouse_over:
            self.cursor = None

    def get_coordinate_from_pixel(self, x: int, y: int) -> tuple[float, float]:
        """Return step and value at a place; in a plot without room every place is the same."""
        return super().get_coordinate_from_pixel(x, y) if min(self._plot_size) > BORDERS else (0, 0)

    # ------------------------------------------------------------------------------------- drawing

    def notify_style_update(self) -> None:
        """Draw in the colours of another theme."""
        super().notify_style_update()
        self._draw()

    def on_resize(self) -> None:
        """Draw as much detail as there is room for."""
        self._draw()

    def _prepare(self) -> None:
        """Work out what does not depend on the stretch that is seen."""
        self._prepared = [self._transformed(bounded(line)) for line in self._lines]
        self._draw()

    def _transformed(self, curve: Curve, *, is_smooth: bool = True) -> Curve:
        steps, values = curve.steps, curve.values
        if self.smoothing and is_smooth:
            values = smooth(values, self.smoothing)
        if self.is_logarithmic:
            steps, values = steps[values > 0], numpy.log10(values[values > 0])
        return Curve(steps, values)

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.clear()
        self.query_one("#readout", Static).update(self._readout())
        self.query_one("#plot", PlotCanvas).is_merging = len(self._lines) > 1
        seen = [self._seen(curve) for curve in self._prepared]
        if self.smoothing and len(self._lines) == 1:
            raw = self._seen(self._transformed(bounded(self._lines[0]), is_smooth=False))
            self._draw_line(raw, "curve-plot--faint")
        for index, curve in enumerate(seen):
            self._draw_line(curve, _part(index))
        self._set_limits([curve.values for curve in seen if len(curve.steps)])
        if len(seen) > 1:
            self._mark_lines(seen)
        if self.cursor is not None:
            self.add_v_line(self.cursor, self._style("plot--tick"))

    def _seen(self, curve: Curve) -> Curve:
        """Cut out the stretch that is seen, with two points for each column: that are its dots."""
        stretch = within(curve, *self._view) if self._view else curve
        return thinned(stretch.steps, stretch.values, max(20, self._plot_size[0]))

    def _draw_line(self, curve: Curve, part: str) -> None:
        if len(curve.steps) == 1:
            self.scatter(curve.steps, curve.values, "•", self._style(part))
        elif len(curve.steps):
            self.plot(curve.steps, curve.values, self._style(part), HiResMode.BRAILLE)

    def _set_limits(self, drawn: "Sequence[Floats]") -> None:
        """Let the axes hold all that is seen, with some room above and below."""
        values = numpy.concatenate(drawn) if drawn else numpy.zeros(1)
        low, high = _apart(float(values.min()), float(values.max()))
        room = MARGIN * (high - low)
        self.set_xlimits(*(self._view or self._extent()))
        self.set_ylimits(low - room, high + room)
        columns, rows = self._plot_size
        self.set_x_formatter(Steps(columns // LABEL_COLUMNS))
        axis = PowersOfTen if self.is_logarithmic else Plain
        self.set_y_formatter(axis(rows - BORDERS))
        has_room = columns >= ROOM_FOR_AXES[0] and rows >= ROOM_FOR_AXES[1] and bool(drawn)
        self.set_xticks(None if has_room else [])
        self.set_yticks(None if has_room else [])

    def _mark_lines(self, seen: Sequence[Curve]) -> None:
        """Write each line's letter on it, for those who do not see its colour."""
        first, last = self._view or self._extent()
        column = (last - first) / max(1, self._plot_size[0])
        for index, curve in enumerate(seen):
            if not len(curve.steps):
                continue
            step = min(last - 2 * (index + 1) * column, float(curve.steps[-1]))
            value = numpy.interp(step, curve.steps, curve.values)
            self.scatter([step], [value], letter_of(index), self._style(_part(index)))

    def _readout(self) -> Content:
        """Name each line and tell its value, the newest or that at the cursor."""
        parts = [
            Content.assemble(
                (f"{letter_of(index)} " if len(self._lines) > 1 else "", self._style(_part(index))),
                (f"{line.label} ", self._style(_part(index))),
                number(self._value(line)),
            )
            for index, line in enumerate(self._lines)
            if line.label or self.cursor is not None
        ]
        notes = [f"at {number(round(self.cursor))}"] if self.cursor is not None else []
        notes += [f"smoothed {self.smoothing:g}"] if self.smoothing else []
        notes += ["logarithmic"] if self.is_logarithmic else []
        notes += ["zoomed"] if self._view else []
        parts += [Content.styled(note, "$foreground-muted") for note in notes]
        return _packed(parts, self.size.width - 2)

    def _value(self, line: Line) -> float | None:
        """Return the last value up to the cursor, as the run wrote it."""
        if not len(line.steps):
            return None
        end = len(line.steps)
        if self.cursor is not None:
            end = max(1, int(numpy.searchsorted(line.steps, self.cursor, "right")))
        return float(line.values[end - 1])

    def _extent(self) -> tuple[float, float]:
        """Return the first and the last step of all lines."""
        drawn = [curve.steps for curve in self._prepared if len(curve.steps)]
        if not drawn:
            return 0.0, 1.0
        first, last = min(steps[0] for steps in drawn), max(steps[-1] for steps in drawn)
        return (float(first), float(last)) if first < last else (first - 0.5, first + 0.5)

    @property
    def _plot_size(self) -> tuple[int, int]:
        size = self.query_one("#plot", Canvas).size if self.is_mounted else self.size
        return size.width, size.height

    def _style(self, part: str) -> str:
        return str(Style(color=self.get_component_rich_style(part).color))


def _packed(parts: Sequence[Content], width: int) -> Content:
    """Put as many parts on each line as it has room for."""
    lines: list[Content] = []
    for part in parts:
        longer = Content.assemble(lines[-1], "  ", part) if lines else part
        if lines and longer.cell_length <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return Content("\n").join(lines)


def _part(index: int) -> str:
    return LINE_PARTS[index % len(LINE_PARTS)]


def _apart(low: float, high: float) -> tuple[float, float]:
    """Return limits that differ, even where all that is drawn is the same."""
    if high - low > max(1e-9 * max(abs(low), abs(high)), SMALLEST_HEIGHT):
        return low, high
    room = max(abs(low) / 100, 1e-6)
    return low - room, high + room
