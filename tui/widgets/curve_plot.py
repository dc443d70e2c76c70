"""One scalar over the run's steps. Importing this module loads numpy, which takes a while."""

from rich.style import Style
from textual.reactive import reactive
from textual_plot import HiResMode, PlotWidget

from tui.run_reader import Curve


class CurvePlot(PlotWidget, can_focus=False):
    """A line that grows with the run, in the colour of the widget."""

    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(9)

    def __init__(self) -> None:
        """Begin without points."""
        super().__init__(allow_pan_and_zoom=False)
        self._curve: Curve | None = None

    def on_mount(self) -> None:
        """Draw what was there before the plot was."""
        self.call_after_refresh(self._draw)  # PlotWidget clears itself when it is mounted

    def show(self, curve: Curve) -> None:
        """Show these points instead of those before."""
        self._curve = curve
        if self.is_mounted:
            self._draw()

    def notify_style_update(self) -> None:
        """Draw in the colours of another theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        self.clear()
        if self._curve is not None and len(self._curve.steps):
            line = str(Style(color=self.rich_style.color))
            self.plot(self._curve.steps, self._curve.values, line, HiResMode.BRAILLE)
