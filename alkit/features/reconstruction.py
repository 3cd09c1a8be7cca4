"""The self-supervised pretext: a network that restores deformed images learns what the images look like.

References
----------
Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation". EMBC
2022, section II-A. Zhou et al. "Models Genesis". Medical Image Analysis 67, 2021 (the deformations and their rates).
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import logging
import math
import pickle
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from lightning_fabric import Fabric
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from alkit._files import cache_folder, make_folder, write_atomically
from alkit.configuration.addresses import former
from alkit.configuration.forms import opaque_parts, runtime, written
from alkit.errors import ConfigurationError
from alkit.features.deformation import Deformation
from alkit.networks.factory import NetworkFactory, make_network
from alkit.networks.training import Example, adam, evaluating, fabric_for, minibatches, train_epoch
from alkit.networks.unet import UNet
from alkit.networks.weights import deepest_map
from alkit.pools.base import digest
from alkit.protocols import Pool
from alkit.rng import Stream
from alkit.values.label_spec import Images
from alkit.values.progress import Progress, Report, quiet

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same settings come to train other weights, so that cached ones are not taken for them."""


@dataclass(frozen=True, eq=False)
class FittedReconstruction:
    """A pretext network after training: a source of features and of initial weights."""

    network: nn.Module
    pooling: int

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the last encoder map of each image, averaged to pooling x pooling cells.

        Shape ``(n, channels * pooling^2)``, float32.
        """
        device = next(self.network.parameters()).device
        with evaluating(self.network) as network:
            maps = deepest_map(network, torch.from_numpy(images).to(device))
            return cast(
                "npt.NDArray[np.float32]",
                F.adaptive_avg_pool2d(maps.float(), self.pooling).flatten(1).cpu().numpy(),
            )


@dataclass(frozen=True)
class Reconstruction:
    """Restore deformed images by the network that will later segment, with one output channel per image channel.

    Minimises ||f(D(x)) - x||^2 over the pool, where f ends in a sigmoid and D is
    :class:`~alkit.features.deformation.Deformation`.

    Parameters
    ----------
    network:
        The learner's network factory.
    epochs:
        At most so many passes over the pool.
    batch, lr:
        Images a step, and Adam's learning rate.
    patience:
        Stop after so many epochs without a better loss on the held-out images; the best weights are kept.
    hold_out:
        Share of the *pool* held out for that, in [0, 1), or the ids of the images held out, all of them in the pool;
        with none all epochs are run and the last weights kept.
    pooling:
        Features are averaged to pooling x pooling cells: 512 channels give the paper's 512 numbers at 1, 2048 at 2.
    deformation:
        D, with its rates.
    precision:
        As Lightning Fabric names them.
    device, cache:
        Where to compute, and the folder of finished weights (default: alkit's cache). No part of the configuration.

    Notes
    -----
    Choices where the paper is silent: Adam at 1e-3, batches of 16, at most 100 epochs, a tenth of the pool held out
    for early stopping, judged on the same deformations each time.

    Weights are cached by configuration (without `pooling`), seed, precision and the content of the pool, so that all
    strategies and learners of a seed share one training. A killed training goes on at its last finished epoch and
    ends with the same weights.

    Examples
    --------
    >>> pretext = Reconstruction(epochs=100, pooling=1)
    """

    network: NetworkFactory = UNet
    epochs: int = 100
    batch: int = 16
    lr: float = 1e-3
    patience: int = 10
    hold_out: float | Sequence[str] = 0.1
    pooling: int = 2
    deformation: Deformation = field(default_factory=Deformation)
    precision: str = "32-true"
    device: str = runtime("auto")
    cache: str | None = runtime(None)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "lr", "patience", "pooling"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be positive", got=getattr(self, name))
        object.__setattr__(self, "hold_out", _held_out(self.hold_out))

    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedReconstruction:
        """Train on the images of `pool`, or bring the weights from the cache where that was done before."""
        stream = Stream.from_rng(rng)
        folder = make_folder(cache_folder(self.cache) / "pretext")
        finished = folder / f"{self._key(pool, stream)}.safetensors"
        channels = pool.read(list(pool.ids)[:1]).shape[1]
        network = make_network(self.network, in_channels=channels, classes=channels, stream=stream.child("weights"))
        network.to(
            memory_format=torch.channels_last
        )  # before the weights, so that cached ones compute bit for bit alike
        fabric = fabric_for(self.device, self.precision)
        with FileLock(finished.with_suffix(".lock")):  # a second process waits for the first, then finds its weights
            weights = _finished(finished)
            if weights is None:
                checkpoint = finished.with_suffix(".checkpoint")
                best = _train(self, pool, stream, network, fabric, checkpoint, report)
                weights = {name: value.cpu().contiguous() for name, value in best.items()}
                write_atomically(finished, safetensors.save(weights))
                checkpoint.unlink(missing_ok=True)
        network.load_state_dict(weights)
        return FittedReconstruction(fabric.to_device(network), self.pooling)

    def _key(self, pool: Pool, stream: Stream) -> str:
        configuration = written(self)
        if nameless := opaque_parts(configuration):
            raise ConfigurationError(
                "the pretext's weights are found again by its settings, and one of them has no name",
                got=", ".join(nameless),
                hint="define it at module level, or with functools.partial",
            )
        del configuration["with"]["pooling"]  # the same weights serve every pooling
        text = json.dumps([VERSION, former(configuration), stream.seed, digest(pool)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _parted(self, pool: Pool, stream: Stream) -> tuple[list[str], list[str]]:
        """Return the ids to judge by and those to train on."""
        order = stream.numpy().permutation(sorted(pool.ids)).tolist()
        if isinstance(self.hold_out, float | int):
            held = round(len(order) * self.hold_out)
            judged, trained = order[:held], order[held:]
        else:
            held_out = set(self.hold_out)
            judged, trained = sorted(held_out), [id for id in order if id not in held_out]
            if strange := held_out - set(order):
                raise ConfigurationError(
                    f"{len(strange)} of {len(judged)} images to hold out are not in the pool",
                    got=min(strange),
                    hint="fit on a pool that holds them too",
                )
        if not trained:
            raise ConfigurationError(
                f"all {len(order)} images of the pool are held out",
                got=f"hold_out={self.hold_out}" if isinstance(self.hold_out, float) else f"{len(judged)} ids",
                hint="hold out fewer",
            )
        return judged, trained


def _held_out(value: object) -> float | tuple[str, ...]:
    """Return a share as a number of Python's, and ids each once in an order of their own."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | int):
        if 0 <= value < 1:
            return value
    elif isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(id, str) for id in value):
        return tuple(sorted({str(id) for id in value}))
    raise ConfigurationError(
        "hold_out is neither a share nor ids", got=repr(value), expected="0 <= hold_out < 1, or a sequence of ids"
    )


