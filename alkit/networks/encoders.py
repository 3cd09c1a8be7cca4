"""Pre-trained weights for the encoders of segmentation-models-pytorch, and the normalisation that they expect.

Nothing is downloaded, and no file is unpickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from json import loads
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from alkit.configuration.named_files import find_by_content, is_content_name, name_by_content
from alkit.errors import ConfigurationError, UnknownNameError
from alkit.networks.pretrained import (
    LITE0,
    LITE0_MODEL,
    SUFFIXES,
    classifier_names,
    differences,
    download_command,
    find_downloaded,
    load_model,
    misfit,
    place_on_hub,
    read_tensors,
)
from alkit.rng import Stream, seed_torch

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours of ImageNet, in [0, 1]."""

TIMM = "tu-"
"""Beginning of the names of encoders that are models of timm."""

CALL = "alkit.networks.SmpNetwork(..., weights='FILE')"
"""The call that names a file of weights, for messages."""


class Pretraining(NamedTuple):
    """Weights of an encoder for three channels, and the normalisation that they expect."""

    tensors: Mapping[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def check_weights(weights: str | os.PathLike[str], encoder: str) -> str:
    """Return the weights of an encoder by their name, or by the content of their file.

    Raises
    ------
    ConfigurationError
        The name is unknown, belongs to another encoder, or the file cannot be read.
    """
    given = os.fspath(weights)
    if is_content_name(given):
        return given
    if given.endswith(SUFFIXES):
        return name_by_content("weights", given)
    known = _names(encoder)
    if given in known:
        return given
    if given == LITE0:
        raise ConfigurationError(
            f"weights {LITE0!r} are those of the encoder {TIMM + LITE0_MODEL!r}",
            got=f"the encoder {encoder!r}",
            hint=" or ".join(f"weights={name!r}" for name in (*known, "FILE.safetensors")),
        )
    raise ConfigurationError(
        f"weights of the encoder {encoder!r} must be {', '.join([*known, 'or'])} a file that ends in "
        f"{', '.join(SUFFIXES)}",
        got=repr(given),
    )


def _names(encoder: str) -> list[str]:
    """Return the names of the weights that an encoder has."""
    if encoder.startswith(TIMM):
        return ["imagenet", *([LITE0] if timm_name(encoder).partition(".")[0] == LITE0_MODEL else [])]
    return list(_settings(encoder))


def timm_name(encoder: str) -> str:
    """Return the name of the model of timm that an encoder is.

    >>> timm_name("tu-resnet50.a1_in1k")
    'resnet50.a1_in1k'
    """
    return encoder.removeprefix(TIMM)


def _settings(encoder: str) -> Mapping[str, Any]:
    """Return where the weights of an encoder of segmentation-models-pytorch are, by their name."""
    from segmentation_models_pytorch.encoders import encoders

    refuse_unknown(encoder)
    return cast("Mapping[str, Any]", encoders[encoder]["pretrained_settings"])


def refuse_unknown(encoder: str) -> None:
    """Raise an :class:`UnknownNameError` if there is no encoder of this name."""
    import timm
    from segmentation_models_pytorch.encoders import encoders

    model = timm_name(encoder).partition(".")[0]
    if encoder in encoders or (encoder.startswith(TIMM) and timm.is_model(model)):
        return
    known = [f"{TIMM}{name}" for name in timm.list_models()] if encoder.startswith(TIMM) else [*encoders]
    close = get_close_matches(encoder, known, n=3, cutoff=0.6)
    raise UnknownNameError(
        f"segmentation-models-pytorch has no encoder {encoder!r}",
        hint=" or ".join(map(repr, close)) or f"'resnet34', or '{TIMM}' and the name of a model of timm",
    )


def read_pretraining(encoder: nn.Module, name: str, weights: str) -> Pretraining:
    """Return pre-trained weights by the names of an encoder.

    Parameters
    ----------
    encoder:
        The encoder, for any number of channels.
    name:
        Its name.
    weights:
        Name of the weights, or the content name of a file.

    Raises
    ------
    ConfigurationError
        The weights are not on this machine, cannot be read, or belong to another encoder.
    MissingDependencyError
        The extra ``pretrained`` is not installed, and the weights need it.
    """
    if name.startswith(TIMM):
        return _from_timm(encoder, timm_name(name), weights)
    config: Mapping[str, Any] = {}
    if is_content_name(weights):
        source = find_by_content("weights", weights, CALL)
    else:
        place = _settings(name)[weights]
        what = f"weights {weights!r} of the encoder {name!r}"
        files = ("config.json", "model.safetensors")
        facts, source = _downloaded(what, place["repo_id"], files, place.get("revision"))
        config = loads(facts.read_bytes())
    if config.get("input_space", "RGB") != "RGB":
        raise ConfigurationError(
            f"weights {weights!r} of the encoder {name!r} expect channels in another order",
            got=str(config["input_space"]),
            hint="another encoder",
        )
    scale = max(config.get("input_range") or (1,))
    mean, std = (config.get(key) or own for key, own in zip(("mean", "std"), IMAGENET, strict=True))
    return Pretraining(_converted(name, source), *(tuple(value / scale for value in row) for row in (mean, std)))


def _converted(name: str, source: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file by the names of an encoder of segmentation-models-pytorch."""
    from segmentation_models_pytorch.encoders import get_encoder

    tensors = _of_encoder(read_tensors(source))
    with seed_torch(Stream(0)):
        plain = get_encoder(name, in_channels=3, weights=None)
    try:
        plain.load_state_dict(dict(tensors))  # it leaves out the classifier, and renames
    except Exception as reason:  # the conversions of the library may fail in any way on foreign weights
        raise misfit(
            str(source),
            f"the encoder {name!r}",
            differences(plain.state_dict(), tensors) or str(reason),
            "the encoder that these weights belong to",
        ) from reason
    return cast("Mapping[str, Tensor]", plain.state_dict())


def _from_timm(encoder: Any, model: str, weights: str) -> Pretraining:
    import timm

    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    mean, std = IMAGENET if config is None else (config.mean, config.std)
    file: Path | None = None
    if is_content_name(weights):
        file = find_by_content("weights", weights, CALL)
        direct = _named_alike(encoder, _of_encoder(read_tensors(file)))
        if direct is not None:
            return Pretraining(direct, tuple(mean), tuple(std))
    elif weights == "imagenet":
        what = f"weights {weights!r} of the encoder {TIMM + model!r}"
        repository, name, revision = place_on_hub(what, model)
        (file,) = _downloaded(what, repository, [name], revision)
    full = load_model(model, file or weights, size=None, download=False, stream=Stream(0))
    found = _named_alike(encoder, full.state_dict())
    if found is None:
        raise ConfigurationError(
            f"weights of the encoder {TIMM + model!r} cannot be brought into the form of segmentation-models-pytorch",
            hint="another encoder",
        )
    return Pretraining(found, tuple(mean), tuple(std))


def _of_encoder(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the tensors of the encoder, if these are the tensors of a whole model for segmentation."""
    for start in ("model.encoder.", "encoder."):
        if any(name.startswith(start) for name in tensors):
            return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    return tensors


def _named_alike(encoder: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """Return tensors of a model of timm by the names of an encoder; None if some are missing.

    The library puts ``model.`` before a name, and may replace its first dots by underscores.
    """
    plain = {_plain(name): value for name, value in tensors.items()}
    heads = classifier_names(encoder.get_submodule("model")) if hasattr(encoder, "model") else ()
    own = {name: _plain(name) for name in encoder.state_dict()}
    found = {name: plain[key] for name, key in own.items() if key in plain}
    missing = [name for name in own if name not in found and not name.removeprefix("model.").startswith(heads)]
    return None if missing else found


def _plain(name: str) -> str:
    """Return a name of timm without what differs between a model and its encoder.

    >>> _plain("model.layers_0.blocks.1.weight") == _plain("layers.0.blocks.1.weight")
    True
    """
    return re.sub(r"^(model\.)+", "", name).replace(".", "_")


def _downloaded(what: str, repository: str, files: Sequence[str], revision: str | None) -> list[Path]:
    """Return files of the Hugging Face hub that were downloaded before."""
    found = [place for file in files if (place := find_downloaded(repository, file, revision)) is not None]
    if len(found) < len(files):
        raise ConfigurationError(
            f"{what} are not on this machine, and alkit downloads none while it makes a network",
            hint=f"{download_command(repository, files, revision)}, once, which keeps them on this machine; or "
            "weights='FILE.safetensors' with a copy of the file",
        )
    return found


def load_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor], channels: int, source: str) -> None:
    """Give an encoder its pre-trained weights. The weights of its first layer are adapted to the number of channels.

    Raises
    ------
    ConfigurationError
        The weights belong to another encoder, or its first layer cannot take this number of channels.
    """
    from timm.models import adapt_input_conv

    own, fitted = encoder.state_dict(), dict(tensors)
    for name, value in tensors.items():
        wanted = own.get(name)
        if wanted is not None and value.ndim == 4 and _is_first(value.shape, wanted.shape, channels):
            fitted[name] = adapt_input_conv(channels, value)  # repeated, and divided by the number of repetitions
    kept = {name: value for name, value in fitted.items() if name in own}
    expected = {name: own[name] for name in own if name in kept}
    if wrong := differences(expected, kept):
        raise misfit(source, f"the encoder for {channels} channels", wrong, "images with 1 or 3 channels")
    with torch.no_grad():
        nn.Module.load_state_dict(encoder, kept, strict=False)  # the encoder's own method converts foreign names


def _is_first(given: torch.Size, wanted: torch.Size, channels: int) -> bool:
    return given != wanted and given[1] == 3 and wanted[1] == channels and given[0] == wanted[0]
