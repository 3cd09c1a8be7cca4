"""Scores of a pool: streamed, cached, checked, and independent of the batches."""

import importlib
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch

import alkit
from alkit import scores
from alkit.configuration import start
from alkit.configuration.code import code_of
from alkit.learners.predictor import NetworkPredictor
from alkit.networks import make_network
from alkit.networks.footprint import BUDGET
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC
from alkit.scores import streamed
from alkit.scores.streamed import Scoring

DROPOUT = alkit.Dropout(draws=4)


@pytest.fixture(scope="module")
def pool():
    images, _ = alkit.synthetic.lesions(30, size=16, seed=3)
    return alkit.ArrayPool(images)


@pytest.fixture(scope="module")
def predictor():
    factory = partial(alkit.UNet, widths=(4, 8, 8), heads={2: 0.3})
    return NetworkPredictor(make_network(factory, in_channels=1, classes=2, stream=Stream(7)), 1, 2)


def pool_scores(pool, predictor, score, sampler=DETERMINISTIC, ids=None, seed=0, reduction=scores.mean):
    return Scoring(pool, predictor, Stream(seed)).scores(ids or sorted(pool.ids), score, sampler, reduction)


@pytest.mark.parametrize("score", [scores.entropy, scores.bald, scores.variance, scores.edt_variance, scores.margin])
def test_scores_equal_those_of_the_whole_array_of_draws(pool, predictor, score):
    """Reference: all draws of all images at once, in float64."""
    inside = predictor.posterior(pool.read(pool.ids))
    draws = torch.cat(list(inside.dropout(4, Stream(0)))).double()
    moments = {
        "mean": draws.mean(0),
        "mean_entropy": -torch.xlogy(draws, draws).sum(2).mean(0),
        "variance": draws.var(0, correction=0),
        "prediction": inside.prediction().double(),
    }
    expected = score(**{name: moments[name] for name in scores.moments_of(score)}).mean(dim=(1, 2))
    found = pool_scores(pool, predictor, score, DROPOUT)
    np.testing.assert_allclose([found[id] for id in pool.ids], expected.detach().numpy(), rtol=1e-4, atol=1e-7)
    assert len(set(found.values())) > 5


@pytest.mark.parametrize("score", [scores.bald, scores.edt_variance, scores.head_disagreement])
@pytest.mark.parametrize("budget", [1, 10**6])
def test_scores_do_not_depend_on_the_batches(pool, predictor, score, budget, monkeypatch):
    expected = pool_scores(pool, predictor, score, DROPOUT)
    monkeypatch.setitem(BUDGET, "cpu", budget)
    found = pool_scores(pool, predictor, score, DROPOUT)
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_score_of_an_image_does_not_depend_on_the_order_or_on_other_images(pool, predictor):
    everything = pool_scores(pool, predictor, scores.bald, DROPOUT)
    some = ["0007", "0021", "0002"]
    found = pool_scores(pool, predictor, scores.bald, DROPOUT, ids=some)
    assert list(found) == some
    assert found == pytest.approx({id: everything[id] for id in some}, abs=1e-6)


def test_another_stream_gives_other_dropout_draws(pool, predictor):
    assert pool_scores(pool, predictor, scores.bald, DROPOUT) != pool_scores(
        pool, predictor, scores.bald, DROPOUT, seed=1
    )
    assert pool_scores(pool, predictor, scores.entropy) == pool_scores(pool, predictor, scores.entropy, seed=1)


