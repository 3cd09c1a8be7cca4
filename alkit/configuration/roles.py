"""Names that a record may contain, and the role of each.

A record may come from a stranger, so a name in it is never imported. It is looked up here: among alkit's own public
names, the entry points of installed plugins, and the models of segmentation-models-pytorch. Each name has a role, such
as ``network``, and stands only where this role is wanted.
"""

from __future__ import annotations

import functools
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from alkit.configuration.addresses import FORMER, address_of
from alkit.configuration.named_files import is_content_name
from alkit.configuration.parameters import kinds_of
from alkit.configuration.parts import CLASSES
from alkit.configuration.registry import (
    FEATURES,
    LEARNERS,
    STOPPING_RULES,
    STRATEGIES,
    Group,
    load,
    plugins_of,
)
from alkit.errors import ConfigurationError

DATA = "value"
"""Role of a parameter that takes numbers, texts and collections of them only: no name has it."""

PART = "part"
"""Role of a parameter of a plugin, which may be any name but a pool."""

_FACE = Path(__file__).parents[1] / "scores" / "__init__.pyi"
_SCORES = re.findall(r"^from \.functions import (\w+) as", _FACE.read_text("utf-8"), re.M)  # the public scores
FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "alkit:UNet": ("network", {}),
    "alkit.networks:Classifier": ("network", {"model": "network"}),
    "alkit.networks:SmpNetwork": ("network", {"model": "network"}),
    **{f"alkit.scores:{name}": ("score", {}) for name in _SCORES},
    **{f"alkit.scores:{name}": ("reduction", {}) for name in ("mean", "total")},
    **{f"alkit.labels:{name}": ("join rule", {}) for name in ("one", "majority", "staple")},
    "alkit.learners.estimators:flattened": ("function of rows", {}),
}
"""Functions of alkit, and classes that are called like functions, in the same form."""

CHECKS: dict[str, str] = {
    "alkit.features:Embeddings": "alkit.features.embeddings:check_form",
    "alkit.features:Pretrained": "alkit.features.weights:check_form",
    "alkit.networks:Classifier": "alkit.configuration.roles:check_smp_network",
    "alkit.networks:SmpNetwork": "alkit.configuration.roles:check_smp_network",
}
"""By the address of a class, a function that checks the written arguments with which a record names it."""

SMP = "segmentation_models_pytorch"
SMP_MODELS = {
    "DPT": "dpt", "DeepLabV3": "deeplabv3", "DeepLabV3Plus": "deeplabv3", "FPN": "fpn", "Linknet": "linknet",
    "MAnet": "manet", "PAN": "pan", "PSPNet": "pspnet", "Segformer": "segformer", "UPerNet": "upernet", "Unet": "unet",
    "UnetPlusPlus": "unetplusplus",
}  # fmt: skip
"""Models of segmentation-models-pytorch by name, with the module that defines each."""

_ACTIVATIONS = (
    None, "identity", "sigmoid", "softmax2d", "softmax", "logsoftmax", "tanh", "argmax", "argmax2d", "clamp",
)  # fmt: skip

