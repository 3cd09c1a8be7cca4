"""Draw with less arithmetic: rewrite the part of a network after its first dropout layer, which runs once per draw.

The rewritten part computes the same, but for rounding:

- Batch normalisation is folded into the convolution before it.
- The convolution of joined channels is the sum of their convolutions. Those of a skip connection, which no dropout
  changes, are computed once for all draws.
- An activation writes into the result of the convolution before it, which nothing else reads.
- Channels that a draw drops as a whole are not computed, see :mod:`alkit.networks.thinned`.

The network itself is not changed. Some of its weights are copied: a rewritten part is valid until they change.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from alkit.networks.graphs import Decoder, Shapes, after_dropout, split_graph
from alkit.networks.order import can_reorder
from alkit.networks.thinned import Added, Thinned, composed, saves
from alkit.networks.trial import close_rows, masks

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
JOINS = (torch.cat, torch.concat, torch.concatenate)
RELU = (torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_, "relu", "relu_")
"""Functions, and names of methods."""


class Lean(NamedTuple):
    """The rewritten second part of a network: ``rest(shared)`` equals ``draw(prepare(shared))``.

    Parameters
    ----------
    prepare:
        From the values that the network shares between draws to those that the draws read. Runs once per batch.
    draw:
        From these to the output.
    sources:
        The layers of the network whose weights were copied, and the number of writes into each weight.
    """

    prepare: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    draw: Callable[[Sequence[Tensor]], Tensor]
    sources: Sequence[tuple[nn.Module, Sequence[tuple[Tensor, int]]]]

    def is_watched(self) -> bool:
        """Return whether a copied layer has a hook by now, which its copy lacks."""
        return not all(_is_plain(layer) for layer, _ in self.sources)

    def has_weights(self) -> bool:
        """Return whether the copied layers still have the weights that were copied."""
        return all(
            one is weight and one._version == writes
            for layer, weights in self.sources
            for one, (weight, writes) in zip(_weights(layer), weights, strict=True)
        )


def make_lean(network: nn.Module, rest: fx.GraphModule | None, shared: Any) -> Lean | None:
    """Rewrite the second part of a network; None if nothing can be gained. It fails with errors of any type.

    Parameters
    ----------
    network:
        The network, in evaluation mode.
    rest:
        The second part as a graph, with one placeholder for each shared value; None for its method ``decode``.
    shared:
        Values that the network shares between draws, of one image.
    """
    if not isinstance(shared, list | tuple):
        return None
    if rest is not None:
        return _Rewriting(rest, copy.deepcopy(rest.graph), shared).lean()
    decoder = Decoder(network)
    with decoder.traced(len(shared)) as graph:
        # The maps are arguments of their own, and the logits the result, not lists of them.
        graph.set_codegen(fx.graph.CodeGen())
        result = graph.output_node()
        result.args = tuple(cast(Sequence[Any], result.args[0]))
        return _Rewriting(decoder, graph, shared).lean()


def reproduces(
    lean: Lean, network: nn.Module, rest: Callable[[Any], Tensor], shared: Sequence[Tensor], draws: int = 2
) -> bool:
    """Return whether a rewritten part equals the second part of a network, for some draws of all images of a batch.

    Parameters
    ----------
    shared:
        Values that the network shares between draws. All have one row for each image.
    """
    n, ready = len(shared[0]), lean.prepare(shared)
    before = [value._version for value in ready]
    if any(len(value) != n for value in ready):
        return False
    copies = [[torch.cat([value] * draws) for value in values] for values in (shared, ready)]
    with masks(network, n, range(draws)):
        expected = rest(copies[0])
    with masks(network, n, range(draws)):
        found = lean.draw(copies[1])
    with masks(network, n):
        once = lean.draw(ready)
    return (
        before == [value._version for value in ready]
        and close_rows(found, [expected])
        and close_rows(once, [expected[:n]])
    )


class _Rewriting:
    """A graph that is rewritten, and the modules that it calls.

    Parameters
    ----------
    root:
        The module with the modules and attributes of the graph.
    graph:
        One placeholder for each shared value.
    shared:
        The values, of one image.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, shared: Sequence[Tensor]) -> None:
        self.graph, self.shared = graph, shared
        self.parts: dict[str, Any] = {
            node.target: root.get_submodule(node.target) if node.op == "call_module" else _attribute(root, node.target)
            for node in graph.nodes
            if node.op in ("call_module", "get_attr")
        }
        self.later = after_dropout(root, graph)
        self.shapes = Shapes.of(root, graph, shared)
        self.sources: list[nn.Module] = []

    def lean(self) -> Lean | None:
        """Rewrite the graph, and split it."""
        for node in list(self.graph.nodes):
            self._fold(node)
        for node in list(self.graph.nodes):
            self._divide(node)
        for node in list(self.graph.nodes):
            self._write_in_place(node)
        for node in list(self.graph.nodes):
            self._thin(node)
        weights = [(layer, [(weight, weight._version) for weight in _weights(layer)]) for layer in self.sources]
        root = fx.GraphModule(self.parts, self.graph)
        with masks(root, 1):
            if not weights or not can_reorder(root, self.graph, self.later, [value.clone() for value in self.shared]):
                return None
        prepare, draw = split_graph(self.parts, self.graph, self.later, self.shapes.numbers)
        return Lean(lambda values: prepare(*values), lambda values: cast(Tensor, draw(*values)), weights)

    def _fold(self, node: fx.Node) -> None:
        """Fold a normalisation into the convolution before it."""
        before = self._only_input(node)
        norm, layer = self._layer(node, NORMALISATIONS), self._layer(before, CONVOLUTIONS + TRANSPOSED)
        if node not in self.later or norm is None or layer is None or norm.running_mean is None:
            return
        transposed = isinstance(layer, TRANSPOSED)
        if transposed and layer.groups > 1:
            return
        self.sources += [norm, layer]
        assert before is not None
        before.target = self._add(fuse_conv_bn_eval(layer, norm, transposed))
        self._replace(node, before)

    def _divide(self, node: fx.Node) -> None:
        """Replace the convolution of joined channels by a sum, if dropout changes only some of the channels."""
        layer, join = self._layer(node, CONVOLUTIONS), self._only_input(node)
        if node not in self.later or layer is None or layer.groups > 1 or join is None or join.target not in JOINS:
            return
        inputs, dim = _joined(join)
        if dim != 1 or any(one not in self.shapes.channels for one in inputs):
            return
        changing = [one in self.later for one in inputs]
        if all(changing) or not any(changing):
            return
        split = layer.weight.split([self.shapes.channels[one] for one in inputs], dim=1)
        self.sources.append(layer)
        terms = []
        for is_later in (False, True):
            some = [one for one, changes in zip(inputs, changing, strict=True) if changes == is_later]
            weight = torch.cat([w for w, changes in zip(split, changing, strict=True) if changes == is_later], dim=1)
            name = self._add(_with_weight(layer, weight, keep_bias=not is_later))
            with self.graph.inserting_before(node):
                source = some[0] if len(some) == 1 else self.graph.call_function(torch.cat, (some, 1))
                terms.append(self.graph.create_node("call_module", name, (source,)))
            if is_later:
                self.later |= {source, terms[1]}
        with self.graph.inserting_before(node):
            total = self.graph.call_function(torch.Tensor.add_, (terms[1], terms[0]))
        self.later.add(total)
        self._replace(node, total)
        self._erase(join)

    def _write_in_place(self, node: fx.Node) -> None:
        """Let an activation write into its input, if this is the result of a convolution."""
        before = self._only_input(node)
        if node not in self.later or before is None or not self._is_relu(node):
            return
        if before.target is torch.Tensor.add_ or self._layer(before, CONVOLUTIONS + TRANSPOSED) is not None:
            with self.graph.inserting_before(node):
                written = self.graph.call_function(torch.relu_, (before,))
            self.later.add(written)
            self._replace(node, written)

    def _thin(self, node: fx.Node) -> None:
        """Leave out the channels that a draw drops, before a transposed convolution."""
        dropped = self._only_input(node)
        after, dropout = self._layer(node, (nn.ConvTranspose2d,)), self._layer(dropped, (nn.Dropout2d,))
        if after is None or dropout is None or after.groups > 1 or len(node.args) > 1 or dropped not in self.later:
            return
        assert dropped is not None
        self.sources.append(after)
        after = self._compose(node, after, 1 - dropout.p)
        before = self._only_input(dropped)
        relu = before is not None and before.target is torch.relu_
        made = self._only_input(before) if relu and before is not None else before
        layer = self._layer(made, (nn.Conv2d,))
        if made is None or layer is None or layer.groups > 1 or made not in self.later:
            relu, layer, made = False, None, dropped
        node.target, node.args = self._add(Thinned(layer, relu, dropout, after)), made.args
        for left_out in (dropped, before) if relu else (dropped,):
            self._erase(cast(fx.Node, left_out))
        if layer is not None:
            self._erase(made)

    def _compose(self, node: fx.Node, layer: nn.ConvTranspose2d, kept: float) -> nn.ConvTranspose2d:
        """Return a transposed convolution together with the one that follows, if this saves much, else alone."""
        follower = next(iter(node.users))
        total = next(iter(follower.users))
        following = self._layer(follower, (nn.Conv2d,))
        alone = len(node.users) == len(follower.users) == 1 and total.target is torch.Tensor.add_
        if not alone or following is None or following.bias is not None or not saves(layer, following, kept):
            return layer
        if layer.bias is not None:
            of_bias = self._add(Added(following, layer.bias.detach().clone()))
            other = cast(fx.Node, total.args[1])
            with self.graph.inserting_before(total):
                total.args = (follower, self.graph.create_node("call_module", of_bias, (other,)))
        self._replace(follower, node)
        return composed(layer, following)

    def _is_relu(self, node: fx.Node) -> bool:
        return self._layer(node, (nn.ReLU,)) is not None or (node.op != "call_module" and node.target in RELU)

    def _layer(self, node: fx.Node | None, kinds: tuple[type[nn.Module], ...]) -> Any:
        """Return the layer that a node calls, if it is of one of these classes, not a subclass, and nobody watches."""
        if node is None or node.op != "call_module":
            return None
        layer = self.parts[str(node.target)]
        return layer if type(layer) in kinds and _is_plain(layer) else None

    def _only_input(self, node: fx.Node) -> fx.Node | None:
        """Return the node whose result another node reads, as its only tensor, and nothing else reads."""
        inputs = node.all_input_nodes
        return inputs[0] if len(inputs) == 1 and len(inputs[0].users) == 1 else None

    def _add(self, layer: nn.Module) -> str:
        name = f"lean_{len(self.parts)}"
        self.parts[name] = layer
        return name

    def _replace(self, node: fx.Node, other: fx.Node) -> None:
        node.replace_all_uses_with(other)
        self._erase(node)

    def _erase(self, node: fx.Node) -> None:
        self.graph.erase_node(node)
        self.later.discard(node)


