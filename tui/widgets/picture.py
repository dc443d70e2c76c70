"""A picture in half cells: two pixels a character, which every terminal with colours can show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from PIL.Image import Image

    from tui.reading.previews import Preview

GAP_PIXELS = 1
"""Between panels, on the terminal."""


class Picture(Widget, can_focus=True):
    """Shows a preview as large as fits: its magnified panels, or all of it."""

    whole = reactive(False)
    """Whether all of the picture is shown rather than its magnified panels."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without a picture."""
        super().__init__(id=id)
        self._preview: Preview | None = None
        self._strips: list[Strip] = []

    def show(self, preview: "Preview") -> None:
        """Show this picture; nothing is drawn again if it is shown already."""
        if preview is not self._preview:
            self._preview = preview
            self._draw()

    def on_resize(self) -> None:
        """Scale to the new size."""
        self._draw()

    def notify_style_update(self) -> None:
        """Draw on the ground of another theme."""
        super().notify_style_update()
        self._draw()

    def watch_whole(self) -> None:
        """Change what is shown."""
        self._draw()

    def _draw(self) -> None:
        width, height = self.content_size
        if self._preview and width and height:
            panels = [] if self.whole else self._preview.panels
            scaled = scale_to_fit(panels or [self._preview.whole], width, 2 * height)
            self._strips = half_cells(scaled, self.rich_style)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of characters; the picture is centred."""
        width, height = self.content_size
        line = y - max(0, height - len(self._strips)) // 2
        if not 0 <= line < len(self._strips):
            return Strip.blank(width, self.rich_style)
        strip = self._strips[line]
        margin = Segment(" " * (max(0, width - strip.cell_length) // 2), self.rich_style)
        return Strip([margin, *strip]).adjust_cell_length(width, self.rich_style)


def scale_to_fit(panels: Sequence["Image"], width: int, height: int) -> list["Image"]:
    """Scale panels of one size so that side by side they fit, at a whole number if they grow."""
    from PIL.Image import Resampling

    room = (width - GAP_PIXELS * (len(panels) - 1)) / len(panels)
    scale = min(room / panels[0].width, height / panels[0].height)
    if scale >= 1:
        scale = int(scale)
    size = (max(1, int(panels[0].width * scale)), max(1, int(panels[0].height * scale)))
    method = Resampling.NEAREST if scale >= 1 else Resampling.BOX
    return [panel.resize(size, method) for panel in panels]


def half_cells(panels: Sequence["Image"], around: Style) -> list[Strip]:
    """Draw panels side by side, two rows of pixels a line; `around` is what is between them."""
    gap = Segment(" " * GAP_PIXELS, around)
    strips: list[Strip] = []
    for top in range(0, panels[0].height, 2):
        segments: list[Segment] = []
        for panel in panels:
            segments += [*_line(panel, top), gap]
        strips.append(Strip(segments[:-1]))
    return strips


def _line(panel: "Image", top: int) -> list[Segment]:
    """Draw two rows of pixels; below the last there is the last once more."""
    upper, lower = _row(panel, top), _row(panel, min(top + 1, panel.height - 1))
    return [
        Segment("▀", Style(color=above, bgcolor=below))
        for above, below in zip(upper, lower, strict=True)
    ]


def _row(panel: "Image", y: int) -> list[Color]:
    row = panel.crop((0, y, panel.width, y + 1)).tobytes()
    return [Color.from_rgb(*row[start : start + 3]) for start in range(0, len(row), 3)]
