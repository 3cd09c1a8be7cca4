"""Weights of :class:`alkit.features.Pretrained`: which of them a stranger may name, and a digest of their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from alkit.configuration.named_files import is_content_name
from alkit.errors import ConfigurationError
from alkit.networks.pretrained import HUB, LITE0, RANDOM


def check_form(arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a :class:`alkit.features.Pretrained` from a stranger: neither a path nor a function.

    Parameters
    ----------
    arguments:
        Written forms, or values from a strategy file, by name.

    Raises
    ------
    ConfigurationError
        The weights are a path, or there is a factory.

    Examples
    --------
    >>> check_form({"weights": "efficientnet-lite0"})
    >>> check_form({"weights": "/home/somebody/weights.pth"})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: weights must be efficientnet-lite0, hub, random, or sha256: and the digest of a ...
    """
    weights, factory = arguments.get("weights"), arguments.get("factory")
    if factory is not None:
        raise ConfigurationError("factory is code, and neither a record nor a strategy file may name it")
    known = isinstance(weights, str) and (weights in (LITE0, HUB, RANDOM) or is_content_name(weights))
    if weights is not None and not known:
        raise ConfigurationError(
            f"weights must be {LITE0}, {HUB}, {RANDOM}, or sha256: and the digest of a file, because a record or a "
            "strategy file cannot name a path",
            got=repr(weights),
        )


def digest_of(tensors: Mapping[str, Tensor], facts: Iterable[object]) -> str:
    """Return a SHA-256 of facts and of tensors, names included."""
    found = hashlib.sha256(repr([*facts]).encode())
    for name, value in sorted(tensors.items()):
        plain = value.detach().cpu().contiguous()
        found.update(repr((name, str(plain.dtype), tuple(plain.shape))).encode())
        found.update(cast(Any, plain.reshape(-1).view(torch.uint8).numpy()))
    return found.hexdigest()


def is_model_name(text: str) -> bool:
    """Return whether a text can be the name of a model of timm, and is neither a path nor an address."""
    return re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", text) is not None
