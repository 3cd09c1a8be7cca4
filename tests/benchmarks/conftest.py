"""Data, rows, a runner and a server for the tests of the benchmarks."""

import shutil
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from benchmark_numbers import BUDGETS
from faulty_server import FaultyServer

import alkit
from benchmarks import rows
from benchmarks.isic2017 import command, protocol, results, split


def write_data(folder):
    """Write synthetic images with the ids that the benchmark's smoke profile takes, and return their folder."""
    from PIL import Image

    smoke, parts = protocol.PROFILES["smoke"], split.read()
    ids = parts["pool"][: smoke.pool] + parts["test"][: smoke.test]
    images, masks = alkit.synthetic.lesions(len(ids), size=40)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for id, image, mask in zip(ids, images[:, 0], masks, strict=True):
        Image.fromarray(np.stack([image] * 3, -1)).save(folder / "images" / f"{id}.jpg")
        Image.fromarray(mask * 255).save(folder / "masks" / f"{id}.png")
    return folder


def bench_in(folder):
    """Return a function that runs the benchmark's smoke profile in this process and returns its rows."""
    places = ["--data", folder, "--out", folder / "out", "--records", folder / "records", "--profile", "smoke"]

    def bench(*more):
        command.main([str(part) for part in [*places, "--jobs", 1, *more]])
        return results.read_rows(folder / "out")

    return bench


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


@pytest.fixture
def bench(data):
    return bench_in(data)


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    """Return a folder with the data and the finished runs of two methods."""
    folder = write_data(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        bench_in(folder)("--seeds", 0, "--methods", "random", "ssl-cluster", "--weights", "scratch", "--device", "cpu")
    return folder


@pytest.fixture
def bench_again(finished_runs, tmp_path):
    """Return the same function as `bench`, after the runs of ``random`` and ``ssl-cluster`` from scratch, seed 0."""
    shutil.copytree(finished_runs, tmp_path, dirs_exist_ok=True)
    return bench_in(tmp_path)


@pytest.fixture
def measured():
    """Return rows of every arm with known Dice: three seeds of the ensembles, five of the others."""
    rng = np.random.default_rng(0)
    found = []
    for number, arm in enumerate(dict.fromkeys(arm for part in protocol.PARTS.values() for arm in part)):
        method, _, variant = arm
        for seed in range(3 if method.startswith("ensemble") else 5):
            for round, labels in enumerate([1600] if variant.startswith("full") else BUDGETS):
                dice = round_off(0.6 + round / 50 + number / 500 + seed / 30 + rng.normal(0, 0.01))
                known = "small", *arm, seed, round, labels, 0, dice, dice, dice, 1.0
                found.append(results.Row(*known, f"{arm} {seed}", "abc", "a machine"))
    return found


def round_off(value):
    return round(float(value), 5)


@pytest.fixture
def out(measured, tmp_path):
    """Return a folder of results with the measured rows."""
    rows.write(tmp_path / "rows.csv", [vars(row) for row in measured])
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
