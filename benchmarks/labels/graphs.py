"""Train small networks fast on a GPU: many at once, by steps that are replayed as CUDA graphs.

A step of a small network on small images takes a GPU less time than Python needs to start its kernels, and leaves most
of the GPU idle. So trainings of the same length run side by side (``side_by_side.py``), and a few of their steps are
captured once as a CUDA graph, in which nothing depends on the CPU: the images are on the device, and the rows of each
batch, its random changes, learning rates and momenta are tables on the device.

The step is that of the learner: the same batches, changes, loss, AdamW and average of weights. A test compares the
weights with those of ``SegmentationLearner.fit`` on the CPU. On a GPU the numbers differ in the last digits from run to
run, because the fastest algorithms are used, and dropout has another random stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from alkit.learners import NetworkPredictor, SegmentationLearner
from alkit.rng import seed_torch
from benchmarks import rows
from benchmarks.labels.data import Key, Pictures
from benchmarks.labels.protocol import SPEC, Task, learner_of
from benchmarks.labels.runs import LabelledPictures, Trained, Training, fit_stream
from benchmarks.labels.schedule import (
    BETA2,
    PER_GRAPH,
    Tables,
    check_learner,
    mirrors_of,
    rates_of,
    rows_of,
    steps_of,
)
from benchmarks.labels.side_by_side import SideBySide

EPSILON = 1e-8
"""The smallest denominator of AdamW."""

ALIGNED = 64
"""Numbers between the places of two weights: the convolutions of CUDA read several numbers of a weight at once."""


def state_of(network: nn.Module) -> list[Tensor]:
    """Return all weights, and all buffers of floating-point numbers."""
    return [*(value.detach() for value in network.parameters()), *_buffers(network)]


def _buffers(network: nn.Module) -> list[Tensor]:
    return [value for value in network.buffers() if value.is_floating_point()]


class _Flat:
    """One tensor with a place for each of some tensors."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        self._shapes = [value.shape for value in like]
        lengths = [-(-value.numel() // ALIGNED) * ALIGNED for value in like]
        self._starts = np.cumsum([0, *lengths]).tolist()
        self.all = like[0].new_zeros(self._starts[-1])

    def parts(self, flat: Tensor | None = None) -> list[Tensor]:
        """Return the places of this tensor, or of another one of its length."""
        given = self.all if flat is None else flat
        return [
            given[start : start + shape.numel()].view(shape)
            for start, shape in zip(self._starts, self._shapes, strict=False)
        ]


def _flatten(tensors: Sequence[Tensor]) -> _Flat:
    """Move tensors into a flat one, of which they are views from now on."""
    flat = _Flat([value.detach() for value in tensors])
    for value, part in zip(tensors, flat.parts(), strict=True):
        part.copy_(value.detach())
        value.data = part
    return flat


class Group:
    """Networks in training side by side, whose states and tables stay at the same places.

    Parameters
    ----------
    network:
        A network of the learner, on the device. It is copied.
    images, masks:
        All images of all data sets on the device, uint8.
    count:
        Number of networks.
    most_steps:
        Steps of the longest training.
    """

    def __init__(
        self,
        network: nn.Module,
        learner: SegmentationLearner,
        images: Tensor,
        masks: Tensor,
        count: int,
        most_steps: int,
    ) -> None:
        self._images, self._masks = images, masks
        self._networks = SideBySide(network, count).to(images.device).train()
        self._loss = vmap(learner.make_loss(SPEC))
        self._parameters, buffers = list(self._networks.parameters()), _buffers(self._networks)
        self._weights, self._buffers = _flatten(self._parameters), _flatten(buffers)
        self._average, self._average_buffers = self._weights.all.clone(), self._buffers.all.clone()
        gradient, self._first, self._second = (torch.zeros_like(self._weights.all) for _ in range(3))
        self._gradient, self._gradients = gradient, self._weights.parts(gradient)
        shapes = [(count, *value.shape) for value in state_of(network)]
        self._states = _shaped([*self._weights.parts(), *self._buffers.parts()], shapes)
        averages = [*self._weights.parts(self._average), *self._buffers.parts(self._average_buffers)]
        self._averages = _shaped(averages, shapes)
        self._step = torch.zeros(1, dtype=torch.int64, device=images.device)
        self._rows = torch.zeros(most_steps, learner.batch, count, dtype=torch.int64, device=images.device)
        self._mirrors = torch.zeros(most_steps, 3, learner.batch, count, dtype=torch.bool, device=images.device)
        self._rates = torch.ones(most_steps, 5, device=images.device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def load(self, states: Sequence[Sequence[Tensor]], tables: Sequence[Tables]) -> None:
        """Begin trainings from these states, by tables of one length with the same rates."""
        for number, state in enumerate(states):
            torch._foreach_copy_([value[number] for value in self._states], list(state))
        self._average.copy_(self._weights.all)
        self._average_buffers.copy_(self._buffers.all)
        self._first.zero_()
        self._second.zero_()
        self._step.zero_()
        steps = len(tables[0].rates)
        self._rows[:steps].copy_(torch.stack([own.rows for own in tables], -1))
        self._mirrors[:steps].copy_(torch.stack([own.mirrors for own in tables], -1))
        self._rates[:steps].copy_(tables[0].rates)

    def average(self, number: int) -> list[Tensor]:
        """Return the average of the state of one network over its steps, as in :func:`state_of`."""
        return [value[number] for value in self._averages]

    def capture(self) -> None:
        """Capture :data:`PER_GRAPH` steps as a graph; the states are worthless afterwards."""
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            for _ in range(2):
                self.step()
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            for _ in range(PER_GRAPH):
                self.step()
        torch.cuda.synchronize()

    def run(self, steps: int) -> None:
        """Take steps: by the graph if there is one."""
        if self._graph is None:
            for _ in range(steps):
                self.step()
            return
        for _ in range(-(-steps // PER_GRAPH)):
            self._graph.replay()

    def step(self) -> None:
        """Take the next step of the tables."""
        rows = self._rows.index_select(0, self._step)[0]
        images = self._images.index_select(0, rows.flatten()).float().div(255)
        masks = self._masks.index_select(0, rows.flatten()).long()
        diagonal, across, down = self._mirrors.index_select(0, self._step)[0].flatten(1)
        for where, mirror in (
            (diagonal, lambda batch: batch.transpose(-1, -2)),
            (across, lambda batch: batch.flip(-1)),
            (down, lambda batch: batch.flip(-2)),
        ):
            images = torch.where(where[:, None, None, None], mirror(images), images)
            masks = torch.where(where[:, None, None], mirror(masks), masks)
        logits = self._networks(images.unflatten(0, rows.shape))
        loss = self._loss(logits.transpose(0, 1), masks.unflatten(0, rows.shape).transpose(0, 1))
        found = torch.autograd.grad(loss.sum(), self._parameters)
        with torch.no_grad():
            torch._foreach_copy_(self._gradients, list(found))
            self._update(*self._rates.index_select(0, self._step)[0])
            self._step.add_(1)

    def _update(self, decay: Tensor, new: Tensor, scale: Tensor, rate: Tensor, share: Tensor) -> None:
        """Take a step of AdamW, and average the weights."""
        weights = self._weights.all
        weights.mul_(decay)
        self._first.lerp_(self._gradient, new)
        self._second.mul_(BETA2).addcmul_(self._gradient, self._gradient, value=1 - BETA2)
        denominator = self._second.sqrt().mul_(scale).add_(EPSILON)
        weights.sub_(self._first.mul(rate).div_(denominator))
        self._average.lerp_(weights, share)
        self._average_buffers.lerp_(self._buffers.all, share)


def _shaped(tensors: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    return [value.view(shape) for value, shape in zip(tensors, shapes, strict=True)]


class GraphFitter:
    """Trains the strong learner many times at once: see :class:`benchmarks.labels.runs.Fitter`.

    Its models share one network, so a model is only good until the next one is asked for.

    Parameters
    ----------
    sets:
        The data sets, all of one size.
    device:
        Device of torch. On a CPU there are no graphs, only the same steps.
    most_steps:
        Steps of the longest training.
    steps:
        Steps of each training, for a rehearsal; 0 for the learner's own number.
    """

    engine = "graphs"

    def __init__(self, sets: Mapping[Key, Pictures], device: str, most_steps: int, *, steps: int = 0) -> None:
        self.machine = rows.machine(device)
        self.device, self._rehearsed, self._most_steps = torch.device(device), steps, most_steps
        self._offsets: dict[Key, int] = {}
        total = 0
        for key, own in sets.items():
            self._offsets[key] = total
            total += len(own.ids)
        self._images = torch.from_numpy(np.concatenate([own.images for own in sets.values()])).to(self.device)
        self._masks = torch.from_numpy(np.concatenate([own.masks for own in sets.values()])).to(self.device)
        some = next(iter(sets.values()))
        self._example = LabelledPictures(some, some.ids[:1])
        self._learner = learner_of(Task(*some.key, "strong", "random", 0), device)
        check_learner(self._learner)
        self._states: dict[int, list[Tensor]] = {}
        self._tables: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._groups: dict[int, Group] = {}
        self._network = self._initial_network(0)
        self._model = NetworkPredictor(self._network, 3, len(SPEC.classes))

    def carries_on(self, task: Task) -> bool:
        """Return False: each budget trains a new model."""
        return False

    def change(self, **numbers: float) -> None:
        """Train from now on with another ``lr=``, ``weight_decay=`` or ``average=``."""
        self._learner = replace(self._learner, **numbers)
        check_learner(self._learner)
        self._tables.clear()

    def length(self, training: Training) -> int:
        """Return the number of steps of a training: those of one length are made at once."""
        return self._rehearsed or steps_of(learner_of(training.task, str(self.device)))

    def fit(self, trainings: Sequence[Training]) -> Iterator[Trained]:
        """Train networks side by side, in trainings of one length, and yield their models."""
        start = time.monotonic()
        (steps,) = {self.length(training) for training in trainings}
        group = self._group(len(trainings))
        states = [self._state(training.task.seed) for training in trainings]
        group.load(states, [self._tables_of(training, steps) for training in trainings])
        with seed_torch(fit_stream(trainings[0].task.seed).child("dropout")):
            group.run(steps)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = (time.monotonic() - start) / len(trainings)
        for number in range(len(trainings)):
            torch._foreach_copy_(state_of(self._network), group.average(number))
            yield Trained(self._model, seconds)

    def _group(self, count: int) -> Group:
        if count not in self._groups:
            begun = time.monotonic()
            group = Group(self._network, self._learner, self._images, self._masks, count, self._most_steps)
            if self.device.type == "cuda":
                group.capture()
            self._groups[count] = group
            print(f"{count} networks side by side, ready after {time.monotonic() - begun:.0f} s", flush=True)
        return self._groups[count]

    def _initial_network(self, seed: int) -> nn.Module:
        return self._learner.initial_model(self._example, fit_stream(seed)).network.to(self.device)

    def _state(self, seed: int) -> list[Tensor]:
        if seed not in self._states:
            self._states[seed] = state_of(self._initial_network(seed))
        return self._states[seed]

    def _tables_of(self, training: Training, steps: int) -> Tables:
        seed, labelled = training.task.seed, training.labelled
        learner, stream = replace(self._learner, steps=(steps, steps)), fit_stream(seed)
        if (seed, steps) not in self._tables:  # the same for all images
            self._tables[seed, steps] = mirrors_of(learner, stream), rates_of(learner)
        offset = self._offsets[training.task.key]
        images = [row + offset for row in labelled.pictures.rows(labelled.ids)]
        return Tables(rows_of(learner, images, stream), *self._tables[seed, steps])
