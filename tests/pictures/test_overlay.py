"""An overlay shows the outline of each class on any image."""

import numpy as np
import pytest

from alkit.errors import ConfigurationError
from alkit.pictures.colours import CLASS_COLOURS, rgb
from alkit.pictures.overlay import overlay


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_an_outline_is_visible_on_dark_and_on_bright_images(ground):
    mask = np.zeros((60, 60), np.uint8)
    mask[20:40, 20:40] = 1
    picture = overlay(np.full((3, 60, 60), ground, np.uint8), mask).astype(int)
    line, around = picture[20, 30], picture[19, 30]
    assert abs(line - around).max() > 150
    assert max(abs(line - ground).max(), abs(around - ground).max()) > 100
    assert (picture[:18] == ground).all()


def test_each_class_has_its_own_colour_and_the_border_of_the_image_has_no_outline():
    mask = np.zeros((1, 50), np.uint8)
    mask[:, 20:] = 1
    mask[:, 35:] = 9
    picture = overlay(np.full((1, 1, 50), 100, np.uint8), mask)
    assert [tuple(picture[0, column]) for column in (20, 34, 35)] == [
        rgb(CLASS_COLOURS[0]),
        rgb(CLASS_COLOURS[0]),
        rgb(CLASS_COLOURS[8 % 7]),
    ]
    assert tuple(picture[0, 49]) != rgb(CLASS_COLOURS[8 % 7])  # tinted only
    whole = overlay(np.full((1, 8, 8), 100, np.uint8), np.zeros((8, 8), np.uint8))
    assert (whole == 100).all()


def test_lines_are_wider_on_large_images_and_16_bits_are_shown_in_full_range():
    mask = np.zeros((4, 2000), np.uint8)
    mask[:, 1000:] = 1
    image = np.linspace(1000, 1100, 8000).reshape(1, 4, 2000).astype(np.uint16)
    picture = overlay(image, mask)
    assert (picture[0] == rgb(CLASS_COLOURS[0])).all(axis=1).sum() == 7
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, 990].tolist() == [picture[-1, 990, 0]] * 3
    assert picture[3, 900, 0] > 200


def test_a_mask_must_have_the_size_of_its_image():
    with pytest.raises(ConfigurationError, match="must have the size of its image"):
        overlay(np.zeros((1, 4, 4), np.uint8), np.zeros((4, 5), np.uint8))
