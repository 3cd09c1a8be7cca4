"""A self-supervised pretext: a network that learns to restore deformed images learns features of the images.

References
----------
Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation". EMBC
2022, section II-A. Zhou et al. "Models Genesis". Medical Image Analysis 67, 2021 (the deformations and their rates).
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit._files import cache_folder, make_folder, temporary_folder
from alkit._logs import logger
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer, check_number
from alkit.configuration.code import contents_of
from alkit.configuration.definitions import own_definitions, untold
from alkit.configuration.forms import opaque_parts, runtime, written_form
from alkit.configuration.versions import to_former
from alkit.errors import AlkitError, ConfigurationError, is_out_of_memory
from alkit.features.deformation import Deformation
from alkit.features.pretext_files import locked, read_checkpoint, read_weights, write_checkpoint, write_weights
from alkit.networks.ahead import read_ahead
from alkit.networks.computation import Computation, computation_for
from alkit.networks.factory import NetworkFactory, make_network
from alkit.networks.footprint import Fitting
from alkit.networks.outputs import Logits
from alkit.networks.smp_factories import name_weights
from alkit.networks.state import apart, to_channels_last, weights_digest
from alkit.networks.training import Example, adam, evaluation_mode, minibatches, train_epoch
from alkit.networks.unet import UNet
from alkit.networks.weights import deepest_map
from alkit.pools.digests import digest
from alkit.protocols import Pool
from alkit.rng import Stream
from alkit.values.label_spec import Images, check_images
from alkit.values.progress import Progress, Report, quiet

log = logger(__name__)

VERSION = 1
"""Version of the training. It increases if the same parameters give other weights, so that old caches are not used."""


@checked
@dataclass(frozen=True, eq=False)
class FittedReconstruction:
    """A trained pretext: it computes features, and its weights are a warm start for learners.

    Parameters
    ----------
    network:
        The trained network.
    pooling:
        Cells per side to which the deepest feature map is averaged.
    """

    network: nn.Module
    pooling: int

    def fingerprint(self) -> str:
        """Return a SHA-256, in hexadecimal, of the weights; for a network of others, of how its maps are read, too."""
        found = weights_digest(self.network)
        if type(self.network).__module__.partition(".")[0] == "alkit":
            return found
        # Earlier versions gave the images to its encoder as they are, although the network may normalise them.
        return hashlib.sha256(f"{found} as the network calls its encoder".encode()).hexdigest()

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the deepest encoder map of each image, averaged to pooling x pooling cells.

        Parameters
        ----------
        images:
            ``(n, c, h, w)``, float32 in [0, 1].

        Returns
        -------
        ndarray
            ``(n, channels * pooling^2)``, float32.

        Raises
        ------
        ImageError
            The shape of `images` is another one.
        ConfigurationError
            The network cannot compute these images, for example because they have other channels.
        """
        check_images(images)
        device = next(self.network.parameters()).device
        inputs = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device)
        at_once = self._fitting.images_at_once(self.network, inputs, self._rows)
        with evaluation_mode(self.network):
            rows = torch.cat([self._rows(part) for part in torch.split(inputs, at_once)])
            return cast("npt.NDArray[np.float32]", rows.cpu().numpy())

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting()

    def _rows(self, images: Tensor) -> Tensor:
        maps = self._maps(self.network, images)
        return F.adaptive_avg_pool2d(maps.float(), self.pooling).flatten(1)

    def _maps(self, network: nn.Module, images: Tensor) -> Tensor:
        try:
            return deepest_map(network, images)
        except AlkitError:
            raise
        except Exception as reason:  # a network may fail in any way
            if is_out_of_memory(reason):  # smaller batches are tried
                raise
            raise ConfigurationError(
                f"the network of the pretext cannot compute images of shape {tuple(images.shape[1:])} "
                f"({str(reason).strip() or type(reason).__name__})",
                hint="images with the channels and the size of those that it was trained on",
            ) from reason


