"""Train small networks fast on a GPU: the steps of a training are replayed as CUDA graphs.

A step of a small network on small images takes a GPU less time than Python needs to start its kernels. So a few steps
are captured once as a CUDA graph, in which nothing depends on the CPU: the images are on the device, and the rows of
each batch, its random changes, learning rates and momenta are tables on the device. The launch of a graph still takes
the CPU longer than the GPU needs for it, so several processes with a graph each share a GPU.

The step is that of the learner: the same batches, changes, loss, AdamW and average of weights. A test compares the
weights with those of ``SegmentationLearner.fit`` on the CPU. On a GPU the numbers differ in the last digits from run to
run, because the fastest algorithms are used, and dropout has another random stream.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from alkit.learners import NetworkPredictor, SegmentationLearner
from alkit.protocols import Predictor
from alkit.rng import seed_torch
from benchmarks import rows
from benchmarks.labels.data import Key, Pictures
from benchmarks.labels.protocol import SPEC, Task, learner_of
from benchmarks.labels.runs import LabelledPictures, fit_stream
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

EPSILON = 1e-8
"""The smallest denominator of AdamW."""

ALIGNED = 64
"""Numbers between the places of two weights: the convolutions of CUDA read several numbers of a weight at once."""


def _flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Return one tensor with the values of all, in the order in which they lie in memory, each at an aligned place."""
    starts, total = _places(tensors)
    flat = tensors[0].new_zeros(total)
    for start, value in zip(starts, tensors, strict=True):
        own = value.detach().as_strided((value.numel(),), (1,), value.storage_offset())
        flat[start : start + value.numel()] = own
    return flat


