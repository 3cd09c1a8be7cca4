"""The training of a network by a learner's parts: batches, augmentation, loss, optimizer, schedule, average, stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from alkit.errors import ConfigurationError
from alkit.learners.averages import WeightAverage
from alkit.learners.batches import Source, epoch_batches, step_batches, usable
from alkit.learners.optimizers import advance, make_optimizer, make_schedule
from alkit.learners.parts import TrainingParts
from alkit.learners.predictor import NetworkPredictor
from alkit.learners.ranks import of_first, own_share, together
from alkit.learners.resident import source_of
from alkit.learners.stop import Stop, hold_out
from alkit.networks.ahead import read_ahead
from alkit.networks.compiled import check_compiler, compiled
from alkit.networks.computation import Computation, computation_for
from alkit.networks.heads import check_heads
from alkit.networks.outputs import Logits, input_type
from alkit.networks.state import to_channels_last
from alkit.networks.training import Example, Loss, check_trainable, evaluation_mode, train_epoch
from alkit.protocols import Labelled
from alkit.rng import Stream
from alkit.values.progress import Progress, Report

SPAN = 25
"""Steps between two reports of a training that counts steps."""


class _Stage(NamedTuple):
    """A part of a training, after which it reports: one epoch, or some steps."""

    done: int  # epochs or steps until its end
    examples: Iterator[Example]
    dropout: Stream


def train(
    learner: TrainingParts,
    model: NetworkPredictor,
    labelled: Labelled,
    loss: Loss,
    stream: Stream,
    report: Report,
    *,
    later: bool = False,
) -> NetworkPredictor:
    """Train `model` on all labels, and return it.

    The loss of a network with heads of deep supervision is the sum of the heads' losses with its ``head_weights``.

    Parameters
    ----------
    later:
        Whether this is a later round that continues from the last one, with its own number of epochs or steps.
    """
    computation = computation_for(learner.device, learner.precision)
    check_trainable(computation.move(to_channels_last(model.network)))
    ids, held = list(labelled.ids), list[str]()
    if learner.steps is not None or learner.stop is not None:
        ids = usable(labelled, ids)
    if learner.stop is not None:
        ids, held = hold_out(learner.stop, labelled, ids, stream.child("stop"))
    if len(getattr(model.network, "head_weights", ())) > 1:
        image = torch.from_numpy(labelled.images(ids[:1])).to(input_type(model.network))
        check_heads(model.network, computation.move(image))
    source = source_of(labelled, [*ids, *held], computation.device)
    total, steps = _length(learner, len(ids), later)
    optimizer = make_optimizer(learner.optimizer, model.network.parameters(), learner.lr, learner.weight_decay)
    schedule = make_schedule(learner.schedule, optimizer, steps)
    whole, loss = _with_loss(model.network, model, loss)
    if learner.compile:
        check_compiler(computation.device.type)
        whole = compiled(whole)
    whole = together(whole, computation.device)
    average = None if learner.average is None else WeightAverage(model.network, learner.average)
    kept = model.network if average is None else average.network
    best = None if not held or learner.stop is None else _Best(learner.stop, _outputs(kept, model), loss)
    step = 0

    def augment(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        assert learner.augment is not None
        return learner.augment(images, targets, stream.child("augment", step).torch())

    def after() -> None:
        nonlocal step
        step += 1
        if schedule is not None:
            advance(schedule, first=step == 1)
        if average is not None:
            average.update()
        if step == frozen:
            thaw.close()

    changed, own_loss = own_share(None if learner.augment is None else augment, loss)
    frozen = 0 if later else learner.freeze
    with ExitStack() as thaw:
        if frozen:
            thaw.enter_context(_freeze(encoder_of(model.network)))
        for stage in _stages(learner, source, ids, total, stream):
            examples = stage.examples if source.resident else read_ahead(stage.examples, computation.device)
            value = train_epoch(computation, whole, optimizer, examples, own_loss, stage.dropout, changed, after)
            detail = {"loss": value}
            if best is not None:
                detail["held_out"] = best.measure(source, held, learner.batch, computation)
            report(Progress("fit", stage.done, total, detail))
            if best is not None and best.ends():
                break
    if best is not None:
        best.restore()
    model.network.zero_grad(set_to_none=True)
    return model if average is None else replace(model, network=average.network)


def _length(learner: TrainingParts, labels: int, later: bool) -> tuple[int, int]:
    """Return the numbers of epochs or steps, and of steps."""
    if learner.steps is not None:
        steps = cast("tuple[int, int]", learner.steps)[later]
        return steps, steps
    assert learner.epochs is not None
    return learner.epochs[later], learner.epochs[later] * math.ceil(labels / learner.batch)


def _stages(learner: TrainingParts, source: Source, ids: Sequence[str], total: int, stream: Stream) -> Iterator[_Stage]:
    if learner.steps is None:
        for epoch in range(total):
            examples = epoch_batches(source, ids, learner.batch, stream.child("order", epoch))
            yield _Stage(epoch + 1, examples, stream.child("dropout", epoch))
        return
    span = SPAN if learner.stop is None else learner.stop.every
    for start in range(0, total, span):
        steps = range(start, min(start + span, total))
        examples = step_batches(source, ids, learner.batch, steps, stream.child("order"))
        yield _Stage(steps.stop, examples, stream.child("dropout", start))


def encoder_of(network: nn.Module) -> nn.Module:
    """Return the encoder of a network: its module ``encoder``, or that of its module ``model``.

    Raises
    ------
    ConfigurationError
        It has none.
    """
    for owner in (network, getattr(network, "model", None)):
        encoder = getattr(owner, "encoder", None)
        if isinstance(encoder, nn.Module):
            return encoder
    raise ConfigurationError(
        "freeze needs a network with a module named encoder", got=type(network).__name__, hint="freeze=0"
    )


@contextmanager
def _freeze(encoder: nn.Module) -> Iterator[None]:
    """Neither train the weights of an encoder nor change its buffers, until the block ends."""
    trained = [weights for weights in encoder.parameters() if weights.requires_grad]
    hook = encoder.register_forward_pre_hook(_evaluate)
    for weights in trained:
        weights.requires_grad_(False)
    try:
        yield
    finally:
        hook.remove()
        encoder.train()
        for weights in trained:
            weights.requires_grad_(True)


def _evaluate(module: nn.Module, inputs: object) -> None:
    """Switch a module to evaluation mode before it is called."""
    module.eval()


class _Best:
    """The weights with the smallest loss on labels that are held out.

    Parameters
    ----------
    network:
        The network as it is trained.
    """

    def __init__(self, stop: Stop, network: nn.Module, loss: Loss) -> None:
        self._stop, self._network, self._loss = stop, network, loss
        self._least, self._stale = math.inf, 0
        self._state: dict[str, Tensor] = {}

    def measure(self, source: Source, held: Sequence[str], size: int, computation: Computation) -> float:
        """Return the loss on the labels held out, and keep the weights if it is the smallest so far."""
        total = 0.0
        with evaluation_mode(self._network):
            for start in range(0, len(held), size):
                some = list(held[start : start + size])
                if (batch := source.example(some)) is None:
                    continue
                images, targets = map(computation.move, batch)
                total += len(some) * float(self._loss(computation.run(self._network, images), targets))
        mean = of_first(total / len(held), computation.device)
        if mean < self._least:
            self._least, self._stale = mean, 0
            self._state = {name: value.clone() for name, value in self._network.state_dict().items()}
        else:
            self._stale += 1
        return mean

    def ends(self) -> bool:
        """Return whether the training ends."""
        return self._stale >= self._stop.patience

    def restore(self) -> None:
        """Give the network the weights that were kept."""
        if self._state:
            self._network.load_state_dict(self._state)


def _outputs(network: nn.Module, model: NetworkPredictor) -> nn.Module:
    """Return the network as it is trained: the logits of all its heads, or its output read as logits."""
    if len(getattr(network, "head_weights", ())) > 1:
        return _AllOutputs(network)
    return Logits(network, model.classes, multiple=model.multiple)


def _with_loss(network: nn.Module, model: NetworkPredictor, loss: Loss) -> tuple[nn.Module, Loss]:
    """Return the network as it is trained, and the loss of what it returns."""
    if len(weights := getattr(network, "head_weights", ())) > 1:
        loss = _weighted_sum(loss, cast("tuple[float, ...]", weights))
    return _outputs(network, model), loss


class _AllOutputs(nn.Module):
    """A network that returns the logits of all its heads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = cast(Any, self.network)
        return cast("tuple[Tensor, ...]", network.decode_all(network.encode(images)))


def _weighted_sum(loss: Loss, weights: tuple[float, ...]) -> Callable[[Any, Tensor], Tensor]:
    def total(outputs: Any, target: Tensor) -> Tensor:
        losses = [weight * loss(logits, target) for weight, logits in zip(weights, outputs, strict=True)]
        return cast(Tensor, sum(losses))

    return total