_GROUP_ROLES = {
    STRATEGIES.name: "strategy",
    FEATURES.name: "feature extractor",
    LEARNERS.name: "learner",
    STOPPING_RULES.name: "stopping rule",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A class, function or member of an enumeration that a written form may name.

    Parameters
    ----------
    thing:
        The object itself.
    role:
        Its role.
    takes:
        Roles of the parameters that are not plain data; None if each may be any part, as in a plugin.
    check:
        Checks the arguments of an object or a partial, given as written forms by name.
    bare:
        Whether a dataclass may also stand for itself, without arguments.
    """

    thing: Any
    role: str
    takes: Mapping[str, str] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None
    bare: bool = False

    def role_of(self, parameter: str) -> str:
        """Return the role that a parameter takes."""
        return PART if self.takes is None else self.takes.get(parameter, DATA)


def find_registered(address: str, role: str, typed: type[Any] | None = None) -> Named:
    """Return the object with this address if it is registered for this role.

    Nothing is imported by the address: only modules in the tables above, and those of entry points, are imported. The
    dataclass `typed` counts as the learner of an entry point.

    Raises
    ------
    ConfigurationError
        A record may not name the address for this role, or a plugin cannot be imported.
    """
    address = FORMER.get(address, address)
    package = address.partition(":")[0].partition(".")[0]
    failures: list[str] = []
    named = _own(address) if package == "alkit" else _model(address) if package == SMP else None
    if named is None:
        registered = (named for key, named in _plugin(package, failures, typed) if key == address)
        named = next((named for named in registered if package != "alkit" or named.role != PART), None)
    if named is None or not (named.role == role or (role == PART and named.role != "pool")):
        why = f" ({'; '.join(failures)})" if failures else ""
        raise ConfigurationError(f"{address} is not a {role} that a record may name{why}")
    return named


def _own(address: str) -> Named | None:
    known = CLASSES.get(address) or FUNCTIONS.get(address)
    if known is None:
        return None
    check = pkgutil.resolve_name(CHECKS[address]) if address in CHECKS else None
    return Named(pkgutil.resolve_name(address), *known, check)


def _model(address: str) -> Named | None:
    """Return a model of segmentation-models-pytorch, whose address may be that of the class or that of the package."""
    module, _, name = address.partition(":")
    if module not in (SMP, f"{SMP}.decoders.{SMP_MODELS.get(name)}.model"):
        return None
    models: Any = pkgutil.resolve_name(SMP)
    model = getattr(models, name, None) if name in SMP_MODELS else None
    return None if model is None else Named(model, "network", {}, functools.partial(_check_model, name))


def _check_model(name: str, arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a model of segmentation-models-pytorch: it must neither download nor read a file."""
    if arguments.get("encoder_weights", "imagenet") is not None:
        raise ConfigurationError(
            f"encoder_weights of {name} in a record must be None, because others are downloaded",
            got=repr(arguments.get("encoder_weights", "the default")),
        )
    encoder = arguments.get("encoder_name", "")
    if not isinstance(encoder, str) or not re.fullmatch(r"[\w.-]*", encoder, re.ASCII):
        raise ConfigurationError(
            f"encoder_name of {name} must be a name of letters, digits, dots and hyphens", got=repr(encoder)
        )
    activation = arguments.get("activation")
    if not isinstance(activation, str | None) or activation not in _ACTIVATIONS:
        raise ConfigurationError(f"activation of {name} is unknown", got=repr(activation))


def check_smp_network(arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a network with an encoder in a record: neither a path nor an address.

    Raises
    ------
    ConfigurationError
        The encoder is not a plain name, or the weights are a path.

    Examples
    --------
    >>> check_smp_network({"model": "resnet34", "weights": "imagenet"})
    >>> check_smp_network({"model": "resnet34", "weights": "/home/somebody/weights.pth"})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: weights must be a name, or sha256: and the digest of a file, because a record ...
    """
    model, weights = arguments.get("model"), arguments.get("weights")
    if isinstance(model, str) and not re.fullmatch(r"[\w.-]+", model, re.ASCII):
        raise ConfigurationError("model must be a name of letters, digits, dots and hyphens", got=repr(model))
    plain = isinstance(weights, str) and re.fullmatch(r"[A-Za-z0-9+-]+", weights)
    if weights is not None and not plain and not (isinstance(weights, str) and is_content_name(weights)):
        raise ConfigurationError(
            "weights must be a name, or sha256: and the digest of a file, because a record cannot name a path",
            got=repr(weights),
        )


def _plugin(package: str, failures: list[str], typed: type[Any] | None) -> Iterator[tuple[str, Named]]:
    """Yield what the plugins of a package register: entry points, and the parts that they declare.

    A declared part is a dataclass or enumeration of the same package that is the declared type or the default of a
    parameter of a registered object, or that a registered function declares to return; or a function or class that is
    such a default. Messages about plugins that cannot be imported are added to `failures`.
    """
    found: dict[str, Named] = {}
    if typed is not None and _is_in(typed, package):
        yield from _registered(typed, package, LEARNERS, found)
    for group, point in plugins_of(package):
        try:
            thing = load(point, group)
        except ConfigurationError as reason:
            failures.append(str(reason))
        else:
            yield from _registered(thing, package, group, found)


def _registered(
    thing: Callable[..., object], package: str, group: Group, found: dict[str, Named]
) -> Iterator[tuple[str, Named]]:
    role = _GROUP_ROLES[group.name]
    waiting: list[tuple[Any, str]] = [(thing, role if isinstance(thing, type) else "function of a plugin")]
    if not isinstance(thing, type):
        waiting += [(kind, role) for kind in _returned(thing, package)]
    while waiting:
        part, role = waiting.pop()
        if isinstance(part, type) and issubclass(part, Enum):
            yield from ((f"{address_of(part)}.{name}", Named(one, PART)) for name, one in part.__members__.items())
            continue
        address = address_of(part)
        if address not in found:
            found[address] = Named(part, role)
            yield address, found[address]
            known = isinstance(part, type) or inspect.isfunction(part)  # other objects may be unhashable, or change
            waiting += [(other, PART) for other in (_declared if known else _find_declared)(part, package)]


def _returned(function: Callable[..., object], package: str) -> list[type]:
    try:
        hints = get_type_hints(function)
    except Exception:  # an annotation is code and may fail in any way
        return []
    return [kind for kind in _classes_in(hints.get("return")) if _is_own_part(kind, package)]


def _find_declared(thing: Any, package: str) -> list[Any]:
    """Return the parts of a package that the parameters of a class or function declare, by type or by default."""
    kinds = [kind for declared in kinds_of(thing).values() for kind in _classes_in(declared)]
    if isinstance(thing, type) and is_dataclass(thing):
        factories: list[Any] = [entry.default_factory for entry in fields(thing)]
        kinds += [factory for factory in factories if isinstance(factory, type)]
    defaults: list[Any] = []
    with suppress(TypeError, ValueError):  # it has no signature
        defaults = [entry.default for entry in inspect.signature(thing).parameters.values()]
    kinds += [type(default) for default in defaults]
    own = [default for default in defaults if inspect.isfunction(default) or isinstance(default, type)]
    return [
        *(default for default in own if _is_in(default, package) and "<" not in address_of(default)),
        *(kind for kind in kinds if _is_own_part(kind, package)),
    ]


_declared = functools.lru_cache(maxsize=256)(_find_declared)  # evaluating annotations takes longer than all else here


def _classes_in(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and not get_args(kind):
        yield kind
    for inner in get_args(kind):
        yield from _classes_in(inner)


def _is_in(thing: Any, package: str) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == package


def _is_own_part(kind: type, package: str) -> bool:
    return _is_in(kind, package) and (is_dataclass(kind) or issubclass(kind, Enum)) and "<" not in address_of(kind)
