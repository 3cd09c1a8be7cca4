"""Exported models say what the model says, where alkit is not; the card says what it is, and its code runs."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import imagecodecs
import numpy as np
import onnxruntime
import pytest
import segmentation_models_pytorch as smp
import tifffile
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import load, load_file
from sklearn.linear_model import LogisticRegression
from torch import nn

import alkit
from alkit.errors import ConfigurationError, MissingDependencyError, StoreError
from alkit.learners.nnunet.model import NNUNetPredictor
from alkit.learners.predictor import NetworkPredictor
from alkit.networks import SmpNetwork
from alkit.record.testsets import OTHER_LABELS
from alkit.trained import TrainedModel, export_model, predict_folder, trained_model
from alkit.trained.card import card, card_text, preparation
from alkit.trained.export import _weights, export_onnx, export_program, onnx_program
from alkit.trained.modules import Mean, Probabilities, export_module
from alkit.trained.sample import sample

BLOCKED = "import sys\nsys.modules['alkit'] = None\n"
"""Put before code, makes any import of alkit fail."""


def record(folder, learner, *, per="pixel", hold_out=0.0, **reading):
    """Make a record of a folder's images, of round 0 with 8 answers by two people; return its file."""
    images, masks = alkit.synthetic.lesions(12, size=20, seed=1)
    (folder / "pool").mkdir()
    for row, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(folder / "pool" / f"{row}.png")
    pool = alkit.ImagePool(folder / "pool", cache=folder / "cache", **{"size": 16, "grayscale": True, **reading})
    spec = alkit.LabelSpec(("skin", "lesion"), per=per)
    experiment = alkit.Experiment(
        pool, learner, alkit.strategy("random"), folder / "r.db", classes=spec, hold_out=hold_out, stop_set=4
    )
    for number, id in enumerate(experiment.ask(8)):
        label = masks[int(id)] if per == "pixel" else int(masks[int(id)].sum() > 60)
        experiment.tell({id: label}, annotator="ann" if number < 3 else "bob")
    experiment.fit()
    return folder / "r.db"


def unet(epochs=5):
    return alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4, 8)), epochs=(epochs, 1), lr=1e-2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_model(record(tmp_path_factory.mktemp("record"), unet(200), hold_out=0.3))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Return a folder with the exported model."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_model(model, folder)
    return folder


def flat(in_channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 16 * 16, classes))


def loaded(folder):
    return torch.export.load(folder / "model.pt2").module()


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def code_of(folder):
    return re.search(r"```python\n(.*?)```", (folder / "CARD.md").read_text(), re.S).group(1)


def run_without_alkit(code, folder):
    subprocess.run([sys.executable, "-W", "error", "-c", BLOCKED + code], cwd=folder, check=True)


def run_here(code, folder):
    """Run code in this process, which is quicker."""
    with contextlib.chdir(folder):
        exec(code, {})


# What is exported.


@pytest.mark.parametrize("size", [(1, 1, 16, 16), (5, 1, 16, 16), (2, 1, 32, 20)])
def test_the_program_gives_the_models_probabilities_for_any_number_and_size_of_images(model, exported, size):
    program = loaded(exported)
    said = program(torch.from_numpy(images(*size))).numpy()
    assert np.array_equal(said, model.predictor.probabilities(images(*size)))


def test_an_ensemble_is_exported_as_the_mean_of_its_members(tmp_path):
    ensemble = trained_model(record(tmp_path, alkit.Ensemble(unet(), members=3)))
    export_model(ensemble, tmp_path / "model")
    said = loaded(tmp_path / "model")(torch.from_numpy(images(2, 1, 16, 16))).numpy()
    np.testing.assert_allclose(said, ensemble.predictor.probabilities(images(2, 1, 16, 16)), rtol=0, atol=1e-5)
    told = json.loads((tmp_path / "model" / "card.json").read_text())
    assert told["model"]["network"] == "the mean of 3 networks, UNet"
    weights = load_file(tmp_path / "model" / "model.safetensors")
    own = ensemble.predictor.members[2].network.state_dict()
    assert torch.equal(weights["members.2.network.head.weight"], own["head.weight"])
    assert len(weights) == 3 * len(own)


