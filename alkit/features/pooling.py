"""From the outputs of a pre-trained network, maps or tokens of one or several levels, to one row per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from alkit.errors import ConfigurationError

Pooling = Literal["token", "mean"]
"""How a map or a set of tokens becomes one row: its class token, or the mean over all places."""


def rows_of_timm(model: Any, images: Tensor, pooling: Pooling | None, levels: Sequence[int]) -> Tensor:
    """Return one row per image from a model of timm; `pooling` None is that of the model."""
    if levels:
        return _rows_of_levels(model, images, pooling, levels)
    found = model.forward_features(images)
    if pooling is None:
        return _rows(model.forward_head(found, pre_logits=True), None, _prefix(model))
    if found.ndim == 4 and "NHWC" in str(getattr(model, "output_fmt", "NCHW")):
        found = found.permute(0, 3, 1, 2)
    return _rows(found, pooling, _prefix(model))


def _rows_of_levels(model: Any, images: Tensor, pooling: Pooling | None, levels: Sequence[int]) -> Tensor:
    options: dict[str, Any] = {"return_prefix_tokens": True} if pooling == "token" else {}
    found = model.forward_intermediates(
        images, indices=[*levels], norm=True, output_fmt="NCHW", intermediates_only=True, **options
    )
    return torch.cat([part[1][:, 0] if options else _rows(part, "mean", 0) for part in found], 1)


def rows_of_output(output: Any, pooling: Pooling | None, levels: Sequence[int], prefix: int) -> Tensor:
    """Return one row per image from what any network returned.

    Parameters
    ----------
    output:
        A tensor, a sequence or mapping of tensors, or an output of Hugging Face transformers. Rows are ``(n, d)``,
        tokens ``(n, t, d)`` and maps ``(n, d, h, w)``.
    pooling:
        None is the mean.
    levels:
        Which of several tensors are used; all of them if empty.
    prefix:
        Number of tokens at the beginning that do not belong to a place of the image.
    """
    parts = _parts(output, levels)
    return torch.cat([_rows(part, pooling, prefix) for part in parts], 1)


def _parts(output: Any, levels: Sequence[int]) -> list[Tensor]:
    if isinstance(output, Mapping):
        if "last_hidden_state" in output:
            hidden = output.get("hidden_states")
            output = list(hidden) if levels and hidden is not None else [output["last_hidden_state"]]
        else:
            output = list(output.values())
    parts = list(output) if isinstance(output, list | tuple) else [output]
    if not parts or not all(isinstance(part, Tensor) and part.ndim in (2, 3, 4) for part in parts):
        raise ConfigurationError(
            "the network of factory must return rows (n, d), tokens (n, t, d), maps (n, d, h, w), or several of them",
            got=", ".join(_kind(part) for part in parts[:3]) or "nothing",
        )
    try:
        return [parts[level] for level in levels] or parts
    except IndexError:
        raise ConfigurationError(
            f"levels must be below {len(parts)}, the number of outputs", got=list(levels)
        ) from None


def _kind(part: object) -> str:
    return f"a tensor {tuple(part.shape)}" if isinstance(part, Tensor) else f"an object of type {type(part).__name__}"


def _prefix(model: nn.Module) -> int:
    found = getattr(model, "num_prefix_tokens", 0)
    return found if isinstance(found, int) else 0


def _rows(found: Tensor, pooling: Pooling | None, prefix: int) -> Tensor:
    if found.ndim == 2:
        return found
    if found.ndim == 3:
        return found[:, 0] if pooling == "token" else found[:, prefix:].mean(1)
    return found.mean((2, 3))


def check_token(model: nn.Module, name: str) -> None:
    """Raise a :class:`ConfigurationError` if a model of timm has no class token."""
    if getattr(model, "cls_token", None) is None:
        raise ConfigurationError(
            f"pooling='token' needs a class token, which {name!r} does not have", hint="pooling='mean'"
        )
