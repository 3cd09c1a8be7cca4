"""Graphs of networks, by ``torch.fx``: traced, and split into the nodes before and after dropout."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, fx, nn
from torch.fx._symbolic_trace import PH

from alkit._turn import Turn
from alkit.networks.dropout import active_layers

_tracing = Turn()  # torch replaces the methods of all modules meanwhile


class _Tracer(fx.Tracer):
    """Traces the calls of one thread. While it does, modules in other threads work as ever."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return what a module returns; in a trace, a placeholder."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return an attribute of a module; in a trace, a placeholder for a parameter."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


@contextmanager
def traced(network: nn.Module, concrete: dict[str, Any] | None = None) -> Iterator[fx.Graph]:
    """Yield the graph of a network, whose modules and constants it has inside the ``with`` block only.

    Tracing fails with errors of any type, for example if control flow depends on the data. After the block, what a
    traced ``forward`` stored in the network is undone: its values are no tensors.
    """
    before = [(module, dict(vars(module)), dict(module._buffers)) for module in network.modules()]
    try:
        with _tracing():
            graph = _Tracer().trace(network, concrete)
        yield graph
    finally:
        for module, attributes, buffers in before:
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers.update(buffers)


class Decoder(nn.Module):
    """The method ``decode`` of a network as a module.

    Parameters
    ----------
    network:
        The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, maps: Any) -> Any:
        """Return what ``decode`` returns, without checks of its arguments, which have other types in a trace."""
        decode: Any = self.network.decode
        return inspect.unwrap(decode.__func__)(decode.__self__, maps)

    def traced(self, count: int) -> AbstractContextManager[fx.Graph]:
        """Return :func:`traced` of this module, with one placeholder for each of `count` maps."""
        return traced(self, {"maps": [PH] * count})


def after_dropout(network: nn.Module, graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that are, or follow, a dropout layer of the network with p > 0."""
    dropout = active_layers(network)
    later: set[fx.Node] = set()
    for node in graph.nodes:  # in the order of execution
        if (node.op == "call_module" and _has_dropout(node.target, dropout)) or later.intersection(
            node.all_input_nodes
        ):
            later.add(node)
    return later


def _has_dropout(module: str, dropout: Iterable[str]) -> bool:
    """Return whether a module is or contains a dropout layer: the tracer does not look into torch's own modules."""
    return any(name == module or name.startswith(f"{module}.") for name in dropout)


class Shapes(fx.Interpreter):
    """Runs a graph, and notes what its nodes return.

    Parameters
    ----------
    root, graph:
        A module, and a graph of calls to its modules.

    Attributes
    ----------
    channels:
        Length of the second axis of each tensor; 0 if it has one axis.
    numbers:
        Nodes whose result is not a tensor, such as a size.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph) -> None:
        super().__init__(root, graph=graph)
        self.channels: dict[fx.Node, int] = {}
        self.numbers: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.channels[n] = result.shape[1] if result.ndim > 1 else 0
        elif n.op != "output":
            self.numbers.add(n)
        return result

    @classmethod
    def of(cls, root: nn.Module, graph: fx.Graph, inputs: Iterable[Tensor]) -> Shapes:
        """Return the shapes for these inputs, which are not changed."""
        shapes = cls(root, graph)
        shapes.run(*(value.clone() for value in inputs))
        return shapes


def split_graph(
    root: nn.Module | dict[str, Any], graph: fx.Graph, later: Collection[fx.Node], numbers: Collection[fx.Node]
) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Split a graph into the nodes that are not in `later`, and those that are.

    The first part takes the inputs of the graph, and returns a tuple of what the second part takes. The second part
    computes the `numbers` that it needs itself, because a copy of a batch has other numbers, or none.
    """
    result = graph.output_node()
    second_only = {*later, result}
    both: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node in numbers and node not in later and any(user in second_only or user in both for user in node.users):
            both.add(node)
    before, after = fx.Graph(), fx.Graph()
    first: dict[fx.Node, fx.Node] = {}
    second: dict[fx.Node, fx.Node] = {}
    boundary = [
        node
        for node in graph.nodes
        if node not in second_only and node not in both and any(u in second_only or u in both for u in node.users)
    ]
    second.update((node, after.placeholder(node.name)) for node in boundary)
    for node in graph.nodes:
        if node in second_only or node in both:
            second[node] = after.node_copy(node, second.__getitem__)
        if node not in second_only:
            first[node] = before.node_copy(node, first.__getitem__)
    before.output(tuple(first[node] for node in boundary))
    return fx.GraphModule(root, before), fx.GraphModule(root, after)