def test_the_weights_are_the_networks_state_dict(model, exported):
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8)).eval()
    network.load_state_dict(load_file(exported / "model.safetensors"))
    with torch.no_grad():
        said = network(torch.from_numpy(images(1, 1, 16, 16))).softmax(dim=1).numpy()
    np.testing.assert_allclose(said, model.predictor.probabilities(images(1, 1, 16, 16)), rtol=0, atol=1e-5)


def test_weights_with_two_names_are_written_under_both():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Conv2d(2, 2, 1), torch.nn.Conv2d(2, 2, 1))
    network[2].weight = network[1].weight
    written = load(_weights(network))
    assert written.keys() == network.state_dict().keys()
    assert torch.equal(written["2.weight"], network[1].weight)


def test_a_network_that_accepts_one_size_is_exported_for_that_size(tmp_path, capsys):
    learner = alkit.ClassificationLearner(flat, epochs=(1, 1))
    model = trained_model(record(tmp_path, learner, per="image"), learner=learner)
    export_model(model, tmp_path / "model")
    program = loaded(tmp_path / "model")
    said = program(torch.from_numpy(images(3, 1, 16, 16))).numpy()
    np.testing.assert_allclose(said, model.predictor.probabilities(images(3, 1, 16, 16)), rtol=0, atol=1e-5)
    assert json.loads((tmp_path / "model" / "card.json").read_text())["model"]["input"]["free"] == ["batch"]
    assert "Axes of any length: batch. Height and width are fixed." in (tmp_path / "model" / "CARD.md").read_text()
    Image.fromarray(np.uint8(images(30, 30) * 255)).save(tmp_path / "model" / "image.png")
    run_here(code_of(tmp_path / "model"), tmp_path / "model")
    name, probability = capsys.readouterr().out.split()
    assert name in ("skin", "lesion")
    assert 0.5 <= float(probability) <= 1


def test_a_network_for_single_images_is_exported_for_single_images():
    class Single(nn.Module):
        def forward(self, images):
            return images.reshape(1, 2, 4, 8)

    program, free = export_program(Probabilities(Single()).eval(), (1, 8, 8))
    assert free == ()
    assert program.module()(torch.zeros(1, 1, 8, 8)).shape == (1, 2, 4, 8)


def test_dropout_and_batch_normalisation_are_in_evaluation_mode_and_the_model_is_unchanged():
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4), dropout=0.9).train()
    predictor = NetworkPredictor(network, 1, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    module = export_module(predictor, (1, 16, 16))
    with torch.no_grad():
        first, second = (module(torch.from_numpy(images(2, 1, 16, 16))) for _ in range(2))
    assert torch.equal(first, second)
    assert network.training
    assert all(value.requires_grad for value in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not {value.data_ptr() for value in module.parameters()} & {
        value.data_ptr() for value in network.parameters()
    }


def test_only_the_final_output_of_deep_supervision_is_exported():
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8), heads={2: 0.4}).eval()
    predictor = NetworkPredictor(network, 1, 2)
    program, _ = export_program(export_module(predictor, (1, 16, 16)), (1, 16, 16))
    said = program.module()(torch.from_numpy(images(1, 1, 16, 16))).numpy()
    np.testing.assert_allclose(said, predictor.probabilities(images(1, 1, 16, 16)), rtol=0, atol=1e-5)


class Form(nn.Module):
    """A network whose output has one of the forms that are read as logits."""

    def __init__(self, form, channels=2, stride=1):
        super().__init__()
        self.form, self.conv = form, nn.Conv2d(1, channels, 3, stride, padding=1)

    def forward(self, images):
        """Return logits in this form."""
        return self.form(self.conv(images))


