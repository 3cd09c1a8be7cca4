"""Small, real parts for the tests: images with masks, an oracle, and a learner that needs no gradient."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import alkit
from alkit.types import quiet

CLASSES = ("skin", "lesion")

collect_ignore = ["fixtures"]  # the scripts that made them run with the code of other commits

# A busy machine is no defect; and a check of a change should say the same each time, where exploring is for developers.
settings.register_profile(
    "alkit", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alkit")


@dataclass(frozen=True, eq=False)
class MeanPredictor:
    """Predicts, for every image, how often each pixel was a lesion in training; chance adds a little noise."""

    lesion: np.ndarray

    def probabilities(self, images):
        lesion = np.broadcast_to(self.lesion, (len(images), *self.lesion.shape))
        return np.stack([1 - lesion, lesion], axis=1).astype(np.float32)

    def dumps(self) -> bytes:
        return np.array(self.lesion.shape, np.int64).tobytes() + self.lesion.tobytes()


@dataclass(frozen=True)
class MeanLearner:
    """The least learner that uses all it is given: labels, chance, and the previous model."""

    noise: float = 0.01

    def fit(self, labelled, rng, previous=None, report=quiet):
        mean = labelled.labels(labelled.ids).mean(axis=0)
        if previous is not None:
            mean = (mean + previous.lesion) / 2
        report(alkit.Progress("fit", 1, 1))
        return MeanPredictor(np.clip(mean + self.noise * rng.standard_normal(mean.shape), 0, 1))

    def loads(self, dumped):
        shape = np.frombuffer(dumped[:16], np.int64)
        return MeanPredictor(np.frombuffer(dumped[16:]).reshape(shape))


@dataclass(frozen=True)
class World:
    """A small problem with everything an experiment needs."""

    pool: alkit.Pool
    test: alkit.Pool
    oracle: alkit.MaskOracle
    masks: dict[str, np.ndarray]
    learner: MeanLearner = field(default_factory=MeanLearner)

    def experiment(self, store=None, strategy=None, **arguments) -> alkit.Experiment:
        arguments = {"learner": self.learner, "strategy": strategy or alkit.strategy("random"), **arguments}
        return alkit.Experiment(self.pool, store=store, **arguments)


@pytest.fixture(scope="session")
def world() -> World:
    images, masks = alkit.synthetic.lesions(60, size=16, seed=0)
    pool, test = alkit.ArrayPool(images).split(test=20, seed=0)
    named = {f"{row:04}": mask for row, mask in enumerate(masks)}
    return World(pool, test, alkit.MaskOracle(named, classes=CLASSES), named)


@pytest.fixture(scope="session")
def small_network():
    return partial(alkit.UNet, widths=(2, 4, 8))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


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
def data(tmp_path):
    """Return a folder of synthetic images under the ids that the ISIC benchmark's smoke profile takes."""
    import isic2017
    from PIL import Image

    split, smoke = json.loads(isic2017.SPLIT.read_text()), isic2017.PROFILES["smoke"]
    ids = split["pool"][: smoke.pool] + split["test"][: smoke.test]
    images, masks = alkit.synthetic.lesions(len(ids), size=40)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for id, image, mask in zip(ids, images[:, 0], masks, strict=True):
        Image.fromarray(np.stack([image] * 3, -1)).save(tmp_path / "images" / f"{id}.jpg")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


@pytest.fixture
def bench(data, tmp_path):
    """Run the ISIC benchmark's smoke profile in this process and return its rows."""
    import isic2017

    places = ["--data", data, "--out", tmp_path / "out", "--records", tmp_path / "records", "--profile", "smoke"]

    def bench(*more):
        isic2017.main([str(part) for part in [*places, "--jobs", 1, *more]])
        return isic2017.read_rows(tmp_path / "out")

    return bench
