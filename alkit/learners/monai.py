"""Losses of MONAI by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError, nearest
from alkit.networks.training import Loss
from alkit.values.label_spec import LabelSpec

LOSSES = (
    "DiceCELoss", "DiceFocalLoss", "DiceLoss", "FocalLoss", "GeneralizedDiceFocalLoss", "GeneralizedDiceLoss",
    "TverskyLoss",
)  # fmt: skip

OWN = ("softmax", "use_softmax", "sigmoid", "to_onehot_y", "reduction")
"""Parameters that alkit gives."""


@checked
@dataclass(frozen=True)
class MonaiLoss:
    """A loss of MONAI for ``loss=`` of :class:`alkit.SegmentationLearner`. It needs the extra ``monai``.

    Parameters
    ----------
    name:
        DiceCELoss, DiceFocalLoss, DiceLoss, FocalLoss, GeneralizedDiceFocalLoss, GeneralizedDiceLoss or TverskyLoss.
    parameters:
        Parameters of the loss by name, without those for the form of the labels.

    Raises
    ------
    UnknownNameError
        There is no such loss.
    ConfigurationError
        A parameter concerns the form of the labels. When called: the labels are not masks, or MONAI does not accept the
        parameters.
    MissingDependencyError
        When called: MONAI is not installed.

    Notes
    -----
    These losses of MONAI do not know an ignore value. If the masks of a batch have ignored pixels, the loss is the mean
    over the images of the loss of their other pixels.

    Examples
    --------
    >>> from alkit import SegmentationLearner
    >>> SegmentationLearner(loss=MonaiLoss("DiceFocalLoss", {"gamma": 3.0})).loss.name
    'DiceFocalLoss'
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise UnknownNameError(f"loss {self.name!r} of MONAI is unknown", hint=nearest(self.name, LOSSES))
        for parameter in self.parameters:
            if parameter in OWN:
                raise ConfigurationError("parameters must not concern the form of the labels", got=parameter)

    @checked
    def __call__(self, spec: LabelSpec) -> Loss:
        """Return the loss of logits ``(n, classes, h, w)`` and masks ``(n, h, w)``."""
        if spec.per != "pixel":
            raise ConfigurationError("MonaiLoss needs masks", got="one class per image", hint="loss='cross-entropy'")
        try:
            make = getattr(import_module("monai.losses"), self.name)
        except ImportError as reason:
            raise MissingDependencyError(
                f"MONAI cannot be imported ({reason})", hint='pip install "alkit[monai]"'
            ) from reason
        taken = inspect.signature(make).parameters
        own = {name: True for name in ("softmax", "use_softmax", "to_onehot_y") if name in taken}
        try:
            measure = make(**own, **self.parameters)
        except Exception as reason:  # MONAI raises errors of several types
            raise ConfigurationError(
                f"MONAI cannot make {self.name} with these parameters ({type(reason).__name__}: {reason})",
                got=dict(self.parameters),
            ) from reason

        def loss(logits: Tensor, masks: Tensor) -> Tensor:
            logits = logits.float()
            if spec.ignore is None or not bool((masks == spec.ignore).any()):
                return cast(Tensor, measure(logits, masks[:, None]))
            known = masks != spec.ignore
            values = [
                measure(logits[row][:, known[row]][None], masks[row][known[row]][None, None])
                for row in range(len(masks))
                if bool(known[row].any())
            ]
            return torch.stack(values).mean() if values else logits.sum() * 0.0

        return loss
