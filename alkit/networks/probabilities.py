"""Recognise a network that returns probabilities in place of logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

SOURCES = ("Sigmoid", "Hardsigmoid", "SoftmaxBackward")
"""Operations whose results are probabilities, by the beginning of their names in the graph of gradients."""

KEEPING = (
    *("View", "UnsafeView", "ReshapeAlias", "Alias", "AsStrided", "Clone", "ToCopy", "Copy"),
    *("Permute", "Transpose", "TBackward", "Flip", "Roll", "Squeeze", "Unsqueeze", "Expand", "Repeat"),
    *("Slice", "Select", "Index", "Split", "Unbind", "Cat", "Stack", "PixelShuffle"),
    *("Clamp", "Upsample", "AvgPool", "AdaptiveAvgPool", "MaxPool", "AdaptiveMaxPool", "Mean", "Rsub"),
)
"""Operations that make probabilities from probabilities."""

FACTOR = 10_000.0
"""Factor for images far from all others, whose logits are larger than 1."""


def are_probabilities(output: Tensor) -> bool:
    """Return whether an output with a history adds up to 1 over its classes, or is made from probabilities.

    >>> import torch
    >>> logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    >>> are_probabilities(torch.nn.functional.interpolate(logits.sigmoid(), scale_factor=2)), are_probabilities(logits)
    (True, False)
    """
    values = output.detach().float()
    adds_up = values.ndim > 1 and values.shape[1] > 1 and bool((values >= 0).all())
    return (adds_up and bool(((values.sum(1) - 1).abs() < 1e-3).all())) or _from_probabilities(output.grad_fn)


def _from_probabilities(node: Any) -> bool:
    while node is not None and not node.name().startswith(SOURCES):
        if not node.name().startswith(KEEPING):
            return False
        inputs = [source for source, _ in node.next_functions if source is not None]
        if len(inputs) > 1:
            return all(map(_from_probabilities, inputs))
        node = inputs[0] if inputs else None
    return node is not None


def seem_probabilities(network: Callable[[Tensor], Tensor], image: Tensor) -> bool:
    """Return whether all outputs for an image, made much brighter and darker, too, lie between 0 and 1 and differ.

    >>> import torch
    >>> image = torch.linspace(0, 1, 16).reshape(1, 1, 4, 4)
    >>> seem_probabilities(lambda x: x.tanh() / 2 + 0.5, image), seem_probabilities(lambda x: x / 2, image)
    (True, False)
    """
    outputs = [network(image * factor) for factor in (1.0, FACTOR, -FACTOR)]
    return all(map(are_bounded, outputs)) and any(float(output.max() - output.min()) > 1e-6 for output in outputs)


def are_bounded(output: Tensor) -> bool:
    """Return whether all values lie between 0 and 1."""
    return bool(((output >= 0) & (output <= 1)).all())