@checked_except("epochs", "batch", "lr", "patience", "pooling")
@dataclass(frozen=True)
class Reconstruction:
    """Learns features by restoring deformed images, with the network that will later segment them.

    It minimises ||f(D(x)) - x||^2 over the images x of the pool. f is the network with one output channel per image
    channel, followed by a sigmoid, and D is :class:`alkit.features.Deformation`.

    Parameters
    ----------
    network:
        Network factory. It must be that of the learner if the learner uses the pretext as warm start.
    epochs:
        Largest number of passes over the pool, at least 1.
    batch:
        Images per training step, at least 1.
    lr:
        Learning rate of Adam, above 0.
    patience:
        Number of epochs without a better loss on the held-out images after which the training stops, at least 1. The
        weights of the best epoch are kept.
    hold_out:
        Share of the *pool* that is held out, in [0, 1), or the ids of the held-out images. If it is 0, all epochs run,
        and the last weights are kept.
    pooling:
        Cells per side to which the deepest map is averaged, at least 1. A map of 512 channels gives 512 features with
        1, as in the paper, and 2048 with 2.
    deformation:
        D, with its probabilities.
    precision:
        ``32-true``; or ``16-mixed`` or ``bf16-mixed``, in which large operations run in 16 bits (torch's autocast).
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration.
    cache:
        Folder of cached weights; default: alkit's cache. It is not part of an experiment's configuration.

    Raises
    ------
    ConfigurationError
        A parameter is out of range.

    Notes
    -----
    The paper leaves these choices open: Adam with a learning rate of 1e-3, batches of 16, at most 100 epochs, and early
    stopping on a tenth of the pool, with the same deformations in each epoch.

    Weights are cached by configuration (without `pooling`), seed, precision, number of threads and the content of the
    pool, so all strategies and learners with the same seed share one training. A training that was killed continues
    from its last complete epoch and ends with the same weights.

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
        for name in ("epochs", "batch", "patience", "pooling"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), least=1))
        check_number("lr", self.lr, 0, open_ends="(")
        vars(self).update(network=name_weights(self.network), hold_out=_check_hold_out(self.hold_out))

    @checked
    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedReconstruction:
        """Train on the images of `pool`, or read the weights from the cache.

        Parameters
        ----------
        pool:
            The images, ``(n, c, h, w)`` when read.
        rng:
            One number is drawn from it; all randomness depends on this number.
        report:
            Called after each epoch with the progress and the loss.

        Raises
        ------
        ConfigurationError
            The network has no name for the cache, the held-out images are not in the pool or are all of it, the device
            or precision is not available, or the training diverges.
        StoreError
            The cache cannot be written.
        """
        stream = Stream.from_rng(rng)
        if hidden := untold(written_form(self)):
            log.warning(
                "the weights of a pretext are not kept, because the code of %s cannot be read and may be another one "
                "the next time: put it into a module, and start this program again after an edit",
                hidden[0],
            )
            with temporary_folder() as folder:
                return self._fitted(pool, stream, folder, report)
        return self._fitted(pool, stream, make_folder(cache_folder(self.cache) / "pretext"), report)

    def _fitted(self, pool: Pool, stream: Stream, folder: Path, report: Report) -> FittedReconstruction:
        """Train, or read the weights from a folder."""
        earlier, present = self._keys(pool, stream, torch.get_num_threads())
        finished = folder / f"{earlier}.safetensors"
        if not finished.exists():
            finished = folder / f"{present}.safetensors"
        channels = pool.read(list(pool.ids)[:1]).shape[1]
        made = make_network(self.network, in_channels=channels, classes=channels, stream=stream.child("weights"))
        network = to_channels_last(made)  # before its weights are set, so that cached ones compute the same bits
        computation = computation_for(self.device, self.precision)
        weights = read_weights(finished, network)  # without the lock, because the cache may be read-only
        if weights is None:
            with locked(finished.with_suffix(".lock")):  # a second process waits, then reads the weights of the first
                weights = self._trained(pool, stream, network, computation, finished, report)
        network.load_state_dict(weights)
        return FittedReconstruction(computation.move(network), self.pooling)

    def _trained(
        self,
        pool: Pool,
        stream: Stream,
        network: nn.Module,
        computation: Computation,
        finished: Path,
        report: Report,
    ) -> dict[str, Tensor]:
        """Return the weights that another process has just written, or train and write them."""
        if (weights := read_weights(finished, network)) is not None:
            return weights
        checkpoint = finished.with_suffix(".checkpoint")
        weights = apart(_train(self, pool, stream, network, computation, checkpoint, report))
        write_weights(finished, weights)
        with suppress(OSError):  # the next training of the same pretext deletes it
            checkpoint.unlink(missing_ok=True)
        return weights

    def _keys(self, pool: Pool, stream: Stream, threads: int) -> tuple[str, str]:
        """Return the names of the weights in the cache: that of earlier versions, without threads, and that of now."""
        configuration = written_form(self)
        if nameless := opaque_parts(configuration):
            raise ConfigurationError(
                "parameters of a Reconstruction must have names, because the cache of its weights uses them",
                got=", ".join(nameless),
                hint="a class or function at module level, or functools.partial of one",
            )
        del configuration["with"]["pooling"]  # the weights do not depend on the pooling
        what = [VERSION, to_former(configuration), stream.seed, digest(pool)]
        if code := own_definitions(configuration):  # of a network of the user
            what.append(code)
        if contents := contents_of(configuration):  # of files that its factory may read
            what.append(contents)
        earlier, present = (json.dumps(facts, sort_keys=True).encode() for facts in (what, [*what, threads]))
        return hashlib.sha256(earlier).hexdigest(), hashlib.sha256(present).hexdigest()

    def _split(self, pool: Pool, stream: Stream) -> tuple[list[str], list[str]]:
        """Return the held-out ids and the ids to train on."""
        order = stream.numpy().permutation(sorted(pool.ids)).tolist()
        if isinstance(self.hold_out, float | int):
            count = round(len(order) * self.hold_out)
            held_out, rest = order[:count], order[count:]
        else:
            wanted = set(self.hold_out)
            held_out, rest = sorted(wanted), [id for id in order if id not in wanted]
            if missing := wanted - set(order):
                raise ConfigurationError(
                    f"hold_out contains {len(missing)} of {len(held_out)} images that are not in the pool",
                    got=min(missing),
                    hint="a pool with these images, or other ids",
                )
        if not rest:
            raise ConfigurationError(
                f"hold_out leaves none of the {len(order)} images of the pool to train on",
                got=f"hold_out={self.hold_out}" if isinstance(self.hold_out, float) else f"{len(held_out)} ids",
                hint="a smaller hold_out=",
            )
        return held_out, rest


def _check_hold_out(value: object) -> float | tuple[str, ...]:
    """Return a share as a number of Python, or ids sorted and without repetitions."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | int):
        if 0 <= value < 1:
            return value
    elif isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(id, str) for id in value):
        return tuple(sorted({str(id) for id in value}))
    raise ConfigurationError("hold_out must be a number in [0, 1) or a sequence of ids", got=repr(value))


