"""Compile parts of networks by torch, if the machine has a compiler."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from alkit._files import cache_folder
from alkit.errors import ConfigurationError, one_line

Part = TypeVar("Part", bound=nn.Module | Callable[[Any], Any])


def compiled(part: Part) -> Part:
    """Return a network, or a function of tensors, that torch compiles when it is first called.

    Dropout draws the numbers that it draws without compilation. What torch compiles is kept in the cache of alkit. The
    folder that torch would choose lies in that of temporary files, and another user of the machine could make it first.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    return cast(Part, torch.compile(part, options={"fallback_random": True}))


@cache
def check_compiler(kind: str) -> None:
    """Check that torch can compile for a kind of device on this machine. The first call takes some seconds.

    Raises
    ------
    ConfigurationError
        It cannot. Most often, a compiler of C++ is missing.
    """
    try:
        compiled(_probe)(torch.ones(2, device=kind))
    except Exception as reason:  # the errors of the compiler have many types
        raise ConfigurationError(
            "compile=True needs a compiler that torch can use on this machine",
            got=f"{type(reason).__name__}: {one_line(str(reason).strip().partition(chr(10))[0], 200)}",
            hint="compile=False, or g++ on the path",
        ) from reason


def _probe(values: Tensor) -> Tensor:
    return values.sin() + 1
