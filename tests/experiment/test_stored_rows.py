"""Features on disk: computed once for all experiments, checked when they are read, resumed after a death."""

import errno
import importlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import alkit
from alkit.configuration import definitions, start
from alkit.errors import ConfigurationError, DataError, StoreError
from alkit.experiment.representations import Representations
from alkit.features import gathered, stored
from alkit.record import Store
from alkit.rng import Stream
from alkit.values import quiet

COMPUTED = []
"""Mean of each image whose row was computed, in order."""


@dataclass(frozen=True)
class Wide:
    """Rows that tell images apart; what a fit reads from elsewhere is no parameter."""

    factor: float = 1.0
    width: int = field(default=6, compare=False, metadata={"runtime": True})
    mark: str = field(default="weights of the first kind", compare=False, metadata={"runtime": True})
    scale: float = field(default=1.0, compare=False, metadata={"runtime": True})
    death: int = field(default=10**9, compare=False, metadata={"runtime": True})

    def fit(self, pool, rng, report=quiet):
        return self

    def fingerprint(self):
        return self.mark

    def features(self, images):
        means = images.mean(axis=(1, 2, 3))
        COMPUTED.extend(means.tolist())
        if len(COMPUTED) > self.death:
            raise OSError(errno.EIO, "the pool's disk fails")
        return (self.scale * self.factor * np.outer(means + 1, np.arange(1, self.width + 1))).astype(np.float32)


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    COMPUTED.clear()
    monkeypatch.setattr(stored, "BLOCK", 100)  # several blocks of few rows


def pool_of(numbers, scale="full"):
    side = 128  # batches of 64
    images = {f"{number:04}": np.full((side, side), number * 50, np.uint16) for number in numbers}
    return alkit.ArrayPool(images, scale=scale)


def rows_of(pool, extractor, tmp_path):
    found = Representations(pool, alkit.rng.Stream(0), Store(tmp_path / "r.db"), quiet).features(extractor)
    assert not found.flags.writeable
    return found


def folder():
    (found,) = (Path(os.environ["ALKIT_CACHE"]) / "features").iterdir()
    return found


def file(suffix):
    (found,) = folder().glob(f"rows-*{suffix}")
    return found


def expected(pool, extractor=Wide()):
    return np.array([extractor.features(pool.read([id]))[0] for id in sorted(pool.ids)])


def test_rows_are_computed_once_for_all_experiments(tmp_path):
    pool = pool_of(range(150))
    first = rows_of(pool, Wide(), tmp_path)
    assert len(COMPUTED) == 150
    again = rows_of(pool, Wide(), tmp_path)
    assert len(COMPUTED) == 151  # one row was compared
    np.testing.assert_array_equal(first, expected(pool))
    np.testing.assert_array_equal(again, first)
    rows_of(pool, Wide(mark="weights of the second kind"), tmp_path)
    rows_of(pool, Wide(factor=2.0), tmp_path)
    assert len(list((Path(os.environ["ALKIT_CACHE"]) / "features").iterdir())) == 3


def test_only_new_images_are_computed_when_the_pool_grows(tmp_path):
    rows_of(pool_of(range(0, 150, 2)), Wide(), tmp_path)
    COMPUTED.clear()
    grown = pool_of(range(150))
    found = rows_of(grown, Wide(), tmp_path)
    assert len(COMPUTED) == 75 + 1
    np.testing.assert_array_equal(found, expected(grown))
    COMPUTED.clear()
    some = grown.subset([f"{number:04}" for number in (140, 3, 77)])
    np.testing.assert_array_equal(rows_of(some, Wide(), tmp_path), expected(some))
    np.testing.assert_array_equal(rows_of(grown, Wide(), tmp_path), found)
    assert len(list(folder().glob("order-*"))) == 2


def test_identical_images_and_the_order_of_the_pool_do_not_matter(tmp_path):
    pool = alkit.ArrayPool(
        {id: np.full((4, 4), value, np.uint8) for id, value in zip("edcba", (1, 2, 1, 2, 1), strict=True)}
    )
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), expected(pool))
    np.testing.assert_array_equal(rows_of(pool.subset(list("acbed")), Wide(), tmp_path), expected(pool))
    np.testing.assert_array_equal(rows_of(pool.subset(["b", "e"]), Wide(), tmp_path), expected(pool.subset(["b", "e"])))


