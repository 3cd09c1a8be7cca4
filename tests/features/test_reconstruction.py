import hashlib
import importlib
import io
import random
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

import alkit
from alkit.configuration import start
from alkit.features import pretext_files
from alkit.networks.weights import deepest_map
from alkit.rng import Stream
from alkit.values import quiet


@pytest.fixture(scope="module")
def pool():
    images, _ = alkit.synthetic.lesions(24, size=16)
    return alkit.ArrayPool(images, scale="minmax")


@pytest.fixture
def task(small_network, tmp_path):
    return alkit.Reconstruction(
        small_network,
        epochs=4,
        batch=8,
        patience=9,
        deformation=alkit.features.Deformation(windows=10),
        cache=str(tmp_path),
    )


def fit(task, pool, seed=0, report=quiet):
    return task.fit(pool, np.random.default_rng(seed), report)


def state(fitted):
    return torch.cat([value.flatten().double() for value in fitted.network.state_dict().values()])


def cache_files(task, suffix):
    return sorted(Path(task.cache).rglob(f"*{suffix}"))


class Stop(Exception):
    pass


def test_a_second_fit_reads_its_weights_from_the_cache(task, pool):
    said = []
    first = fit(task, pool, report=said.append)
    assert [p.done for p in said if p.stage == "pretext"] == [1, 2, 3, 4]
    again = fit(task, pool, report=said.append)
    assert len(said) == 4
    assert state(first).equal(state(again))


def test_the_cache_depends_on_pixels_parameters_and_seed_but_not_on_pooling(task, pool):
    fit(task, pool)
    assert len(cache_files(task, ".safetensors")) == 1
    fit(replace(task, pooling=1), pool)
    fit(task, pool.subset(list(pool.ids)[::-1]))  # the same images in another order
    assert len(cache_files(task, ".safetensors")) == 1
    fit(task, pool, seed=1)
    fit(replace(task, lr=1e-2), pool)
    fit(task, pool.subset(pool.ids[1:]))
    fit(replace(task, deformation=alkit.features.Deformation(windows=11)), pool)
    assert len(cache_files(task, ".safetensors")) == 5


NETWORK = """
import alkit

class Own(alkit.UNet):
    def forward(self, x):
        return 2 * super().forward(x)
"""


def test_weights_of_a_network_whose_code_was_edited_are_trained_again(task, pool, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)

    def key(code):
        (tmp_path / "my_network.py").write_text(code)
        sys.modules.pop("my_network", None)
        importlib.invalidate_caches()
        network = partial(importlib.import_module("my_network").Own, widths=(2, 4))
        return replace(task, network=network)._keys(pool, Stream(0), 1)[1]

    first = key(NETWORK)
    assert key(NETWORK.replace("2 *", "3 *")) != first
    assert key(NETWORK + "# a remark") == first
    sys.modules.pop("my_network")


def test_weights_of_a_network_that_another_file_begins_with_are_trained_again(task, pool, tmp_path):
    start_file = tmp_path / "start.bin"
    network = partial(alkit.UNet, widths=(2, 4))
    network.keywords["weights"] = str(start_file)  # as that of a factory of the user
    keys = []
    for content in (b"a", b"b", b"b"):
        start_file.write_bytes(content)
        keys.append(replace(task, network=network)._keys(pool, Stream(0), 1))
    assert keys[0] != keys[1] == keys[2]


def test_weights_of_a_network_whose_code_cannot_be_read_are_not_kept(task, pool, monkeypatch, caplog):
    notebook = ModuleType("my_notebook")
    exec(NETWORK, vars(notebook))  # a cell has no file
    monkeypatch.setitem(sys.modules, "my_notebook", notebook)
    own = replace(task, network=partial(notebook.Own, widths=(2, 4)))
    first = state(fit(own, pool))
    assert cache_files(task, ".safetensors") == []
    assert "the code of my_notebook:Own cannot be read" in caplog.text
    assert state(fit(own, pool)).equal(first)
    fit(task, pool)
    assert len(cache_files(task, ".safetensors")) == 1


def test_each_number_of_threads_has_its_own_weights(task, pool):
    with alkit.rng.threads(2):
        two = fit(task, pool)
    with alkit.rng.threads(1):
        fit(task, pool)
        assert len(cache_files(task, ".safetensors")) == 2
        alone = fit(replace(task, cache=task.cache + "/empty"), pool)
        assert state(fit(task, pool)).equal(state(alone))  # whatever was in the cache before
    with alkit.rng.threads(2):
        assert state(fit(task, pool)).equal(state(two))


