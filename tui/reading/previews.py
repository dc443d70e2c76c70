"""Pictures that training drew. Pillow is loaded by the first picture, not by the app."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 50_000_000
"""A file of a few bytes may hold a picture that fills the memory."""


class UnreadablePreviewError(Exception):
    """A file is no picture that can be shown; the text says why, in one sentence."""


@dataclass(frozen=True)
class Preview:
    """A picture that training drew."""

    name: str
    whole: "Image"
    panels: "list[Image]"
    """Its magnified parts, if it says where they are: original, reconstruction, difference."""


def read_preview(path: Path) -> Preview:
    """Read a picture and cut out the panels that its `zoomed_panels` names.

    Raises:
        UnreadablePreviewError: If it is no picture, a damaged one, or much too large.
    """
    from PIL import Image

    try:
        if _pixels(path) > MOST_PIXELS:
            raise UnreadablePreviewError(f"{path.name} is too large to be shown here")
        with Image.open(path, formats=["PNG"]) as opened:
            boxes = _boxes(opened.info.get("zoomed_panels"))
            whole = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise UnreadablePreviewError(f"{path.name} is no whole picture") from error
    inside = all(
        0 <= left < right <= whole.width and 0 <= top < bottom <= whole.height
        for left, top, right, bottom in boxes
    )
    return Preview(path.name, whole, [whole.crop(box) for box in boxes] if inside else [])


def _pixels(path: Path) -> int:
    """Return how many pixels a PNG file says it has, without looking at one."""
    with path.open("rb") as file:
        width, height = struct.unpack(">16xII", file.read(24))
    return width * height


def _boxes(text: Any) -> list[tuple[int, int, int, int]]:
    """Return the corners of each panel; none where the picture does not say them."""
    try:
        return [(int(a), int(b), int(c), int(d)) for a, b, c, d in json.loads(text)]
    except (TypeError, ValueError, OverflowError):
        return []
