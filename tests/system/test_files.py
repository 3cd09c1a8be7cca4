import errno
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit import _files
from alkit._files import abandoned_files, cache_folder, make_folder, make_temporary_folder, write_atomically
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


def run(code, **options):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, **options)


def test_the_file_of_a_process_that_was_killed_while_writing_is_deleted_by_the_next_write(tmp_path):
    killed = f"""
    import os
    from pathlib import Path
    from alkit._files import write_atomically
    os.replace = lambda *_: os._exit(9)
    write_atomically(Path({str(tmp_path)!r}) / "a", b"content")
    """
    assert run(killed).returncode == 9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".writing-")
    write_atomically(tmp_path / "b", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_only_files_of_processes_that_have_ended_are_abandoned(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    computer, own = _files._computer(), os.getpid()
    names = {
        f".writing-{computer}-{ended.pid}-1": True,
        f".writing-{computer}-{own}-1": True,  # of a former process with this number, as happens in containers
        f".writing-{computer}-{os.getppid()}-1": False,
        f".writing-other-{ended.pid}-1": False,
        ".writing-old1234": False,
    }
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    assert {path.name for path in abandoned_files(tmp_path)} == {name for name, gone in names.items() if gone}
    for name in names:
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    assert {path.name for path in abandoned_files(tmp_path)} == set(names)
    with _files.temporary_file(tmp_path) as mine:
        mine.write_bytes(b"half")
        os.utime(mine, (time.time() - 7200,) * 2)
        assert mine not in abandoned_files(tmp_path)
    assert not mine.exists()


def test_the_temporary_folder_of_a_killed_process_is_deleted_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = """
    import os
    from alkit._files import make_temporary_folder
    (make_temporary_folder() / "experiment.db").write_bytes(b"record")
    os._exit(9)
    """
    assert run(killed, env={**os.environ, "TMPDIR": str(tmp_path)}).returncode == 9
    assert len(list(tmp_path.glob("alkit-*/experiment.db"))) == 1
    (tmp_path / "alkit-a-b-c").symlink_to(Path(__file__).parent)
    own = make_temporary_folder()
    assert make_temporary_folder() != own
    assert not list(tmp_path.glob("alkit-*/experiment.db"))
    assert own.exists()
    assert (tmp_path / "alkit-a-b-c").exists()


def test_a_killed_ask_leaves_nothing_in_the_exchange_folder_once_it_is_repeated(tmp_path):
    killed = f"""
    import os
    import numpy as np
    import alkit
    from alkit.values import Query
    pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
    oracle = alkit.FolderOracle({str(tmp_path)!r}, classes=("skin", "lesion"), images=pool)
    replace, done = os.replace, []

    def killed(*paths):
        done.append(paths)
        os._exit(9) if len(done) == 2 else replace(*paths)

    os.replace = killed
    oracle.ask([Query(id, 0, rank, ((8, 8),)) for rank, id in enumerate(pool.ids)])
    """
    assert run(killed).returncode == 9
    assert len(list(tmp_path.rglob(".writing-*"))) == 1
    pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
    oracle = alkit.FolderOracle(tmp_path, classes=("skin", "lesion"), images=pool)
    oracle.ask([alkit.values.Query(pool.ids[2], 0, 2, ((8, 8),))])  # the query that was written half is withdrawn
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_file_that_cannot_be_deleted_is_a_store_error(tmp_path, monkeypatch):
    """As on Windows, where a program has it open."""
    images, masks = alkit.synthetic.lesions(6, size=16)
    for row, image in enumerate(images):
        Image.fromarray(image[0]).save(make_folder(tmp_path / ("new" if row == 5 else "images")) / f"{row:04}.png")
    pool, learner = alkit.ImagePool(str(tmp_path / "images"), size=16, grayscale=True), alkit.testing.Brightness()
    experiment = alkit.Experiment(
        pool, learner, alkit.strategy("random"), tmp_path / "c.db", classes=("skin", "lesion")
    )
    experiment.tell({id: masks[int(id)] for id in experiment.ask(3)})
    experiment.fit()
    experiment.export_labels(tmp_path / "labels")
    oracle = alkit.FolderOracle(tmp_path / "exchange", classes=("skin", "lesion"), images=pool)
    model = alkit.trained_model(tmp_path / "c.db", learner=learner)
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.suffix in (".txt", ".png", ".json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for call in (
        lambda: experiment.send(oracle),
        lambda: experiment.export_labels(tmp_path / "labels", overwrite=True),
        lambda: alkit.predict_folder(model, tmp_path / "new", tmp_path / "out", overwrite=True),
    ):
        if not experiment.open_ids:
            experiment.ask(2)
        with pytest.raises(StoreError, match=r"cannot delete .* \(Permission denied\)\. Try: check the permissions"):
            call()


def test_all_temporary_files_are_made_by_one_module():
    sources = Path(_files.__file__).parent.rglob("*.py")
    makers = ("mkstemp", "mkdtemp", "import tempfile", "TemporaryFile(", '".writing')
    found = {
        path.name
        for path in sources
        for line in path.read_text().splitlines()
        if any(maker in line for maker in makers) and ">>>" not in line
    }
    assert found == {"_files.py", "truth.py"}  # the file of truth.py has no name
