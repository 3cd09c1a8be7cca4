"""The last model of a record as files that are used without alkit.

An ensemble becomes one module, the mean of its members. What is written is tried first: each program must say of random
images what the model says.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.metadata
import io
import json
import logging
import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import alkit
from alkit._files import make_folder, write_atomically
from alkit.errors import ConfigurationError, MissingDependencyError
from alkit.learners.network import NetworkPredictor
from alkit.protocols import HasMembers, Predictor
from alkit.rng import Stream
from alkit.trained.card import card, card_text
from alkit.trained.model import TrainedModel

Format = Literal["torch", "onnx"]

AXES = {"batch": 0, "height": 2, "width": 3}
"""Axes of the input ``(batch, channels, height, width)`` that may be left open."""

TOLERANCE = 1e-4
"""How far a probability of an exported program may be off: more than another order of sums comes to."""

_log = logging.getLogger(__name__)


class Probabilities(nn.Module):
    """A network that says probabilities and not logits.

    >>> module = Probabilities(nn.Conv2d(1, 2, 1))
    >>> round(module(torch.zeros(1, 1, 4, 4)).sum(dim=1).mean().item(), 4)
    1.0
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(n, classes, h, w)`` or ``(n, classes)``."""
        return cast(Tensor, self.network(images)).float().softmax(dim=1)


class Mean(nn.Module):
    """The mean of what some modules say."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return what the members return, averaged."""
        return cast(Tensor, sum(member(images) for member in self.members)) / len(self.members)


def exported_module(predictor: Predictor) -> nn.Module:
    """Return a module of the CPU that maps images to the predictor's probabilities; it shares no weights with it.

    Raises
    ------
    ConfigurationError
        The predictor is neither a network of torch nor an ensemble of such.
    """
    if isinstance(predictor, NetworkPredictor):
        # Channels last, as the predictor has them: sums come in the same order, and so the same numbers.
        network = copy.deepcopy(predictor.network).cpu().to(memory_format=torch.channels_last)
        return Probabilities(network).eval().requires_grad_(False)
    if isinstance(predictor, HasMembers):
        return Mean([exported_module(member) for member in predictor.members]).eval()
    raise ConfigurationError(
        "only networks of torch can be exported, and ensembles of such",
        got=type(predictor).__name__,
        hint="alkit predict uses the model as it is in the record",
    )


