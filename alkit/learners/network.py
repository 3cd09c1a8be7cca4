"""Shared parts of the learners that train a network of torch: the learner's parameters, its training, its predictor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.configuration.forms import runtime
from alkit.errors import ConfigurationError, LabelError, without_hint
from alkit.learners.made_up import MadeUp
from alkit.networks.ahead import read_ahead
from alkit.networks.before_head import features_before_head
from alkit.networks.computation import computation_for
from alkit.networks.cut import CutNetwork
from alkit.networks.dropout import undrawn
from alkit.networks.factory import NetworkFactory, check_apart, make_network
from alkit.networks.outputs import Logits, check_logits, find_reading, input_type, read
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.state import dump_state, load_state, read_axes, to_channels_last
from alkit.networks.training import (
    Example,
    Loss,
    adam,
    check_trainable,
    evaluation_mode,
    minibatches,
    train_epoch,
)
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec, check_images
from alkit.values.progress import Progress, Report, quiet


@checked
@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A trained network of torch.

    Parameters
    ----------
    network:
        Maps images to logits, on the device of its parameters.
    in_channels, classes:
        Arguments that its factory was called with.
    """

    network: nn.Module
    in_channels: int
    classes: int

    @checked
    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return soft-max probabilities in evaluation mode, ``(n, classes, h, w)`` or ``(n, classes)``.

        Raises
        ------
        ConfigurationError
            `images` are not ``(n, in_channels, h, w)``.
        """
        inputs = self._inputs(images)
        last = inputs[-1:].clone()  # before a network writes into its input
        if len(inputs) > 1 and self._cut.mixes(inputs):
            found = self._one_by_one(inputs)
        else:
            found = self._together(inputs)
            if not self._cut.agrees(inputs, 0, found[-1:], lambda: self._together(last)):
                found = self._one_by_one(self._inputs(images))
        return cast("npt.NDArray[np.float32]", found.cpu().numpy())

    def _together(self, inputs: Tensor) -> Tensor:
        with evaluation_mode(self.network) as network:
            return self._logits(network(inputs), inputs).float().softmax(dim=1)

    def _one_by_one(self, inputs: Tensor) -> Tensor:
        return torch.cat([self._together(part) for part in torch.split(inputs, 1)])

    @checked
    def posterior(self, images: Images) -> NetworkPosterior:
        """Return the posterior of these images: prediction, draws by dropout, and heads."""
        inputs = self._inputs(images).contiguous(memory_format=torch.channels_last)  # as in training
        return NetworkPosterior(self._cut, inputs)

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return what the network sees before its head, averaged over the pixels, ``(n, d)``.

        For a network that segments, that is the deepest map of its encoder; for others, the input of the last layer.

        Raises
        ------
        ConfigurationError
            `images` are not ``(n, in_channels, h, w)``, or the network does not call its output layer as a module.
        """
        inputs = self._inputs(images)
        apart = len(inputs) > 1 and self._cut.mixes(inputs)
        parts = torch.split(inputs, 1) if apart else (inputs,)
        rows = torch.cat([features_before_head(self.network, part) for part in parts])
        return cast("npt.NDArray[np.float32]", rows.cpu().numpy())

    @checked
    def images_at_once(self, images: Images) -> int:
        """Return the largest batch of images like these for :meth:`posterior`, at least 1."""
        return self._cut.images_at_once(self._inputs(images))

    @checked
    def undrawn(self, images: Images) -> list[str]:
        """Return names of the random parts of the network that draws by dropout leave off, such as drop path."""
        return undrawn(self.network, self._inputs(images))

    def dumps(self) -> bytes:
        """Return weights and buffers in the safetensors format."""
        return dump_state(self.network, [self.in_channels, self.classes])

    @cached_property
    def _cut(self) -> CutNetwork:
        return CutNetwork(self.network, self.classes)

    def _logits(self, output: Any, images: Tensor) -> Tensor:
        reading = find_reading(output, tuple(images.shape), self.classes, type(self.network).__name__)
        return read(output, reading, images)

    def _inputs(self, images: Images) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ConfigurationError(
                f"images for this model must have the shape (n, {self.in_channels}, h, w)", got=f"{images.shape}"
            )
        # A copy, because a network may write into its input, and an ensemble gives all members the same images.
        device = next((value.device for value in self.network.parameters()), torch.device("cpu"))
        return torch.from_numpy(np.ascontiguousarray(images)).to(device, input_type(self.network), copy=True)