FORMS = {
    "one channel": (lambda logits: logits, 1),
    "no channel": (lambda logits: logits[:, 0], 1),
    "dictionary": (lambda logits: {"out": logits, "aux": 1 - logits}, 2),
    "tuple": (lambda logits: (logits, 1 - logits), 2),
    "coarse map": (lambda logits: logits, 2, 4),
    "coarse channel in a tuple": (lambda logits: (logits, None), 1, 2),
    "one logit": (lambda logits: logits.mean(dim=(2, 3)), 1),
    "numbers": (lambda logits: logits.mean(dim=(1, 2, 3)), 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_output_that_is_read_as_logits_is_read_so_in_a_program(form):
    predictor = NetworkPredictor(Form(*FORMS[form]).double(), 1, 2)
    module = export_module(predictor, (1, 16, 16))
    assert set(module.network.state_dict()) == {"conv.weight", "conv.bias"}
    program, free = export_program(module, (1, 16, 16))
    assert free == ("batch", "height", "width")
    some = images(3, 1, 32, 16)
    said = program.module()(torch.from_numpy(some)).numpy()
    np.testing.assert_allclose(said, predictor.probabilities(some), rtol=0, atol=1e-6)


def test_a_network_that_mixes_the_images_of_a_batch_is_exported_for_single_images():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 2, 1))
    _, free = export_program(export_module(NetworkPredictor(network, 1, 2), (1, 16, 16)), (1, 16, 16))
    assert free == ()