def exported_program(module: nn.Module, shape: tuple[int, int, int]) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Return a program of torch.export and which axes of its input may have any length.

    That is as many as the network allows: batch, height and width; the batch; or none, for one image at a time.

    Parameters
    ----------
    module:
        Maps images to probabilities.
    shape:
        Of an image: channels, height, width.

    Raises
    ------
    ConfigurationError
        torch.export cannot make a program of it, or makes one that says something else.

    Examples
    --------
    >>> program, free = exported_program(Probabilities(nn.Conv2d(1, 2, 3)).eval(), (1, 8, 8))
    >>> free
    ('batch', 'height', 'width')
    >>> program, free = exported_program(Probabilities(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))).eval(), (1, 8, 8))
    >>> free
    ('batch',)
    """
    reason: Exception | None = None
    for free in (("batch", "height", "width"), ("batch",), ()):
        example = torch.zeros(2 if free else 1, *shape)
        axes = {AXES[name]: Dim.DYNAMIC for name in free}
        try:
            with torch.no_grad():
                program = torch.export.export(module, (example,), dynamic_shapes=(axes,), strict=False)
            _check(program.module(), module, shape, free)
        except Exception as error:  # torch.export and the program's guards raise whatever they meet
            _log.info("no program with %s open: %s", ", ".join(free) or "nothing", error)
            reason = reason or error
            continue
        _without_traces(program)
        return program, free
    raise ConfigurationError(
        f"torch.export cannot make a program of this network ({_first_line(reason)})",
        hint="alkit predict uses the model as it is in the record",
    ) from reason


def onnx_program(
    module: nn.Module, program: ExportedProgram, shape: tuple[int, int, int], free: Sequence[str]
) -> bytes:
    """Return a program as ONNX, with the input ``images`` and the output ``probabilities``.

    Raises
    ------
    MissingDependencyError
        The packages of the extra ``onnx`` are not there.
    ConfigurationError
        torch.onnx cannot write the program, or the runtime says something else than the module.
    """
    runtime = _onnx_packages()
    example = torch.zeros(2 if free else 1, *shape)
    try:
        written = torch.onnx.export(
            program,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({AXES[name]: name for name in free},) if free else None,
        )
        content = cast(bytes, cast(Any, written).model_proto.SerializeToString())
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

        _check(run, module, shape, free)
    except Exception as error:  # the converter and the runtime have errors of their own, many of them
        raise ConfigurationError(
            f"torch.onnx cannot write this network ({_first_line(error)})", hint="--format torch"
        ) from error
    return content


def export_model(
    model: TrainedModel,
    out: str | os.PathLike[str],
    *,
    formats: Sequence[Format] = ("torch",),
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a model for use without alkit, and return the files.

    ``model.safetensors``, a state dict; ``model.pt2``, a program of torch.export, for the format ``torch``;
    ``model.onnx`` for ``onnx``; ``CARD.md`` and ``card.json`` with what it is and how it is used.

    Parameters
    ----------
    formats:
        ``torch``, ``onnx`` or both.
    overwrite:
        Whether files that are there already may be replaced.

    Raises
    ------
    ConfigurationError
        A file is there already, or the model is none that can be exported.
    MissingDependencyError
        The packages of the extra ``onnx`` are not there.
    StoreError
        `out` cannot be written.
    """
    folder = Path(out)
    if not formats or (strange := set(formats) - {"torch", "onnx"}):
        raise ConfigurationError("there is no such format", got=strange if formats else "none", expected="torch, onnx")
    kinds = {"torch": "model.pt2", "onnx": "model.onnx"}
    names = ["model.safetensors", *[kinds[name] for name in kinds if name in formats], "card.json", "CARD.md"]
    if not overwrite and (there := [name for name in names if (folder / name).exists()]):
        raise ConfigurationError(
            f"files to be written are there already in {folder}",
            got=", ".join(there),
            hint="another folder, or overwrite them on purpose",
        )
    if "onnx" in formats:
        _onnx_packages()
    module = exported_module(model.predictor)
    program, free = exported_program(module, model.shape)
    contents = {"model.safetensors": _weights(module)}
    if "torch" in formats:
        contents["model.pt2"] = _saved(program)
    if "onnx" in formats:
        contents["model.onnx"] = onnx_program(module, program, model.shape, free)
    packages = ["torch", *(["onnx"] if "onnx" in formats else [])]
    told = card(
        model,
        network=_described(module),
        parameters=sum(value.numel() for value in module.parameters()),
        free=free,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        versions={"alkit": alkit.__version__, **{name: importlib.metadata.version(name) for name in packages}},
        now=datetime.now(UTC),
    )
    contents["card.json"] = (json.dumps(told, indent=2, allow_nan=False) + "\n").encode()
    contents["CARD.md"] = card_text(told).encode()
    make_folder(folder)
    for name in names:
        write_atomically(folder / name, contents[name])
    return tuple(folder / name for name in names)


def _check(program: Any, module: nn.Module, shape: tuple[int, int, int], free: Sequence[str]) -> None:
    """Let a program and its module say something of the same random images, at each kind of size that is open."""
    channels, height, width = shape
    sizes = [(1, channels, height, width)]
    sizes += [(3, channels, height, width)] if "batch" in free else []
    sizes += [(1, channels, 2 * height, 2 * width)] if "height" in free else []
    for size in sizes:
        images = torch.from_numpy(Stream(0).child("export").numpy().random(size, np.float32))
        with torch.no_grad():
            ours, theirs = module(images), program(images)
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE):
            raise ConfigurationError("the exported program says something else than the model", got=f"input {size}")


def _weights(module: nn.Module) -> bytes:
    """Return the state dict: that of the network itself, where there is one."""
    inner = module.network if isinstance(module, Probabilities) else module
    return safetensors.save({name: value.contiguous() for name, value in inner.state_dict().items()})


def _saved(program: ExportedProgram) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Said of each weight that is kept channels last; it is written whole.
        warnings.filterwarnings("ignore", "No complete tensor found")
        torch.export.save(program, file)
    return file.getvalue()


def _described(module: nn.Module) -> str:
    kinds = [type(own.network).__name__ for own in module.modules() if isinstance(own, Probabilities)]
    return kinds[0] if len(kinds) == 1 else f"the mean of {len(kinds)} networks, {' and '.join(sorted(set(kinds)))}"


def _without_traces(program: ExportedProgram) -> None:
    """Take out where in this machine's files each operation came from."""
    for part in program.graph_module.modules():
        for node in getattr(getattr(part, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)


def _onnx_packages() -> Any:
    try:
        for name in ("onnx", "onnxscript"):
            importlib.import_module(name)
        return importlib.import_module("onnxruntime")
    except ImportError as reason:
        raise MissingDependencyError(
            f"ONNX needs more packages ({reason})", hint='pip install "alkit[onnx]"'
        ) from reason


def _first_line(reason: Exception | None) -> str:
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
