"""A picture in all its pixels, for terminals that can be given some: by Sixel, or as Kitty does it.

It needs the package textual-image, which asks the terminal what it can do while it is imported; so
that is done before the app runs, and only where a person has set it.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult

from tui.widgets.picture import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES = {"sixel": "SixelImage", "kitty": "TGPImage"}
MOST_PIXELS = 1000
"""Width and height of the largest picture: xterm leaves out what is larger."""
GAP_SHARE = 24
"""Between two panels there is one such part of a panel's width."""


class PixelPicture(Picture):
    """A picture whose drawing is left to a widget inside it."""

    DEFAULT_CSS = """
    PixelPicture {
        align-horizontal: center;
    }
    """

    image_class: ClassVar[Any] = None
    """What draws a picture in this terminal; None where half cells do."""

    cell_pixels: ClassVar[tuple[int, int]] = (10, 20)
    """Width and height of one of the terminal's cells."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without a picture."""
        super().__init__(id)
        self._drawing = self.image_class()

    def compose(self) -> ComposeResult:
        """Lay out the picture."""
        yield self._drawing

    def _draw(self) -> None:
        width, height = self.content_size
        if not self._preview or not width or not height:
            return
        panels = [] if self.whole else self._preview.panels
        image = side_by_side(panels or [self._preview.whole])
        cell_width, cell_height = self.cell_pixels
        room = min(width * cell_width, MOST_PIXELS), min(height * cell_height, MOST_PIXELS)
        scale = min(room[0] / image.width, room[1] / image.height)
        self._drawing.styles.width = max(1, int(scale * image.width / cell_width))
        self._drawing.styles.height = max(1, int(scale * image.height / cell_height))
        self._drawing.image = image


def side_by_side(panels: "Sequence[Image]") -> "Image":
    """Put panels of one size into one picture."""
    from PIL import Image

    width, height = panels[0].size
    gap = width // GAP_SHARE
    whole = Image.new("RGB", (len(panels) * (width + gap) - gap, height))
    for index, panel in enumerate(panels):
        whole.paste(panel, (index * (width + gap), 0))
    return whole


def prepare_pictures(kind: str) -> str:
    """Load what draws pictures of a kind; return what hinders that, in a sentence, or nothing.

    Args:
        kind: `sixel`, `kitty`, or anything else for half cells.
    """
    if kind not in CLASSES:
        return ""
    try:
        PixelPicture.image_class = getattr(import_module("textual_image.widget"), CLASSES[kind])
        size = import_module("textual_image._terminal").get_cell_size()
        PixelPicture.cell_pixels = size.width, size.height
    except ImportError:
        return (
            f'pictures = "{kind}" needs the package textual-image: '
            "run `pip install 'rlmaster[pictures]'`; until then pictures are made of blocks"
        )
    return ""


def new_picture(id: str) -> Picture:  # noqa: A002  Textual's word
    """Return a widget that shows pictures as well as this terminal has been set to."""
    return PixelPicture(id) if PixelPicture.image_class else Picture(id)