def test_weights_that_were_cached_without_the_number_of_threads_are_found(task, pool):
    first = fit(task, pool)
    (path,) = cache_files(task, ".safetensors")
    earlier, _ = task._keys(pool, alkit.rng.Stream.from_rng(np.random.default_rng(0)), threads=1)
    path.rename(path.with_name(f"{earlier}.safetensors"))
    for number in (1, 2):
        with alkit.rng.threads(number):
            assert state(fit(task, pool)).equal(state(first))
    assert len(cache_files(task, ".safetensors")) == 1


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_training_stopped_after_any_epoch_ends_with_the_same_weights(task, pool, tmp_path, stop):
    whole = fit(replace(task, cache=str(tmp_path / "whole")), pool)
    said = []

    def report(progress):
        said.append(progress.done)
        if len(said) == stop:
            raise Stop

    with pytest.raises(Stop):
        fit(task, pool, report=report)
    assert len(cache_files(task, ".checkpoint")) == 1
    resumed = fit(task, pool, report=report)
    assert said == [1, 2, 3, 4]  # no epoch twice
    assert state(resumed).equal(state(whole))
    assert cache_files(task, ".checkpoint") == []


def test_training_stops_after_patience_epochs_without_a_better_loss(task, pool):
    said = []
    fit(replace(task, epochs=60, patience=2, lr=3e-2), pool, report=said.append)
    losses = [p.detail["loss"] for p in said]
    assert len(losses) < 60
    assert min(losses) not in losses[-2:]
    assert said[-1].detail["best"] == min(losses)


def test_training_lowers_the_restoration_loss(task, pool):
    said = []
    fit(replace(task, epochs=25, patience=25, lr=1e-2), pool, report=said.append)
    losses = [p.detail["loss"] for p in said]
    assert min(losses) < 0.8 * losses[0]


def test_without_held_out_images_the_last_weights_are_kept(task, pool, tmp_path):
    all_in = replace(task, hold_out=0.0)
    short = fit(replace(all_in, epochs=2), pool)
    long = fit(replace(all_in, epochs=3), pool)
    assert not state(short).equal(state(long))


