"""The order of the writes in a graph: may all nodes before dropout run before all nodes after it?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves


def can_reorder(network: nn.Module, graph: fx.Graph, later: Collection[fx.Node], inputs: Sequence[Tensor]) -> bool:
    """Return whether the nodes that are not in `later` may run first, although they come after some that are.

    They may not if one of them writes in place into a tensor that an earlier node of `later` has read, or if it reads a
    tensor that such a node has written into.

    Parameters
    ----------
    network, graph:
        A network and its graph.
    later:
        The nodes that follow a dropout layer.
    inputs:
        Inputs of the graph. The network may write into them.
    """
    watcher = _Watcher(network, graph, later)
    watcher.run(*inputs)
    return not watcher.conflict


class _Watcher(fx.Interpreter):
    """Runs a graph in its order, and notes whether another order would change what its nodes read."""

    def __init__(self, network: nn.Module, graph: fx.Graph, later: Collection[fx.Node]) -> None:
        super().__init__(network, graph=graph)
        self.later, self.conflict = later, False
        self.read: list[Tensor] = []  # by nodes of `later`, from the others
        self.versions: list[int] = []
        self.written: set[int] = set()  # addresses of what nodes of `later` have written into

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        is_later, inputs = n in self.later, [self.env[node] for node in n.all_input_nodes]
        if is_later:
            earlier = [self.env[node] for node in n.all_input_nodes if node not in self.later]
            self.read += _tensors(earlier)
            self.versions += [tensor._version for tensor in _tensors(earlier)]
        elif any(_address(tensor) in self.written for tensor in _tensors(inputs)):
            self.conflict = True
        result = super().run_node(n)
        changed = [tensor for tensor, old in zip(self.read, self.versions, strict=True) if tensor._version != old]
        if changed and is_later:
            self.written.update(map(_address, changed))
            self.versions = [tensor._version for tensor in self.read]
        elif changed:
            self.conflict = True
        return result


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(list(values)) if isinstance(leaf, Tensor) and not leaf.is_inference()]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
