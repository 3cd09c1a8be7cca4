import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

import alkit
from alkit.experiment.representations import Representations
from alkit.pools.batches import batches
from alkit.record import Store
from alkit.values import quiet


class Flat:
    """Gives back the pixels."""

    def __init__(self, spoil=None):
        self.spoil, self.sizes = spoil, []

    def fit(self, pool, rng, report=quiet):
        return self

    def features(self, images):
        self.sizes.append(len(images))
        rows = images.reshape(len(images), -1)
        return rows if self.spoil is None else np.where(rows == self.spoil, np.nan, rows)


@dataclass(frozen=True)
class Means:
    """Gives the mean of the pixels."""

    def fit(self, pool, rng, report=quiet):
        return self

    def features(self, images):
        return images.reshape(len(images), -1).mean(axis=1, keepdims=True)


@pytest.fixture
def pool():
    values = np.random.default_rng(0).permutation(150).astype(np.float32) / 150
    return alkit.ArrayPool({f"{row:03}": np.full((2, 2), value) for row, value in enumerate(values)})


def represented(pool, tmp_path, seed=0):
    return Representations(pool, alkit.rng.Stream(seed), Store(tmp_path / "r.db"), quiet)


def test_each_row_of_features_belongs_to_its_id_whatever_the_order_of_the_pool(pool, tmp_path):
    turned = pool.subset(list(pool.ids)[::-1])
    representations, extractor = represented(turned, tmp_path), Flat()
    table = representations.features(extractor)
    assert len(extractor.sizes) > 1
    for id, row in zip(representations.ids, table, strict=True):
        assert (row == pool.read([id]).ravel()).all()
    assert not table.flags.writeable


def test_a_feature_that_is_not_finite_names_its_image(pool, tmp_path):
    with pytest.raises(alkit.errors.DataError, match="'100'"):
        represented(pool, tmp_path).features(Flat(spoil=pool.read(["100"]).max()))


def test_extractors_without_a_written_form_are_told_apart(pool, tmp_path):
    representations = represented(pool, tmp_path)
    one, other = Flat(), Flat()
    for _ in range(2):
        representations.clusters(one, 3)
        representations.clusters(other, 3)
    assert len(one.sizes) == len(other.sizes) == 3  # 150 images in batches of 64, once


@pytest.mark.parametrize(("side", "expected"), [(4, 64), (128, 64), (256, 16), (1024, 1), (4096, 1)])
def test_batches_hold_about_a_million_pixels(side, expected):
    class Pool:
        def read(self, ids):
            return np.empty((len(ids), 1, side, side), np.float32)

    ids = [str(number) for number in range(130)]
    cut = list(batches(ids, Pool()))
    assert max(map(len, cut)) == expected
    assert [id for some in cut for id in some] == ids
    assert list(batches([], Pool())) == []
    assert max(map(len, batches(ids, Pool(), at_once=100))) == min(100, max(1, 2**20 // side**2))


def test_fewer_clusters_than_asked_for_are_read_from_the_record_as_they_were_recorded(tmp_path):
    pool = alkit.ArrayPool(np.repeat(np.array([0, 255], np.uint8), 32).reshape(4, 4, 4))
    first, again = (represented(pool, tmp_path).clusters(Means(), 3) for _ in range(2))
    assert first.k == again.k == 2
    np.testing.assert_array_equal(first.labels, again.labels)
    assert list(tmp_path.rglob("*.npz"))


class Rows(Flat):
    """Gives the means of rows or columns."""

    def __init__(self, axis):
        super().__init__()
        self.axis, self.calls = axis, 0

    def features(self, images):
        self.calls += 1
        return images.mean(axis=(1, self.axis))


def test_features_by_other_parameters_of_an_object_are_computed_again(tmp_path):
    pool = alkit.ArrayPool(np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    extractor, found = Rows(2), represented(pool, tmp_path)
    rows = found.features(extractor)
    assert (found.features(extractor) is rows, extractor.calls) == (True, 1)
    extractor.axis = 3
    np.testing.assert_array_equal(found.features(extractor), Rows(3).features(pool.read(pool.ids)))
    assert (found.clusters(extractor, 2).k, extractor.calls) == (2, 2)


def test_features_of_a_class_that_was_defined_again_are_not_those_of_the_former_one(pool, tmp_path, monkeypatch):
    """As in a notebook, or after importlib.reload: its name and parameters are the same."""
    notebook = ModuleType("notebook_of_a_user")
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)
    representations = represented(pool, tmp_path)
    vars(notebook).update(Means=Means, dataclass=dataclass)
    for sign in ("", "-"):
        cell = f"def sign(rows): return {sign}rows\n"
        cell += (
            ""
            if sign
            else (
                "@dataclass(frozen=True)\nclass Signed(Means):\n"
                "    def features(self, images): return sign(super().features(images))\n"
            )
        )
        exec(cell, vars(notebook))
        means = np.concatenate([pool.read([id]).mean(axis=(2, 3)) for id in representations.ids])
        found = representations.features(notebook.Signed())
        np.testing.assert_allclose(found, means if not sign else -means)
        assert representations.features(notebook.Signed()) is found
