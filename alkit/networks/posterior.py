"""One batch of images inside a network: its prediction, its draws by dropout, its heads.

What does not depend on dropout, above all the encoder, is computed once per batch however many draws are taken. Three
ways, the first that gives what the whole network gives: a network with ``encode`` and ``decode`` is cut between them;
any other is cut at its first dropout by ``torch.fx``; what cannot be traced runs in full for each draw.

References
----------
Gal, Ghahramani. "Dropout as a Bayesian Approximation". ICML 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from alkit.errors import ConfigurationError
from alkit.networks.training import evaluating
from alkit.rng import Stream

BUDGET = {"cpu": 24 * 2**20, "cuda": 2**30}
"""Bytes of feature maps that may be alive at once, by kind of device; for others that of ``cpu``."""

Shared = Sequence[Any]
"""What a network computes before its first dropout."""


class _Halves(NamedTuple):
    """A network in two: ``network(x) == rest(shared(x))``, and there is no dropout in ``shared``."""

    shared: Callable[[Tensor], Shared]
    rest: Callable[[Shared], Tensor]
    encoded: bool = False  # whether what is shared are the maps of the network's own ``encode``


class CutNetwork:
    """A network with the place where it can be cut before its first dropout, found when it is first needed.

    Parameters
    ----------
    network:
        Maps images to logits.

    Examples
    --------
    >>> from alkit import UNet
    >>> cut = CutNetwork(UNet(in_channels=1, classes=2, widths=(2, 4)))
    >>> cut.images_at_once(torch.zeros(1, 1, 64, 64)) > 1
    True
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._found: _Halves | None = None
        self._footprints: dict[tuple[int, ...], int] = {}

    def halves(self, images: Tensor) -> _Halves:
        """Return the two halves; `images` are such as the network takes."""
        if self._found is None:
            with evaluating(self.network):
                self._found = self._cut(images[:1])
        return self._found

    def _cut(self, image: Tensor) -> _Halves:
        """Return the first cut that gives what the whole network gives, tried on one image."""
        expected = self.network(image)
        for found in (_encoder_and_decoder(self.network, image), _traced(self.network)):
            if found is None:
                continue
            shared = found.shared(image)
            before = _copied(shared)
            result = found.rest(shared)
            if result.shape == expected.shape and torch.allclose(result, expected, 1e-3, 1e-4, equal_nan=True):
                # A second half that writes into what is shared, in place, gets a copy for each draw.
                spoilt = not all(map(_same, shared, before))
                return found._replace(rest=_on_copies(found.rest)) if spoilt else found
        return _Halves(lambda images: [images], lambda shared: cast(Tensor, self.network(*shared)))

    def images_at_once(self, images: Tensor) -> int:
        """Return how many images like these the byte budget holds inside the network, at least 1.

        Measured on one image: the maps that are shared, twice what goes in and out of the largest layer, and six times
        what comes out at the end.
        """
        key = tuple(images.shape[1:])
        if key not in self._footprints:
            self._footprints[key] = self._footprint(images[:1])
        budget = BUDGET.get(images.device.type, BUDGET["cpu"])
        return max(1, budget // self._footprints[key])

    def _footprint(self, image: Tensor) -> int:
        largest = 0

        def measure(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal largest
            largest = max(largest, _bytes([*inputs, output]))

        halves = self.halves(image)
        with evaluating(self.network), ExitStack() as hooks:
            for module in self.network.modules():
                if not list(module.children()):
                    hooks.callback(module.register_forward_hook(measure).remove)
            shared = halves.shared(image)
            logits = halves.rest(shared)
        # Of the probabilities there are a few copies: the draw, its step, the moments.
        return _bytes(shared) + 2 * largest + 6 * _bytes([logits])


class NetworkPosterior:
    """What a network says of one batch of images: see :class:`alkit.protocols.Posterior`.

    Parameters
    ----------
    cut:
        The network.
    images:
        ``(n, c, h, w)``, on the network's device.
    """

    def __init__(self, cut: CutNetwork, images: Tensor) -> None:
        self._cut, self._images = cut, images
        self._halves = cut.halves(images)

    def prediction(self) -> Tensor:
        """Return soft-max probabilities, dropout off, ``(n, classes, *space)``."""
        return self._prediction

    def heads(self) -> tuple[Tensor, ...]:
        """Return the probabilities of each head of deep supervision, the final one first.

        Raises
        ------
        ConfigurationError
            The network has none.
        """
        network: Any = self._cut.network
        if len(getattr(network, "head_weights", ())) < 2:
            raise ConfigurationError(
                "this network has no heads of deep supervision",
                got=type(network).__name__,
                hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
            )
        with evaluating(network):
            maps = self._shared if self._halves.encoded else network.encode(self._images)
            return tuple(_probabilities(logits) for logits in network.decode_all(maps))

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield `draws` predictions with dropout, ``(k, n, classes, *space)``, k at a time within the byte budget.

        Raises
        ------
        ConfigurationError
            The network has no dropout layer, or one of a kind that cannot be drawn from.
        """
        layers = dropout_layers(self._cut.network)
        n, shared = len(self._images), self._shared
        stackable = all(isinstance(value, Tensor) and value.shape[:1] == (n,) for value in shared)
        at_once = max(1, self._cut.images_at_once(self._images) // n) if stackable else 1
        for begin in range(0, draws, at_once):
            numbers = range(begin, min(begin + at_once, draws))
            with evaluating(self._cut.network), _dropping(layers, numbers, n, stream) as called:
                logits = self._halves.rest(_stacked(shared, len(numbers)))
                chunk = _split(_probabilities(logits), len(numbers))
            if not called:
                raise ConfigurationError(
                    "no dropout layer of this network took part in its prediction",
                    got=", ".join(layers),
                    expected="layers that are called as modules",
                    hint="an Ensemble of it",
                )
            yield chunk  # outside of the block, whose settings would reach whoever asks for the next

    @cached_property
    def _prediction(self) -> Tensor:
        shared = self._shared
        with evaluating(self._cut.network):
            return _probabilities(self._halves.rest(shared))

    @cached_property
    def _shared(self) -> Shared:
        with evaluating(self._cut.network):
            return self._halves.shared(self._images)


def dropout_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    """Return the layers of a network that drop something, by name.

    Raises
    ------
    ConfigurationError
        There is none, or one of another kind than torch's Dropout and Dropout1d to Dropout3d.
    """
    layers = _active_layers(network)
    if not layers:
        raise ConfigurationError(
            "this network has no dropout layer to draw from",
            got=type(network).__name__,
            expected="torch.nn.Dropout with p > 0 somewhere",
            hint="alkit.UNet or alkit.networks.SmpNetwork with dropout=0.5, or an Ensemble of networks without",
        )
    for name, layer in layers.items():
        if isinstance(layer, nn.AlphaDropout | nn.FeatureAlphaDropout):
            raise ConfigurationError(
                f"the layer {name!r} cannot be drawn from", got=type(layer).__name__, expected="Dropout, Dropout2d, ..."
            )
    return layers


def _active_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, _DropoutNd) and layer.p > 0}


@contextmanager
def _dropping(layers: Mapping[str, _DropoutNd], numbers: Sequence[int], n: int, stream: Stream) -> Iterator[list[str]]:
    """Let the layers of a network in evaluation mode drop, inside the block, as the draws of these numbers do.

    Yields the names of the layers that were called, which fills in the block. The batch holds the draws one after the
    other. A mask is drawn from (seed, draw, layer, how often the layer was called), on the CPU so that every device has
    the same, and is shared by the images of its draw.
    """

    called: list[str] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
        calls = 0

        def drop(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            nonlocal calls
            if len(output) % (len(numbers) * n):
                raise ConfigurationError(
                    f"the dropout layer {name!r} sees something else than images first",
                    got=f"shape {tuple(output.shape)}",
                    expected=f"a multiple of {len(numbers) * n} rows",
                    hint="batch_first=True, where it is a transformer",
                )
            called.append(name)
            masks = [_mask(cast(_DropoutNd, layer), output, stream.child(t, name, calls)) for t in numbers]
            calls += 1
            factors = torch.stack(masks).to(output)[:, None]  # (k, 1, ...)
            return (_split(output, len(numbers)) * factors).flatten(0, 1)

        return drop

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(hook(name)).remove)
        yield called


def _mask(layer: _DropoutNd, output: Tensor, stream: Stream) -> Tensor:
    """Return the factors of one draw: 0 with probability p, else 1 / (1 - p)."""
    shape = output.shape[1:]
    if not isinstance(layer, nn.Dropout):  # the others drop whole channels
        shape = shape[:1] + (1,) * (len(shape) - 1)
    keep = 1 - layer.p
    return torch.empty(shape).bernoulli_(keep, generator=stream.torch()) / max(keep, 1e-9)


def _stacked(shared: Shared, k: int) -> Shared:
    """Repeat a batch k times, one copy after the other."""
    return shared if k == 1 else [value.repeat(k, *[1] * (value.ndim - 1)) for value in shared]


def _drops(module: str, dropping: Iterable[str]) -> bool:
    """Whether a module is a dropout layer or holds one, as torch's own containers do, which are not traced into."""
    return any(name == module or name.startswith(f"{module}.") for name in dropping)


def _on_copies(rest: Callable[[Shared], Tensor]) -> Callable[[Shared], Tensor]:
    return lambda shared: rest(_copied(shared))


def _copied(shared: Shared) -> Shared:
    return [value.clone() if isinstance(value, Tensor) else value for value in shared]


def _same(value: Any, other: Any) -> bool:
    return not isinstance(value, Tensor) or torch.equal(value.nan_to_num(), other.nan_to_num())


def _split(stacked: Tensor, k: int) -> Tensor:
    """Undo :func:`_stacked`: ``(k * n, ...)`` to ``(k, n, ...)``."""
    return stacked.reshape(k, -1, *stacked.shape[1:])


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)


def _bytes(values: Sequence[Any]) -> int:
    tensors = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, Tensor))