@dataclass(frozen=True)
class NetworkLearner:
    """Base class of the learners that train a network of torch. A subclass has a loss, and may set initial weights.

    Its parameters are documented in :class:`alkit.SegmentationLearner` and :class:`alkit.ClassificationLearner`.
    """

    network: NetworkFactory
    epochs: tuple[int, int]
    batch: int
    lr: float
    carry_on: bool = True
    precision: str = "32-true"
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        if isinstance(self.network, nn.Module) or not callable(self.network):
            kind = type(self.network)
            raise ConfigurationError(
                "network must be a factory of networks, called with in_channels= and classes=",
                got=f"a network, {kind.__name__}" if issubclass(kind, nn.Module) else repr(self.network),
                hint=f"the class {kind.__name__}" if issubclass(kind, nn.Module) else "alkit.UNet",
            )
        if not isinstance(self.epochs, Sequence) or len(self.epochs) != 2:
            raise ConfigurationError(
                "epochs must be two integers, for the first round and for later rounds", got=repr(self.epochs)
            )
        epochs = tuple(check_integer("each number of epochs", count, least=1) for count in self.epochs)
        object.__setattr__(self, "epochs", epochs)
        object.__setattr__(self, "batch", check_integer("batch", self.batch, least=1))
        check_number("lr", self.lr, 0, open_ends="(")

    def loss(self, spec: LabelSpec) -> Loss:
        """Return the loss of logits and labels; raise a :class:`ConfigurationError` for labels of another kind."""
        raise NotImplementedError

    @checked
    def initial_model(self, labelled: Labelled, stream: Stream) -> NetworkPredictor:
        """Return a model whose initial weights depend on `stream` alone."""
        in_channels, classes = labelled.images(labelled.ids[:1]).shape[1], len(labelled.spec.classes)
        return self._new(in_channels, classes, stream.child("weights"))

    @checked
    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> NetworkPredictor:
        """Train on all labels.

        On one CPU, the same labels, `rng`, `previous` and number of threads give the same weights bit for bit; on one
        GPU, the same labels, `rng` and `previous` do. torch warns of operations that do not repeat on a GPU.

        Parameters
        ----------
        labelled:
            Images and labels to learn from.
        rng:
            One number is drawn from it; all randomness depends on this number.
        previous:
            The last round's model, or None in the first round.
        report:
            Called after each epoch with the progress and the loss.

        Raises
        ------
        ConfigurationError
            The labels are of another kind, `previous` is not a :class:`NetworkPredictor`, the device or precision is
            not available, or the training diverges.
        """
        loss, stream = self.loss(labelled.spec), Stream.from_rng(rng)
        if previous is None or not self.carry_on:
            model, epochs = self.initial_model(labelled, stream), self.epochs[0]
        else:
            model, epochs = self._copy(previous), self.epochs[1]
        return train(self, model, epochs, labelled, loss, stream, report)

    @checked
    def loads(self, dumped: bytes) -> NetworkPredictor:
        """Return the predictor whose ``dumps`` returned these bytes, on this learner's device."""
        in_channels, classes = read_axes(dumped)
        # The next line overwrites these initial weights.
        network = make_network(self.network, in_channels=in_channels, classes=classes, stream=Stream(0))
        load_state(network, dumped)
        to_channels_last(network).to(computation_for(self.device, self.precision).device)
        return NetworkPredictor(network, in_channels, classes)

    @checked
    def try_training(self, images: Images, spec: LabelSpec) -> NetworkPredictor:
        """Train a new network for one step on `images`, all in one batch, with made-up labels, and return the model.

        Raises
        ------
        ConfigurationError
            The labels are of another kind; the factory returns the same network twice; the network fails on the images,
            returns something other than logits, has nothing to train, or cannot be stored and read again.
        """
        check_images(images)
        loss, stream = self.loss(spec), Stream(0).child("rehearsal")
        model, other = (self._new(images.shape[1], len(spec.classes), stream.child(name)) for name in ("one", "two"))
        check_apart(model.network, other.network)
        check_trainable(model.network)
        model.network.to(computation_for(self.device, self.precision).device)  # faster than the CPU, if it is a GPU
        check_logits(model.network, torch.from_numpy(np.ascontiguousarray(images[:1])), model.classes)
        train(replace(self, batch=len(images)), model, 1, MadeUp(images, spec), loss, stream, quiet)
        self._check_stored(model, images[:2])
        return model

    def _check_stored(self, model: NetworkPredictor, images: Images) -> None:
        """Raise a :class:`ConfigurationError` unless a model that is stored and read again predicts the same."""
        name, expected = type(model.network).__name__, model.probabilities(images)
        if not np.isfinite(expected).all():
            raise ConfigurationError(
                f"network {name} must predict finite probabilities",
                got="NaN after one training step",
                hint="finite initial weights, or a smaller lr",
            )
        try:
            again = self.loads(model.dumps()).probabilities(images)
        except ConfigurationError as reason:
            raise ConfigurationError(
                f"network {name} cannot be stored and read again ({without_hint(reason)})",
                hint="a network that makes all its weights and buffers in __init__, as tensors",
            ) from reason
        repeats = np.allclose(expected, model.probabilities(images), rtol=0, atol=1e-6)  # its output is not random
        if repeats and not np.allclose(expected, again, rtol=0, atol=1e-5):
            raise ConfigurationError(
                f"network {name} must keep all that its prediction depends on in its state_dict()",
                got=f"probabilities that differ by {np.abs(expected - again).max():.2g} after it is stored and read",
                hint="nn.ModuleList in place of a list, and register_buffer for tensors",
            )

    def _new(self, in_channels: int, classes: int, stream: Stream) -> NetworkPredictor:
        network = make_network(self.network, in_channels=in_channels, classes=classes, stream=stream)
        return NetworkPredictor(network, in_channels, classes)

    def _copy(self, previous: Predictor) -> NetworkPredictor:
        """Return a copy of the last round's model, to train it further: the model that another process would read."""
        if not isinstance(previous, NetworkPredictor):
            raise ConfigurationError(
                "previous must be a NetworkPredictor, because the learner trains its weights further",
                got=type(previous).__name__,
                hint="carry_on=False",
            )
        return self.loads(previous.dumps())