def test_digests_with_the_same_beginning_are_told_apart():
    from alkit.features.row_index import find_rows, make_entries

    images = np.array([b"beginning" + bytes([number] * 23) for number in (4, 5, 6, 7)], "S32")
    entries = make_entries(images[[2, 0, 2, 1]], np.zeros((4, 2), np.float32))
    assert find_rows(entries, np.ones(4, bool), images).tolist() == [1, 3, 0, -1]
    assert find_rows(entries, np.array([True, False, True, True]), images).tolist() == [-1, 3, 0, -1]


def test_pixels_that_are_scaled_or_shaped_otherwise_are_other_images(tmp_path):
    images = np.arange(64, dtype=np.uint8).reshape(2, 4, 8)
    pools = [alkit.ArrayPool(images), alkit.ArrayPool(images.reshape(2, 8, 4)), alkit.ArrayPool(images, scale="minmax")]
    rows_of(pools[0], Wide(), tmp_path)
    for pool in pools[1:]:
        COMPUTED.clear()
        rows_of(pool, Wide(mark="another one, unknown so far"), tmp_path)
        assert len(COMPUTED) >= 2


@pytest.mark.parametrize("what", ["a row", "an entry", "the last entry cut off", "rows cut off", "all rows", "no rows"])
def test_damaged_rows_are_computed_again_and_no_others(what, tmp_path, caplog):
    pool = pool_of(range(150))
    first = np.array(rows_of(pool, Wide(), tmp_path))
    rows, index = (bytearray(file(suffix).read_bytes()) for suffix in (".bin", ".index"))
    damaged = 1
    if what == "a row":
        rows[24 * 70 + 5] ^= 4
    elif what == "an entry":
        index[40 * 70 + 5] ^= 4
    elif what == "the last entry cut off":
        del index[-7:]
    elif what == "rows cut off":
        del rows[-24 * 3 - 5 :]
        damaged = 4
    elif what == "all rows":
        rows = bytearray(len(rows))
        damaged = 150
    file(".bin").write_bytes(rows)
    file(".index").write_bytes(index)
    if what == "no rows":
        file(".bin").unlink()
        damaged = 150
    COMPUTED.clear()
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), first)
    assert damaged <= len(COMPUTED) <= damaged + 2  # and those that were compared
    COMPUTED.clear()
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), first)
    assert len(COMPUTED) == 1


def test_a_damaged_copy_in_another_order_is_made_again(tmp_path):
    rows_of(pool_of(range(0, 150, 2)), Wide(), tmp_path)
    grown = pool_of(range(150))
    first = np.array(rows_of(grown, Wide(), tmp_path))
    (order,) = folder().glob("order-*")
    content = bytearray(order.read_bytes())
    content[24 * 99 + 3] ^= 1
    order.write_bytes(content)
    COMPUTED.clear()
    np.testing.assert_array_equal(rows_of(grown, Wide(), tmp_path), first)
    assert len(COMPUTED) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1}', b"\xff"])
def test_a_damaged_description_starts_a_new_table(content, tmp_path, caplog):
    pool = pool_of(range(5))
    first = np.array(rows_of(pool, Wide(), tmp_path))
    (folder() / "about.json").write_bytes(content)
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), first)
    assert "are damaged" in caplog.text
    assert len(list(folder().glob("rows-*"))) == 2


def test_an_extractor_that_changes_its_width_is_refused(tmp_path):
    pool = pool_of(range(5))
    rows_of(pool, Wide(), tmp_path)
    with pytest.raises(DataError, match=r"Wide must compute 6 features for each image, as for those in .*: got 7"):
        rows_of(pool, Wide(width=7), tmp_path)
    with pytest.raises(DataError, match="must return an array"):
        rows_of(pool, Wide(width=0, mark="it has no columns at all"), tmp_path)


def test_an_extractor_that_computes_other_rows_under_the_same_fingerprint_is_refused(tmp_path):
    pool = pool_of(range(5))
    rows_of(pool, Wide(), tmp_path)
    rows_of(pool, Wide(scale=1.00001), tmp_path)  # the arithmetic of another device
    with pytest.raises(DataError, match="Wide computes other features of '0000' than those in"):
        rows_of(pool, Wide(scale=1.3), tmp_path)


