"""Semantic segmentation by any network of torch.

The training follows "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC 2022,
section III): cross-entropy plus Dice loss, Adam, more epochs in the first round than in later ones, and each round
continues from the weights of the last one.
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
    """Trains a segmentation network on masks, with cross-entropy plus Dice loss and Adam.

    Parameters
    ----------
    network:
        Factory of networks, called with ``in_channels=`` and ``classes=``: :class:`alkit.UNet`, or for example
        ``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``. It returns logits ``(n, classes, h, w)``.
    epochs:
        Numbers of epochs in the first round and in each later round, both at least 1.
    batch:
        Images per training step, at least 1.
    lr:
        Learning rate of Adam, above 0.
    carry_on:
        Whether each round continues from the weights of the last one. If False, each round starts from new initial
        weights and trains for the epochs of the first round.
    precision:
        ``32-true``; or ``16-mixed`` or ``bf16-mixed``, in which large operations run in 16 bits (torch's autocast).
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration, so a record
        can be resumed on another device.
    warm_start:
        Feature extractor with a network of torch, such as :class:`alkit.Reconstruction`. Its weights, except those of
        the output layers, are the initial weights. None for random ones.

    Raises
    ------
    ConfigurationError
        `epochs`, `batch` or `lr` is out of range, `network` is not a factory, or `warm_start` is not a feature
        extractor.

    Notes
    -----
    The paper leaves some choices open. The output is a soft-max over all classes, as in the authors' code, for two
    classes as for more. The Dice loss is that of segmentation-models-pytorch: the mean over all classes of
    1 - (I + 1) / (S / 2 + 1), or 0 for a class that does not occur in the batch. I is the sum of the products of
    prediction and mask over the batch, and S is the sum of both. The sums are over the batch and not over each image,
    because an image may have no lesion; the added 1 keeps the quotient defined. Each round starts with a new state of
    Adam, because a model consists of its weights only. There is no augmentation and no validation set, and the weights
    of the last epoch are kept.

    A network may also return a dictionary with the logits as ``out`` or ``logits``, a tuple whose first entry they are,
    one channel for two classes, or maps that are coarser by a whole factor. Auxiliary outputs are not trained.

    The initial weights depend on the random stream of the round. In the first round this stream depends on the
    experiment's seed alone, so all strategies with the same seed start from the same weights.

    The loss of a network with heads of deep supervision is the weighted sum of the heads' losses.

    Examples
    --------
    >>> from functools import partial
    >>> learner = SegmentationLearner(partial(UNet, widths=(8, 16, 32)), epochs=(10, 2))
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
    def try_training(self, images: Images, spec: LabelSpec) -> NetworkPredictor:
        """Train a new network for one step, and try whether it can start from the weights of `warm_start`."""
        model = super().try_training(images, spec)
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