def test_a_score_reads_each_image_once_and_repeating_it_reads_none(pool, predictor):
    read = []

    @dataclass
    class Counting:
        ids = pool.ids

        def read(self, ids):
            read.extend(ids)
            return pool.read(ids)

    scoring = Scoring(Counting(), predictor, Stream(0))
    first = scoring.scores(pool.ids[:20], scores.entropy, DROPOUT)
    assert Counter(read) - Counter(dict.fromkeys([pool.ids[0]], 3)) <= Counter(pool.ids[:20])  # read for its size
    read.clear()
    assert scoring.scores(pool.ids[:20], scores.entropy, DROPOUT) == first
    assert not read
    scoring.scores(pool.ids, scores.entropy, DROPOUT)  # only the ten new candidates are read
    assert set(read) == set(pool.ids[20:])
    read.clear()
    assert scoring.scores(pool.ids, scores.entropy, alkit.Dropout(draws=5)) != first  # another question
    assert set(read) == set(pool.ids)


@dataclass
class Lookup:
    """Looks its prediction up by the first pixel of each image."""

    answers: dict

    def probabilities(self, images):
        return np.stack([self.answers[int(image[0, 0, 0])] for image in images]).astype(np.float32)


def pool_and_model(*answers):
    images = np.arange(len(answers), dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 1, 2, 2), np.float32)

    class Numbers:
        ids = tuple(f"image {row}" for row in range(len(answers)))

        def read(self, ids):
            return images[[self.ids.index(id) for id in ids]]

    return Numbers(), Lookup(dict(enumerate(answers)))


HALF = np.full((2, 2, 2), 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("score", [scores.entropy, scores.margin, scores.bald, scores.edt_variance])
def test_a_prediction_that_is_not_finite_is_an_error_that_names_the_image(bad, score):
    broken = HALF.copy()
    broken[1, 0, 1] = bad
    with pytest.raises(alkit.errors.SelectionError, match="'image 1' is not finite"):
        pool_scores(*pool_and_model(HALF, broken, HALF), score)
    with pytest.raises(alkit.errors.SelectionError, match="'image 1' is not finite"):
        list(Scoring(*pool_and_model(HALF, broken, HALF), Stream(0)).predictions(["image 0", "image 1"]))


def test_a_score_that_is_not_finite_is_an_error_that_names_the_image():
    certain = np.stack([np.ones((2, 2)), np.zeros((2, 2))])
    with pytest.raises(alkit.errors.SelectionError, match="score of 'image 2' is not finite"):
        pool_scores(*pool_and_model(HALF, HALF, certain), lambda mean: mean.log().sum(dim=1))


def test_a_score_of_a_wrong_shape_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="the score must have one entry per image"):
        pool_scores(*pool_and_model(HALF, HALF, HALF), lambda mean: mean.flatten()[:7])


def test_the_reduction_turns_pixels_into_the_score(pool, predictor):
    means = pool_scores(pool, predictor, scores.entropy)
    totals = pool_scores(pool, predictor, scores.entropy, reduction=scores.total)
    assert totals == pytest.approx({id: 256 * value for id, value in means.items()}, rel=1e-5)
    peaks = pool_scores(pool, predictor, scores.entropy, reduction=lambda maps: maps.flatten(1).amax(dim=1))
    assert all(peaks[id] >= means[id] for id in means)


def test_predictions_are_the_models_own(pool, predictor):
    ids = list(reversed(pool.ids))
    found = list(Scoring(pool, predictor, Stream(0)).predictions(ids))
    assert [id for batch in found for id in batch.ids] == ids
    together = np.concatenate([batch.probabilities for batch in found])
    np.testing.assert_allclose(together, predictor.probabilities(pool.read(ids)), atol=1e-6)


def test_an_error_says_what_the_model_lacks(pool):
    no_draws = pool_and_model(HALF, HALF)
    for sampler, hint in ((alkit.Dropout(), "Ensemble"), (alkit.samplers.Members(), "Ensemble")):
        with pytest.raises(alkit.errors.ConfigurationError, match=hint):
            pool_scores(*no_draws, scores.entropy, sampler)
    with pytest.raises(alkit.errors.ConfigurationError, match="heads="):
        pool_scores(*no_draws, scores.head_disagreement)


