"""Export of a model to files that can be used without alkit.

An ensemble becomes one module, the mean of its members. Each program is tested before it is written: on random images
it must give the probabilities of the model, and for each image of a batch what it gives for this image alone.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import io
import json
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import alkit
from alkit._files import check_outside, delete_file, make_folder, write_atomically
from alkit._logs import logger
from alkit.arguments.checked import check_argument, checked_except
from alkit.errors import ConfigurationError, MissingDependencyError
from alkit.networks.state import apart
from alkit.protocols import ExportsModule
from alkit.rng import Stream
from alkit.trained.card import card, card_text
from alkit.trained.model import TrainedModel, check_trained
from alkit.trained.modules import Probabilities, exact, export_module
from alkit.values.predictions import probabilities_of

Format = Literal["torch", "onnx"]

AXES = {"batch": 0, "height": 2, "width": 3}
"""Axes of the input ``(batch, channels, height, width)`` that can have any length."""

TOLERANCE = 1e-4
"""Greatest accepted difference of a probability. Summation in another order gives smaller differences."""

TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""Environment variable by which onnxruntime sends nothing about this machine and its models to its makers."""

_log = logger(__name__)


CHOICES = (("batch", "height", "width"), ("batch",), ())
"""Sets of axes that can have any length, the best first."""


def export_program(
    module: nn.Module, shape: tuple[int, int, int], choices: Sequence[tuple[str, ...]] = CHOICES
) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Return a torch.export program, and the names of the input's axes that can have any length.

    These are as many axes as the network allows: batch, height and width; only the batch; or none, for single images.

    Parameters
    ----------
    module:
        Module that maps images to probabilities.
    shape:
        Shape of an image: channels, height, width.
    choices:
        Sets of axes to try in this order.

    Raises
    ------
    ConfigurationError
        torch.export cannot export the module, or the program's output differs from the module's.

    Examples
    --------
    >>> program, free = export_program(Probabilities(nn.Conv2d(1, 2, 3)).eval(), (1, 8, 8))
    >>> free
    ('batch', 'height', 'width')
    >>> program, free = export_program(Probabilities(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))).eval(), (1, 8, 8))
    >>> free
    ('batch',)
    """
    reason: Exception | None = None
    for free in choices:
        example = torch.zeros(2 if free else 1, *shape)
        axes = {AXES[name]: Dim.DYNAMIC for name in free}
        try:
            with torch.no_grad():
                program = torch.export.export(module, (example,), dynamic_shapes=(axes,), strict=False)
            _check(program.module(), module, shape, free)
        except Exception as error:  # torch.export and the program's guards raise errors of many kinds
            _log.info("export with free axes (%s) failed: %s", ", ".join(free), error)
            reason = reason or error
            continue
        _remove_traces(program)
        return program, free
    raise ConfigurationError(
        f"torch.export cannot export this network ({_first_line(reason)})",
        hint="predict_folder(), which needs no export",
    ) from reason


def onnx_program(
    module: nn.Module, program: ExportedProgram, shape: tuple[int, int, int], free: Sequence[str]
) -> bytes:
    """Return a program in ONNX format, with the input ``images`` and the output ``probabilities``.

    Raises
    ------
    MissingDependencyError
        The packages of the extra ``onnx`` are not installed.
    ConfigurationError
        torch.onnx cannot export the program, or its output in the runtime differs from the module's.
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
    except Exception as error:  # the converter and the runtime raise errors of many kinds
        raise ConfigurationError(
            f"torch.onnx cannot export this network ({_first_line(error)})", hint="the format torch"
        ) from error
    return content


def export_onnx(
    module: nn.Module, program: ExportedProgram, shape: tuple[int, int, int], free: tuple[str, ...]
) -> tuple[bytes, tuple[str, ...]]:
    """Return a program in ONNX format with as many of the free axes as possible, and the names of these axes.

    Some networks, such as PSPNet and UPerNet, pool to a grid of fixed size. ONNX can express that for images of one
    size only.

    Raises
    ------
    ConfigurationError
        torch.onnx cannot export the program, not even for single images of one size. The reason is that of the first
        attempt.
    """
    reason: ConfigurationError | None = None
    for choice in CHOICES[CHOICES.index(free) :]:
        try:
            if choice != free:
                program, _ = export_program(module, shape, (choice,))
            return onnx_program(module, program, shape, choice), choice
        except ConfigurationError as error:
            _log.info("ONNX with free axes (%s) failed: %s", ", ".join(choice), error)
            reason = reason or error
    assert reason is not None
    raise reason


