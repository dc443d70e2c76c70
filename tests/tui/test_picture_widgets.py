import pytest
from driving import drive
from PIL import Image
from textual.app import App
from textual.widgets import Static

from tui.reading.previews import Preview
from tui.widgets import pixel_picture
from tui.widgets.picture import Picture
from tui.widgets.pixel_picture import PixelPicture, new_picture, prepare_pictures, side_by_side

SQUARES = [Image.new("RGB", (48, 48), colour) for colour in ("red", "lime", "blue")]
PREVIEW = Preview("step", Image.new("RGB", (100, 50), "white"), SQUARES)


class Drawing(Static):
    image = None


@pytest.fixture
def drawing_pixels(monkeypatch):
    monkeypatch.setattr(PixelPicture, "image_class", Drawing)


def test_blocks_are_what_there_is_without_a_setting():
    assert prepare_pictures("blocks") == ""
    assert isinstance(new_picture("picture"), Picture)


def test_a_missing_package_is_a_sentence_and_leaves_blocks(monkeypatch):
    def import_module(name):
        raise ImportError(name)

    monkeypatch.setattr(pixel_picture, "import_module", import_module)
    assert "pip install 'rlmaster[pictures]'" in prepare_pictures("sixel")
    assert isinstance(new_picture("picture"), Picture)


def test_panels_stand_side_by_side():
    whole = side_by_side(SQUARES)
    assert whole.size == (3 * 48 + 2 * 2, 48)
    colours = [whole.getpixel((x, 20)) for x in (0, 49, 50, 147)]
    assert colours == [(255, 0, 0), (0, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_a_picture_of_pixels_fits_and_is_no_larger_than_a_terminal_takes(drawing_pixels):
    picture = new_picture("picture")

    class PictureApp(App[None]):
        def compose(self):
            yield picture

    async def scenario(pilot):
        picture.show(PREVIEW)
        await pilot.pause()
        drawing = pilot.app.query_one(Drawing)
        assert (drawing.styles.width.value, drawing.styles.height.value) == (60, 9)
        assert drawing.image.width == 148
        picture.whole = True
        await pilot.pause()
        assert (drawing.styles.width.value, drawing.styles.height.value) == (60, 15)
        await pilot.resize_terminal(200, 60)
        await pilot.pause()
        assert (drawing.styles.width.value, drawing.styles.height.value) == (100, 25)

    drive(PictureApp(), scenario, size=(60, 30))


def test_the_same_picture_is_not_drawn_again():
    picture = Picture("picture")

    class PictureApp(App[None]):
        def compose(self):
            yield picture

    async def scenario(pilot):
        picture.show(PREVIEW)
        await pilot.pause()
        drawn = picture._strips
        picture.show(PREVIEW)
        assert picture._strips is drawn
        picture.whole = True
        assert picture._strips is not drawn

    drive(PictureApp(), scenario)