MEMORY = """
import json, sys, threading, time
import numpy as np, torch
torch.set_num_threads(1)
import alkit
from alkit import scores
from alkit.learners.predictor import NetworkPredictor
from alkit.rng import Stream
from alkit.scores import streamed
from alkit.scores.streamed import Scoring

class Endless:
    "Images made when they are read, so that the pool itself takes no memory."
    def __init__(self, n): self.ids = [f"{i:05}" for i in range(n)]
    def read(self, ids):
        return np.stack([np.random.default_rng(int(id)).random((1, 96, 96), np.float32) for id in ids])

def anonymous():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1]) / 1024

def peak(n, draws):
    pool, before, most, stop = Endless(n), anonymous(), [0], threading.Event()
    def watch():
        while not stop.wait(0.001): most.append(anonymous())
    thread = threading.Thread(target=watch); thread.start()
    Scoring(pool, predictor, Stream(0)).scores(pool.ids, scores.edt_variance, alkit.Dropout(draws))
    stop.set(); thread.join()
    return max(most) - before

predictor = NetworkPredictor(alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8)), 1, 2)
first = peak(32, 2)
print(json.dumps([first, peak(64, 10), peak(384, 2)]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_grows_neither_with_the_pool_nor_with_the_number_of_draws():
    """Ten draws of 64 images would be 47 MB, the means of 384 images 28 MB; the budget of feature maps is 24 MB."""
    said = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    first, *others = json.loads(said)
    assert max(others) < first + 20
    assert first < 100


SCORE = """
n = 0
def score(mean_entropy):
    global n
    n += 1
    if n == 3 and FACTOR == 1:
        raise ValueError("a mistake")
    return FACTOR * mean_entropy.flatten(1).mean(1)
"""


class Even:
    """Half sure of everything, in batches of two images."""

    def images_at_once(self, images):
        return 2

    def probabilities(self, images):
        return np.full((len(images), 2, 4, 4), 0.5, np.float32)


def test_scores_of_former_code_are_not_taken_for_those_of_changed_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)  # the module is there when the program begins
    pool = alkit.ArrayPool(np.zeros((8, 4, 4), np.uint8))

    def score_with(factor):
        (tmp_path / "my_score_that_changes.py").write_text(f"FACTOR = {factor}\n#{' ' * factor}{SCORE}")
        sys.modules.pop("my_score_that_changes", None)
        module = importlib.import_module("my_score_that_changes")
        return Scoring(pool, Even(), Stream(0), key="r").scores(pool.ids, module.score)

    with pytest.raises(ValueError, match="a mistake"):
        score_with(1)
    assert list((tmp_path / "cache" / "shards").glob("*/*.shard"))
    assert list(score_with(2).values()) == pytest.approx([2 * np.log(2)] * 8)


class Unknown:
    """Images without digests."""

    ids = ("a", "b")
    shape = (1, 4, 4)

    def read(self, ids):
        return np.zeros((len(ids), 1, 4, 4), np.float32)


def test_scores_are_kept_only_if_it_can_be_told_that_images_and_device_are_the_same(monkeypatch):
    keys = []

    def share(work, shards, tick, *, workers, key):
        keys.append(key)
        return [{"scores": np.zeros(shard.size)} for shard in shards]

    monkeypatch.setattr(streamed, "share", share)
    first, second = (alkit.ArrayPool(np.full((2, 4, 4), value, np.uint8), ids=["a", "b"]) for value in (0, 1))
    cpu, gpu = (alkit.SegmentationLearner(alkit.UNet, device=name) for name in ("cpu", "cuda"))
    for pool, learner in ((first, cpu), (first, cpu), (second, cpu), (first, gpu), (Unknown(), cpu)):
        Scoring(pool, Even(), Stream(0), learner=learner, key="r").scores(["a", "b"], scores.entropy)
    assert keys[0] == keys[1]
    assert keys[0] not in keys[2:4]
    assert keys[4] is None


def test_results_of_code_whose_file_was_changed_while_the_program_runs_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_score_that_is_edited.py"
    file.write_text("def score(mean): return mean")
    importlib.import_module(file.stem)
    form = {"named": f"{file.stem}:score"}
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    assert code_of(form)
    monkeypatch.setattr(start, "STARTED", time.time() - 3600)
    assert code_of(form) is None


class Huge:
    """A model whose memory does not suffice for one image."""

    def probabilities(self, images):
        raise MemoryError("Unable to allocate 9 GiB")


class HugeAsItKnows(Huge):
    """One that finds out when it is asked how many images fit."""

    def images_at_once(self, images):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


@pytest.mark.parametrize("model", [Huge, HugeAsItKnows])
def test_an_image_that_is_too_large_is_an_error_with_its_size(model):
    pool = alkit.ArrayPool(np.zeros((2, 24, 32), np.uint8))
    with pytest.raises(alkit.errors.ConfigurationError, match=r"memory for one image of 32 x 24 pixels: got.*tile=512"):
        Scoring(pool, model(), Stream(0)).scores(pool.ids, scores.entropy)


LARGE = """
import json, resource, sys
import numpy as np, torch
torch.set_num_threads(1)
import alkit
from alkit.learners import NetworkPredictor
from alkit.networks.footprint import footprint
from alkit.rng import Stream
from alkit.scores import Scoring, bald