def train(
    learner: NetworkLearner,
    model: NetworkPredictor,
    epochs: int,
    labelled: Labelled,
    loss: Loss,
    stream: Stream,
    report: Report,
) -> NetworkPredictor:
    """Train `model` for some epochs on all labels, and return it.

    The loss of a network with heads of deep supervision is the sum of the heads' losses with its ``head_weights``.
    """
    computation = computation_for(learner.device, learner.precision)
    network = computation.move(to_channels_last(model.network))
    check_trainable(network)
    optimizer = adam(network, learner.lr)
    if len(getattr(network, "head_weights", ())) > 1:
        network, loss = _AllOutputs(network), _weighted_sum(loss, cast(Any, network).head_weights)
    else:
        network = Logits(network, model.classes)
    for epoch in range(epochs):
        examples = read_ahead(_examples(labelled, learner.batch, stream.child("order", epoch)), computation.device)
        value = train_epoch(computation, network, optimizer, examples, loss, stream.child("dropout", epoch))
        report(Progress("fit", epoch + 1, epochs, {"loss": value}))
    model.network.zero_grad(set_to_none=True)
    return model


def _examples(labelled: Labelled, size: int, stream: Stream) -> Iterator[Example]:
    """Yield the images and labels of one epoch in random batches, except batches whose pixels are all ignored.

    Raises
    ------
    LabelError
        The pixels of all batches are ignored.
    """
    ignore, empty = labelled.spec.ignore, True
    for positions in minibatches(len(labelled.ids), size, stream):
        ids = [labelled.ids[position] for position in positions]
        labels = labelled.labels(ids)
        if ignore is not None and (labels == ignore).all():
            continue  # nothing to learn from; a step would still follow the momentum of earlier batches
        empty = False
        images = torch.from_numpy(labelled.images(ids)).contiguous(memory_format=torch.channels_last)
        yield images, torch.from_numpy(labels).long()
    if empty:
        raise LabelError(
            "the masks must have at least one pixel to learn from",
            got=f"only the ignore value {ignore} in {len(labelled.ids)} masks",
            hint="label more images",
        )


class _AllOutputs(nn.Module):
    """A network that returns the logits of all its heads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = cast(Any, self.network)
        return cast("tuple[Tensor, ...]", network.decode_all(network.encode(images)))


def _weighted_sum(loss: Loss, weights: tuple[float, ...]) -> Loss:
    def total(outputs: Any, target: Tensor) -> Tensor:
        losses = [weight * loss(logits, target) for weight, logits in zip(weights, outputs, strict=True)]
        return cast(Tensor, sum(losses))

    return total