def test_a_module_that_differs_from_its_model_is_not_exported(tmp_path, model):
    class Other(NetworkPredictor):
        def probabilities(self, images):
            return super().probabilities(images)[:, ::-1]

    own = model.predictor
    other = replace(model, predictor=Other(own.network, own.in_channels, own.classes))
    with pytest.raises(ConfigurationError, match=r"module of Other must give the probabilities of the model: got a"):
        export_model(other, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_that_is_not_a_network_is_an_error_that_names_it(tmp_path):
    learner = alkit.EstimatorLearner(LogisticRegression())
    model = trained_model(record(tmp_path, learner, per="image"), learner=learner)
    with pytest.raises(ConfigurationError, match=r"only torch networks.*got EstimatorPredictor.*predict_folder\(\)"):
        export_model(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_models_of_nnunet_are_an_error_that_names_them():
    dataset = {"channel_names": {"0": "gray"}, "labels": {"background": 0, "lesion": 1}}
    predictor = NNUNetPredictor({"plans": {}, "dataset": dataset}, ({}, {}))
    with pytest.raises(ConfigurationError, match=r"only torch networks.*got NNUNetPredictor"):
        export_module(predictor, (1, 8, 8))


def test_a_network_that_torch_cannot_export_is_an_error_with_the_reason():
    class Deciding(nn.Module):
        def forward(self, images):
            return images.repeat(1, 2, 1, 1) if float(images.numpy().sum()) > 3 else images.repeat(1, 2, 1, 1) - 1

    with pytest.raises(ConfigurationError, match=r"torch\.export cannot export this network"):
        export_program(Probabilities(Deciding()).eval(), (1, 8, 8))


def test_the_files_contain_no_path_of_this_machine(exported):
    folder = str(alkit.__file__).rpartition("/")[0].encode()
    for path in exported.iterdir():
        assert folder not in path.read_bytes(), path
        assert b"site-packages" not in path.read_bytes(), path


# Use without alkit.


def test_the_cards_code_runs_without_alkit_and_gives_the_mask_that_alkit_predicts(model, exported, tmp_path):
    (tmp_path / "new").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    raw, _ = alkit.synthetic.lesions(3, size=40, seed=5)
    Image.fromarray(raw[0, 0]).resize((50, 30)).convert("RGB").save(tmp_path / "new" / "turned.png", exif=turned)
    Image.fromarray(raw[1, 0].astype(np.uint16) * 123).save(tmp_path / "new" / "deep.png")
    Image.fromarray(raw[2, 0]).convert("P").save(tmp_path / "new" / "palette.png")
    assert len(predict_folder(model, tmp_path / "new", tmp_path / "out").done) == 3
    for run, name in ((run_without_alkit, "palette.png"), (run_here, "turned.png"), (run_here, "deep.png")):
        path = tmp_path / "new" / name
        (exported / "image.png").write_bytes(path.read_bytes())
        run(code_of(exported), exported)
        ours, theirs = (np.asarray(Image.open(p)) for p in (tmp_path / "out/masks" / path.name, exported / "mask.png"))
        assert np.array_equal(ours, theirs), path
        assert ours.any()


@pytest.mark.parametrize("reading", [{"grayscale": False, "scale": "full"}, {"size": None, "scale": "full"}])
def test_the_code_prepares_an_image_as_the_record_does(tmp_path, reading):
    model = trained_model(record(tmp_path, unet(), **reading))
    told = card(model, network="", parameters=0, free=(), files={"model.pt2": ""}, versions={}, now=datetime.now(UTC))
    before_the_model = sample(told).partition("model = ")[0]
    (tmp_path / "image.png").write_bytes((tmp_path / "pool" / "3.png").read_bytes())
    run_here(before_the_model + "np.save('inputs.npy', inputs)", tmp_path)
    pool = alkit.ImagePool(tmp_path / "pool", **{"size": 16, "grayscale": True, **reading})
    np.testing.assert_allclose(np.load(tmp_path / "inputs.npy"), pool.read(["3"]), atol=1e-5)


@pytest.mark.parametrize("grayscale", [True, False])
@pytest.mark.parametrize("kind", ["png", "tiff", "planes", "white is 0"])
def test_the_code_refuses_16_bits_that_pillow_reads_otherwise_than_alkit(tmp_path, grayscale, kind):
    reading = {"grayscale": grayscale, "scale": "minmax"}
    shape = {"height": 16, "width": 16}
    told = {"files": {}, "model": {"input": shape}, "data": {"reading": reading}, "per": "image", "classes": []}
    colours = np.random.default_rng(0).integers(0, 4096, (16, 16, 3)).astype(np.uint16)
    if kind == "png":
        (tmp_path / "image.png").write_bytes(imagecodecs.png_encode(colours))
    else:
        options = {
            "tiff": {"photometric": "rgb"},
            "planes": {"photometric": "rgb", "planarconfig": "separate"},
            "white is 0": {"photometric": "miniswhite"},
        }[kind]
        pixels = {"tiff": colours, "planes": colours.transpose(2, 0, 1), "white is 0": colours[..., 0]}[kind]
        tifffile.imwrite(tmp_path / "image.png", pixels, **options)
    with pytest.raises(AssertionError, match="save it with 8 bits"):
        run_here(sample(told).partition("model = ")[0], tmp_path)


@pytest.mark.parametrize(("bits", "type"), [(8, np.uint8), (16, np.uint16)])
def test_the_code_refuses_other_bits_than_those_of_the_campaign_if_they_scale_the_values(tmp_path, bits, type):
    reading = {"grayscale": True, "scale": "full", "bits": bits}
    shape = {"height": 4, "width": 4, "channels": 1, "free": []}
    told = {"files": {}, "model": {"input": shape}, "data": {"reading": reading}, "per": "image", "classes": []}
    assert f"the greatest value of {bits} bits, which the images must have" in preparation(told)
    code = sample(told).partition("model = ")[0] + "np.save('inputs.npy', inputs)"
    for own in (np.uint8, np.uint16):
        Image.fromarray(np.full((4, 4), 51, own)).save(tmp_path / "image.png")
        if own == type:
            run_here(code, tmp_path)
            np.testing.assert_allclose(np.load(tmp_path / "inputs.npy"), 51 / np.iinfo(type).max, rtol=1e-6)
        else:
            with pytest.raises(AssertionError, match=f"save it with {bits} bits"):
                run_here(code, tmp_path)


def test_the_code_ignores_an_orientation_that_only_xmp_states_as_alkit_does(tmp_path):
    model = trained_model(record(tmp_path, unet(), scale="full"))
    told = card(model, network="", parameters=0, free=(), files={"model.pt2": ""}, versions={}, now=datetime.now(UTC))
    xmp, pixels = PngImagePlugin.PngInfo(), np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    xmp.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="3"/></x:xmpmeta>')
    Image.fromarray(pixels).save(tmp_path / "image.png", pnginfo=xmp)
    run_here(sample(told).partition("model = ")[0] + "np.save('inputs.npy', inputs)", tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "inputs.npy")[0, 0], pixels / 255, atol=1e-5)


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_the_code_pads_and_crops_and_undoes_it_as_alkit_does(tmp_path, fit):
    model = trained_model(record(tmp_path, unet(), fit=fit))
    export_model(model, tmp_path / "model")
    (tmp_path / "new").mkdir()
    raw, _ = alkit.synthetic.lesions(2, size=40, seed=5)
    Image.fromarray(raw[0, 0]).resize((50, 31)).save(tmp_path / "new" / "large.png")
    Image.fromarray(raw[1, 0]).resize((9, 13)).save(tmp_path / "new" / "small.png")
    predict_folder(model, tmp_path / "new", tmp_path / "out")
    for name in ("large.png", "small.png"):
        (tmp_path / "model" / "image.png").write_bytes((tmp_path / "new" / name).read_bytes())
        run_here(code_of(tmp_path / "model"), tmp_path / "model")
        masks = tmp_path / "out" / "masks" / name, tmp_path / "model" / "mask.png"
        ours, theirs = (np.asarray(Image.open(path)) for path in masks)
        assert ours.shape == theirs.shape
        assert (ours != theirs).mean() < 0.01  # of equal probabilities, but for rounding, either class may win
    text = (tmp_path / "model" / "CARD.md").read_text()
    assert {"pad": "pad it evenly", "crop": "cut out the largest rectangle"}[fit] in text


def test_the_code_for_a_pool_of_arrays_reads_arrays(model, tmp_path):
    export_model(replace(model, reading=None), tmp_path / "model")
    np.save(tmp_path / "model" / "images.npy", images(1, 1, 16, 20)[..., :16])
    run_here(code_of(tmp_path / "model"), tmp_path / "model")
    wanted = model.predictor.probabilities(images(1, 1, 16, 20)[..., :16].copy())[0].argmax(axis=0)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "model" / "mask.png")), wanted)


