"""Files of a pretext in the cache: the weights, and the checkpoint of a training that was interrupted.

A file that cannot be read, or that is of another pretext, is left aside with a warning, and the pretext is trained from
the start.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock
from safetensors import torch as safetensors
from torch import Tensor, nn

from alkit._files import CHECK, write_atomically
from alkit._logs import logger
from alkit._reading.inside import read_inside
from alkit.checks import check_integer, check_number
from alkit.errors import StoreError
from alkit.networks.state import differences
from alkit.networks.training import adam

log = logger(__name__)

MOST = 2**40
"""Greatest number of bytes of a file."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock inside the block.

    Raises
    ------
    StoreError
        The file of the lock cannot be written.
    """
    lock = FileLock(path)
    try:
        lock.acquire()
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror})",
            hint=CHECK,
        ) from reason
    try:
        yield
    finally:
        lock.release()


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training."""
    buffer = io.BytesIO()
    torch.save({**state, "of": path.stem}, buffer)
    content = buffer.getvalue()
    write_atomically(path, _digest(content) + content)


def read_checkpoint(path: Path, device: torch.device, network: nn.Module) -> dict[str, Any] | None:
    """Return the state of an interrupted training of a network; None if there is none that can be used."""
    if not path.exists():
        return None
    try:
        content = read_inside(path, path.parent, MOST)
        length = len(_digest(b""))
        if _digest(content[length:]) != content[:length]:
            raise ValueError("its content has changed")
        state = torch.load(io.BytesIO(content[length:]), map_location=device, weights_only=True)
        _check_owner(path, state.get("of"))
        check_integer("done", state["done"], least=1)
        check_integer("stale", state["stale"], least=0)
        check_number("best_loss", state["best_loss"])
        for name in ("network", "best"):
            _check_fit(network, state[name])
        _check_optimizer(network, state["optimizer"])
        return cast("dict[str, Any]", state)
    except Exception as reason:  # a file that alkit did not write can be anything
        log.warning("%s cannot be read (%s), so the pretext is trained from the start", path, reason)
        return None


def write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights to a file whose header contains its name, and the digest of the same file without these facts."""
    facts = {"sha256": _digest(safetensors.save(weights)).decode(), "of": path.stem}
    write_atomically(path, safetensors.save(weights, metadata=facts))


def read_weights(path: Path, network: nn.Module) -> dict[str, Tensor] | None:
    """Return cached weights of a network; None if there are none that can be used. Older files have no digest."""
    try:
        if not path.exists():
            return None
        content = read_inside(path, path.parent, MOST)
        weights = safetensors.load(content)
        length = int.from_bytes(content[:8], "little")  # of the header, a JSON object
        facts = json.loads(content[8 : 8 + length]).get("__metadata__")
        if facts is not None and facts.get("sha256") != _digest(safetensors.save(weights)).decode():
            raise ValueError("its content has changed")
        _check_owner(path, None if facts is None else facts.get("of"))
        _check_fit(network, weights)
    except Exception as reason:  # a file that alkit did not write can be anything
        log.warning("%s cannot be read (%s), so the pretext is trained from the start", path, reason)
        return None
    return weights


def _check_owner(path: Path, name: object) -> None:
    """Check that a file was written under its name; earlier versions have not noted it."""
    if name is not None and name != path.stem:
        raise ValueError("it is that of another pretext")


def _check_fit(network: nn.Module, weights: Mapping[str, Any]) -> None:
    """Check that weights have the names, types and shapes of those of a network."""
    if found := differences(network, weights):
        raise ValueError(f"its weights are of another network: {found[0]}")


def _check_optimizer(network: nn.Module, state: dict[str, Any]) -> None:
    """Check that an optimizer can take a step from a state."""
    trial = copy.deepcopy(network)
    optimizer = adam(trial, 0.0)
    optimizer.load_state_dict(copy.deepcopy(state))
    for weights in trial.parameters():
        weights.grad = torch.zeros_like(weights)
    optimizer.step()


def _digest(content: bytes) -> bytes:
    """Return the SHA-256 of a content as 64 hexadecimal digits: a flipped bit would change features silently."""
    return hashlib.sha256(content).hexdigest().encode()
