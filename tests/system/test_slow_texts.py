"""Texts of strangers that made a search take a time that grows with the square of their length, or worse."""

import time
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from alkit import Query
from alkit.errors import ConfigurationError, DataError, one_line
from alkit.oracles.class_sets import read_set_table
from alkit.oracles.existing import labels_in_table
from alkit.oracles.formats.coco import decode
from alkit.oracles.formats.csv_table import read_rows
from alkit.oracles.formats.image_names import image_names
from alkit.oracles.labelstudio.secrets import without_secrets
from alkit.pools.group_files import read_table
from alkit.values import LabelSpec

SLASHES = "a/" * 200_000
MANY = "".join(f"a{number}," for number in range(100_000))


def names(text):
    return image_names([Query("a/b", 0, 0, ((8, 8),)), Query(text, 0, 1, ((8, 8),))]).find(text)


def coco(text):
    keys = ", ".join(f'"{number}": 1' for number in range(200_000))
    with pytest.raises(DataError, match="two values of '7'"):
        decode(Path("a.json"), f'{{{keys}, "7": 1}}'.encode())


def columns(text):
    with pytest.raises(DataError, match="a different name for each column"):
        read_set_table("a.csv", f"image,{text}a0\nb".encode())


def short_rows(text):
    """Read tables of rows that end long before the header: filled up, they would take a thousand times their size."""
    head, rows = "," * 200_000, "{},{}\n" * 30_000
    table = f"image,c0,c1{head}\n{rows.format(*['a', 1] * 30_000)}".encode()
    assert len(read_set_table("a.csv", table, ("c0", "c1")).rows) == 30_000
    table = f"image,class{head}\n{rows.format(*['a', 'b'] * 30_000)}".encode()
    assert len(list(read_rows(Path("a.csv"), table))) == 30_000
    with NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"id,label,{MANY}\n{rows.format(*['a', 'b'] * 30_000)}")
        file.flush()
        assert len(list(labels_in_table(file.name, LabelSpec(("a", "b"), per="image")))) == 30_000


def groups(text):
    with NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"id,{text}a0")
        file.flush()
        with pytest.raises(DataError, match="a different name for each column"):
            read_table(file.name)


def classes(text):
    with pytest.raises(ConfigurationError, match="classes must have different names"):
        LabelSpec((*text.split(",")[:-1], "a0"), per="image")


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
        (columns, MANY),
        (groups, MANY),
        (classes, MANY),
        (short_rows, ""),
    ],
    ids=[
        "spaces",
        "lines",
        "addresses",
        "one address",
        "folders",
        "file in folders",
        "names",
        "columns",
        "groups",
        "classes",
        "short rows",
    ],
)
def test_a_long_text_of_a_stranger_is_read_quickly(read, text):
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 10  # minutes or more before, and here a second at most