# ONNX.


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 2])
def test_onnx_gives_the_models_probabilities_within_a_hundred_thousandth(tmp_path, members):
    learner = unet() if members == 1 else alkit.Ensemble(unet(), members)
    model = trained_model(record(tmp_path, learner))
    export_model(model, tmp_path / "model", formats=("torch", "onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx", providers=["CPUExecutionProvider"])
    for size in [(1, 1, 16, 16), (5, 1, 16, 16), (2, 1, 32, 20)]:
        (said,) = session.run(["probabilities"], {"images": images(*size)})
        np.testing.assert_allclose(said, model.predictor.probabilities(images(*size)), rtol=0, atol=1e-5)
    assert [entry.shape for entry in session.get_inputs()] == [["batch", 1, "height", "width"]]
    content = (tmp_path / "model" / "model.onnx").read_bytes()
    assert str(alkit.__file__).rpartition("/")[0].encode() not in content


@pytest.mark.slow
def test_a_network_that_normalises_its_images_is_exported_with_the_normalisation(tmp_path):
    network = partial(SmpNetwork, "tu-test_efficientnet", mean=(0.4,) * 3, std=(0.3,) * 3)
    learner = alkit.SegmentationLearner(network, steps=3, batch=2, device="cpu")
    model = trained_model(record(tmp_path, learner, size=32))
    export_model(model, tmp_path / "model", formats=("torch", "onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx", providers=["CPUExecutionProvider"])
    for size in [(1, 1, 32, 32), (3, 1, 32, 32)]:
        wanted = model.predictor.probabilities(images(*size))
        program = loaded(tmp_path / "model")(torch.from_numpy(images(*size)))
        np.testing.assert_allclose(program.numpy(), wanted, rtol=0, atol=1e-5)
        (said,) = session.run(["probabilities"], {"images": images(*size)})
        np.testing.assert_allclose(said, wanted, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_cards_code_for_onnx_needs_neither_alkit_nor_torch(model, tmp_path):
    export_model(model, tmp_path / "model", formats=("onnx",))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "CARD.md",
        "card.json",
        "model.onnx",
        "model.safetensors",
    ]
    (tmp_path / "new").mkdir()
    raw, _ = alkit.synthetic.lesions(1, size=40, seed=5)
    for path in (tmp_path / "new" / "image.png", tmp_path / "model" / "image.png"):
        Image.fromarray(raw[0, 0]).save(path)
    predict_folder(model, tmp_path / "new", tmp_path / "out")
    run_without_alkit("sys.modules['torch'] = None\n" + code_of(tmp_path / "model"), tmp_path / "model")
    ours, theirs = (np.asarray(Image.open(tmp_path / name)) for name in ("out/masks/image.png", "model/mask.png"))
    assert (ours == theirs).mean() > 0.999  # a pixel on the very edge may fall on either side
    assert ours.any()


@pytest.mark.slow
def test_a_network_of_one_size_is_written_as_onnx_of_that_size():
    module = Mean([Probabilities(flat(1, 3)).eval().requires_grad_(False) for _ in range(2)]).eval()
    program, free = export_program(module, (1, 16, 16))
    content = onnx_program(module, program, (1, 16, 16), free)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (said,) = session.run(None, {"images": images(4, 1, 16, 16)})
    np.testing.assert_allclose(said, module(torch.from_numpy(images(4, 1, 16, 16))).numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PSPNet", "UPerNet"])
def test_a_network_that_pools_to_a_fixed_grid_is_written_as_onnx_of_one_size(name):
    network = getattr(smp, name)("resnet18", encoder_weights=None, in_channels=3, classes=2)
    module = Probabilities(network).eval().requires_grad_(False)
    program, free = export_program(module, (3, 64, 64))
    content, free_onnx = export_onnx(module, program, (3, 64, 64), free)
    assert "height" not in free_onnx
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = torch.rand(1, 3, 64, 64)
    (found,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, module(images).numpy(), atol=1e-4)


class Grid(nn.Module):
    """A network that pools to 2 x 2 and adds the result to each pixel."""

    def forward(self, images):
        """Return logits of two classes."""
        coarse = nn.functional.adaptive_avg_pool2d(images, 3)
        fine = nn.functional.interpolate(coarse, images.shape[2:], mode="bilinear")
        return torch.cat([images, fine], dim=1)


def test_onnx_has_fewer_free_axes_if_it_cannot_express_a_network(tmp_path, model):
    module = Probabilities(Grid()).eval()
    program, free = export_program(module, (1, 16, 16))
    content, _ = export_onnx(module, program, (1, 16, 16), free)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = torch.rand(1, 1, 16, 16)
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], module(images).numpy(), atol=1e-4)
    facts = {"network": "Grid", "parameters": 0, "files": {"model.pt2": "", "model.onnx": ""}, "versions": {}}
    found = card(model, free=free, free_onnx=("batch",), now=datetime.now(UTC), **facts)
    assert "The input of model.onnx has a fixed height and width." in preparation(found)


def test_onnxruntime_sends_nothing_unless_the_user_wants_it(monkeypatch):
    """Version 1.32 connects to a server of its makers otherwise."""
    from alkit.trained import export

    pytest.importorskip("onnxruntime")
    for given, kept in ((None, "1"), ("0", "0")):
        monkeypatch.delenv(export.TELEMETRY, raising=False)
        if given is not None:
            monkeypatch.setenv(export.TELEMETRY, given)
        export._onnx_packages()
        assert os.environ[export.TELEMETRY] == kept


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_of_onnx_are_an_error_before_any_work(model, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r'pip install "alkit\[onnx\]"'):
        export_model(model, tmp_path / "model", formats=("onnx",))
    assert not (tmp_path / "model").exists()


# The card and the files.


def test_the_card_agrees_with_the_record(model, exported):
    told = json.loads((exported / "card.json").read_text())
    (result,) = model.origin.history
    assert 0 < result.n_held_out < 8
    assert told["labels"] == {
        "trained_on": 8 - result.n_held_out,
        "held_out": result.n_held_out,
        "pseudo_labels": 0,
        "answers": 8,
        "annotators": 2,
        "came_later": 0,
    }
    assert told["data"] == {"images": 12, "reading": {"grayscale": True, "scale": "minmax"}}
    assert told["model"]["input"] == {
        "channels": 1,
        "height": 16,
        "width": 16,
        "free": ["batch", "height", "width"],
    }
    assert told["model"]["parameters"] == sum(value.numel() for value in model.predictor.network.parameters())
    assert (told["classes"], told["per"], told["seed"]) == (["skin", "lesion"], "pixel", 0)
    assert told["rounds"][0]["metrics"] == dict(result.metrics)
    assert told["measured_on"] == "hold-out"
    assert told["strategy"] == {"is": "alkit_baselines.random:Random", "with": {}}
    assert told["learner"]["with"]["epochs"] == [200, 1]
    assert told["versions"] == {"alkit": alkit.__version__, "torch": torch.__version__.partition("+")[0]}
    assert datetime.fromisoformat(told["exported"]).tzinfo is not None
    for name in ("model.safetensors", "model.pt2"):
        assert told["files"][name] == hashlib.sha256((exported / name).read_bytes()).hexdigest()


def test_the_text_of_the_card_has_the_metrics_the_classes_and_the_limits(model, exported):
    text = (exported / "CARD.md").read_text()
    told = json.loads((exported / "card.json").read_text())
    assert "0 skin, 1 lesion" in text
    assert "8 answers by 2 annotators" in text
    assert "bob" not in text + (exported / "card.json").read_text(), "the card is passed on"
    figure = model.origin.history[0].figure_text("dice")  # of a few labels held out, so with its interval
    assert figure.startswith(f"{model.origin.history[0].metrics['dice']:.3f} [")
    assert f"| {figure} |".replace("[", "\\[") in text
    assert all(f"- {limit}" in text for limit in told["limits"])
    assert "resize it, without a crop, to 16 x 16 pixels" in text
    assert card_text(told) == text


def test_names_in_the_card_are_text_and_not_markdown(exported):
    told = json.loads((exported / "card.json").read_text())
    evil = "a\n\n```python\nimport os\n```\n<script>alert(1)</script> [x](http://x) | \x1b[31m"
    told["classes"] = ["skin", evil]
    told["rounds"][0]["metrics"] = {evil: 0.5}
    text = card_text(told)
    assert text.count("\n```python") == 1
    assert text.count("\n| ") == 2 + len(told["rounds"])
    shown = r"\`\`\`python import os \`\`\` \<script>alert(1)\</script> \[x](http://x) \|"
    assert shown in text.splitlines()[0]
    plain = re.sub(r"```python\n.*?```", "", text, flags=re.S)
    assert not re.search(r"(?<!\\)<script>|(?<!\\)\[x\]|\x1b", plain)


def told(model: TrainedModel, **changes):
    origin = replace(model.origin, **changes)
    everything = {"network": "UNet", "parameters": 1, "free": ("batch",), "files": {}, "versions": {}}
    return card(replace(model, origin=origin), now=datetime.now(UTC), **everything)


def test_the_limits_are_those_of_this_model(model):
    (result,) = model.origin.history
    held = " ".join(told(model)["limits"])
    assert f"held out, {result.n_held_out} for the last round" in held
    assert "at 16 x 16 pixels" not in held  # it accepts no other size
    assert "test set" in " ".join(told(model, tested=True)["limits"])
    assert "never evaluated" in " ".join(told(model, history=(replace(result, metrics={}),))["limits"])
    assert "5 of the labels are predictions of an earlier" in " ".join(
        told(model, history=(replace(result, n_pseudo=5),))["limits"]
    )
    unfit = "The model has not learnt its labels: Dice is 0.10 on 8 images that it was trained on."
    for warning, labels in OTHER_LABELS.items():
        rounds = [
            replace(result, warnings=()),
            replace(result, round=1, warnings=(warning, f"{unfit[:-1]}. Try: a larger lr=.", "'a.png' is missing.")),
        ]
        changed = told(model, history=tuple(rounds))["limits"]
        assert unfit in changed
        assert f"Before round 1, the {labels} were other ones" in " ".join(changed)
        assert "a.png" not in " ".join(changed)
    assert "round with the best metric" in " ".join(told(model, best=True)["limits"])
    assert "round with the best metric" not in held
    late = [replace(one, state=alkit.values.State.STALE) for one in model.origin.standings[:2]]
    assert "2 images were answered or corrected" in " ".join(told(model, standings=tuple(late))["limits"])


def test_answers_after_the_training_are_not_counted_as_trained_on(tmp_path):
    store = record(tmp_path, unet())
    experiment = alkit.Experiment.open(store)
    (id,) = experiment.ask(1)
    experiment.tell({id: np.zeros((16, 16), np.uint8)}, annotator="cleo")
    later = told(trained_model(store))
    assert later["labels"]["came_later"] == 1
    assert (later["labels"]["answers"], later["labels"]["annotators"]) == (8, 2)


def test_existing_files_are_overwritten_only_on_request(model, tmp_path):
    (tmp_path / "CARD.md").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"already exist in .*got CARD\.md"):
        export_model(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["CARD.md"]
    assert (tmp_path / "CARD.md").read_text() == "mine"
    (tmp_path / "model.onnx").write_text("mine")
    export_model(model, tmp_path, overwrite=True)
    assert (tmp_path / "CARD.md").read_text().startswith("# A model of skin, lesion")
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_a_program_of_an_earlier_model_does_not_stay_beside_the_card_of_another(model, tmp_path):
    (tmp_path / "model.onnx").write_text("an earlier model")
    (tmp_path / "card.json").write_text('{"files": {"model.onnx": "0123", "../other": "4567"}}')
    export_model(model, tmp_path, overwrite=True)
    assert not (tmp_path / "model.onnx").exists()


def test_the_card_of_an_earlier_model_does_not_stay_beside_files_that_cannot_be_written(model, tmp_path):
    export_model(model, tmp_path)
    (tmp_path / "model.pt2").unlink()
    (tmp_path / "model.pt2").mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*model\.pt2"):
        export_model(model, tmp_path, overwrite=True)
    assert not (tmp_path / "CARD.md").exists()


@pytest.mark.parametrize("formats", [(), ("tflite",), ("torch", "jax")])
def test_unknown_formats_are_errors(model, tmp_path, formats):
    with pytest.raises(ConfigurationError, match="formats must contain"):
        export_model(model, tmp_path, formats=formats)