def memory(name):
    return int(next(l for l in open("/proc/self/status") if l.startswith(name)).split()[1]) * 1024

def scoring(side):
    torch.manual_seed(0)
    predictor = NetworkPredictor(alkit.UNet(in_channels=1, classes=2, widths=(8, 16, 32)), 1, 2)
    pool = alkit.ArrayPool(np.random.default_rng(0).integers(0, 256, (2, side, side), np.uint8))
    return predictor, Scoring(pool, predictor, Stream(0)).scores(pool.ids, bald, alkit.Dropout(2))

scoring(32)
before = memory("VmRSS")
predictor, found = scoring(768)
one = footprint(predictor.network, torch.zeros(1, 1, 768, 768))
print(json.dumps([(memory("VmHWM") - before) / one, found["0001"]]))
resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + int(sys.argv[1]) * 2**20,) * 2)
try:
    scoring(4096)
except alkit.errors.ConfigurationError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_few_large_images_are_scored_in_the_memory_of_one_or_are_too_large():
    said = subprocess.run([sys.executable, "-c", LARGE, "300"], capture_output=True, text=True, check=True).stdout
    first, error = said.splitlines()
    ratio, score = json.loads(first)
    assert ratio < 3
    assert score != 0
    assert "the machine must have enough memory for one image of 4096 x 4096 pixels" in error
    assert "tile=512" in error


def test_scores_by_a_function_whose_helper_was_defined_again_are_computed_again(pool, predictor, monkeypatch):
    notebook = ModuleType("notebook_of_a_user")
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)
    exec("def helper(x): return x\ndef own(mean): return helper(mean[:, 0])", vars(notebook))
    scoring = Scoring(pool, predictor, Stream(0))
    first = scoring.scores(pool.ids[:1], notebook.own)
    assert scoring.scores(pool.ids[:1], notebook.own) == first
    exec("def helper(x): return -x", vars(notebook))
    assert scoring.scores(pool.ids[:1], notebook.own) == {id: -value for id, value in first.items()}


class Scaled:
    """A score with a parameter."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, mean):
        return self.factor * mean[:, 0]


def test_scores_by_other_parameters_of_an_object_are_computed_again(pool, predictor):
    scoring, score = Scoring(pool, predictor, Stream(0)), Scaled(1.0)
    first = scoring.scores(pool.ids[:1], score)
    score.factor = -1.0
    assert scoring.scores(pool.ids[:1], score) == {id: -value for id, value in first.items()}
