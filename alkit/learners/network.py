"""The training and the storage of a network of torch, which the learners of segmentation and classification share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np
import torch

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, without_hint
from alkit.learners.losses import weigh_classes
from alkit.learners.made_up import MadeUp
from alkit.learners.parts import TrainingParts
from alkit.learners.predictor import NetworkPredictor
from alkit.learners.training import train
from alkit.networks.compiled import check_compiler
from alkit.networks.computation import computation_for
from alkit.networks.factory import check_apart, make_network
from alkit.networks.normalised import warn_if_not_normalised
from alkit.networks.outputs import check_logits
from alkit.networks.smp_factories import weights_left_out
from alkit.networks.state import to_channels_last
from alkit.networks.training import Loss, check_trainable
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec, check_images
from alkit.values.progress import Report, quiet


@dataclass(frozen=True)
class NetworkLearner(TrainingParts):
    """Base class of the learners that train a network of torch. A subclass has a loss, and may set initial weights."""

    def make_loss(self, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
        """Return the loss of logits and labels; raise a :class:`ConfigurationError` for labels of another kind.

        Parameters
        ----------
        weights:
            Weight of each class in cross-entropy; None for equal ones.
        """
        raise NotImplementedError

    @checked
    def initial_model(self, labelled: Labelled, stream: Stream) -> NetworkPredictor:
        """Return a model whose initial weights depend on `stream` alone."""
        in_channels = labelled.images(labelled.ids[:1]).shape[1]
        return self._new(in_channels, labelled.spec, stream.child("weights"))

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
        loss = self.make_loss(labelled.spec, weigh_classes(self.class_weights, labelled))
        stream, later = Stream.from_rng(rng), previous is not None and self.carry_on
        model = self._copy(cast(Predictor, previous)) if later else self.initial_model(labelled, stream)
        return train(self, model, labelled, loss, stream, report, later=later)

    @checked
    def loads(self, dumped: bytes) -> NetworkPredictor:
        """Return the predictor whose ``dumps`` returned these bytes, on this learner's device."""
        predictor = NetworkPredictor.loads(dumped, self.network, "cpu")
        computation = computation_for(self.device, self.precision)
        if self.compile:
            check_compiler(computation.device.type)
        computation.move(to_channels_last(predictor.network))
        return replace(predictor, precision=self.precision, compile=self.compile)

    tries_steps: ClassVar[bool] = True
    """Whether :meth:`try_training` takes `step_only`."""

    @property
    def fills_batches(self) -> bool:
        """Whether images come again until a batch has several of them, so that one label makes no batch of one."""
        return self.steps is not None and self.batch > 1

    @checked
    def try_training(self, images: Images, spec: LabelSpec, step_only: bool = False) -> NetworkPredictor:
        """Train a new network for one step on `images`, all in one batch, with made-up labels, and return the model.

        Parameters
        ----------
        step_only:
            Whether to try the step only, because the network and its storage were tried with other images.

        Raises
        ------
        ConfigurationError
            The labels are of another kind; the factory returns the same network twice; the network fails on the images,
            returns something other than logits, has nothing to train, or cannot be stored and read again.
        """
        check_images(images)
        made_up, stream = MadeUp(images, spec), Stream(0).child("rehearsal")
        loss = self.make_loss(spec, weigh_classes(self.class_weights, made_up))
        with weights_left_out() if step_only else nullcontext():
            model = self._new(images.shape[1], spec, stream.child("one"))
        if not step_only:
            self._check_network(model, images[:1], spec, stream)
        model = train(self._for_one_step(len(images)), model, made_up, loss, stream, quiet)
        if not step_only:
            self._check_stored(model, images[:2])
        return model

    def _check_network(self, model: NetworkPredictor, image: Images, spec: LabelSpec, stream: Stream) -> None:
        """Raise a :class:`ConfigurationError` if a new network cannot be trained on images like this one."""
        other = self._new(image.shape[1], spec, stream.child("two"))
        check_apart(model.network, other.network)
        check_trainable(model.network)
        model.network.to(computation_for(self.device, self.precision).device)  # faster than the CPU, if it is a GPU
        one = torch.from_numpy(np.ascontiguousarray(image))
        check_logits(model.network, one, model.classes, multiple=model.multiple)
        warn_if_not_normalised(self.network, model.network, other.network, torch.from_numpy(image.copy()))

    def _for_one_step(self, images: int) -> NetworkLearner:
        """Return this learner with one step on all of so many images."""
        if self.steps is None:
            return replace(self, epochs=(1, 1), batch=images, stop=None, freeze=min(self.freeze, 1))
        batch = max(images, min(self.batch, 2))  # it repeats a single image
        return replace(self, steps=(1, 1), batch=batch, stop=None, freeze=min(self.freeze, 1))

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
            loaded = self.loads(model.dumps())
            loaded._cut.expect_as(model._cut)
            again = loaded.probabilities(images)
        except ConfigurationError as reason:
            raise ConfigurationError(
                f"network {name} cannot be stored and read again ({without_hint(reason)})",
                hint="a network that makes all its weights and buffers in __init__, as tensors",
            ) from reason
        if not np.allclose(expected, again, rtol=0, atol=1e-5) and np.allclose(
            expected, model.probabilities(images), rtol=0, atol=1e-6
        ):  # its output is not random
            raise ConfigurationError(
                f"network {name} must keep all that its prediction depends on in its state_dict()",
                got=f"probabilities that differ by {np.abs(expected - again).max():.2g} after it is stored and read",
                hint="nn.ModuleList in place of a list, and register_buffer for tensors",
            )

    def _new(self, in_channels: int, spec: LabelSpec, stream: Stream) -> NetworkPredictor:
        classes, multiple = len(spec.classes), spec.multiple
        network = make_network(self.network, in_channels=in_channels, classes=classes, stream=stream)
        return NetworkPredictor(
            network, in_channels, classes, precision=self.precision, compile=self.compile, multiple=multiple
        )

    def _copy(self, previous: Predictor) -> NetworkPredictor:
        """Return a copy of the last round's model, to train it further: the model that another process would read."""
        if not isinstance(previous, NetworkPredictor):
            raise ConfigurationError(
                "previous must be a NetworkPredictor, because the learner trains its weights further",
                got=type(previous).__name__,
                hint="carry_on=False",
            )
        return self.loads(previous.dumps())