def _encoder_and_decoder(network: nn.Module, image: Tensor) -> _Halves | None:
    """Cut between ``encode`` and ``decode``, where there are such and none of the former's layers drops."""
    encode, decode = getattr(network, "encode", None), getattr(network, "decode", None)
    if encode is None or decode is None:
        return None
    called: list[nn.Module] = []
    with ExitStack() as hooks:
        for layer in _active_layers(network).values():
            hooks.callback(layer.register_forward_hook(lambda layer, *_: called.append(layer)).remove)
        encode(image)
    return None if called else _Halves(encode, decode, encoded=True)


def _traced(network: nn.Module) -> _Halves | None:
    """Cut a network's graph into what depends on a dropout layer and what does not; None where it cannot be traced."""
    try:
        graph = fx.Tracer().trace(network)
    except Exception:  # control flow on data, and whatever else a forward may do that tracing cannot follow
        return None
    dropping = _active_layers(network)
    random: set[fx.Node] = set()
    for node in graph.nodes:  # in the order of execution
        if (node.op == "call_module" and _drops(node.target, dropping)) or random.intersection(node.all_input_nodes):
            random.add(node)
    result = next(node for node in graph.nodes if node.op == "output")
    before, after = fx.Graph(), fx.Graph()
    first: dict[fx.Node, fx.Node] = {}
    second: dict[fx.Node, fx.Node] = {}
    boundary = [
        node
        for node in graph.nodes
        if node not in random and node.op != "output" and any(user in random or user is result for user in node.users)
    ]
    second.update((node, after.placeholder(node.name)) for node in boundary)
    for node in graph.nodes:
        if node in random or node is result:
            second[node] = after.node_copy(node, second.__getitem__)
        else:
            first[node] = before.node_copy(node, first.__getitem__)
    before.output(tuple(first[node] for node in boundary))
    shared, rest = fx.GraphModule(network, before), fx.GraphModule(network, after)
    return _Halves(shared, lambda values: cast(Tensor, rest(*values)))
