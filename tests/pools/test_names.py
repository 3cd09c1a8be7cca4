"""Names of image files: as glob finds them, but each folder once."""

from __future__ import annotations

import errno
import glob
import os

import numpy as np
import pytest
from PIL import Image

from alkit.errors import AlkitError
from alkit.pools import ImagePool
from alkit.pools.names import find_names


def save(path, value=9):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


@pytest.mark.parametrize(
    "pattern", ["**/*", "*", "*.png", "a/*", "a/**/*.png", "**/b/*", "**", "a/b/x.png", "**/x.*", "*/*", "[ab]/?.png"]
)
def test_names_are_those_of_glob(tmp_path, pattern):
    for name in ("x.png", "y.jpg", "a/x.png", "a/b/x.png", "a/b/c/y.png", "b/x.png", "a/.hidden.png", ".no/x.png"):
        save(tmp_path / name)
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)
    assert sorted(find_names(tmp_path, pattern)) == sorted({n for n in found if (tmp_path / n).is_file()})


def test_links_to_folders_that_are_read_or_contain_the_folder_add_no_images(tmp_path):
    folder = tmp_path / "images"
    for name in ("0.png", "1.png", "a/x.png"):
        save(folder / name)
    save(tmp_path / "other" / "mask.png")
    for name, target in {"p": ".", "q": ".", "a/up": "..", "best": "a", "above": "..", "far": "/"}.items():
        (folder / name).symlink_to(target, target_is_directory=True)
    assert ImagePool(folder, size=8).ids == ("0", "1", "a/x")


def test_a_link_to_another_folder_is_followed_once(tmp_path):
    save(tmp_path / "images" / "0.png")
    save(tmp_path / "other" / "x.png")
    for name in ("first", "second"):
        (tmp_path / "images" / name).symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "other" / "back").symlink_to(tmp_path / "images", target_is_directory=True)
    assert ImagePool(tmp_path / "images", size=8).ids == ("0", "first/x")
    (tmp_path / "linked").symlink_to(tmp_path / "images", target_is_directory=True)
    assert ImagePool(tmp_path / "linked", size=8).ids == ("0", "first/x")


def read(folder):
    pool = ImagePool(folder, size=8, grayscale=True, scale="full")
    return {id: round(float(pool.read([id]).mean()) * 255) for id in pool.ids}


def test_a_replaced_image_of_equal_size_and_time_is_read_again(tmp_path):
    path = tmp_path / "a.bmp"
    save(path, 10)
    facts = path.stat()
    assert read(tmp_path) == {"a": 10}
    save(path, 50)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert read(tmp_path) == {"a": 50}


def test_images_of_equal_size_and_time_that_swap_names_are_read_again(tmp_path):
    for name, value in (("a.bmp", 10), ("b.bmp", 200)):
        save(tmp_path / name, value)
        os.utime(tmp_path / name, (1.7e9, 1.7e9))
    assert read(tmp_path) == {"a": 10, "b": 200}
    (tmp_path / "a.bmp").rename(tmp_path / "t")
    (tmp_path / "b.bmp").rename(tmp_path / "a.bmp")
    (tmp_path / "t").rename(tmp_path / "b.bmp")
    assert read(tmp_path) == {"a": 200, "b": 10}


@pytest.fixture
def closed(monkeypatch):
    """Return a set of names of folders that cannot be read."""
    names, scandir = set(), os.scandir

    def scan(folder):
        if os.path.basename(folder) in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    with monkeypatch.context() as patch:  # undone before the folder of the test is deleted
        patch.setattr("alkit.pools.names.os.scandir", scan)
        yield names


def test_a_folder_that_cannot_be_read_is_reported_like_an_image(tmp_path, closed):
    for name in ("0.png", "ward/1.png", "ward/b/2.png", "lost+found/3.png"):
        save(tmp_path / "images" / name)
    closed |= {"b", "lost+found"}
    pool = ImagePool(tmp_path / "images", size=8)
    assert pool.ids == ("0", "ward/1")
    (name,) = pool.unusable
    assert name == "ward/b/"
    assert "cannot be read: got Permission denied" in str(pool.unusable[name])
    assert not ImagePool(tmp_path / "images", size=8, pattern="*.png").unusable
    closed.add("images")
    with pytest.raises(AlkitError, match=r"the folder .*images cannot be read: got Permission denied"):
        ImagePool(tmp_path / "images", size=8)


def test_a_link_to_itself_hides_no_other_file(tmp_path):
    for name in "ac":
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "b.png").symlink_to("b.png")
    unreadable = {}
    assert sorted(find_names(tmp_path, "**/*", unreadable)) == ["a.png", "b.png", "c.png"]
    assert unreadable == {}