def _joined(join: fx.Node) -> tuple[list[fx.Node], Any]:
    """Return the tensors that a node joins, and along which axis."""
    arguments = dict(zip(("tensors", "dim"), join.args, strict=False)) | join.kwargs
    tensors = arguments.get("tensors", ())
    return list(tensors) if isinstance(tensors, list | tuple) else [], arguments.get("dim", 0)


def _with_weight(layer: Any, weight: Tensor, *, keep_bias: bool) -> nn.Module:
    """Return a copy of a convolution with other weights, for other input channels."""
    made = copy.copy(layer)
    made._parameters = dict(layer._parameters)
    channels_last = layer.weight.ndim == 4 and layer.weight.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if channels_last else torch.contiguous_format
    made.weight = nn.Parameter(weight.detach().contiguous(memory_format=form), requires_grad=False)
    made.bias = layer.bias if keep_bias else None
    made.in_channels = weight.shape[1]
    return cast(nn.Module, made)


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer does only what its class does: it has no hooks, and no other ``forward``."""
    return not (layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))


def _weights(layer: nn.Module) -> list[Tensor]:
    return [*layer.parameters(), *(value for value in layer.buffers() if value.is_floating_point())]


def _attribute(root: nn.Module, target: str) -> Any:
    value: Any = root
    for name in target.split("."):
        value = getattr(value, name)
    return value
