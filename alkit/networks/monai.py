"""Networks of MONAI by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

from torch import nn

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, MissingDependencyError, nearest

SEGMENTATION = (
    "AttentionUnet", "BasicUNet", "BasicUNetPlusPlus", "DynUNet", "FlexibleUNet", "HighResNet", "MedNeXt", "SegResNet",
    "SegResNetDS", "SwinUNETR", "UNETR", "UNet", "VNet",
)  # fmt: skip
CLASSIFICATION = (
    "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264", "EfficientNetBN", "SEResNet50", "resnet18", "resnet34",
    "resnet50",
)  # fmt: skip

CHANNELS = ("in_channels", "n_input_channels")
CLASSES = ("out_channels", "num_classes")
"""Names of the parameters for the numbers of channels and classes."""


@checked
@dataclass(frozen=True)
class MonaiNetwork:
    """A factory of networks of MONAI in 2D. It needs the extra ``monai``.

    Parameters
    ----------
    name:
        Name of the network. For masks: AttentionUnet, BasicUNet, BasicUNetPlusPlus, DynUNet, FlexibleUNet, HighResNet,
        MedNeXt, SegResNet, SegResNetDS, SwinUNETR, UNETR, UNet or VNet. For one class per image: DenseNet121 to
        DenseNet264, EfficientNetBN, SEResNet50, resnet18, resnet34 or resnet50.
    parameters:
        Parameters of the network by name, without the numbers of dimensions, channels and classes.

    Raises
    ------
    UnknownNameError
        There is no such network.
    ConfigurationError
        A parameter asks for pre-trained weights, or gives a number that the learner gives. When called: MONAI does not
        accept the parameters.
    MissingDependencyError
        When called: MONAI is not installed.

    Notes
    -----
    Strategies draw by the dropout layers of the network, so it needs some: ``{"dropout_prob": 0.2}`` for SegResNet,
    ``{"dropout": 0.2}`` for most others. The weights are random. For weights of MONAI, write a factory of your own.

    Examples
    --------
    >>> network = MonaiNetwork("SegResNet", {"init_filters": 8, "dropout_prob": 0.2})
    >>> from alkit import SegmentationLearner
    >>> SegmentationLearner(network).network.name
    'SegResNet'
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = (*SEGMENTATION, *CLASSIFICATION)
        if self.name not in known:
            from alkit.errors import UnknownNameError

            raise UnknownNameError(f"network {self.name!r} of MONAI is unknown", hint=nearest(self.name, known))
        for parameter in self.parameters:
            if "pretrained" in parameter:
                raise ConfigurationError(
                    "parameters must not ask for pre-trained weights",
                    got=parameter,
                    hint="a function of your own that makes the network, or alkit.networks.SmpNetwork with weights=",
                )
            if parameter in ("spatial_dims", *CHANNELS, *CLASSES):
                raise ConfigurationError(
                    "parameters must not give the numbers of dimensions, channels or classes, which come from the data",
                    got=parameter,
                )

    @checked
    def __call__(self, *, in_channels: int, classes: int) -> nn.Module:
        """Return a new network that maps images ``(n, in_channels, h, w)`` to logits."""
        make = getattr(_monai("monai.networks.nets"), self.name)
        taken = _parameters_of(make)
        given: dict[str, Any] = {"spatial_dims": 2} if "spatial_dims" in taken else {}
        given[next(name for name in CHANNELS if name in taken)] = in_channels
        given[next(name for name in CLASSES if name in taken)] = classes
        if "pretrained" in taken:
            given["pretrained"] = False
        try:
            return cast(nn.Module, make(**given, **self.parameters))
        except Exception as reason:  # networks of MONAI raise errors of any type
            raise ConfigurationError(
                f"MONAI cannot make {self.name} with these parameters ({type(reason).__name__}: {reason})",
                got=dict(self.parameters),
                hint=f"the documentation of monai.networks.nets.{self.name}",
            ) from reason


def _parameters_of(make: Any) -> set[str]:
    """Return the names of the parameters of a network, with those that it passes on to its parents or to ResNet."""
    names: set[str] = set()
    for owner in make.__mro__ if isinstance(make, type) else [make, _monai("monai.networks.nets").ResNet]:
        if owner is nn.Module:
            break
        names |= set(inspect.signature(owner).parameters)
    return names


def _monai(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as reason:
        raise MissingDependencyError(
            f"MONAI cannot be imported ({reason})", hint='pip install "alkit[monai]"'
        ) from reason