EXTRACTOR = """
from dataclasses import dataclass
import numpy as np

def brightness(images):
    return images.mean(axis=(1, 2, 3))

@dataclass(frozen=True)
class Own:
    def fit(self, pool, rng, report=None):
        return self

    def fingerprint(self):
        return "a mark that never changes"

    def features(self, images):
        return np.stack([brightness(images)] * 2, axis=1).astype(np.float32)
"""


def test_rows_of_edited_code_are_computed_again_although_the_fingerprint_is_the_same(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    pool = pool_of(range(4))

    def rows(code, number):
        (tmp_path / "my_extractor.py").write_text(code)
        sys.modules.pop("my_extractor", None)
        importlib.invalidate_caches()
        store = Store(tmp_path / f"{number}.db")
        found = Representations(pool, Stream(0), store, quiet)
        return np.asarray(found.features(importlib.import_module("my_extractor").Own()))[:, 0]

    before = rows(EXTRACTOR, 0)
    limited = EXTRACTOR.replace("(1, 2, 3))", "(1, 2, 3)).clip(max=0.001)")  # the first image, which is compared, stays
    assert rows(limited, 1).tolist() == before.clip(max=np.float32(0.001)).tolist() != before.tolist()
    assert rows(EXTRACTOR + "# a remark", 2).tolist() == before.tolist()
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2
    monkeypatch.setattr(start, "STARTED", 0.0)  # an edit that this program may not have loaded
    monkeypatch.setattr(definitions, "_read", {})
    rows(limited, 3)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2
    sys.modules.pop("my_extractor")


@pytest.mark.parametrize("mark", ["short", 7, None])
def test_a_fingerprint_that_is_not_a_text_is_an_error(mark, tmp_path):
    with pytest.raises(ConfigurationError, match=r"Wide.fingerprint must return a text of at least 16 characters: got"):
        rows_of(pool_of(range(5)), Wide(mark=mark), tmp_path)


def test_extraction_goes_on_at_the_batch_in_which_it_was_stopped(tmp_path):
    pool = pool_of(range(300))
    with pytest.raises(OSError, match="the pool's disk fails"):  # an error of the pool is not one of the table
        rows_of(pool, Wide(death=200), tmp_path)
    assert len(COMPUTED) == 256
    COMPUTED.clear()
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), expected(pool))
    assert len(COMPUTED) == 300 - 192 + 1 + 300


def test_a_full_disk_is_an_error_and_extraction_goes_on_when_there_is_room(tmp_path, monkeypatch):
    pool, write, room = pool_of(range(200)), stored._write, 24 * 100

    def full(opened, content):
        nonlocal room
        if len(content) > room:
            write(opened, content[:room])  # a disk takes what it has room for
            room = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= len(content)
        write(opened, content)

    monkeypatch.setattr(stored, "_write", full)
    with pytest.raises(StoreError, match=r"cannot be written to .* \(No space left on device\).*free some space"):
        rows_of(pool, Wide(), tmp_path)
    monkeypatch.setattr(stored, "_write", write)
    COMPUTED.clear()
    np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), expected(pool))
    assert len(COMPUTED) <= 200 + 200


@pytest.mark.parametrize("known", [False, True])
def test_a_cache_that_cannot_be_written_is_a_warning(known, tmp_path, monkeypatch, caplog):
    pool, mkdir = pool_of(range(150)), Path.mkdir
    if known:
        rows_of(pool, Wide(), tmp_path)
    monkeypatch.setattr(stored, "_writable", _refuse)

    def refused(path, *arguments, **options):
        if "features" in str(path):
            _refuse(path)
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    COMPUTED.clear()
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(rows_of(pool, Wide(), tmp_path), expected(pool))
    assert ("for this process only" in caplog.text) == (not known)
    assert len(COMPUTED) == 150 + (1 if known else 150)


