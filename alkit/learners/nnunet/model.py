"""The trained models of nnU-Net: their weights as safetensors, their predictions by a process."""

from __future__ import annotations

import json
import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import torch as safetensors
from torch import Tensor

from alkit._files import make_temporary_folder
from alkit._reading.tensors import MOST_CLASSES, read_facts, read_tensors, unreadable
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.learners.nnunet.process import Process
from alkit.values.label_spec import Images

FACTS = "nnunet"
"""Entry of the metadata with the plans and the description of the data set."""

LONGEST_SIDE = 2**13
"""Greatest number of pixels of a side of a patch, to which images are filled up."""

MOST_STAGES = 100
"""Greatest number of stages of a network: nnU-Net makes lists of this length before it makes layers."""

BYTES = 256 * 2**20
"""Bytes of the probabilities of all members in one batch."""

ARCHITECTURES = {
    f"dynamic_network_architectures.architectures.unet.{name}"
    for name in ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
}
"""Networks that the plans of a stored model may name."""

NAMES = {
    "label_manager": r"LabelManager",
    "preprocessor_name": r"DefaultPreprocessor",
    "image_reader_writer": r"NaturalImage2DIO",
    "experiment_planner_used": r"\w*Planner\w*",
    "resampling_fn_data": r"resample_\w+",
    "resampling_fn_seg": r"resample_\w+",
    "resampling_fn_probabilities": r"resample_\w+",
    "normalization_schemes": r"\w+Normalization",
}
"""By key of the plans, a pattern of the names that nnU-Net looks up among its own classes and functions."""

LAYER = r"torch\.nn\.(modules\.\w+\.)?[A-Z]\w*"
"""Pattern of the layers of a network."""


@dataclass(frozen=True)
class Placement:
    """Where models compute.

    Parameters
    ----------
    device:
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    python:
        Interpreter with nnunetv2; None for that of this process.
    threads:
        Number of threads; None for that of torch in this process.
    """

    device: str = "auto"
    python: str | None = None


