"""Pre-trained encoders: the right weights from each source, their normalisation inside the network, and no surprise."""

import shutil
from functools import partial

import huggingface_hub
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import get_encoder

import alkit
from alkit.configuration import build, named_files, written_form
from alkit.errors import ConfigurationError, UnknownNameError
from alkit.networks import SmpNetwork, make_network
from alkit.networks.cut import CutNetwork
from alkit.networks.encoders import IMAGENET
from alkit.networks.pretrained import load_model
from alkit.networks.smp_factories import without_download
from alkit.networks.state import dump_state
from alkit.rng import Stream

LITE0 = partial(SmpNetwork, "tu-tf_efficientnet_lite0", weights="efficientnet-lite0")
SMALL = {"encoder_weights": None, "decoder_channels": (32, 16, 8, 8, 4)}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Let no test of this file find weights in the cache of this machine, or use a network."""

    def refuse(*_, **__):
        pytest.fail("the hub was asked")  # local_files_only=True sends a request, too, from some programs

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", refuse)


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def made(factory, channels=3):
    return make_network(factory, in_channels=channels, classes=2, stream=Stream(0)).eval()


def saved(path, tensors):
    tensors = {name: value.clone().contiguous() for name, value in tensors.items()}
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


def random_tensors(module):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return {
            name: torch.rand_like(value) / 10 if value.is_floating_point() else value
            for name, value in module.state_dict().items()
        }


@torch.no_grad()
def test_the_encoder_computes_what_the_pretrained_model_computes_of_normalised_images():
    batch = images(2, 3, 64, 96)
    full = load_model("tf_efficientnet_lite0", "efficientnet-lite0", size=None, download=False, stream=Stream(0)).eval()
    expected = full.blocks(full.bn1(full.conv_stem((batch - 0.5) / 0.5)))
    network = made(LITE0)
    assert network.encode(batch)[-1].allclose(expected, atol=1e-5)
    assert expected.std() > 0.1
    assert network(batch).equal(network.decode(network.encode(batch)))


@torch.no_grad()
def test_a_gray_image_is_the_same_as_its_gray_photograph():
    gray = images(2, 1, 64, 64)
    assert made(LITE0, 1)(gray).equal(made(LITE0)(gray.expand(-1, 3, -1, -1)))


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "resnet18"])
def test_more_channels_repeat_the_weights_of_the_first_layer(encoder, tmp_path):
    weights = "efficientnet-lite0"
    if encoder == "resnet18":
        weights = saved(tmp_path / "a.pth", random_tensors(get_encoder(encoder, weights=None)))
    three, five = (made(partial(SmpNetwork, encoder, weights=weights), channels) for channels in (3, 5))
    first = "model.conv_stem" if encoder.startswith("tu-") else "conv1"
    weight, wider = (network.model.encoder.get_submodule(first).weight for network in (three, five))
    assert wider.allclose(weight[:, [0, 1, 2, 0, 1]] * 3 / 5)
    assert five(images(1, 5, 64, 64)).shape == (1, 2, 64, 64)
    assert five._mean.flatten().tolist() == [three._mean.flatten().tolist()[channel % 3] for channel in range(5)]


def test_a_file_of_torchvision_fits_an_encoder_of_the_library(tmp_path):
    """The classifier in the file is left out, and the normalisation is that of ImageNet."""
    tensors = random_tensors(get_encoder("resnet18", weights=None))
    file = saved(tmp_path / "own.pth", {**tensors, "fc.weight": torch.ones(9, 512), "fc.bias": torch.ones(9)})
    network = made(partial(SmpNetwork, partial(smp.FPN, "resnet18"), weights=file))
    assert all(value.equal(tensors[name]) for name, value in network.model.encoder.state_dict().items())
    assert network._mean.flatten().tolist() == pytest.approx(IMAGENET[0])
    assert network._std.flatten().tolist() == pytest.approx(IMAGENET[1])


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_convnext"])
def test_a_file_of_timm_fits_its_encoder(name, tmp_path):
    model = timm.create_model(name, pretrained=False, num_classes=5)
    tensors = random_tensors(model)
    network = made(partial(SmpNetwork, f"tu-{name}", weights=saved(tmp_path / "own.safetensors", tensors)))
    found = {key.replace(".", "_").removeprefix("model_"): v for key, v in network.model.encoder.state_dict().items()}
    theirs = {key.replace(".", "_"): value for key, value in tensors.items()}
    assert found
    assert all(value.equal(theirs[key]) for key, value in found.items())
    assert network._mean.flatten().tolist() == pytest.approx(model.pretrained_cfg["mean"])


def test_the_weights_of_a_segmentation_model_give_those_of_its_encoder(tmp_path):
    own = smp.Unet("resnet18", **SMALL)
    tensors = random_tensors(own)
    network = made(partial(SmpNetwork, "resnet18", weights=saved(tmp_path / "unet.pt", tensors)))
    assert network.model.encoder.conv1.weight.equal(tensors["encoder.conv1.weight"])


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_weights_of_another_architecture_are_refused(encoder, tmp_path):
    file = saved(tmp_path / "own.safetensors", random_tensors(get_encoder("mobilenet_v2", weights=None)))
    with pytest.raises(ConfigurationError, match=r"own.safetensors do not fit the .*resnet18': got no .*; unknown"):
        SmpNetwork(encoder, 3, 2, weights=file)


def own_unet(in_channels, classes):
    return smp.Unet("resnet18", in_channels=in_channels, classes=classes, **SMALL)


@pytest.mark.parametrize(
    ("encoder", "weights", "words"),
    [
        ("resnet34", "imagenet", r"hf download smp-hub/resnet34.imagenet config.json model.safetensors --revision \w"),
        ("tu-resnet18", "imagenet", r"are not on this machine.*hf download timm/resnet18\S+ model.safetensors, once"),
        ("resnet34", "efficientnet-lite0", "those of the encoder 'tu-tf_efficientnet_lite0': got .*'resnet34"),
        ("resnet50", "advprop", "must be imagenet, ssl, swsl, or a file that ends in .safetensors"),
        (own_unet, "imagenet", "model must be the name of an encoder"),
    ],
)  # fmt: skip
def test_weights_that_are_not_there_are_an_error_that_says_how_to_get_them(encoder, weights, words):
    with pytest.raises(ConfigurationError, match=words):
        SmpNetwork(encoder, 3, 2, weights=weights)


@pytest.mark.parametrize(("encoder", "close"), [("resnet3", "'resnet34'"), ("tu-resnet3", "'tu-resnet34'")])
def test_an_unknown_encoder_is_an_error_that_names_similar_ones(encoder, close):
    with pytest.raises(UnknownNameError, match=f"has no encoder '{encoder}'.*{close}"):
        SmpNetwork(encoder, 3, 2)


def test_weights_of_the_library_come_with_their_own_normalisation(tmp_path, monkeypatch):
    """As for DPN, whose file states values for pixels from 0 to 255."""
    tensors = random_tensors(get_encoder("resnet18", weights=None))
    saved(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text('{"mean": [51, 51, 51], "std": [102, 102, 102], "input_range": [0, 255]}')

    def cached(repository, filename, *, cache_dir, revision):
        assert (repository, len(revision)) == ("smp-hub/resnet18.ssl", 40)
        return str(tmp_path / filename)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    network = made(partial(SmpNetwork, "resnet18", weights="ssl"))
    assert network.model.encoder.conv1.weight.equal(tensors["conv1.weight"])
    assert network._mean.flatten().tolist() == pytest.approx([0.2] * 3)
    assert network._std.flatten().tolist() == pytest.approx([0.4] * 3)


@torch.no_grad()
def test_mean_and_std_can_be_given_without_weights():
    network = made(partial(SmpNetwork, partial(smp.Unet, "resnet18", **SMALL), mean=(0.1,), std=(0.5, 0.25, 0.5)), 1)
    batch = images(1, 1, 64, 64)
    scaled = torch.cat([(batch - 0.1) / std for std in (0.5, 0.25, 0.5)], dim=1)
    assert network.encode(batch)[0].allclose(scaled)
    for wrong, words in (
        ({"mean": (0.1, 0.2)}, "mean must have one number, or one for each of the 3 channels"),
        ({"std": (0,)}, "std must be a"),
        ({"std": ("a",)}, "must be a number: got 'a'"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            SmpNetwork("resnet18", 1, 2, **wrong)


@pytest.mark.parametrize("channels", [1, 3])
def test_draws_start_behind_the_encoder(channels):
    halves = CutNetwork(made(LITE0, channels)).halves(images(1, channels, 64, 64))
    assert halves.encoded
    assert halves.stacks


def test_a_stored_model_needs_no_weights(tmp_path):
    file = saved(tmp_path / "own.pth", random_tensors(get_encoder("resnet18", weights=None)))
    model = partial(smp.Unet, "resnet18", **SMALL)
    learner = alkit.SegmentationLearner(partial(SmpNetwork, model, weights=file), epochs=(1, 1))
    network = made(learner.network, 1)
    dumped = dump_state(network, [1, 2])
    file.unlink()
    batch = images(1, 1, 64, 64)
    found = build(written_form(learner), "learner").loads(dumped).probabilities(batch.numpy())
    assert np.array_equal(found, learner.loads(dumped).probabilities(batch.numpy()))
    with torch.no_grad():
        assert np.allclose(found, network(batch).softmax(1), atol=1e-6)


def test_a_stored_model_of_the_library_downloads_nothing():
    """`encoder_weights` is ``imagenet`` by default."""
    dumped = dump_state(smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=2), [3, 2])
    for factory in (partial(smp.Unet, "resnet18"), partial(smp.Unet, "resnet18", 5, "imagenet"), inner_default):
        if factory is inner_default:
            dumped = dump_state(SmpNetwork(without_download(partial(smp.Unet, "resnet18")), 3, 2), [3, 2])
        model = alkit.SegmentationLearner(factory, epochs=(1, 1)).loads(dumped)
        assert model.probabilities(images(1, 3, 64, 64).numpy()).shape == (1, 2, 64, 64)


inner_default = partial(SmpNetwork, partial(smp.Unet, "resnet18"))


def test_a_record_names_a_file_by_its_content(tmp_path):
    file = saved(tmp_path / "own.pth", random_tensors(get_encoder("resnet18", weights=None)))
    name = named_files.name_by_content("weights", file)
    factory = partial(SmpNetwork, "resnet18", weights=str(file))
    for part in (
        alkit.SegmentationLearner(factory),
        alkit.Ensemble(alkit.SegmentationLearner(factory)),
        alkit.ClassificationLearner(factory),
        alkit.Reconstruction(network=factory),
    ):
        form = str(written_form(part))
        assert name in form
        assert str(tmp_path) not in form
    shutil.copy(saved(tmp_path / "other.pth", {"a": torch.ones(1)}), file)
    with pytest.raises(ConfigurationError, match="does not have the content of weights sha256"):
        made(partial(SmpNetwork, "resnet18", weights=name))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"args": ["resnet18"], "with": {"weights": "/etc/a.pth"}}, "a record cannot name a path"),
        ({"args": ["resnet18"], "with": {"weights": "a.pth"}}, "a record cannot name a path"),
        ({"args": ["resnet18"], "with": {"weights": ["a.pth"]}}, "a record cannot name a path"),
        ({"args": ["tu-hf-hub:somebody/else"], "with": {}}, "model must be a name of letters, digits"),
        ({"args": [], "with": {"model": "tu-local-dir:/tmp"}}, "model must be a name of letters, digits"),
        ({"args": ["resnet18"], "with": {"download": True}}, "no other parameter 'download'"),
    ],
)
def test_a_record_names_neither_paths_nor_addresses(arguments, words):
    form = written_form(alkit.SegmentationLearner(partial(SmpNetwork, "resnet18")))
    form["with"]["network"] = {"partial": {"named": "alkit.networks:SmpNetwork"}, **arguments}
    with pytest.raises(ConfigurationError, match=words):
        build(form, "learner")
