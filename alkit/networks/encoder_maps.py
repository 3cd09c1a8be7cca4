"""What the encoder of a network returns while the network computes images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn


def encoder_name(network: nn.Module) -> str | None:
    """Return ``encode`` or ``encoder``, the first that a network has and that can be called; None if it has neither."""
    return next((name for name in ("encode", "encoder") if callable(getattr(network, name, None))), None)


def encoder_output(network: nn.Module, images: Tensor) -> Any:
    """Return what the encoder of a network returns for images; None if it has none.

    The encoder is a method ``encode`` or a submodule ``encoder``. It gets what the network gives it, because the
    network may normalise the images or repeat their channels first. What comes after it is not computed. An encoder
    that the network does not call gets the images as they are.

    Parameters
    ----------
    network:
        Maps images to logits.
    images:
        ``(n, c, h, w)``, on the device of the network.

    Examples
    --------
    >>> class Network(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.encoder, self.head = nn.Identity(), nn.Conv2d(1, 2, 1)
    ...     def forward(self, images):
    ...         return self.head(self.encoder((images - 0.5) / 0.25))
    >>> encoder_output(Network(), torch.ones(1, 1, 1, 1)).item()
    2.0
    """
    name = encoder_name(network)
    if name is None:
        return None
    encoder, found = getattr(network, name), list[Any]()

    def end(output: Any) -> NoReturn:
        found.append(output)
        raise _Found

    if not isinstance(network, torch.jit.ScriptModule) and not isinstance(encoder, torch.jit.ScriptModule):
        try:
            with _watched(network, name, encoder, end):
                network(images.clone())  # it may write into them
        except _Found:
            return found[0]
    return encoder(images)


class _Found(BaseException):
    """The encoder was called. Not an error, which a network could catch."""


@contextmanager
def _watched(network: nn.Module, name: str, encoder: Any, end: Any) -> Iterator[None]:
    """Call `end` with what the encoder returns, inside a ``with`` block."""
    if isinstance(encoder, nn.Module):
        handle = encoder.register_forward_hook(lambda module, inputs, output: end(output))
        try:
            yield
        finally:
            handle.remove()
        return
    own = vars(network)
    before = {name: own[name]} if name in own else {}
    own[name] = lambda *given, **named: end(encoder(*given, **named))
    try:
        yield
    finally:
        del own[name]
        own.update(before)