def _train(
    task: Reconstruction,
    pool: Pool,
    stream: Stream,
    network: nn.Module,
    fabric: Fabric,
    checkpoint: Path,
    report: Report,
) -> dict[str, Tensor]:
    """Return the best weights; `checkpoint` is written after each epoch and, where it exists, gone on from."""
    judged, trained = task._parted(pool, stream.child("held out"))
    wrapped, optimizer = fabric.setup(network, adam(network, task.lr))
    done, stale, best_loss, best = 0, 0, math.inf, copy.deepcopy(network.state_dict())
    if (saved := _read(checkpoint, fabric)) is not None:
        done, stale, best_loss, best = saved["done"], saved["stale"], saved["best_loss"], saved["best"]
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])

    def examples(ids: Sequence[str], batches: Sequence[Sequence[int]], chance: Stream) -> Iterator[Example]:
        generator = chance.torch(fabric.device)
        for batch in batches:
            images = fabric.to_device(torch.from_numpy(pool.read([ids[position] for position in batch])))
            deformed, target = task.deformation(images, generator)
            yield deformed.contiguous(memory_format=torch.channels_last), target

    while done < task.epochs and stale < task.patience:
        batches = minibatches(len(trained), task.batch, stream.child("order", done))
        loss = train_epoch(
            fabric,
            wrapped,
            optimizer,
            examples(trained, batches, stream.child("deform", done)),
            _restoration_loss,
            stream.child("dropout", done),
        )
        done += 1
        if judged:
            batches = [range(i, min(i + task.batch, len(judged))) for i in range(0, len(judged), task.batch)]
            with evaluating(wrapped):
                # The same deformations every time, so that only the network makes the difference.
                losses = [
                    float(_restoration_loss(wrapped(deformed), target)) * len(target)
                    for deformed, target in examples(judged, batches, stream.child("judge"))
                ]
            loss = sum(losses) / len(judged)
        if loss < best_loss or not judged:
            stale, best_loss, best = 0, loss, copy.deepcopy(network.state_dict())
        else:
            stale += 1
        state = {
            "done": done,
            "stale": stale,
            "best_loss": best_loss,
            "best": best,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(checkpoint, buffer.getvalue())
        report(Progress("pretext", done, task.epochs, {"loss": loss, "best": best_loss}))
    return best


def _read(checkpoint: Path, fabric: Fabric) -> dict[str, Any] | None:
    """Return what a training that was stopped had come to; None where there is nothing that can be read."""
    if not checkpoint.exists():
        return None
    try:
        return cast("dict[str, Any]", torch.load(checkpoint, map_location=fabric.device, weights_only=True))
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as reason:
        logger.warning("the checkpoint %s cannot be read (%s): the pretext is trained anew", checkpoint, reason)
        return None


def _finished(path: Path) -> dict[str, Tensor] | None:
    """Return cached weights; None where there are none that can be read."""
    try:
        return safetensors.load(path.read_bytes()) if path.exists() else None
    except SafetensorError as reason:
        logger.warning("the cached weights %s cannot be read (%s): the pretext is trained anew", path, reason)
        return None


def _restoration_loss(logits: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(logits.float().sigmoid(), target)
