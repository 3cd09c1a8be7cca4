"""A file of a cache may give several items: they come and go together, and are decoded one after another."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from alkit.errors import ImageError
from alkit.pools.cache import cache_images
from alkit.pools.decoding import File
from alkit.pools.index import Index
from alkit.pools.sources import item_name
from alkit.values.progress import quiet

DECODED: list[str] = []


@dataclass(frozen=True)
class Stacks:
    """Arrays ``(n, h, w)`` of a folder, each of which gives n items."""

    folder: Path
    is_parallel = False

    @property
    def key(self):
        return f"stacks {self.folder}"

    def items(self, file):
        stack = np.load(self.path(file.name))
        for number in range(len(stack)):
            DECODED.append(f"{file.name} {number}")
            if stack[number].max() == 255:
                raise ImageError(f"slice {number} of {file.name} is damaged")
            yield item_name(file.name, f"{number:04}"), stack[number][None], stack.shape[1:]

    def item(self, name):
        file, _, number = name.partition("//")
        stack = np.load(self.path(file))
        return stack[int(number)][None], stack.shape[1:]

    def path(self, name):
        return self.folder / name.partition("//")[0]

    def check(self, name, pixels):
        pass


@pytest.fixture
def source(tmp_path):
    DECODED.clear()
    folder = tmp_path / "stacks"
    folder.mkdir()
    for number, name in enumerate("abc"):
        np.save(folder / f"{name}.npy", np.full((number + 1, 4, 5), 10 * number + np.arange(number + 1)[:, None, None]))
    return Stacks(folder)


def write(source, name, values):
    np.save(source.folder / f"{name}.npy", np.full((len(values), 4, 5), 0) + np.array(values)[:, None, None])


def files(source, names="abc"):
    found = {}
    for name in names:
        stack = np.load(source.folder / f"{name}.npy").astype(np.uint8)
        np.save(source.folder / f"{name}.npy", stack)
        found[name] = File(f"{name}.npy", stack.nbytes, int(stack.sum()), 0)
    return found


def opened(source, names="abc", report=quiet):
    return cache_images(files(source, names), source, root=source.folder.parent / "cache", report=report)


def values(rows):
    return rows.read(range(len(rows.names)))[:, 0, 0, 0].tolist()


def test_the_items_of_all_files_are_rows_in_their_order(source):
    rows, failed = opened(source)
    assert rows.names == ["a.npy//0000", "b.npy//0000", "b.npy//0001", *(f"c.npy//000{n}" for n in range(3))]
    assert values(rows) == [0, 10, 11, 20, 21, 22]
    assert not failed
    assert values(pickle.loads(pickle.dumps(rows))) == values(rows)


def test_a_file_is_decoded_once(source):
    opened(source)
    DECODED.clear()
    assert values(opened(source)[0]) == [0, 10, 11, 20, 21, 22]
    assert not DECODED


def test_all_items_of_a_changed_file_are_replaced(source):
    opened(source)
    DECODED.clear()
    write(source, "b", [7, 8, 9])
    assert values(opened(source)[0]) == [0, 7, 8, 9, 20, 21, 22]
    assert DECODED == ["b.npy 0", "b.npy 1", "b.npy 2"]


def test_a_file_with_a_damaged_item_is_left_out_with_all_its_items(source):
    write(source, "b", [7, 255, 9])
    rows, failed = opened(source)
    assert values(rows) == [0, 20, 21, 22]
    assert failed == {"b": "slice 1 of b.npy is damaged"}
    write(source, "b", [7, 8])
    assert values(opened(source)[0]) == [0, 7, 8, 20, 21, 22]


def test_a_damaged_first_file_does_not_determine_the_shape(source):
    np.save(source.folder / "a.npy", np.full((2, 9, 9), np.array([1, 255])[:, None, None]))
    rows, failed = opened(source)
    assert (values(rows), list(failed)) == ([10, 11, 20, 21, 22], ["a"])


def test_a_file_without_items_is_left_out(source):
    np.save(source.folder / "b.npy", np.zeros((0, 4, 5)))
    rows, failed = opened(source)
    assert values(rows) == [0, 20, 21, 22]
    assert failed["b"].endswith("b.npy holds nothing to label")


def test_a_file_that_was_interrupted_is_decoded_again_as_a_whole(source, monkeypatch):
    items = Stacks.items

    def interrupted(self, file):
        for item in items(self, file):
            yield item
            if item[0] == "c.npy//0001":
                raise KeyboardInterrupt

    monkeypatch.setattr(Stacks, "items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(source)
    index = Index.load(next(source.folder.parent.glob("cache/images/*")))
    assert list(index.entries) == ["a.npy//0000", "b.npy//0000", "b.npy//0001"]
    monkeypatch.setattr(Stacks, "items", items)
    DECODED.clear()
    assert values(opened(source)[0]) == [0, 10, 11, 20, 21, 22]
    assert DECODED == ["c.npy 0", "c.npy 1", "c.npy 2"]


def test_a_damaged_row_is_decoded_again(source):
    rows, _ = opened(source)
    (path,) = source.folder.parent.glob("cache/images/*/rows-*.bin")
    content = bytearray(path.read_bytes())
    content[4 * 20 + 3] ^= 255
    path.write_bytes(content)
    assert values(rows) == [0, 10, 11, 20, 21, 22]
    assert values(opened(source)[0]) == [0, 10, 11, 20, 21, 22]


def test_items_are_written_before_the_next_is_decoded(source, monkeypatch):
    from alkit.pools import cache

    seen, write = [], cache._write

    def noting(index, pixels):
        seen.append(len(DECODED))
        write(index, pixels)

    monkeypatch.setattr(cache, "_write", noting)
    opened(source)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_progress_counts_files(source):
    steps = []
    opened(source, report=lambda step: steps.append((step.done, step.total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