@checked
@dataclass(frozen=True, eq=False)
class NNUNetPredictor:
    """The models that nnU-Net has trained on the splits of its cross-validation. Predictions come from a process.

    Parameters
    ----------
    facts:
        Plans, description of the data set, trainer and axes of mirroring.
    weights:
        Weights of each model by name.
    placement:
        Where to compute.

    Notes
    -----
    Deviation: the prediction is the mean of the members' probabilities; nnU-Net takes the soft-max of the mean of their
    logits.
    """

    facts: Mapping[str, Any] = field(repr=False)
    weights: tuple[Mapping[str, Tensor], ...] = field(repr=False)
    placement: Placement = Placement()

    @checked
    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the mean of the members' probabilities, ``(n, classes, h, w)``."""
        found: npt.NDArray[np.float32] = self.member_probabilities(images).mean(axis=0, dtype=np.float32)
        return found

    @checked
    def member_probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the probabilities of each member, ``(members, n, classes, h, w)``.

        Raises
        ------
        ConfigurationError
            `images` have another number of channels than the labelled ones, or nnU-Net fails.
        MissingDependencyError
            nnunetv2 is not installed.
        """
        if images.ndim != 4 or images.shape[1] != (channels := len(self.facts["dataset"]["channel_names"])):
            raise ConfigurationError(
                f"images for this model must have the shape (n, {channels}, h, w)", got=f"{images.shape}"
            )
        if len(images) == 0:
            return np.zeros((len(self.weights), 0, self.classes, *images.shape[2:]), np.float32)
        return self._server.predict(images)

    @checked
    def posterior(self, images: Images) -> NNUNetPosterior:
        """Return the posterior of these images: the members' predictions and their mean."""
        return NNUNetPosterior(self, images)

    @property
    def members(self) -> tuple[NNUNetPredictor, ...]:
        """Each member as a model of its own."""
        return tuple(NNUNetPredictor(self.facts, (weights,), self.placement) for weights in self.weights)

    @property
    def classes(self) -> int:
        """Number of classes."""
        labels: Mapping[str, int] = self.facts["dataset"]["labels"]
        return sum(name != "ignore" for name in labels)

    @checked
    def images_at_once(self, images: Images) -> int:
        """Return the largest batch of images like these, at least 1: many, because each call costs time."""
        _, _, height, width = images.shape
        return max(1, BYTES // int(4 * len(self.weights) * self.classes * height * width))

    def dumps(self) -> bytes:
        """Return the weights in the safetensors format, with the plans as JSON."""
        tensors = {
            f"{number}/{name}": value.contiguous().clone()
            for number, weights in enumerate(self.weights)
            for name, value in weights.items()
        }
        return safetensors.save(tensors, metadata={FACTS: json.dumps([len(self.weights), dict(self.facts)])})

    @property
    def _server(self) -> _Server:
        number = os.getpid()  # after a fork, a process needs its own
        if number not in self._servers:
            server = self._servers[number] = _Server(self)
            weakref.finalize(self, server.close)
        return self._servers[number]

    @cached_property
    def _servers(self) -> dict[int, _Server]:
        return {}


class NNUNetPosterior:
    """The posterior of one batch of images by an :class:`NNUNetPredictor`: see :class:`alkit.protocols.Posterior`."""

    def __init__(self, predictor: NNUNetPredictor, images: Images) -> None:
        self._predictor, self._images = predictor, images

    def members(self) -> Iterator[Tensor]:
        """Yield the prediction of each member, ``(1, n, classes, h, w)``."""
        for member in self._drawn:
            yield member[None]

    def prediction(self) -> Tensor:
        """Return the mean of the members' predictions, ``(n, classes, h, w)``."""
        return self._drawn.mean(dim=0)

    @cached_property
    def _drawn(self) -> Tensor:
        return torch.from_numpy(self._predictor.member_probabilities(self._images))


class _Server:
    """The process that predicts by a model: it is started by the first prediction, and lives as long as the model.

    Several threads may ask it. After an error or an interruption it is started again: the next request must not get the
    answer to this one.
    """

    def __init__(self, predictor: NNUNetPredictor) -> None:
        self._folder = make_temporary_folder()
        paths = [self._folder / f"fold_{number}.pt" for number in range(len(predictor.weights))]
        for path, weights in zip(paths, predictor.weights, strict=True):
            torch.save(dict(weights), path)
        (self._folder / "facts.json").write_text(json.dumps(dict(predictor.facts)), "utf-8")
        self._owner, self._lock, self._python = os.getpid(), threading.Lock(), predictor.placement.python
        self._process: Process | None = None
        self._job = {
            "task": "serve",
            "folder": str(self._folder),
            "weights": [str(path) for path in paths],
            "classes": predictor.classes,
            "device": predictor.placement.device,
            "threads": torch.get_num_threads(),
        }

    def predict(self, images: Images) -> npt.NDArray[np.float32]:
        given, made = self._folder / "images.npy", self._folder / "probabilities.npy"
        with self._lock:
            try:
                if self._process is None:
                    self._process = Process(self._job, self._folder, self._python)
                    for _ in self._process.messages():  # until it is ready
                        pass
                np.save(given, np.ascontiguousarray(images, np.float32))
                self._process.ask({"images": str(given), "out": str(made)})
                found: npt.NDArray[np.float32] = np.load(made, allow_pickle=False)
            except BaseException:
                if self._process is not None:
                    self._process.kill()
                    self._process = None
                raise
            given.unlink()
            made.unlink()
        return found

    def close(self) -> None:
        import shutil

        if self._owner != os.getpid():  # of the process that was forked
            return
        if self._process is not None:
            self._process.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def read_model(dumped: bytes, placement: Placement) -> NNUNetPredictor:
    """Return the predictor whose ``dumps`` returned these bytes, after a check of what they name.

    Raises
    ------
    ConfigurationError
        These are other bytes, or the plans name something that is not a part of a U-Net of nnU-Net.
    """
    match read_facts(dumped, FACTS):
        case [int(count), {"plans": dict(), "dataset": dict(), "trainer": str(), "mirroring": _} as facts] if (
            0 < count <= MOST_CLASSES
        ):
            pass
        case _:
            raise unreadable(dumped, "other facts about a model of nnU-Net")
    if problem := strange_name(facts):
        raise unreadable(dumped, problem)
    weights: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, value in read_tensors(safetensors.load, dumped).items():
        number, _, own = name.partition("/")
        if not number.isdecimal() or len(number) > len(str(count)) or int(number) >= count:
            raise unreadable(dumped, f"a tensor {name[:80]!r}")
        weights[int(number)][own] = value
    return NNUNetPredictor(facts, tuple(weights), placement)


def strange_name(facts: Mapping[str, Any]) -> str:
    """Return what the facts of a stored model name that nnU-Net must not look up; an empty text if there is nothing.

    nnU-Net imports the classes that plans name, so plans from a record could name any function.
    """
    dataset, plans = facts["dataset"], facts["plans"]
    labels, names = dataset.get("labels"), dataset.get("channel_names")
    if not isinstance(labels, dict) or not isinstance(names, dict) or not 0 < len(names) <= MOST_CLASSES:
        return "no labels or channels"
    wanted = list(range(len(labels)))
    if list(labels.values()) != wanted or "background" not in labels or not 2 <= len(labels) <= MOST_CLASSES:
        return "other labels"
    if not re.fullmatch(r"nnUNetTrainer\w*", facts["trainer"], re.ASCII):
        return f"a trainer {facts['trainer'][:80]!r}"
    axes = facts["mirroring"]
    if axes is not None and not (isinstance(axes, list) and all(type(axis) is int and 0 <= axis < 2 for axis in axes)):
        return "other axes of mirroring"
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or set(configurations) != {"2d"}:
        return "other configurations than 2d"
    if not isinstance(configurations["2d"], dict):
        return "no configuration"
    spacing, patch = (configurations["2d"].get(key, [1, 1]) for key in ("spacing", "patch_size"))
    if spacing != [1, 1]:  # nnU-Net would enlarge the images
        return f"a spacing {str(spacing)[:80]}"
    if not (isinstance(patch, list) and all(type(side) is int and 0 < side <= LONGEST_SIDE for side in patch)):
        return f"a patch {str(patch)[:80]}"
    return _strange_name_in(plans, "plans")


def _strange_name_in(value: Any, place: str) -> str:
    if isinstance(value, dict):
        if "network_class_name" in value and (problem := _strange_network(value)):
            return problem
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    else:
        return ""
    for key, entry in entries:
        pattern = NAMES.get(str(key))
        if pattern is not None:
            for name in entry if isinstance(entry, list) else [entry]:
                if not isinstance(name, str) or not re.fullmatch(pattern, name, re.ASCII):
                    return f"{str(name)[:80]!r} as {key}"
        if key in ("inherits_from", "previous_stage", "network_arch_class_name", "UNet_class_name"):
            return f"an entry {key}"
        if problem := _strange_name_in(entry, f"{place}.{key}"):
            return problem
    return ""


def _strange_network(architecture: Mapping[str, Any]) -> str:
    name, arguments = architecture["network_class_name"], architecture.get("arch_kwargs")
    imported = architecture.get("_kw_requires_import")
    if name not in ARCHITECTURES or not isinstance(arguments, dict) or not isinstance(imported, Sequence):
        return f"a network {str(name)[:80]!r}"
    if not (type(stages := arguments.get("n_stages", 1)) is int and stages <= MOST_STAGES):
        return f"{str(stages)[:80]} stages"
    for key in imported:
        layer = arguments.get(key)
        if layer is not None and not (isinstance(layer, str) and re.fullmatch(LAYER, layer, re.ASCII)):
            return f"{str(layer)[:80]!r} as {key}"
    return ""