def _refuse(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_a_table_that_cannot_be_written_is_read_in_any_order(tmp_path, monkeypatch):
    pool = pool_of(range(150))
    rows_of(pool, Wide(), tmp_path)
    monkeypatch.setattr(stored, "temporary_file", _refuse)
    some = pool.subset(["0003", "0100"])
    np.testing.assert_array_equal(rows_of(some, Wide(), tmp_path), expected(some))


def test_rows_without_a_fingerprint_lie_in_a_temporary_file_if_they_are_many(tmp_path, monkeypatch):
    class Plain:
        def fit(self, pool, rng, report=quiet):
            return self

        features = Wide.features
        scale = factor = 1.0
        width, death = 6, 10**9

    pool = pool_of(range(150))
    monkeypatch.setattr(gathered, "IN_MEMORY", 2000)
    found = rows_of(pool, Plain(), tmp_path)
    np.testing.assert_array_equal(found, expected(pool))
    assert not (Path(os.environ["ALKIT_CACHE"]) / "features").exists()
    owner = found
    while isinstance(getattr(owner, "base", None), np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)


def test_a_pool_without_digests_is_computed_for_each_process(tmp_path):
    inner = pool_of(range(5))

    class Bare:
        ids = inner.ids
        read = staticmethod(inner.read)

    np.testing.assert_array_equal(rows_of(Bare(), Wide(), tmp_path), expected(inner))
    assert not (Path(os.environ["ALKIT_CACHE"]) / "features").exists()


SCRIPT = """
import os, signal, sys, time
from dataclasses import dataclass
import numpy as np
import alkit
from alkit.values import quiet

@dataclass(frozen=True)
class Slow:
    def fit(self, pool, rng, report=quiet):
        return self

    def fingerprint(self):
        return "always the same weights"

    def features(self, images):
        means = images.mean(axis=(2, 3))
        with open(sys.argv[2], "a") as log:
            log.write(f"{len(images)}\\n")
        if DEATH == "extraction" and sum(map(int, open(sys.argv[2]))) > 200:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.concatenate([means, np.sin(40 * means)], axis=1).astype(np.float32)

DEATH = sys.argv[3]
if DEATH == "clustering":
    from alkit.experiment import representations
    representations.kmeans = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
values = np.random.default_rng(0).permutation(60000)[:300].astype(np.uint16).reshape(300, 1, 1, 1)
images = np.broadcast_to(values, (300, 1, 128, 128))
pool = alkit.ArrayPool(np.ascontiguousarray(images))
strategy = alkit.strategy("ssl-cluster", features=Slow(), clusters=7)
from parts import MeanLearner
print(*alkit.Experiment(pool, MeanLearner(), strategy, store=sys.argv[1], classes=("a", "b")).ask(20))
"""


@pytest.mark.slow
@pytest.mark.parametrize("death", ["extraction", "clustering"])
def test_after_kill_9_the_same_images_are_chosen(death, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def run(name, cache, death):
        places = [str(tmp_path / f"{name}.db"), str(tmp_path / f"{name}.log")]
        own = {**os.environ, "ALKIT_CACHE": str(tmp_path / cache), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(script), *places, death]
        return subprocess.run(command, env=own, capture_output=True, text=True)

    whole = run("whole", "one", "never")
    assert whole.returncode == 0, whole.stderr
    killed = run("killed", "other", death)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    log = tmp_path / "killed.log"
    before = sum(map(int, log.read_text().split()))
    again = run("killed", "other", "never")
    assert again.stdout == whole.stdout
    assert len(again.stdout.split()) == 20
    computed = sum(map(int, log.read_text().split())) - before
    kept = 192 if death == "extraction" else 300
    assert computed == 300 - kept + 1


def test_rows_of_an_image_that_another_record_removes_are_computed_again(tmp_path):
    pool, extractor = pool_of(range(6)), Wide()
    parts = alkit.testing.Brightness(), alkit.strategy("k-centre", features=extractor)
    one, other = (alkit.Experiment(pool, *parts, tmp_path / name, classes=("a", "b")) for name in ("a.db", "b.db"))
    found = other._parts.representations.features(extractor)  # mapped into memory, and kept by the session
    one._parts.representations.features(extractor)
    one.remove("0003", "consent withdrawn")
    assert not found[3].any(), "nothing of it is left on the disk"
    np.testing.assert_array_equal(other._parts.representations.features(extractor), expected(pool))
    assert (folder() / "erased").stat().st_size == 0