def _places(tensors: Sequence[Tensor]) -> tuple[list[int], int]:
    """Return where each tensor begins in a flat one, and the length of the flat one."""
    starts, end = [], 0
    for value in tensors:
        starts.append(end)
        end += -(-value.numel() // ALIGNED) * ALIGNED
    return starts, end


def state_of(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Return all weights, and all buffers of floating-point numbers, each as one tensor."""
    return _flatten(list(network.parameters())), _flatten(_buffers(network))


def _move_into(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Let the tensors be views of a flat one, with the strides that they have."""
    starts, _ = _places(tensors)
    for start, value in zip(starts, tensors, strict=True):
        value.data = flat.as_strided(value.shape, value.stride(), start)


def _buffers(network: nn.Module) -> list[Tensor]:
    return [value for value in network.buffers() if value.is_floating_point()]


class Slot:
    """A network in training, whose state and tables stay at the same place.

    Parameters
    ----------
    network:
        A network of the learner, on the device. It is copied.
    images, masks:
        All images of all data sets on the device, uint8.
    """

    def __init__(
        self, network: nn.Module, learner: SegmentationLearner, images: Tensor, masks: Tensor, most_steps: int
    ) -> None:
        device = images.device
        self.network = copy.deepcopy(network).train()
        for module in self.network.modules():
            if getattr(module, "num_batches_tracked", None) is not None:
                module.num_batches_tracked = None  # a counter that nothing reads, and that costs a kernel each
        self._images, self._masks, self._loss = images, masks, learner.make_loss(SPEC)
        self._parameters, buffers = list(self.network.parameters()), _buffers(self.network)
        self.weights, self.buffers = _flatten(self._parameters), _flatten(buffers)
        _move_into(self.weights, self._parameters)
        _move_into(self.buffers, buffers)
        self.average, self.average_buffers = self.weights.clone(), self.buffers.clone()
        self._gradient, self._first, self._second = (torch.zeros_like(self.weights) for _ in range(3))
        self._gradients = [torch.empty_like(value) for value in self._parameters]
        _move_into(self._gradient, self._gradients)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._rows = torch.zeros(most_steps, learner.batch, dtype=torch.int64, device=device)
        self._mirrors = torch.zeros(most_steps, 3, learner.batch, dtype=torch.bool, device=device)
        self._rates = torch.ones(most_steps, 5, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss = torch.zeros((), device=device)

    def load(self, weights: Tensor, buffers: Tensor, tables: Tables) -> None:
        """Begin a training from these weights and buffers."""
        self.weights.copy_(weights)
        self.buffers.copy_(buffers)
        self.average.copy_(weights)
        self.average_buffers.copy_(buffers)
        self._first.zero_()
        self._second.zero_()
        self._step.zero_()
        for here, given in ((self._rows, tables.rows), (self._mirrors, tables.mirrors), (self._rates, tables.rates)):
            here[: len(given)].copy_(given)

    def rewind(self) -> None:
        """Begin again at the first step of the tables."""
        self._step.zero_()

    def capture(self) -> None:
        """Capture :data:`PER_GRAPH` steps as a graph; the state is worthless afterwards."""
        before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True  # the fastest algorithms
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            for _ in range(PER_GRAPH):
                self.step()
        torch.cuda.synchronize()
        torch.backends.cudnn.benchmark = before

    def run(self, steps: int) -> None:
        """Take steps: by the graph if there is one."""
        if self.graph is None:
            for _ in range(steps):
                self.step()
            return
        for _ in range(-(-steps // PER_GRAPH)):
            self.graph.replay()

    def step(self) -> None:
        """Take the next step of the tables."""
        rows = self._rows.index_select(0, self._step)[0]
        images = self._images.index_select(0, rows).float().div(255)
        masks = self._masks.index_select(0, rows).long()
        diagonal, across, down = self._mirrors.index_select(0, self._step)[0]
        for where, mirror in (
            (diagonal, lambda batch: batch.transpose(-1, -2)),
            (across, lambda batch: batch.flip(-1)),
            (down, lambda batch: batch.flip(-2)),
        ):
            images = torch.where(where[:, None, None, None], mirror(images), images)
            masks = torch.where(where[:, None, None], mirror(masks), masks)
        loss = self._loss(self.network(images.contiguous(memory_format=torch.channels_last)), masks)
        found = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            pairs = list(zip(self._gradients, found, strict=True))
            alike = [pair for pair in pairs if pair[0].stride() == pair[1].stride()]  # these need one kernel for all
            torch._foreach_copy_([here for here, _ in alike], [given for _, given in alike])
            for here, given in pairs:
                if here.stride() != given.stride():
                    here.copy_(given)
            self._update(*self._rates.index_select(0, self._step)[0])
            self.loss.copy_(loss)
            self._step.add_(1)

    def _update(self, decay: Tensor, new: Tensor, scale: Tensor, rate: Tensor, share: Tensor) -> None:
        """Take a step of AdamW, and average the weights."""
        self.weights.mul_(decay)
        self._first.lerp_(self._gradient, new)
        self._second.mul_(BETA2).addcmul_(self._gradient, self._gradient, value=1 - BETA2)
        denominator = self._second.sqrt().mul_(scale).add_(EPSILON)
        self.weights.sub_(self._first.mul(rate).div_(denominator))
        self.average.lerp_(self.weights, share)
        self.average_buffers.lerp_(self.buffers, share)


class GraphFitter:
    """Trains the strong learner by the graphs of one network: see :class:`benchmarks.labels.runs.Fitter`.

    Its models share one network, so a model is only good until the next one is trained.

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
        self._device, self._rehearsed = torch.device(device), steps
        self._offsets: dict[Key, int] = {}
        total = 0
        for key, own in sets.items():
            self._offsets[key] = total
            total += len(own.ids)
        images = torch.from_numpy(np.concatenate([own.images for own in sets.values()])).to(self._device)
        masks = torch.from_numpy(np.concatenate([own.masks for own in sets.values()])).to(self._device)
        some = next(iter(sets.values()))
        self._example = LabelledPictures(some, some.ids[:1])
        self._learner = learner_of(Task(*some.key, "strong", "random", 0), device)
        check_learner(self._learner)
        self._initial: dict[int, tuple[Tensor, Tensor]] = {}
        self._tables: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        network = self._initial_network(0)
        self.slot = Slot(network, self._learner, images, masks, most_steps)
        if self._device.type == "cuda":
            self.slot.capture()
        self._weights, self._buffers = state_of(network)
        _move_into(self._weights, list(network.parameters()))
        _move_into(self._buffers, _buffers(network))
        self._model = NetworkPredictor(network, 3, len(SPEC.classes))

    def speed(self, steps: int = 100) -> float:
        """Return the steps per second of this process."""
        self.slot.rewind()
        begun = time.monotonic()
        self.slot.run(steps)
        self._wait()
        return steps / (time.monotonic() - begun)

    def carries_on(self, task: Task) -> bool:
        """Return False: each budget trains a new model."""
        return False

    def change(self, **numbers: float) -> None:
        """Train from now on with another ``lr=``, ``weight_decay=`` or ``average=``."""
        self._learner = replace(self._learner, **numbers)
        check_learner(self._learner)
        self._tables.clear()

    def fit(self, task: Task, labelled: LabelledPictures, number: int, previous: Predictor | None) -> Predictor:
        """Return the model of these labels."""
        offset = self._offsets[task.key]
        chosen = [row + offset for row in labelled.pictures.rows(labelled.ids)]
        steps = self._rehearsed or steps_of(learner_of(task, str(self._device)))
        self.slot.load(*self._initial_state(task.seed), self._tables_of(task.seed, steps, chosen))
        with seed_torch(fit_stream(task.seed).child("dropout")):
            self.slot.run(steps)
        self._weights.copy_(self.slot.average)
        self._buffers.copy_(self.slot.average_buffers)
        self._wait()
        return self._model

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _initial_network(self, seed: int) -> nn.Module:
        model = self._learner.initial_model(self._example, fit_stream(seed))
        return model.network.to(memory_format=torch.channels_last).to(self._device)

    def _initial_state(self, seed: int) -> tuple[Tensor, Tensor]:
        if seed not in self._initial:
            self._initial[seed] = state_of(self._initial_network(seed))
        return self._initial[seed]

    def _tables_of(self, seed: int, steps: int, images: Sequence[int]) -> Tables:
        learner, stream = replace(self._learner, steps=(steps, steps)), fit_stream(seed)
        if (seed, steps) not in self._tables:  # the same for all images
            self._tables[seed, steps] = mirrors_of(learner, stream), rates_of(learner)
        return Tables(rows_of(learner, images, stream), *self._tables[seed, steps])
