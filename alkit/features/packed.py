"""A fitted extractor on its way to workers: the weights of its network are a file, and the rest is small."""

from __future__ import annotations

import copy
import hashlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alkit._files import write_atomically
from alkit.errors import StoreError
from alkit.protocols import FittedExtractor
from alkit.sharing.devices import worker_device
from alkit.sharing.travelling import digest_of

_opened = threading.local()


@dataclass(frozen=True)
class NetworkFile:
    """An extractor whose network has no weights, and the file that holds them.

    Parameters
    ----------
    fitted:
        The extractor.
    path, digest:
        The file, and the SHA-256 of its content.
    skeleton:
        Digest of the extractor without weights, because several extractors can have the same network.
    strides:
        Strides of each weight in memory, by which torch chooses how it computes.
    device:
        Device of the network, unless a worker has one of its own.
    """

    fitted: FittedExtractor
    path: Path
    digest: str
    skeleton: str
    strides: dict[str, tuple[int, ...]]
    device: str

    def load(self) -> FittedExtractor:
        """Return the extractor with its weights, on the device of this worker.

        Raises
        ------
        StoreError
            The file cannot be read, or has another content.
        """
        import torch
        from safetensors import torch as safetensors

        known: dict[tuple[str, str, str], FittedExtractor] = vars(_opened).setdefault("extractors", {})
        device = worker_device() or self.device
        place = self.digest, self.skeleton, device
        if place not in known:
            try:
                content = self.path.read_bytes()
            except OSError as reason:
                raise StoreError(f"cannot read the weights {self.path} ({reason.strerror})") from reason
            if hashlib.sha256(content).hexdigest() != self.digest:
                raise StoreError(f"the weights {self.path} have changed since they were written")
            weights = safetensors.load(content)
            for name, owner, kept, key in _tensors(self.fitted):
                value = torch.empty_strided(weights[name].shape, self.strides[name], dtype=weights[name].dtype)
                value = value.copy_(weights[name]).to(device)
                own = owner[key]
                owner[key] = torch.nn.Parameter(value, own.requires_grad) if kept else value
            known.clear()
            known[place] = self.fitted
        return known[place]


def pack_extractor(fitted: FittedExtractor | NetworkFile, folder: Path) -> FittedExtractor | NetworkFile:
    """Return a fitted extractor as it travels. One without a network of torch travels as it is."""
    if isinstance(fitted, NetworkFile) or not (tensors := list(_tensors(fitted))):
        return fitted
    import torch
    from safetensors import torch as safetensors

    memo, weights, device = dict[int, Any](), dict[str, Any](), "cpu"
    strides: dict[str, tuple[int, ...]] = {}
    for name, owner, kept, key in tensors:
        value = owner[key]
        device = str(value.device)
        weights[name] = value.detach().cpu().contiguous().clone()
        strides[name] = value.stride()
        empty = value.detach().to("meta")
        memo[id(value)] = torch.nn.Parameter(empty, value.requires_grad) if kept else empty
    content = safetensors.save(weights)
    digest = hashlib.sha256(content).hexdigest()
    write_atomically(folder / f"{digest}.weights", content)
    bare = copy.deepcopy(fitted, memo)
    return NetworkFile(bare, folder / f"{digest}.weights", digest, digest_of(bare), strides, device)


def open_extractor(fitted: FittedExtractor | NetworkFile) -> FittedExtractor:
    """Return the extractor, whose weights a worker reads once."""
    return fitted.load() if isinstance(fitted, NetworkFile) else fitted


def _tensors(fitted: FittedExtractor) -> Iterator[tuple[str, dict[str, Any], bool, str]]:
    """Yield the name of each weight and buffer, the dict that holds it, whether it is a weight, and its key there."""
    if (torch := sys.modules.get("torch")) is None:
        return
    for attribute, network in getattr(fitted, "__dict__", {}).items():
        if not isinstance(network, torch.nn.Module):
            continue
        for prefix, module in network.named_modules(prefix=attribute):
            for owner, kept in ((module._parameters, True), (module._buffers, False)):
                for key, value in list(owner.items()):
                    if value is not None:
                        yield f"{prefix}.{key}", owner, kept, key
