"""Outputs of networks are read as logits, or refused by name."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alkit.errors import ConfigurationError
from alkit.networks.outputs import Logits, as_logits, check_logits, find_reading
from alkit.networks.state import copy_network, dump_state, load_state, read_axes, to_channels_last

SHAPE = (3, 1, 8, 12)


def maps(classes=2, n=3, size=(8, 12)):
    return torch.linspace(-2, 3, n * classes * size[0] * size[1]).reshape(n, classes, *size)


class Returns(nn.Module):
    """Returns what a function makes of logits that depend on the images."""

    def __init__(self, form, classes=2):
        super().__init__()
        self.conv, self.form = nn.Conv2d(1, classes, 1), form

    def forward(self, images):
        return self.form(self.conv(images))


IMAGES = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))

FORMS = {
    "plain": lambda x: x,
    "dictionary of torchvision": lambda x: {"out": x, "aux": x * 2},
    "dictionary of transformers": lambda x: {"loss": None, "logits": x},
    "tuple with an auxiliary output": lambda x: (x, x.mean()),
    "list": lambda x: [x],
    "a classifier": lambda x: x.mean((2, 3)),
}


@pytest.mark.parametrize("name", FORMS)
def test_known_forms_are_read_as_the_logits_in_them(name):
    network = Returns(FORMS[name])
    expected = network.conv(IMAGES).mean((2, 3)) if name == "a classifier" else network.conv(IMAGES)
    torch.testing.assert_close(Logits(network, 2)(IMAGES), expected)
    torch.testing.assert_close(as_logits(network, IMAGES[:1], 2)(IMAGES), expected)
    assert (as_logits(network, IMAGES[:1], 2) is network) == (name in ("plain", "a classifier"))


ONE_CHANNEL = {
    "(n, 1, h, w)": lambda x: x,
    "(n, h, w)": lambda x: x[:, 0],
    "(n, 1)": lambda x: x.mean((2, 3)),
    "(n,)": lambda x: x.mean((1, 2, 3)),
}


@pytest.mark.parametrize("name", ONE_CHANNEL)
def test_one_channel_is_the_sigmoid_of_the_second_of_two_classes(name):
    network = Returns(ONE_CHANNEL[name], classes=1)
    found = Logits(network, 2)(IMAGES).softmax(1)
    alone = network.conv(IMAGES)[:, 0]
    expected = torch.sigmoid(alone if "h" in name else alone.mean((1, 2)))
    torch.testing.assert_close(found[:, 1], expected)
    torch.testing.assert_close(found[:, 0], 1 - expected)


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (3, 4)], ids=str)
def test_coarser_maps_are_enlarged_to_the_size_of_the_images(size):
    reading = find_reading(maps(size=size), SHAPE, 2, "Coarse")
    assert reading.coarse
    network = Returns(lambda x: nn.functional.adaptive_avg_pool2d(x, size))
    enlarged = nn.functional.interpolate(network(IMAGES), size=(8, 12), mode="bilinear")
    torch.testing.assert_close(Logits(network, 2)(IMAGES), enlarged)


REFUSED = {
    "a dictionary without logits": ({"masks": maps()}, r"with the key 'out' or 'logits': got the keys 'masks'"),
    "an empty tuple": ((), "logits: got an empty tuple"),
    "a tuple of something else": (("a", maps()), "a tensor of real numbers: got an object of type str"),
    "None": (None, "a tensor of real numbers: got an object of type NoneType"),
    "class ids": (maps().argmax(1), "a tensor of real numbers: got torch.int64"),
    "complex numbers": (maps() + 0j, "a tensor of real numbers: got torch.complex64"),
    "another number of classes": (maps(5), r"logits of 2 classes, .*: got shape \(3, 5, 8, 12\)"),
    "another number of images": (maps(n=2), r"for 3 images: got shape \(2, 2, 8, 12\)"),
    "a cropped map": (maps(size=(6, 10)), "a whole fraction of it: got 6 x 10 for images of 8 x 12"),
    "a larger map": (maps(size=(16, 24)), "a whole fraction of it: got 16 x 24"),
    "a single pixel": (maps(size=(1, 1)), "a whole fraction of it: got 1 x 1"),
    "another aspect": (maps(size=(4, 12)), "a whole fraction of it: got 4 x 12"),
    "five axes": (maps()[..., None], r"got shape \(3, 2, 8, 12, 1\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_outputs_are_refused_by_the_name_of_the_network(name):
    output, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=rf"network Odd must return .*{message}"):
        find_reading(output, SHAPE, 2, "Odd")


def test_one_channel_is_refused_for_three_classes():
    with pytest.raises(ConfigurationError, match=r"logits of 3 classes.*got shape \(3, 1, 8, 12\)"):
        find_reading(maps(1), SHAPE, 3, "Odd")


PROBABILITIES = {
    "soft-max": (lambda x: x.softmax(1), 2),
    "soft-max in a dictionary": (lambda x: {"out": x.softmax(1)}, 2),
    "sigmoid of one channel": (lambda x: x.sigmoid(), 1),
    "sigmoid of each class": (lambda x: x.sigmoid(), 2),
    "sigmoid that is cut off": (lambda x: x.sigmoid().clamp(1e-6, 1 - 1e-6), 2),
    "sigmoid that is enlarged": (lambda x: F.interpolate(x[..., ::2, ::2].sigmoid(), scale_factor=2.0), 1),
    "sigmoid without channels": (lambda x: x.sigmoid().squeeze(1), 1),
    "complement of a sigmoid": (lambda x: 1 - x.sigmoid(), 1),
    "hard sigmoid": (F.hardsigmoid, 2),
    "two sigmoids": (lambda x: torch.cat([x[:, :1].sigmoid(), x[:, 1:].sigmoid()], 1), 2),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_are_refused(name):
    form, channels = PROBABILITIES[name]
    with pytest.raises(ConfigurationError, match="must return logits: got probabilities"):
        check_logits(Returns(form, channels), IMAGES[:1], 2)
    check_logits(Returns(lambda x: x.log_softmax(1)), IMAGES[:1], 2)


def test_outputs_between_0_and_1_are_noted_in_the_log(caplog):
    check_logits(Returns(lambda x: x * x.sigmoid()), IMAGES[:1], 2)
    check_logits(Returns(lambda x: x * 0 + 0.2), IMAGES[:1], 2)
    check_logits(Returns(lambda x: 0.2 + x.abs() / 200), IMAGES[:1], 2)  # as a network before its first training
    assert not caplog.records
    check_logits(Returns(lambda x: x.tanh() / 2 + 0.5), IMAGES[:1], 2)
    assert "all outputs of network Returns lie between 0 and 1" in caplog.text


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_images_have_the_type_of_the_weights(dtype):
    assert Logits(Returns(FORMS["plain"]).to(dtype), 2)(IMAGES).dtype == dtype


class Tied(nn.Module):
    """A layer under two names, and a buffer that is part of another."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 1, 3, padding=1)
        self.again = self.first
        grid = torch.rand(2, 4)
        self.register_buffer("grid", grid)
        self.register_buffer("row", grid[0])

    def forward(self, images):
        return self.again(self.first(images)) + self.row.sum()


