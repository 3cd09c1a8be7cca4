"""Cut a network before its first dropout layer, so that the part before it runs once for all draws.

There are three ways, and the first that reproduces the whole network is used:

1. a network with methods ``encode`` and ``decode`` is cut between them;
2. any other network is traced by ``torch.fx`` and cut at its first dropout layer;
3. a network that cannot be traced is not cut: each draw runs all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn

from alkit.networks.dropout import active_layers
from alkit.networks.training import evaluation_mode

BUDGET = {"cpu": 24 * 2**20, "cuda": 2**30}
"""Bytes of feature maps that may be in memory at once, by type of device. Other devices have the budget of ``cpu``."""

Shared = Sequence[Any]
"""The values that a network computes before its first dropout layer."""


class Halves(NamedTuple):
    """The two parts of a network: ``network(x) == rest(shared(x))``, without dropout in ``shared``."""

    shared: Callable[[Tensor], Shared]
    rest: Callable[[Shared], Tensor]
    encoded: bool = False  # whether `shared` is the network's own `encode`


class CutNetwork:
    """A network and the place of its cut, which is searched when it is first needed.

    Parameters
    ----------
    network:
        Maps images ``(n, c, h, w)`` to logits ``(n, classes, *space)``.

    Examples
    --------
    >>> from alkit import UNet
    >>> cut = CutNetwork(UNet(in_channels=1, classes=2, widths=(2, 4)))
    >>> cut.images_at_once(torch.zeros(1, 1, 64, 64)) > 1
    True
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._halves: Halves | None = None
        self._footprints: dict[tuple[int, ...], int] = {}

    def halves(self, images: Tensor) -> Halves:
        """Return the two parts of the network. `images` is any input of it, to try cuts on."""
        if self._halves is None:
            with evaluation_mode(self.network):
                self._halves = self._cut(images[:1])
        return self._halves

    def _cut(self, image: Tensor) -> Halves:
        """Return the first cut that reproduces the whole network on one image."""
        expected = self.network(image)
        for halves in (_encoder_and_decoder(self.network, image), _trace(self.network)):
            if halves is None:
                continue
            shared = halves.shared(image)
            before = _copy(shared)
            result = halves.rest(shared)
            if result.shape == expected.shape and torch.allclose(result, expected, 1e-3, 1e-4, equal_nan=True):
                # If the second part changes the shared values in place, each draw gets a copy of them.
                unchanged = all(map(_equal, shared, before))
                return halves if unchanged else halves._replace(rest=_on_copies(halves.rest))
        return Halves(lambda images: [images], lambda shared: cast(Tensor, self.network(*shared)))

    def images_at_once(self, images: Tensor) -> int:
        """Return how many images of this shape fit into :data:`BUDGET`, at least 1.

        The estimate comes from one image: the shared maps, twice the input and output of the largest layer, and six
        times the logits.
        """
        key = tuple(images.shape[1:])
        if key not in self._footprints:
            self._footprints[key] = self._footprint(images[:1])
        budget = BUDGET.get(images.device.type, BUDGET["cpu"])
        return max(1, budget // self._footprints[key])

    def _footprint(self, image: Tensor) -> int:
        """Return the bytes that one image takes inside the network."""
        largest = 0

        def measure(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal largest
            largest = max(largest, _bytes([*inputs, output]))

        halves = self.halves(image)
        with evaluation_mode(self.network), ExitStack() as hooks:
            for module in self.network.modules():
                if not list(module.children()):
                    hooks.callback(module.register_forward_hook(measure).remove)
            shared = halves.shared(image)
            logits = halves.rest(shared)
        # The probabilities exist in several copies: the draw, its step, the moments.
        return _bytes(shared) + 2 * largest + 6 * _bytes([logits])


def _encoder_and_decoder(network: nn.Module, image: Tensor) -> Halves | None:
    """Cut between ``encode`` and ``decode``; None without these methods, or if ``encode`` calls a dropout layer."""
    encode, decode = getattr(network, "encode", None), getattr(network, "decode", None)
    if encode is None or decode is None:
        return None
    called: list[nn.Module] = []
    with ExitStack() as hooks:
        for layer in active_layers(network).values():
            hooks.callback(layer.register_forward_hook(lambda layer, *_: called.append(layer)).remove)
        encode(image)
    return None if called else Halves(encode, decode, encoded=True)


def _trace(network: nn.Module) -> Halves | None:
    """Cut a network's graph into nodes before and after its dropout layers; None if it cannot be traced."""
    try:
        graph = fx.Tracer().trace(network)
    except Exception:  # tracing fails in many ways, for example if control flow depends on the data
        return None
    dropout = active_layers(network)
    random: set[fx.Node] = set()
    for node in graph.nodes:  # in the order of execution
        if (node.op == "call_module" and _has_dropout(node.target, dropout)) or random.intersection(
            node.all_input_nodes
        ):
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
    return Halves(shared, lambda values: cast(Tensor, rest(*values)))


def _has_dropout(module: str, dropout: Iterable[str]) -> bool:
    """Return whether a module is or contains a dropout layer: the tracer does not look into torch's own modules."""
    return any(name == module or name.startswith(f"{module}.") for name in dropout)


def _on_copies(rest: Callable[[Shared], Tensor]) -> Callable[[Shared], Tensor]:
    return lambda shared: rest(_copy(shared))


def _copy(shared: Shared) -> Shared:
    return [value.clone() if isinstance(value, Tensor) else value for value in shared]


def _equal(value: Any, other: Any) -> bool:
    return not isinstance(value, Tensor) or torch.equal(value.nan_to_num(), other.nan_to_num())


def _bytes(values: Sequence[Any]) -> int:
    tensors = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, Tensor))
