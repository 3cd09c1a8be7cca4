import stat

import pytest

from alkit._files import cache_folder, make_folder, write_atomically
from alkit.errors import StoreError


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file"
    for content in (b"long content", b"short"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alkit._files.os.fsync", no_room)
    with pytest.raises(StoreError, match="No space left"):
        write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_folder_that_cannot_be_created_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"cannot create the folder .*Try: another folder, because a file"):
            make_folder(folder)
    with pytest.raises(StoreError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_the_cache_folder_comes_from_the_argument_then_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("given").name == "given"
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("ALKIT_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "alkit"
