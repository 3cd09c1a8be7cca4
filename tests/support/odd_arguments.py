"""Odd values of the declared types: absurd numbers, sizes and shapes. Most must be refused, some are fine."""

from __future__ import annotations

import datetime
import os
import random
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import numpy as np
import torch

INTEGERS = (0, -1, 1, 2, 255, 256, 500, 2**31, -(2**31), 2**63, 10**30, np.int64(-5), np.uint8(255))
NUMBERS = (0.0, -0.0, -1.0, 1.0, 1 + 1e-16, 0.5, 2.0, 1e300, -1e300, 5e-324, float("inf"), float("-inf"), float("nan"))
NUMBERS += (np.float32("nan"), np.float64(1e-10), 10**400)
TEXTS = (
    "",
    " ",
    "a",
    "x" * 5000,
    "a\0b",
    "\ud800",
    "../../etc/passwd",
    "\n",
    "\x1b[31m",
    "é",
    "e\u0301",
    "{",
    "%s",
    "[0]",
)
IDS = ("a", "b", "x", "", "nowhere", "a\0b", "\ud800", "x" * 5000, "../a", "a\nb", " a")
BYTES = (b"", b"\0", b"\0" * 100, b"\xff" * 17, b"{}", b"[]", b"PK\x03\x04" + bytes(50))


def odd_value(rng: random.Random, declared: Any, valid: Any) -> Any:
    """Return a value for a parameter, given its declared type and a valid value."""
    if isinstance(valid, np.ndarray):
        return odd_array(rng, valid)
    if isinstance(valid, torch.Tensor):
        return odd_tensor(rng, valid)
    origin, inner = get_origin(declared) or declared, get_args(declared)
    if origin in (Union, types.UnionType):
        return odd_value(rng, rng.choice([one for one in inner if one is not Any] or [Any]), valid)
    if declared is bool:
        return rng.choice([True, False])
    if declared is int:
        return rng.choice(INTEGERS)
    if declared is float:
        return rng.choice(NUMBERS + INTEGERS)
    if declared is str:
        return rng.choice(TEXTS)
    if declared is bytes:
        return odd_bytes(rng, valid if isinstance(valid, bytes) else b"x")
    if declared in (type(None), None):
        return None
    if declared is datetime.datetime:
        return rng.choice([datetime.datetime.min, datetime.datetime.max, datetime.datetime(2024, 1, 1)])
    if origin in (Path, os.PathLike):
        return rng.choice([Path("x" * 5000), Path("/dev/null"), Path("/proc/self/mem"), Path("/"), Path("..")])
    if origin is Mapping or isinstance(valid, Mapping):
        return odd_mapping(rng, inner, valid)
    if origin in (Sequence, tuple, list, Collection, Iterable) or isinstance(valid, list | tuple):
        return odd_sequence(rng, inner, valid)
    return valid


def odd_sequence(rng: random.Random, inner: tuple[Any, ...], valid: Any) -> Any:
    kind = inner[0] if inner else Any
    items = list(valid) if isinstance(valid, list | tuple) else []
    match rng.randrange(6):
        case 0:
            items = []
        case 1:
            items = items * 2
        case 2:
            items = items[::-1]
        case 3:
            items = items[:1]
        case 4:
            items = items * 30
        case 5:
            items = [odd_value(rng, kind, one) for one in items or [None]]
    if kind is str and rng.random() < 0.5:
        items = [rng.choice(IDS) for _ in range(rng.randrange(1, 4))]
    return tuple(items) if isinstance(valid, tuple) else items


def odd_mapping(rng: random.Random, inner: tuple[Any, ...], valid: Any) -> Any:
    known = dict(valid) if isinstance(valid, Mapping) else {}
    key, value = inner if len(inner) == 2 else (str, Any)
    match rng.randrange(4):
        case 0:
            return {}
        case 1 if known:
            return {one: odd_value(rng, value, known[one]) for one in known}
        case 2 if known:
            first = next(iter(known))
            return {odd_value(rng, key, first) if key in (str, int, float) else first: known[first]}
        case _:
            return dict(list(known.items())[:1])


def odd_bytes(rng: random.Random, valid: bytes) -> bytes:
    if rng.random() < 0.4:
        return rng.choice(BYTES)
    content = bytearray(valid)
    for _ in range(rng.choice([1, 1, 10])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content[: rng.randrange(len(content))]) if rng.random() < 0.3 else bytes(content)


SHAPES = (
    (),
    (0,),
    (1,),
    (0, 3),
    (3, 0),
    (1, 1),
    (2, 2),
    (0, 1, 8, 8),
    (2, 0, 8, 8),
    (2, 1, 0, 0),
    (1, 1, 1, 1),
    (2, 300, 8, 8),
)


def odd_array(rng: random.Random, valid: np.ndarray) -> np.ndarray:
    array = valid.copy()
    match rng.randrange(9):
        case 0:
            return np.zeros(rng.choice(SHAPES), array.dtype)
        case 1:
            return array[:0]
        case 2:
            return np.asfortranarray(array)[::-1]
        case 3:
            return array.astype(rng.choice([np.float16, np.float64, np.int8, np.int64, np.uint16, bool, np.complex128]))
        case 4:
            return array.astype(object)
        case 5:
            return np.full(array.shape, rng.choice([np.nan, np.inf, -1e300, 1e300, -1.0, 0.0, 7.0]))
        case 6:
            return np.full(array.shape, rng.choice([-1, 255, 2**40]), np.int64)
        case 7:
            return array[None]
        case _:
            if array.size and array.dtype.kind == "f":
                array.reshape(-1)[rng.randrange(array.size)] = rng.choice([np.nan, np.inf])
            array.flags.writeable = False
            return array


def odd_tensor(rng: random.Random, valid: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        tensor = valid.detach().clone()
        match rng.randrange(7):
            case 0:
                return torch.zeros(rng.choice(SHAPES), dtype=tensor.dtype)
            case 1:
                return tensor[:0]
            case 2:
                return tensor.to(rng.choice([torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64]))
            case 3:
                return torch.full_like(tensor, rng.choice([0, 1, -1, 7])).to(tensor.dtype)
            case 4 if tensor.is_floating_point():
                return torch.full_like(tensor, rng.choice([float("nan"), float("inf"), 1e30, -1e30]))
            case 5:
                return tensor[None]
            case _:
                return tensor.transpose(-1, -2) if tensor.ndim > 1 else tensor