def test_shared_tensors_are_stored_under_each_name_and_read_again():
    one, two = Tied(), Tied()
    dumped = dump_state(one, [1, 2])
    load_state(two, dumped)
    assert read_axes(dumped) == (1, 2, False)
    torch.testing.assert_close(two(IMAGES), one(IMAGES))
    assert two.first.weight is two.again.weight


def test_weights_of_another_network_are_refused_by_name():
    dumped = dump_state(nn.Conv2d(1, 2, 1), [])
    message = (
        r"does not fit the stored weights: its factory has changed since: got weight is float32 \(3, 1, 1, 1\), st"
    )
    with pytest.raises(ConfigurationError, match=message):
        load_state(nn.Conv2d(1, 3, 1), dumped)
    with pytest.raises(
        ConfigurationError, match=r"got 0\.weight is missing; 0\.bias is missing; bias is unknown and 1"
    ):
        load_state(nn.Sequential(nn.Conv2d(1, 2, 1)), dumped)


class Extra(nn.Conv2d):
    def get_extra_state(self):
        return {"version": 1}


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, dtype=torch.complex128))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Extra(1, 2, 1),
            "ordinary tensors only in its state dict: got '_extra_state', an object of type dict",
        ),
        (Complex(), r"must have weights that can be stored .*: got torch\.complex128"),
    ],
    ids=["extra state", "complex128"],
)
def test_what_cannot_be_stored_is_refused_by_name(network, message):
    with pytest.raises(ConfigurationError, match=message):
        dump_state(network, [])


def test_weights_of_five_axes_do_not_keep_others_from_channels_last():
    network = nn.Sequential(nn.Conv2d(2, 3, 3))
    network.register_parameter("cube", nn.Parameter(torch.zeros(1, 1, 1, 2, 2)))
    to_channels_last(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_networks_that_keep_tensors_with_a_history_are_copied():
    network = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(1, 2, 1)))
    network.kept = network(IMAGES)
    other = copy_network(network)
    torch.testing.assert_close(other(IMAGES), network(IMAGES))
    with torch.no_grad():
        other[0].weight_g += 1
    assert not torch.allclose(other(IMAGES), network(IMAGES))


def test_a_network_is_tried_on_other_images_only_if_its_output_may_be_probabilities():
    for form, calls in (lambda x: x * 5, 1), (lambda x: x * 0 + 0.2, 4):
        network = Returns(form)
        seen = []
        network.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        check_logits(network, IMAGES[:1], 2)
        assert len(seen) == calls