def _train(
    task: Reconstruction,
    pool: Pool,
    stream: Stream,
    network: nn.Module,
    computation: Computation,
    checkpoint: Path,
    report: Report,
) -> dict[str, Tensor]:
    """Train until the last epoch or until patience ends, and return the best weights.

    The file `checkpoint` is written after each epoch. If it exists, the training continues from it.
    """
    held_out, trained_on = task._split(pool, stream.child("held out"))
    channels = pool.read(list(pool.ids)[:1]).shape[1]
    wrapped, optimizer = computation.move(Logits(network, channels)), adam(network, task.lr)
    done, stale, best_loss, best = 0, 0, math.inf, copy.deepcopy(network.state_dict())
    if (saved := read_checkpoint(checkpoint, computation.device, network)) is not None:
        done, stale, best_loss, best = saved["done"], saved["stale"], saved["best_loss"], saved["best"]
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])

    def examples(ids: Sequence[str], batches: Sequence[Sequence[int]], deform: Stream) -> Iterator[Example]:
        generator = deform.torch(computation.device)
        read = ((torch.from_numpy(pool.read([ids[position] for position in batch])),) for batch in batches)
        for (images,) in read_ahead(read, computation.device):
            deformed, target = task.deformation(computation.move(images), generator)
            yield deformed.contiguous(memory_format=torch.channels_last), target

    def held_out_loss() -> float:
        starts = range(0, len(held_out), task.batch)
        batches = [range(start, min(start + task.batch, len(held_out))) for start in starts]
        # The deformations are the same in each epoch, so that the losses differ only by the network.
        with evaluation_mode(wrapped):
            losses = [
                float(_restoration_loss(computation.run(wrapped, deformed), target)) * len(target)
                for deformed, target in examples(held_out, batches, stream.child("judge"))
            ]
        return sum(losses) / len(held_out)

    while done < task.epochs and stale < task.patience:
        batches = minibatches(len(trained_on), task.batch, stream.child("order", done))
        epoch = examples(trained_on, batches, stream.child("deform", done))
        loss = train_epoch(computation, wrapped, optimizer, epoch, _restoration_loss, stream.child("dropout", done))
        done += 1
        if held_out:
            loss = held_out_loss()
        if loss < best_loss or not held_out:
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
        write_checkpoint(checkpoint, state)
        report(Progress("pretext", done, task.epochs, {"loss": loss, "best": best_loss}))
    return best


def _restoration_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of the restored images."""
    return F.mse_loss(logits.float().sigmoid(), target)
