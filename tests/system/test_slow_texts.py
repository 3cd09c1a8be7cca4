"""Texts of strangers that made a search take a time that grows with the square of their length, or worse."""

import time
from pathlib import Path

import pytest

from alkit import Query
from alkit.errors import DataError, one_line
from alkit.oracles.formats.coco import decode
from alkit.oracles.formats.image_names import image_names
from alkit.oracles.labelstudio.secrets import without_secrets

SLASHES = "a/" * 200_000


def names(text):
    return image_names([Query("a/b", 0, 0, ((8, 8),)), Query(text, 0, 1, ((8, 8),))]).find(text)


def coco(text):
    keys = ", ".join(f'"{number}": 1' for number in range(200_000))
    with pytest.raises(DataError, match="two values of '7'"):
        decode(Path("a.json"), f'{{{keys}, "7": 1}}'.encode())


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (one_line, " " * 500_000 + "\x1b"),
        (one_line, " \n" * 200_000 + "\x1b"),
        (without_secrets, "://" * 200_000),
        (without_secrets, "a" * 500_000 + "@"),
        (names, SLASHES),
        (names, SLASHES + "b.png"),
        (coco, ""),
    ],
    ids=["spaces", "lines", "addresses", "one address", "folders", "file in folders", "names"],
)
def test_a_long_text_of_a_stranger_is_read_quickly(read, text):
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 10  # minutes or more before, and here a second at most
