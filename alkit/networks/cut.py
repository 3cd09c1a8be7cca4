"""Cut a network before its first dropout layer, so that the part before it runs once for all draws.

There are three ways, and the first that reproduces the whole network is used:

1. a network with methods ``encode`` and ``decode`` is cut between them;
2. any other network is traced by ``torch.fx`` and cut at its first dropout layer;
3. a network that cannot be traced is not cut: each draw runs all of it.

A cut is tried on two images, alone and in one batch. Several draws run in one batch only if all that the two parts
share has one row per image (a parameter or a buffer that the second part uses has not, whatever its shape), and if two
draws in one batch equal those of passes over single images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from alkit._logs import logger
from alkit.errors import is_out_of_memory
from alkit.networks.compiled import compiled
from alkit.networks.computation import EXACT, autocast
from alkit.networks.dropout import KnownMasks, active_layers
from alkit.networks.footprint import WITHOUT_DRAWS, fitting, footprint
from alkit.networks.graphs import Shapes, after_dropout, split_graph, traced
from alkit.networks.heap import give_back
from alkit.networks.lean import Lean, make_lean, reproduces
from alkit.networks.order import can_reorder
from alkit.networks.outputs import as_logits
from alkit.networks.training import evaluation_mode
from alkit.networks.trial import Trial, close_rows, masks, run_trial, without_gradients

log = logger(__name__)

Shared = Any
"""The values that a network computes before its first dropout layer: a sequence, or what its ``encode`` returns."""


class Halves(NamedTuple):
    """The two parts of a network: ``network(x) == rest(shared(x))``, without dropout in ``shared``.

    Parameters
    ----------
    shared, rest:
        The parts.
    encoded:
        Whether `shared` is the network's own ``encode``.
    stacks:
        Whether `rest` takes several copies of a batch, one after the other.
    mixes, misplaced, drops, large:
        See :class:`alkit.networks.trial.Trial`.
    fast:
        `shared`, compiled; None if it is not.
    traced:
        `rest` as a graph with one placeholder for each shared value; None if there is none.
    """

    shared: Callable[[Tensor], Shared]
    rest: Callable[[Shared], Tensor]
    encoded: bool = False
    stacks: bool = False
    mixes: bool = False
    misplaced: Mapping[str, tuple[int, ...]] = {}
    drops: bool = False
    large: bool = False
    fast: Callable[[Tensor], Shared] | None = None
    traced: fx.GraphModule | None = None


class CutNetwork:
    """A network and the place of its cut, which is searched when it is first needed.

    Parameters
    ----------
    network:
        Maps images ``(n, c, h, w)`` to logits ``(n, classes, *space)``.
    classes:
        Number of classes, to read other outputs as logits, see :mod:`alkit.networks.outputs`. None for plain logits.
    precision:
        Precision of all passes, one of :data:`alkit.networks.computation.PRECISIONS`.
    compile:
        Whether torch compiles the part before the first dropout layer.
    multiple:
        Whether an image can have several classes: see :func:`alkit.networks.outputs.probabilities_from`.

    Examples
    --------
    >>> from alkit import UNet
    >>> cut = CutNetwork(UNet(in_channels=1, classes=2, widths=(2, 4)))
    >>> cut.images_at_once(torch.zeros(1, 1, 64, 64)) > 1
    True
    """

    def __init__(
        self,
        network: nn.Module,
        classes: int | None = None,
        precision: str = EXACT,
        compile: bool = False,
        multiple: bool = False,
    ) -> None:
        self.network, self.classes, self.multiple = network, classes, multiple
        self.precision, self.compile = precision, compile
        self._reading: nn.Module | None = None
        self._halves: dict[tuple[int, ...], Halves] = {}
        self._lean: dict[tuple[int, ...], Lean | None] = {}
        self._mixes: dict[tuple[int, ...], bool] = {}
        self._warned = False
        self.masks = KnownMasks()
        self._tried: set[tuple[tuple[int, ...], int, int]] = set()
        self._footprints: dict[tuple[int, ...], int] = {}

    def halves(self, images: Tensor) -> Halves:
        """Return the two parts of the network for images of this shape. `images` is any input, to try cuts on."""
        key = tuple(images.shape[1:])
        if key not in self._halves:
            with self._autocast(images):
                network = self._logits(images)
                trial = self._try(images)
                with without_gradients(network):
                    halves = _cut(network, trial)
            # Not the rest: compiled code does not see the masks, which are put into dropout layers later.
            self._halves[key] = halves._replace(fast=compiled(halves.shared)) if self.compile else halves
        return self._halves[key]

    def lean(self, images: Tensor) -> Lean | None:
        """Return the second part with less arithmetic, for draws; None if there is none.

        There is none on a GPU or in a lower precision, which round more coarsely.
        """
        key = tuple(images.shape[1:])
        if images.device.type != "cpu" or self.precision != EXACT:
            return None
        known = self._lean.get(key)
        if key not in self._lean or not (known is None or known.has_weights()):
            self._lean[key] = known = self._make_lean(images[:1])
            give_back()
        return None if known is None or known.is_watched() else known

    def _make_lean(self, image: Tensor) -> Lean | None:
        halves = self.halves(image)
        if not (halves.stacks or halves.large):
            return None
        network = self._logits(image)
        try:
            with without_gradients(network):
                noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
                images = noise if halves.large else torch.cat([image, noise])
                shared = halves.shared(images)
                lean = make_lean(network, halves.traced, [value[:1] for value in shared])
                draws = 1 if halves.large else 2
                return lean if lean is not None and reproduces(lean, network, halves.rest, shared, draws) else None
        except Exception as reason:  # a network that cannot be traced fails in many ways
            if is_out_of_memory(reason):
                raise
            return None

    def expect_as(self, other: CutNetwork) -> None:
        """Take over what was found out about the same network with other weights, so that it is not tried again."""
        self._mixes.update(other._mixes)
        self._footprints.update(other._footprints)
        self._tried.update(other._tried)
        self._warned |= other._warned

    def mixes(self, images: Tensor) -> bool:
        """Return whether the output for one image depends on the other images of its batch."""
        key = tuple(images.shape[1:])
        if key not in self._mixes:
            with self._autocast(images):
                self._try(images)
        return self._mixes[key]

    @contextmanager
    def passes(self, images: Tensor) -> Iterator[nn.Module]:
        """Switch the network to evaluation mode in its precision inside a ``with`` block, for passes over images."""
        with evaluation_mode(self.network) as network, self._autocast(images):
            yield network

    def _autocast(self, images: Tensor) -> AbstractContextManager[Any]:
        return autocast(images.device, self.precision)

    def _logits(self, images: Tensor) -> nn.Module:
        """Return the network, or a module that reads its output as logits."""
        if self._reading is None:
            self._reading = self.network
            if self.classes is not None:
                self._reading = as_logits(self.network, images[:1], self.classes, multiple=self.multiple)
        return self._reading

    def _try(self, images: Tensor) -> Trial:
        """Try the network, and note whether it mixes images. Images that are too large for batches are tried alone."""
        large = self.images_at_once(images, WITHOUT_DRAWS) == 1
        trial = run_trial(self._logits(images), images[:1], large=large)
        if trial.alone:
            log.warning(
                "the memory of the device does not suffice for two images at once in %s; images are predicted one at a "
                "time",
                type(self.network).__name__,
            )
        elif trial.mixes and not trial.large:
            self._warn()
        self._mixes[tuple(images.shape[1:])] = trial.mixes
        return trial

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "the output of %s for one image may be random, or depend on the other images of its batch (such as by "
                "batch normalisation with track_running_stats=False, or by a condition on pixels); images are "
                "predicted one at a time",
                type(self.network).__name__,
            )

    def agrees(self, images: Tensor, draws: int, last: Tensor, alone: Callable[[], Tensor]) -> bool:
        """Return whether the last image has the same output alone as in its batch; note that images mix if not.

        Each number of images and draws is tried once, because a network may treat larger batches in another way.

        Parameters
        ----------
        images:
            The batch.
        draws:
            Number of draws that are computed in one batch; 0 for the prediction.
        last:
            The output for the last image in the batch, with an axis of one image.
        alone:
            Function that returns the output for this image alone.
        """
        key = tuple(images.shape[1:])
        if self._mixes.get(key) or len(images) * max(draws, 1) <= 1 or (key, len(images), draws) in self._tried:
            return True
        self._tried.add((key, len(images), draws))
        if close_rows(last, [alone()], exact=self.precision == EXACT):
            return True
        self.divide(images)
        return False

    def divide(self, images: Tensor) -> None:
        """Note that images of this shape mix, and that each of them and each draw needs a pass of its own."""
        key = tuple(images.shape[1:])
        self._warn()
        self._mixes[key] = True
        if key in self._halves:
            self._halves[key] = self._halves[key]._replace(mixes=True, stacks=False)

    def images_at_once(self, images: Tensor, budgets: int = 1) -> int:
        """Return how many images of this shape are computed at once, at least 1. For a new shape, one is measured."""
        return fitting(self._footprint(images[:1]), images.device, budgets) if len(images) else 1

    def _footprint(self, image: Tensor) -> int:
        """Return the bytes that one image takes inside the network."""
        key = tuple(image.shape[1:])
        if key not in self._footprints:
            with self._autocast(image):
                self._footprints[key] = footprint(self._logits(image), image)
            give_back()
        return self._footprints[key]


def _cut(network: nn.Module, trial: Trial) -> Halves:
    """Return the first cut that reproduces the whole network."""
    for make in (_encoder_and_decoder, _trace):
        try:
            halves = make(network, trial.images[0].clone())
            checked = None if halves is None else _check(network, halves, trial)
        except Exception as reason:
            if is_out_of_memory(reason):
                raise
            continue  # methods of these names may have nothing to do with images
        if checked is not None:
            return checked
    whole = Halves(lambda images: [images], lambda shared: cast(Tensor, network(*shared)))
    # A network with a random output does not reproduce itself.
    return _check(network, whole, trial) or whole._replace(
        mixes=trial.mixes, misplaced=trial.misplaced, drops=trial.drops, large=trial.large
    )


def _check(network: nn.Module, halves: Halves, trial: Trial) -> Halves | None:
    """Return the two parts with copies of what they write into, or None if they do not reproduce the network."""
    images = [image.clone() for image in trial.images]
    shared = [halves.shared(image) for image in images]  # both before the first result, in case `shared` keeps them
    if any(image._version for image in images):
        halves = halves._replace(shared=_on_copies(halves.shared))
    versions = [_versions(values) for values in shared]
    for values, output, drawn in zip(shared, trial.outputs, trial.drawn, strict=True):
        # Both with dropout and without: a dropout layer that is off returns its input itself, not a copy.
        with masks(network, 1):
            results = (halves.rest(_copy(values)), drawn)
        for result, expected in (results, (halves.rest(_copy(values)), output)):
            if result.shape != expected.shape or not torch.allclose(result, expected, 1e-3, 1e-4, equal_nan=True):
                return None
    stacks = not trial.mixes and trial.stacks and _stacks(network, halves, shared, trial)
    halves = halves._replace(
        stacks=stacks, mixes=trial.mixes, misplaced=trial.misplaced, drops=trial.drops, large=trial.large
    )
    halves.rest(shared[0])
    if _versions(shared[0]) != versions[0] or None in versions[0]:
        # The second part writes into the shared values, so each draw gets a copy of them.
        halves = halves._replace(rest=_on_copies(halves.rest))
    return halves


def _stacks(network: nn.Module, halves: Halves, shared: Sequence[Shared], trial: Trial) -> bool:
    """Return whether all shared values are tensors with one row per image, and the second part treats rows alike."""
    try:
        together = halves.shared(torch.cat(trial.images))
    except RuntimeError as reason:
        if is_out_of_memory(reason):  # the whole network took two images, but the draws of two images need more
            return False
        raise
    if not all(isinstance(values, list | tuple) for values in (*shared, together)):
        return False
    for one, two, both in zip(*shared, together, strict=True):
        if not all(isinstance(value, Tensor) for value in (one, two, both)):
            return False
        if one.shape[:1] != (1,) or both.shape != (2, *one.shape[1:]) or two.shape != one.shape:
            return False
    # Two draws, because a part that moves rows along the batch is right for one draw, and mixes several.
    second = []
    for values in shared:
        with masks(network, 1, [1]):
            second.append(halves.rest(_copy(values)))
    try:
        with masks(network, 2, [0, 1]):
            stacked = halves.rest([torch.cat([*values, *values]) for values in zip(*shared, strict=True)])
    except (RuntimeError, ValueError, IndexError):  # the second part is written for the batch that the first part saw
        return False
    return close_rows(stacked, [*trial.drawn, *second])


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


def _trace(network: nn.Module, image: Tensor) -> Halves | None:
    """Cut a network's graph into nodes before and after its dropout layers; None if their order matters.

    Tracing fails with errors of any type, for example if control flow depends on the data.
    """
    with traced(network) as graph:
        later = after_dropout(network, graph)
        with masks(network, 1):
            if not can_reorder(network, graph, later, [image]):
                return None
        shared, rest = split_graph(network, graph, later, Shapes.of(network, graph, [image]).numbers)
    return Halves(shared, lambda values: cast(Tensor, rest(*values)), traced=rest)


def _on_copies(part: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: part(_copy(values))


def _copy(values: Shared) -> Shared:
    return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, values)


def _versions(values: Shared) -> list[int | None]:
    """Return the number of writes into each tensor; None for a tensor that does not count them."""
    return [None if leaf.is_inference() else leaf._version for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
