"""Training for one epoch, on any device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.errors import AlkitError, ConfigurationError, is_out_of_memory
from alkit.networks.computation import Computation
from alkit.networks.repeatable import repeatable
from alkit.networks.turns import alone_with
from alkit.rng import Stream, seed_torch

MOST_EXAMPLES = 10**8
"""Greatest number of examples of an epoch, whose order is drawn at once."""

Loss = Callable[[Tensor, Tensor], Tensor]
Example = tuple[Tensor, Tensor]
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@checked
def adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    """Return an Adam optimizer of the network's parameters, without weight decay."""
    return torch.optim.Adam(network.parameters(), lr=check_number("rate", rate, 0))


def check_trainable(network: nn.Module) -> None:
    """Raise a :class:`ConfigurationError` if a network has no weights to train."""
    if not any(weights.requires_grad for weights in network.parameters()):
        raise ConfigurationError(
            f"network {type(network).__name__} must have weights to train",
            got="only frozen weights" if list(network.parameters()) else "a network without weights",
            hint="requires_grad_(True) for some weights",
        )


@checked
def minibatches(count: int, size: int, stream: Stream) -> list[Sequence[int]]:
    """Shuffle ``range(count)`` into ceil(count / size) batches whose sizes differ by at most one.

    The sizes are even because batch normalisation cannot compute a variance of a batch of one image.

    >>> [len(batch) for batch in minibatches(21, 10, Stream(0))]
    [7, 7, 7]
    """
    size = check_integer("size", size, least=1)
    order = stream.numpy().permutation(check_integer("count", count, least=1, most=MOST_EXAMPLES))
    return [part.tolist() for part in np.array_split(order, math.ceil(count / size))]


def train_epoch(
    computation: Computation,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Iterable[Example],
    loss: Loss,
    stream: Stream,
    augment: Augment | None = None,
    after: Callable[[], None] | None = None,
) -> float:
    """Take one optimizer step per batch of examples, and return the mean loss of the batches.

    The network is in training mode afterwards.

    Parameters
    ----------
    computation:
        Device and precision.
    network, optimizer:
        Network on this device, and the optimizer of its weights.
    examples:
        Batches of images and targets.
    loss:
        From logits and targets to a scalar.
    stream:
        Random stream of dropout.
    augment:
        Changes images and targets on the device before each step; None for no change.
    after:
        Called after each step.

    Raises
    ------
    ConfigurationError
        The network cannot compute a batch, or the mean loss is not finite.
    """
    network.train()
    total, steps = torch.zeros((), device=computation.device), 0
    with seed_torch(stream):
        for inputs, target in examples:
            optimizer.zero_grad(set_to_none=True)
            images, targets = computation.move(inputs), computation.move(target)
            if augment is not None:
                images, targets = augment(images, targets)
            with _explained(network, images), repeatable(computation.device):
                value = loss(computation.run(network, images), targets)
                computation.step(value, optimizer)
            if after is not None:
                after()
            total += value.detach()
            steps += 1
    mean = float(total) / max(steps, 1)
    if not math.isfinite(mean):
        raise ConfigurationError(
            "training diverged", got=f"a mean loss of {mean}", hint="a smaller lr= or precision='32-true'"
        )
    return mean


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Switch the network to evaluation mode without gradients, inside a ``with`` block.

    Other threads that do the same wait until its end.
    """
    with alone_with(network), _evaluated(network), torch.inference_mode():
        yield network


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    modules = list(network.modules())
    training = [module for module in modules if module.training]
    if any(type(module).train is not nn.Module.train or "training" not in vars(module) for module in modules):
        with _by_its_own_methods(network):
            yield
        return
    # To set attributes of modules in the usual way for each draw takes longer than a draw of a small network.
    for module in training:
        vars(module)["training"] = False
    try:
        yield
    finally:
        for module in training:
            vars(module)["training"] = True


@contextmanager
def _by_its_own_methods(network: nn.Module) -> Iterator[None]:
    """Switch a network of which a part does more than usual when its mode changes."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


@contextmanager
def _explained(network: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Turn an error of a network in training, which may be of any type, into one that names the network."""
    try:
        yield
    except AlkitError:
        raise
    except Exception as reason:
        n, _, *size = inputs.shape
        alone = n == 1 and "more than 1 value per channel" in str(reason)
        view = "view size is not compatible" in str(reason)
        raise ConfigurationError(
            f"network {name_of(network)} cannot be trained on {n} image{'s' if n != 1 else ''} of "
            f"{' x '.join(map(str, size[::-1]))} pixels in a batch ({str(reason).strip() or type(reason).__name__})",
            hint="a smaller batch=, a smaller size= of the pool, or device='cpu'"
            if is_out_of_memory(reason)
            else "more labels, because batch normalisation needs two images in a batch"
            if alone
            else "reshape or flatten in place of view in the network, because images have their channels last in memory"
            if view
            else "another size= of the pool, or another network",
        ) from reason


def name_of(network: nn.Module) -> str:
    """Return the class of a network inside the wrappers of alkit."""
    network = getattr(network, "_orig_mod", network)  # of a compiled network
    while type(network).__module__.partition(".")[0] == "alkit":
        inner = getattr(network, "network", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return type(network).__name__
