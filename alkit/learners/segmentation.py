"""Semantic segmentation by any network of torch.

With ``epochs`` and no other part, the training follows "Self-supervised Assisted Active Learning for Skin Lesion
Segmentation" (Zhao et al., EMBC 2022, section III): cross-entropy plus Dice loss, Adam, more epochs in the first round
than in later ones, and each round continues from the weights of the last one. See :func:`alkit.learners.paper`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from alkit.arguments.checked import checked, checked_except
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError
from alkit.features.named import check_extractor
from alkit.features.pretrained import Pretrained
from alkit.learners.losses import DEFAULT, MASK_LOSSES, LossFactory, mask_loss
from alkit.learners.network import NetworkLearner
from alkit.learners.predictor import NetworkPredictor
from alkit.networks.factory import NetworkFactory, make_network
from alkit.networks.smp_factories import weights_left_out
from alkit.networks.training import Loss
from alkit.networks.unet import UNet
from alkit.networks.weights import warm_start
from alkit.protocols import BuildsNetwork, DeclaresStart, FeatureExtractor, HasNetwork, Labelled
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec


@changes(added={"loss": DEFAULT})
@checked_except("epochs", "steps", "warm_start", "augment", "loss", "optimizer", "schedule")
@dataclass(frozen=True)
class SegmentationLearner(NetworkLearner):
    """Trains a segmentation network on masks, by default with cross-entropy plus Dice loss and Adam.

    :func:`alkit.learners.strong` returns one with the settings that we recommend. The defaults here need no extra and
    assume nothing about the images, and learn from ten labels.

    Parameters
    ----------
    network:
        Factory of networks, called with ``in_channels=`` and ``classes=``: :class:`alkit.UNet`, or for example
        ``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``. It returns logits ``(n, classes, h, w)``.
    epochs:
        Numbers of epochs in the first round and in each later round, both at least 1, in place of `steps`.
    batch:
        Images per training step, at least 1.
    lr:
        Learning rate, above 0. With a schedule, it is the highest.
    carry_on:
        Whether each round continues from the weights of the last one. If False, each round starts from new initial
        weights and trains as long as the first round.
    precision:
        ``32-true``; or ``16-mixed`` or ``bf16-mixed``, in which large operations run in 16 bits (torch's autocast), in
        training, predictions and scores.
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration, so a record
        can be resumed on another device.
    compile:
        Whether torch compiles the network, for training, predictions, and what comes before the first dropout layer in
        draws. It takes minutes at first, a compiler of C++ on this machine, and changes the last bits of the results.
        It is not part of an experiment's configuration.
    warm_start:
        Feature extractor with a network of torch, such as :class:`alkit.Reconstruction`. Its weights, except those of
        the output layers, are the initial weights. None for random ones.
    steps:
        Numbers of training steps in the first round and in each later round, or one number for all rounds. Each step
        has `batch` images, even if there are fewer labels, so few labels are trained as long as many. The default is
        (300, 100), unless `epochs` are given.
    augment:
        Changes images and labels at random: :class:`alkit.learners.Augment`, or a function of images, targets and a
        generator of torch that returns both. None for no change.
    loss:
        ``cross-entropy+dice``, ``cross-entropy``, ``dice``, ``focal``, ``tversky``, or a function that makes a loss of
        logits and masks from a :class:`alkit.LabelSpec`, such as :class:`alkit.learners.MonaiLoss`.
    class_weights:
        Weights of the classes in cross-entropy: ``frequency`` for the inverse of their frequency among the labels, or
        numbers by class name. None for equal ones.
    optimizer:
        ``adam``, ``adamw``, ``sgd`` (with a momentum of 0.9), or a function of parameters and learning rate. Each round
        begins with a new one.
    weight_decay:
        Weight decay of a named optimizer, at least 0.
    schedule:
        How the learning rate changes in a round: ``cosine`` rises in a tenth of the steps and then falls to 0,
        ``one-cycle`` is torch's ``OneCycleLR``, and a function of optimizer and number of steps returns a schedule of
        torch. None for a constant rate.
    stop:
        :class:`alkit.learners.Stop` ends a training early, by labels that it holds out. None to train to the end.
    average:
        The model has the moving average of the weights after each step, and this share of it remains after a step, in
        (0, 1). None for the weights of the last step.
    freeze:
        Number of steps at the beginning of a training from initial weights in which the encoder is not trained, at
        least 0. The network needs a module named ``encoder``.

    Raises
    ------
    ConfigurationError
        A parameter is out of range, `steps` and `epochs` are both given, `network` is not a factory, or `warm_start` is
        not a feature extractor.

    Notes
    -----
    The paper leaves some choices open. The output is a soft-max over all classes, as in the authors' code, for two
    classes as for more. The Dice loss is that of segmentation-models-pytorch: the mean over all classes of
    1 - (I + 1) / (S / 2 + 1), or 0 for a class that does not occur in the batch. I is the sum of the products of
    prediction and mask over the batch, and S is the sum of both. The sums are over the batch and not over each image,
    because an image may have no lesion; the added 1 keeps the quotient defined. Each round starts with a new state of
    the optimizer, because a model consists of its weights only.

    The focal loss is that of the soft-max probabilities, one class against the others, with the exponent 2. In the
    Tversky loss, pixels that are missed count 0.7, and pixels that are found too much 0.3.

    A network may also return a dictionary with the logits as ``out`` or ``logits``, a tuple whose first entry they are,
    one channel for two classes, or maps that are coarser by a whole factor. Auxiliary outputs are not trained.

    The initial weights depend on the random stream of the round. In the first round this stream depends on the
    experiment's seed alone, so all strategies with the same seed start from the same weights.

    The loss of a network with heads of deep supervision is the weighted sum of the heads' losses.

    Examples
    --------
    >>> from functools import partial
    >>> learner = SegmentationLearner(partial(UNet, widths=(8, 16, 32)), steps=200, schedule="cosine")
    >>> learner.steps
    (200, 200)
    """

    network: NetworkFactory = UNet
    epochs: tuple[int, int] | None = None
    batch: int = 10
    lr: float = 1e-3
    warm_start: FeatureExtractor | None = None
    loss: str | LossFactory = field(default=DEFAULT, kw_only=True)

    losses: ClassVar[Sequence[str]] = MASK_LOSSES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warm_start is not None:
            check_extractor("warm_start", self.warm_start)
            if isinstance(self.warm_start, DeclaresStart) and not self.warm_start.starts_cold:
                raise ConfigurationError(
                    "warm_start must be a feature extractor that works before there is a model",
                    got=repr(self.warm_start),
                    hint="alkit.Reconstruction(), or warm_start=None",
                )

    @checked
    def make_loss(self, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
        """Return the loss of logits and masks.

        Raises
        ------
        ConfigurationError
            The labels are not masks.
        """
        if spec.per != "pixel":
            raise ConfigurationError(
                "SegmentationLearner needs masks", got="one class per image", hint="ClassificationLearner"
            )
        return self.loss(spec) if callable(self.loss) else mask_loss(self.loss, spec, weights)

    @checked
    def initial_model(self, labelled: Labelled, stream: Stream) -> NetworkPredictor:
        """Return a model whose initial weights depend on `stream`, or come from the pretext `warm_start`."""
        model = super().initial_model(labelled, stream)
        if self.warm_start is not None:
            fitted = labelled.fitted(self.warm_start)
            if not isinstance(fitted, HasNetwork):
                raise _no_network(self.warm_start)
            warm_start(model.network, fitted.network)
        return model

    @checked
    def try_training(self, images: Images, spec: LabelSpec, step_only: bool = False) -> NetworkPredictor:
        """Train a new network for one step, and try whether it can start from the weights of `warm_start`."""
        model = super().try_training(images, spec, step_only)
        if step_only:
            return model
        if isinstance(self.warm_start, BuildsNetwork):
            channels = images.shape[1]
            with weights_left_out():
                source = make_network(
                    self.warm_start.network, in_channels=channels, classes=channels, stream=Stream(0).child("rehearsal")
                )
            warm_start(model.network, source)
        elif isinstance(self.warm_start, Pretrained):
            raise _no_network(self.warm_start)
        return model


def _no_network(extractor: FeatureExtractor) -> ConfigurationError:
    return ConfigurationError(
        "warm_start must be a feature extractor that trains the network of the learner",
        got=repr(extractor),
        hint="alkit.Reconstruction(), or warm_start=None",
    )