@pytest.mark.parametrize("pooling", [1, 2])
def test_features_are_the_averaged_deepest_map_in_evaluation_mode(task, pool, pooling):
    fitted = fit(replace(task, pooling=pooling), pool)
    images = pool.read(pool.ids[:5])
    features = fitted.features(images)
    assert features.shape == (5, 8 * pooling**2)
    with torch.inference_mode():
        maps = deepest_map(fitted.network.eval(), torch.from_numpy(images)).numpy()
    half = maps.shape[-1] // pooling
    cells = [maps[:, :, y * half : (y + 1) * half, x * half : (x + 1) * half].mean((2, 3))
             for y in range(pooling) for x in range(pooling)]  # fmt: skip
    np.testing.assert_allclose(features, np.stack(cells, -1).reshape(5, -1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fitted.features(images[2:3]), features[2:3], rtol=1e-4, atol=1e-6)


def test_colour_images_are_restored_in_colour(task):
    images = np.random.default_rng(0).random((12, 3, 16, 16), np.float32)
    fitted = fit(replace(task, epochs=1), alkit.ArrayPool(images))
    assert fitted.network(torch.from_numpy(images)).shape == (12, 3, 16, 16)


def test_a_network_without_a_name_is_an_error_because_the_cache_needs_one(task, pool):
    nameless = replace(task, network=lambda in_channels, classes: alkit.UNet(in_channels, classes, (2, 4, 8)))
    with pytest.raises(alkit.errors.ConfigurationError, match="module level"):
        fit(nameless, pool)


def test_a_fit_does_not_change_the_global_generators(task, pool):
    before = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    fit(task, pool)
    assert before[0].equal(torch.random.get_rng_state())
    assert before[1] == repr(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize(
    "arguments",
    [
        *({"epochs": 0}, {"batch": 0}, {"lr": -1}, {"patience": 0}, {"pooling": 0}),
        *({"hold_out": value} for value in (1.0, 1, -0.1, float("nan"), "lesion-1", b"ab", None, [1, "a"])),
    ],
)
def test_parameters_out_of_range_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        alkit.Reconstruction(**arguments)


def test_a_cache_that_cannot_be_written_is_a_store_error(task, pool, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(alkit.errors.StoreError):
        fit(replace(task, cache=str(tmp_path / "file")), pool)


def test_weights_in_a_cache_that_cannot_be_written_are_read(task, pool, monkeypatch):
    first = fit(task, pool)

    def locked(path):
        raise AssertionError("the lock would be written")

    monkeypatch.setattr("alkit.features.reconstruction.locked", locked)
    assert state(first).equal(state(fit(task, pool)))


def test_features_from_the_cache_equal_those_of_the_training_bit_for_bit(task, pool):
    images = pool.read(pool.ids)
    trained, cached = (fit(task, pool).features(images) for _ in range(2))
    assert (trained == cached).all()


@pytest.mark.parametrize("suffix", [".checkpoint", ".safetensors"])
def test_a_damaged_file_of_the_cache_is_ignored_with_a_warning(task, pool, suffix, caplog):
    whole = fit(task, pool)
    (finished,) = cache_files(task, ".safetensors")
    if suffix == ".checkpoint":
        finished.unlink()
    finished.with_suffix(suffix).write_bytes(b"damaged")
    assert state(fit(task, pool)).equal(state(whole))
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("suffix", [".checkpoint", ".safetensors"])
def test_a_flipped_bit_in_a_file_of_the_cache_is_noticed(task, pool, suffix, caplog, monkeypatch):
    written, write = {}, pretext_files.write_atomically

    def keep(path, content):
        written[path.suffix] = path, content
        write(path, content)

    monkeypatch.setattr(pretext_files, "write_atomically", keep)
    network = fit(task, pool).network
    path, content = written[suffix]

    def read():
        if suffix == ".safetensors":
            return pretext_files.read_weights(path, network)
        found = pretext_files.read_checkpoint(path, torch.device("cpu"), network)
        return found and found["network"]

    path.write_bytes(content)
    whole, chance = read(), random.Random(0)
    assert whole is not None
    for place in (*range(0, 200, 7), *chance.sample(range(len(content)), 60)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        caplog.clear()
        if (found := read()) is None:
            assert "cannot be read" in caplog.text
        else:
            assert all(found[name].equal(value) for name, value in whole.items()), place


def test_weights_of_an_older_cache_have_no_digest_and_are_read(task, pool):
    network = fit(task, pool).network
    (path,) = cache_files(task, ".safetensors")
    weights = safetensors.load(path.read_bytes())
    path.write_bytes(safetensors.save(weights))
    assert pretext_files.read_weights(path, network).keys() == weights.keys()


@pytest.mark.parametrize("suffix", [".checkpoint", ".safetensors"])
def test_a_file_of_another_pretext_in_its_place_is_ignored_with_a_warning(task, pool, suffix, caplog, monkeypatch):
    written, write = {}, pretext_files.write_atomically
    monkeypatch.setattr(
        pretext_files,
        "write_atomically",
        lambda path, content: [written.update({path.suffix: content}), write(path, content)],
    )
    fit(task, pool)
    theirs = written[suffix]
    whole = fit(replace(task, lr=task.lr / 2), pool)
    for finished in cache_files(task, ".safetensors"):
        if suffix == ".checkpoint":
            finished.unlink()
        finished.with_suffix(suffix).write_bytes(theirs)
    assert state(fit(replace(task, lr=task.lr / 2), pool)).equal(state(whole))
    assert "it is that of another pretext" in caplog.text


def test_forged_files_of_another_network_are_ignored_with_a_warning(task, pool, caplog):
    whole = fit(task, pool)
    (finished,) = cache_files(task, ".safetensors")
    weights = safetensors.load(finished.read_bytes())
    first, *rest = weights
    for forged in ({}, {name: weights[name] for name in rest}, weights | {first: torch.zeros(3)}):
        finished.write_bytes(safetensors.save(forged))
        caplog.clear()
        assert state(fit(task, pool)).equal(state(whole))
        assert "its weights are of another network" in caplog.text
    step = {"done": 1, "stale": 0, "best_loss": 0.5, "best": weights, "network": weights, "optimizer": {}}
    for forged in ({}, [], step, step | {"done": "1"}, step | {"best_loss": float("nan")}, step | {"best": None}):
        finished.unlink()
        content = io.BytesIO()
        torch.save(forged, content)
        digest = hashlib.sha256(content.getvalue()).hexdigest().encode()
        finished.with_suffix(".checkpoint").write_bytes(digest + content.getvalue())
        caplog.clear()
        assert state(fit(task, pool)).equal(state(whole))
        assert "cannot be read" in caplog.text


@pytest.mark.parametrize("all_but_none", [0.9, ["0000", "0001", "0002"]])
def test_holding_out_all_images_is_an_error(task, pool, all_but_none):
    with pytest.raises(alkit.errors.ConfigurationError, match="hold_out leaves none of the 3 images of the pool"):
        fit(replace(task, hold_out=all_but_none), pool.subset(pool.ids[:3]))


def test_hold_out_accepts_numbers_of_numpy_and_sorts_ids(task, pool):
    share = alkit.Reconstruction(hold_out=np.float32(0.25)).hold_out
    assert type(share) is float
    assert share == 0.25
    assert alkit.Reconstruction(hold_out=np.array(["b", "a", "b"])).hold_out == ("a", "b")


def test_images_to_hold_out_must_be_in_the_pool(task, pool):
    with pytest.raises(
        alkit.errors.ConfigurationError, match="hold_out contains 1 of 2 images that are not in the pool"
    ) as refused:
        fit(replace(task, hold_out=[pool.ids[0], "elsewhere"]), pool)
    assert "elsewhere" in str(refused.value)
    assert cache_files(task, ".safetensors") == []


@dataclass(frozen=True)
class Recording(alkit.features.Deformation):
    """Deforms images, and records its inputs and outputs."""

    def __call__(self, images, generator):
        STATES.append(generator.get_state())
        deformed, target = super().__call__(images, generator)
        SHOWN.append((images.clone(), deformed.clone(), target.clone()))
        return deformed, target


SHOWN: list = []
STATES: list = []


@pytest.mark.parametrize("named", [False, True])
def test_held_out_images_are_not_trained_on_and_have_the_same_deformations_in_each_epoch(task, pool, named):
    SHOWN.clear()
    STATES.clear()
    held = pool.ids[3:9] if named else 0.25
    fit(replace(task, epochs=3, hold_out=held, deformation=Recording(windows=5)), pool)
    rows = {tuple(pool.read([id]).ravel()): id for id in pool.ids}
    epochs = [SHOWN[start : start + 4] for start in range(0, 12, 4)]  # 18 images in 3 batches, and 6 judged in one

    def names(batches):
        return [rows[tuple(image.ravel().tolist())] for images, _, _ in batches for image in images.numpy()]

    rows = {tuple(np.float32(value).item() for value in key): id for key, id in rows.items()}
    for epoch in epochs:
        assert sorted(names(epoch[:3])) == sorted(set(pool.ids) - set(names(epoch[3:])))
        assert names(epoch[3:]) == names(epochs[0][3:])
        assert not named or names(epoch[3:]) == list(held)
        assert epoch[3][1].equal(epochs[0][3][1])
    assert names(epochs[0][:3]) != names(epochs[1][:3])  # another order each epoch
    starts = [tuple(STATES[start].tolist()) for start in range(0, 12, 4)]
    assert len(set(starts)) == 3  # and other deformations


@dataclass(frozen=True)
class GreyTarget(alkit.features.Deformation):
    """Leaves the images as they are, and has a grey image as their target."""

    def __call__(self, images, generator):
        return images, torch.full_like(images, 0.5)


def always_grey(in_channels, classes):
    """A network whose logits are 0, and so its restored images 0.5."""
    network = torch.nn.Conv2d(in_channels, classes, 1)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.zeros_(network.bias)
    return network


def test_the_loss_compares_with_the_target_and_not_with_the_original_image(task, pool):
    said = []
    fit(replace(task, network=always_grey, epochs=1, deformation=GreyTarget()), pool, report=said.append)
    assert [step.detail["loss"] for step in said] == [0]


def test_a_fit_returns_the_weights_of_the_best_epoch(task, pool):
    losses = []

    def report(progress):
        losses.append(progress.detail["loss"])

    impatient = replace(task, epochs=60, patience=2, lr=3e-2)
    best = fit(impatient, pool, report=report)
    where = int(np.argmin(losses))
    assert len(losses) == where + 1 + 2
    assert state(fit(replace(impatient, epochs=where + 1), pool)).equal(state(best))


def test_models_of_smp_can_be_pretrained_and_warm_start_a_learner(task):
    from functools import partial

    import segmentation_models_pytorch as smp

    from alkit.networks import make_network
    from alkit.networks.weights import warm_start

    factory = partial(smp.Unet, "resnet18", encoder_weights=None)
    images = np.random.default_rng(0).random((8, 1, 32, 32), np.float32)
    fitted = fit(replace(task, network=factory, epochs=1), alkit.ArrayPool(images))
    assert fitted.features(images).shape == (8, 512 * 4)
    network = make_network(factory, in_channels=1, classes=2, stream=alkit.rng.Stream(0))
    warm_start(network, fitted.network)
    assert network.encoder.conv1.weight.equal(fitted.network.encoder.conv1.weight)


def test_images_that_the_network_cannot_compute_are_refused_with_its_reason():
    fitted = alkit.features.FittedReconstruction(alkit.UNet(in_channels=1, classes=1, widths=(2, 4)), 1)
    with pytest.raises(
        alkit.errors.ConfigurationError, match=r"cannot compute images of shape \(3, 8, 8\) \(.*channels"
    ):
        fitted.features(np.zeros((2, 3, 8, 8), np.float32))
