"""What a learner cannot do is found before the first query, and odd networks go through the whole loop."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from parts import CLASSES, MeanLearner, MeanPredictor
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.errors import ConfigurationError
from alkit.record import Store

SIZE = 16


class Base(nn.Module):
    """A small network; subclasses change how it computes logits, or their form."""

    def __init__(self, in_channels, classes):
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Conv2d(4, classes, 1)

    def forward(self, images):
        return self.last(self.dropout(self.first(images).relu()))


def variant(change):
    """Return a factory of base networks whose output is changed."""

    class Variant(Base):
        def forward(self, images):
            return change(super().forward(images), self)

    return Variant


def after(change, form=lambda x: x):
    """Return a factory of base networks that are changed after they were made."""

    def factory(in_channels, classes):
        network = Base(in_channels, classes)
        return change(network) or network

    return factory


class Remembers(Base):
    def forward(self, images):
        self.kept = self.first(images).relu()
        return self.last(self.dropout(self.kept))


class Tied(Base):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.middle
        grid = torch.zeros(2, 8)
        self.register_buffer("grid", grid)
        self.register_buffer("row", grid[0])

    def forward(self, images):
        return self.last(self.dropout(self.again(self.middle(self.first(images))))) + self.row.sum()


class OneChannel(Base):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, 1)


class FiveAxes(Base):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.cube = nn.Parameter(torch.zeros(1, 1, 1, 2, 2))

    def forward(self, images):
        return super().forward(images) + self.cube.sum()


class Complex(Base):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.phases = nn.Parameter(torch.ones(4, dtype=torch.cfloat))

    def forward(self, images):
        return self.last(
            self.dropout(torch.fft.ifft2(torch.fft.fft2(self.first(images)) * self.phases[:, None, None]).real)
        )


def weight_norm(network):
    with pytest.warns(FutureWarning, match="weight_norm"):
        network.first = nn.utils.weight_norm(network.first)


def spectral_norm(network):
    network.first = nn.utils.parametrizations.spectral_norm(network.first)


ODD = {
    "a dictionary": variant(lambda x, self: {"out": x}),
    "a tuple": variant(lambda x, self: (x, x.mean())),
    "a coarse map": variant(lambda x, self: F.avg_pool2d(x, 4)),
    "one channel": OneChannel,
    "bfloat16": after(lambda network: network.to(torch.bfloat16)),
    "float64": after(lambda network: network.double()),
    "weights of five axes": FiveAxes,
    "complex weights": Complex,
    "a frozen layer": after(lambda network: network.first.requires_grad_(False) and None),
    "a kept feature map": Remembers,
    "weight_norm": after(weight_norm),
    "spectral_norm": after(spectral_norm),
    "tied weights": Tied,
    "DataParallel": after(nn.DataParallel),
}


def experiment(network, strategy="mc-dropout", store=None, n=10, size=SIZE, **more):
    images, masks = alkit.synthetic.lesions(n, size=size)
    learner = alkit.SegmentationLearner(network, **{"epochs": (2, 1), "device": "cpu"} | more)
    options = {"draws": 2} if strategy == "mc-dropout" else {}
    made = alkit.Experiment(
        alkit.ArrayPool(images), learner, alkit.strategy(strategy, **options), store, classes=CLASSES
    )
    return made, masks


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_goes_through_the_whole_loop_and_is_read_again(name, tmp_path):
    made, masks = experiment(ODD[name], store=tmp_path / "r.db")
    for _ in range(2):
        made.tell({id: masks[int(id)] for id in made.ask(3)})
        made.fit()
    chosen = made.ask(2)
    predicted = [p.probabilities for p in made.predict(made.pool)]
    again = alkit.Experiment.open(tmp_path / "r.db", pool=made.pool, learner=made.learner)
    for ours, theirs in zip(predicted, again.predict(made.pool), strict=True):
        np.testing.assert_allclose(ours, theirs.probabilities, atol=1e-6)
        np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-2)
        assert ours.shape == (10, 2, SIZE, SIZE)
    assert again.open_ids == chosen


@pytest.mark.parametrize("name", ["one channel", "a coarse map", "float64", "a dictionary"])
def test_an_odd_network_learns(name):
    """The loss belongs to the predictions: with more training they get nearer to the labels."""
    dice = []
    masks = np.zeros((8, SIZE, SIZE), np.uint8)
    for row in range(8):
        masks[row, row : row + 8, 4:12] = 1
    pool = alkit.ArrayPool(40 + 160 * masks)
    for epochs in (1, 60):
        learner = alkit.SegmentationLearner(ODD[name], epochs=(epochs, 1), lr=0.02, device="cpu")
        made = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=CLASSES)
        made.tell({id: masks[int(id)] for id in made.ask(8)})
        made.fit()
        (found,) = made.predict(pool)
        dice.append(2 * (found.labels & masks).sum() / (found.labels.sum() + masks.sum()))
    assert dice[1] > max(dice[0], 0.5)


class Unregistered(Base):
    """Its last layer is in a list, so that it is neither trained nor stored."""

    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.layers = [self.last]
        del self.last

    def forward(self, images):
        return self.layers[0](self.dropout(self.first(images)))


class KeepsMean(Base):
    """Keeps a running mean in a plain attribute, so that it is not stored."""

    mean = None

    def forward(self, images):
        x = self.first(images)
        if self.training or self.mean is None:
            now = x.detach().mean((0, 2, 3), keepdim=True)
            self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
        return self.last(self.dropout(x - self.mean))


class Late(Base):
    """Makes a weight in its first pass."""

    def forward(self, images):
        if not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(1))
        return super().forward(images) * self.scale


class Fixed(Base):
    """Does not use its argument classes."""

    def __init__(self, in_channels, classes):
        super().__init__(in_channels, 21)


class ExtraState(Base):
    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        pass


class NotANumber(Base):
    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.register_buffer("scale", torch.tensor(float("nan")))

    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits * self.scale


class NoWeights(nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()

    def forward(self, images):
        return torch.cat([images, 1 - images], 1)


class Flat(nn.Sequential):
    """A network for images of another size."""

    def __init__(self, in_channels, classes):
        super().__init__(nn.Flatten(), nn.Linear(32 * 32, classes))


class Sparse(nn.Module):
    """Looks up gray values in a table with sparse gradients."""

    def __init__(self, in_channels, classes):
        super().__init__()
        self.table, self.last = nn.Embedding(16, 4, sparse=True), nn.Conv2d(4, classes, 1)

    def forward(self, images):
        return self.last(self.table((images[:, 0] * 15).long()).permute(0, 3, 1, 2))


EXISTING = Base(1, 2)

REFUSED = {
    "soft-max": (variant(lambda x, self: x.softmax(1)), "network Variant must return logits: got probabilities"),
    "soft-max in evaluation mode": (
        variant(lambda x, self: x if self.training else x.softmax(1)),
        "must return logits: got probabilities",
    ),
    "an unknown dictionary": (
        variant(lambda x, self: {"masks": x}),
        "with the key 'out' or 'logits': got the keys 'masks'",
    ),
    "a classifier": (
        variant(lambda x, self: x.mean((2, 3))),
        r"SegmentationLearner must return logits \(n, classes, h, w",
    ),
    "class ids": (variant(lambda x, self: x.argmax(1)), "a tensor of real numbers: got torch.int64"),
    "21 classes": (Fixed, r"logits of 2 classes, .*got shape \(1, 21, 16, 16\)"),
    "all frozen": (after(lambda network: network.requires_grad_(False)), "must have weights to train: got only frozen"),
    "no weights": (NoWeights, "must have weights to train: got a network without weights"),
    "extra state": (ExtraState, "got '_extra_state', an object of type dict"),
    "an unregistered layer": (Unregistered, r"keep all that its prediction depends on in its state_dict\(\)"),
    "a mean that is not stored": (KeepsMean, r"keep all that its prediction depends on in its state_dict\(\)"),
    "a late weight": (Late, "cannot be stored and read again .*scale is unknown"),
    "NaN in evaluation mode": (NotANumber, "must predict finite probabilities"),
    "another size": (Flat, r"network Flat fails on one image of 16 x 16 pixels in evaluation mode \(.*mat1 and mat2"),
    "one network for all": (
        lambda in_channels, classes: EXISTING,
        "must return a new network at each call: got the same",
    ),
    "other arguments": (lambda channels, n: None, r"factory fails with in_channels=1 and classes=2 \(TypeError"),
    "weights without values": (after(lambda network: network.to("meta")), "first.weight on the device meta"),
    "sparse gradients": (Sparse, "network Sparse cannot be trained on .* does not support sparse gradients"),
    "poolings": (lambda in_channels, classes: alkit.UNet(in_channels, classes, (2,) * 6), "sides divisible by 32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_trained_is_refused_before_the_first_query(name, tmp_path):
    network, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=message):
        experiment(network, "random", tmp_path / "r.db")
    made, masks = experiment(Base, "random", tmp_path / "r.db")
    made.tell({id: masks[int(id)] for id in made.ask(2)})
    assert made.fit().n_labels == 2, "the record takes another learner"


def test_without_classes_the_rehearsal_waits_until_they_are_known():
    images, masks = alkit.synthetic.lesions(8, size=SIZE)
    learner = alkit.SegmentationLearner(NoWeights, epochs=(1, 1), device="cpu")
    made = alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("random"))
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=CLASSES)
    with pytest.raises(ConfigurationError, match="must have weights to train"):
        made.rounds(oracle, start=2, batch=1, rounds=1)
    made = alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("random"))
    made.ask(2)
    with pytest.raises(ConfigurationError, match="must have weights to train"):
        made.send(oracle)


class PooledNormalisation(Base):
    """Normalises one value per channel and image, as the image pooling of DeepLab does."""

    def __init__(self, in_channels, classes):
        super().__init__(in_channels, classes)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        x = self.first(images)
        return self.last(self.dropout(x + self.norm(x.mean((2, 3), keepdim=True))))


def test_batches_of_one_image_are_tried(tmp_path):
    for batch in (1, 2):
        with pytest.raises(
            ConfigurationError, match=rf"batch must be >= 3 for this network, .*: got {batch}\. Try: batch=3"
        ):
            experiment(PooledNormalisation, "random", batch=batch)
    made, masks = experiment(PooledNormalisation, "random", tmp_path / "r.db", batch=3)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=CLASSES)
    with pytest.raises(ConfigurationError, match=r"start must be >= 2 in round 0, .*: got 1\. Try: start=2"):
        made.run(oracle, start=1, batch=1, rounds=1)
    assert [result.n_labels for result in made.run(oracle, start=4, batch=1, rounds=2)] == [4, 5, 6]


def test_one_image_is_not_asked_for_if_the_network_needs_two(tmp_path):
    made, masks = experiment(PooledNormalisation, "random", tmp_path / "r.db")
    with pytest.raises(ConfigurationError, match=r"n must be >= 2 in round 0, .*: got 1\. Try: n=2"):
        made.ask(1)
    labelled, skipped = made.ask(2)
    made.tell({labelled: masks[int(labelled)], skipped: alkit.SKIP})
    assert not made.learnable  # so that the command line asks for more images before it trains
    with pytest.raises(ConfigurationError, match="because batch normalisation needs two images in a batch"):
        made.fit()
    made.tell({id: masks[int(id)] for id in made.ask(1)})
    assert made.learnable
    assert made.fit().n_labels == 2


def test_a_learner_that_fills_its_batches_is_tried_once_and_trains_on_one_label(tmp_path, monkeypatch):
    calls, original = [], alkit.SegmentationLearner.try_training
    monkeypatch.setattr(
        alkit.SegmentationLearner, "try_training", lambda *given: calls.append(len(given[1])) or original(*given)
    )
    by_steps = {"epochs": None, "steps": 1, "batch": 4}
    made, masks = experiment(PooledNormalisation, "random", tmp_path / "r.db", **by_steps)
    assert calls == [4]
    made.tell({id: masks[int(id)] for id in made.ask(1)})
    assert made.fit().n_labels == 1
    with pytest.raises(ConfigurationError, match="batch must be >= 3 for this network"):
        experiment(PooledNormalisation, "random", **by_steps | {"batch": 1})
    assert calls == [4, 2, 1], "each of its batches has one image"


def test_a_rehearsal_is_done_once_and_leaves_the_generators_as_they_were(tmp_path, monkeypatch):
    calls, original = [], alkit.SegmentationLearner.try_training
    monkeypatch.setattr(
        alkit.SegmentationLearner, "try_training", lambda *given: calls.append(len(given[1])) or original(*given)
    )
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    made, masks = experiment(Base, "random", tmp_path / "r.db", batch=4)
    assert calls == [4, 1], "a batch of the learner's size, and one image"
    assert torch.equal(torch.random.get_rng_state(), before)
    made.ask(2)
    alkit.Experiment.open(tmp_path / "r.db", pool=made.pool, learner=made.learner).ask()
    experiment(Base, "random", tmp_path / "r.db", batch=4)
    assert len(calls) == 2
    made.tell({id: masks[int(id)] for id in made.ask()})
    made.fit()
    made.ask(2)
    assert len(calls) == 2
    assert Store(tmp_path / "r.db").fact("rehearsed")["least"] == 1


def test_the_rehearsal_of_large_images_is_small(monkeypatch):
    monkeypatch.setattr("alkit.learners.rehearsal.PIXELS", 5 * SIZE**2)
    sizes, original = [], alkit.SegmentationLearner.try_training
    monkeypatch.setattr(
        alkit.SegmentationLearner, "try_training", lambda *given: sizes.append(len(given[1])) or original(*given)
    )
    experiment(Base, "random")
    assert sizes == [5, 1]


def test_a_warm_start_from_another_network_is_refused_before_the_first_query():
    pretext = alkit.Reconstruction(Tied, epochs=1, device="cpu")
    with pytest.raises(ConfigurationError, match="may differ in their output layers only"):
        experiment(Base, "random", warm_start=pretext)


def test_labels_of_another_kind_are_refused_before_the_first_query():
    images, _ = alkit.synthetic.lesions(6, size=SIZE)
    spec = alkit.LabelSpec(CLASSES, per="image")
    learner = alkit.SegmentationLearner(Base, epochs=(1, 1), device="cpu")
    with pytest.raises(ConfigurationError, match="SegmentationLearner needs masks"):
        alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("random"), classes=spec)


# What is drawn by dropout.


class Own(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, self.training)


class Always(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, True)


class DropPath(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop_prob = 0.3

    def forward(self, x):
        return x * (torch.rand(len(x), 1, 1, 1) > self.drop_prob) if self.training else x


def with_layer(make):
    def change(network):
        network.dropout = make()

    return after(change)


def test_a_subclass_of_dropout_is_drawn_like_its_parent():
    subclass = type("Mine", (nn.Dropout,), {})
    chosen = []
    for make in (lambda: nn.Dropout(0.5), lambda: subclass(0.5), lambda: Own(0.5)):
        made, masks = experiment(with_layer(make))
        made.tell({id: masks[int(id)] for id in made.ask(3)})
        made.fit()
        made.ask(3)
        chosen.append([(query.id, query.score) for query in made.queries()])
    assert chosen[0] == chosen[1] == chosen[2]


def test_a_subclass_with_a_forward_of_its_own_is_named(caplog):
    experiment(with_layer(lambda: Own(0.5)))
    assert "the dropout layers 'dropout' of Base have a forward of their own" in caplog.text
    with pytest.raises(ConfigurationError, match=r"'dropout' of class Always must return its input in evaluation mode"):
        experiment(with_layer(lambda: Always(0.5)))


RANDOM = {
    "DropPath 'path'": lambda x, self: self.path(x),
    "dropout by function": lambda x, self: F.dropout(x, 0.5, self.training),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_parts_that_are_not_drawn_are_named(name, caplog):
    class Variant(Base):
        def __init__(self, in_channels, classes):
            super().__init__(in_channels, classes)
            if "path" in name:
                self.path = DropPath()

        def forward(self, images):
            return RANDOM[name](super().forward(images), self)

    with caplog.at_level(logging.WARNING):
        experiment(Variant)
    assert f"draws from Variant use its dropout layers 'dropout'; other random parts stay off: {name}" in caplog.text
    caplog.clear()
    experiment(Variant, "random")
    experiment(Base)
    assert caplog.text == ""


class Declared(MeanLearner):
    def fit(self, labelled, rng, previous=None, report=None) -> MeanPredictor:
        return super().fit(labelled, rng, previous, alkit.values.quiet)


@dataclass(frozen=True)
class Drawing(MeanPredictor):
    def posterior(self, images):
        return self

    def dropout(self, draws, stream):
        yield torch.from_numpy(self.probabilities(np.zeros((2, 1, SIZE, SIZE), np.float32)))[None]

    def prediction(self):
        raise NotImplementedError


class Draws(MeanLearner):
    def fit(self, *given):
        return Drawing(super().fit(*given).lesion)


class Picky(MeanLearner):
    def fit(self, labelled, *rest):
        raise ValueError("too few labels")


def test_a_learner_whose_models_cannot_draw_is_refused_before_the_first_query():
    images, _ = alkit.synthetic.lesions(8, size=SIZE)
    pool, strategy = alkit.ArrayPool(images), alkit.strategy("mc-dropout")
    for learner in (MeanLearner(), Declared()):
        with pytest.raises(ConfigurationError, match=r"whose models draw by dropout: got .*MeanP"):
            alkit.Experiment(pool, learner, strategy, classes=CLASSES)
    for learner in (Draws(), Picky()):
        alkit.Experiment(pool, learner, strategy, classes=CLASSES)
    estimator = pytest.importorskip("sklearn.linear_model").LogisticRegression()
    spec = alkit.LabelSpec(CLASSES, per="image")
    with pytest.raises(ConfigurationError, match="got EstimatorLearner, whose models are EstimatorPredictors"):
        alkit.Experiment(pool, alkit.learners.EstimatorLearner(estimator), strategy, classes=spec)


def test_a_factory_that_has_changed_since_is_named(tmp_path):
    made, masks = experiment(Base, "random", tmp_path / "r.db")
    made.tell({id: masks[int(id)] for id in made.ask(3)})
    made.fit()
    changed = alkit.SegmentationLearner(Tied, epochs=(2, 1), device="cpu")
    with pytest.raises(
        ConfigurationError, match=r"network Tied does not fit the stored weights: its factory has changed"
    ):
        changed.loads(Store(tmp_path / "r.db").content(Store(tmp_path / "r.db").last_model()[0]))


def test_a_model_that_predicts_one_class_everywhere_is_reported(tmp_path):
    images, masks = alkit.synthetic.lesions(12, size=SIZE)
    learner = alkit.SegmentationLearner(Base, epochs=(1, 1), lr=1e-9, device="cpu")
    named = {f"{row:04}": mask for row, mask in enumerate(masks)}
    pool, test = alkit.ArrayPool(images).split(test=4, seed=0)
    made = alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db")
    (result,) = made.run(alkit.MaskOracle(named, classes=CLASSES), test=test, start=4, batch=1, rounds=0)
    (found,) = made.predict(test)
    classes = np.unique(found.labels)
    if len(classes) > 1:
        pytest.skip("the initial weights predict both classes")
    (warning,) = result.warnings
    assert warning.startswith(
        f"The model predicts {CLASSES[classes[0]]!r} for every pixel of all 4 images it was measured"
    )