@checked_except("model", "formats")
def export_model(
    model: TrainedModel,
    out: str | os.PathLike[str],
    *,
    formats: Sequence[Format] = ("torch",),
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a model for use without alkit, and return the files.

    The files are ``model.safetensors``, a state dict; ``model.pt2``, a torch.export program (format ``torch``);
    ``model.onnx`` (format ``onnx``); and ``CARD.md`` and ``card.json``, which describe the model and how to use it.

    Parameters
    ----------
    model:
        The model, see :func:`trained_model`.
    out:
        Folder to write to.
    formats:
        ``"torch"``, ``"onnx"`` or both.
    overwrite:
        Whether to replace existing files. Without it, an existing file is an error.

    Raises
    ------
    ConfigurationError
        A file exists already, `out` is in the record's folder of images, a format is unknown, or the model cannot be
        exported.
    MissingDependencyError
        The packages of the extra ``onnx`` are not installed.
    StoreError
        `out` cannot be written.
    """
    check_trained(model)
    folder = Path(out)
    check_argument("formats", formats, Sequence)
    if not formats or set(formats) - {"torch", "onnx"}:
        raise ConfigurationError("formats must contain 'torch', 'onnx' or both", got=tuple(formats))
    kinds = {"torch": "model.pt2", "onnx": "model.onnx"}
    names = ["model.safetensors", *[kinds[name] for name in kinds if name in formats], "card.json", "CARD.md"]
    for known in (model.reading, model.slicing):
        if known is not None:
            check_outside("out", folder, Path(known.path))
    if not overwrite and (existing := [name for name in names if (folder / name).exists()]):
        raise ConfigurationError(
            f"files to write already exist in {folder}",
            got=", ".join(existing),
            hint="choose another folder, or overwrite=True",
        )
    if "onnx" in formats:
        _onnx_packages()
    module = export_module(model.predictor, model.shape)
    _check_module(module, model)
    program, free = export_program(module, model.shape)
    contents, free_onnx = {"model.safetensors": _weights(module)}, free
    if "torch" in formats:
        contents["model.pt2"] = _save(program)
    if "onnx" in formats:
        contents["model.onnx"], free_onnx = export_onnx(module, program, model.shape, free)
        free = free if "torch" in formats else free_onnx
    packages = ["torch", *(["onnx"] if "onnx" in formats else [])]
    facts = card(
        model,
        network=_describe(module),
        parameters=sum(value.numel() for value in module.parameters()),
        free=free,
        free_onnx=free_onnx if "onnx" in formats else free,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        versions={"alkit": alkit.__version__, **{name: importlib.metadata.version(name) for name in packages}},
        now=datetime.now(UTC),
    )
    contents["card.json"] = (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode()
    contents["CARD.md"] = card_text(facts).encode()
    make_folder(folder)
    delete_file(folder / "CARD.md")  # of an earlier model, also if this call is killed; card.json has digests
    for name in _listed(folder / "card.json") & set(kinds.values()) - contents.keys():
        delete_file(folder / name)  # of an earlier model, which the new card does not describe
    for name in names:
        write_atomically(folder / name, contents[name])
    return tuple(folder / name for name in names)


def _listed(card: Path) -> set[str]:
    """Return the names of the files that an earlier card lists, which may be damaged."""
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        return set(map(str, json.loads(card.read_bytes()).get("files", {})))
    return set()


def _check(program: Any, module: nn.Module, shape: tuple[int, int, int], free: Sequence[str]) -> None:
    """Compare the outputs of a program and its module on random images, with other lengths of the free axes too.

    The module gets each image alone, because a model predicts images one by one if its network mixes those of a batch.
    """
    channels, height, width = shape
    sizes = [(1, channels, height, width)]
    sizes += [(3, channels, height, width)] if "batch" in free else []
    sizes += [(1, channels, 2 * height, 2 * width)] if "height" in free else []
    for size in sizes:
        images = _random_images(size)
        with torch.no_grad():
            ours, theirs = torch.cat([module(image) for image in torch.split(images, 1)]), program(images)
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE):
            raise ConfigurationError("the output of the exported program differs from the model's", got=f"input {size}")


def _random_images(size: tuple[int, ...]) -> Tensor:
    """Return random images, of which each is darker than the one before it."""
    images = torch.from_numpy(Stream(0).child("export").numpy().random(size, np.float32))
    return images / torch.arange(1, len(images) + 1)[:, None, None, None]


def _check_module(module: nn.Module, model: TrainedModel) -> None:
    """Compare the outputs of a module with the probabilities of the predictor that it was made of."""
    predictor, name = model.predictor, type(model.predictor).__name__
    own = f"the module of {name}.export_module()" if isinstance(predictor, ExportsModule) else f"the module of {name}"
    images = _random_images((2, *model.shape))
    expected = probabilities_of(exact(predictor), images.numpy(), model.spec)
    expected = expected[:, 1] if model.spec.multiple else expected
    try:
        with torch.no_grad():
            found = torch.cat([module(image) for image in torch.split(images, 1)]).numpy()
    except Exception as reason:  # a module may fail in any way
        raise ConfigurationError(
            f"{own} must map images to probabilities ({type(reason).__name__}: {_first_line(reason)})"
        ) from reason
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=1e-3):
        raise ConfigurationError(
            f"{own} must give the probabilities of the model",
            got=f"shape {found.shape} for {expected.shape}"
            if found.shape != expected.shape
            else f"a difference of {np.abs(found - expected).max():.2g}",
            hint="predict_folder(), which needs no export",
        )


def _weights(module: nn.Module) -> bytes:
    """Return the state dict of the network, or of the mean of several networks."""
    inner = module.network if isinstance(module, Probabilities) else module
    return safetensors.save(apart(inner.state_dict()))


def _save(program: ExportedProgram) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A warning for each weight in channels-last format, although it is written completely.
        warnings.filterwarnings("ignore", "No complete tensor found")
        torch.export.save(program, file)
    return file.getvalue()


def _describe(module: nn.Module) -> str:
    kinds = [type(own.network).__name__ for own in module.modules() if isinstance(own, Probabilities)]
    if not kinds:  # a module of another author
        return type(module).__name__
    return kinds[0] if len(kinds) == 1 else f"the mean of {len(kinds)} networks, {' and '.join(sorted(set(kinds)))}"


def _remove_traces(program: ExportedProgram) -> None:
    """Remove the stack trace of each operation, which contains paths of this machine."""
    for part in program.graph_module.modules():
        for node in getattr(getattr(part, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)


def _onnx_packages() -> Any:
    os.environ.setdefault(TELEMETRY, "1")  # before it is imported
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
