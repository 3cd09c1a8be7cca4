"""Factories of models of segmentation-models-pytorch: their encoder, and whether they load pre-trained weights.

This module does not import the library.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from alkit.configuration.named_files import is_content_name, name_by_content
from alkit.errors import ConfigurationError
from alkit.networks.pretrained import SUFFIXES

_PACKAGE = "segmentation_models_pytorch"

_loading: ContextVar[bool] = ContextVar("_loading", default=True)


@contextmanager
def weights_left_out() -> Iterator[None]:
    """Leave out pre-trained weights inside a ``with`` block, because stored weights overwrite them anyway."""
    token = _loading.set(False)
    try:
        yield
    finally:
        _loading.reset(token)


def are_left_out() -> bool:
    """Return whether this is inside a block of :func:`weights_left_out`."""
    return not _loading.get()


def without_download(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return the factory with ``encoder_weights=None``, if it makes a model of segmentation-models-pytorch."""
    function, args, keywords = _parts_of(factory)
    if not _is_of_package(function):
        return factory
    given = _arguments(function, args, keywords)
    if given is None or "encoder_weights" not in inspect.signature(function).parameters:
        return factory
    return partial(function, **{**given, "encoder_weights": None})


def downloads(factory: Callable[..., Any]) -> bool:
    """Return whether a factory makes a model of segmentation-models-pytorch with weights that the library downloads."""
    function, args, keywords = _parts_of(factory)
    given = _arguments(function, args, keywords) if _is_of_package(function) else None
    known = {} if given is None else inspect.signature(function).parameters
    return given is not None and "encoder_weights" in known and given.get("encoder_weights", "imagenet") is not None


def encoder_name_of(factory: Callable[..., Any]) -> str:
    """Return the name of the encoder of a factory of segmentation-models-pytorch.

    Raises
    ------
    ConfigurationError
        The factory is another function, whose encoder is not known.
    """
    function, args, keywords = _parts_of(factory)
    given = _arguments(function, args, keywords) if _is_of_package(function) else None
    known = {} if given is None else inspect.signature(function).parameters
    if given is None or "encoder_name" not in known:
        raise ConfigurationError(
            "model must be the name of an encoder, or functools.partial of a class of segmentation-models-pytorch, if "
            "there are weights=",
            got=repr(factory),
            hint="functools.partial(segmentation_models_pytorch.Unet, 'resnet34', encoder_weights=None)",
        )
    return str(given.get("encoder_name", known["encoder_name"].default))


def _parts_of(factory: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    if isinstance(factory, partial):
        return factory.func, factory.args, factory.keywords
    return factory, (), {}


def _is_of_package(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == _PACKAGE


def _arguments(function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all arguments of a call by name; None if the call does not fit the function."""
    try:
        bound = inspect.signature(function).bind_partial(*args, **keywords)
    except (TypeError, ValueError):
        return None
    kinds = {name: parameter.kind for name, parameter in bound.signature.parameters.items()}
    if any(kind is inspect.Parameter.VAR_POSITIONAL and name in bound.arguments for name, kind in kinds.items()):
        return None
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        found.update(value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value})
    return found


def name_weights(factory: Any) -> Any:
    """Return a factory whose files of weights are named by their content, so that a record can name them.

    >>> name_weights(len) is len
    True
    """
    function, args, keywords = _parts_of(factory)
    weights = keywords.get("weights")
    if not getattr(function, "names_weights", False) or not isinstance(weights, str | os.PathLike):
        return factory
    given = os.fspath(weights)
    if is_content_name(given) or not given.endswith(SUFFIXES):
        return factory
    return partial(function, *args, **{**keywords, "weights": name_by_content("weights", given)})
