"""A trial of a network on two images, apart and in one batch: does it treat each image of a batch by itself?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from alkit.errors import AlkitError, ConfigurationError, is_out_of_memory
from alkit.networks.dropout import active_layers, apply_masks
from alkit.networks.reads import watched_reads
from alkit.networks.training import evaluation_mode
from alkit.rng import Stream

CROWD = 2**15
"""Most pixels in the largest batch of a trial, which has at most five images, and at least two."""

Call = tuple[str, tuple[int, ...]]
"""A call of a dropout layer: its name and the shape of its output."""


class Trial(NamedTuple):
    """Two images, and what a network makes of them in evaluation mode.

    Parameters
    ----------
    images:
        The images, ``(1, c, h, w)``.
    outputs, drawn:
        The output for each of them alone, with dropout off and with the masks of :func:`masks`.
    mixes:
        Whether an image has another output if it shares a batch. Also true if the network fails on a batch of two, if
        its output is random, if it calls dropout layers more often for more images, or if it reads values in Python
        or picks rows by them, because others may differ.
    misplaced:
        Shapes, for a batch of two, of the outputs of dropout layers whose first axis is not that of the images.
    stacks:
        Whether the first axis of the output of each dropout layer grows with the number of images.
    drops:
        Whether a dropout layer was called. It may not be for other images, such as black ones.
    alone:
        Whether the memory of the device suffices for one image only. Then `mixes` is true, too, so that each image is
        predicted by itself.
    large:
        Whether the network was tried on noise alone, because no two images are computed at once. Then `mixes` is true.
    """

    images: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    drawn: tuple[Tensor, ...]
    mixes: bool
    misplaced: Mapping[str, tuple[int, ...]]
    stacks: bool
    drops: bool
    alone: bool = False
    large: bool = False


def run_trial(network: nn.Module, image: Tensor, *, large: bool = False) -> Trial:
    """Run a network on an image ``(1, c, h, w)`` and on noise in [0, 1): on each alone, and on both in one batch.

    If images are so `large` that no two are ever computed at once, only on noise alone. Dropout layers of which one
    image does not tell whether the first axis is that of the images need both images nevertheless.

    Raises
    ------
    ConfigurationError
        The network does not accept a single image.
    """
    with without_gradients(network):
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
        noise = torch.empty_like(image).copy_(noise)
        images: tuple[Tensor, ...] = (noise,) if large else (image.clone(), noise)
        # The network gets copies, because it may write into its input.
        with _recorded_calls(network) as alone:
            try:
                outputs = tuple(network(one.clone()) for one in images)
            except AlkitError:
                raise
            except ValueError as error:
                raise ConfigurationError(
                    "the network must accept a single image in evaluation mode",
                    got=error,
                    hint="batch normalisation with track_running_stats=True",
                ) from error
        drawn = outputs
        if alone:
            drawn = tuple(_drawn(network, one) for one in images)
        if large and any(shape[0] != 1 for _, shape in alone):
            return run_trial(network, image)
        if large:
            repeats = close_rows(network(noise.clone()), outputs)
            return Trial(images, outputs, drawn, True, {}, False, bool(alone), large=repeats)
        with _recorded_calls(network) as batched:
            try:
                batch = torch.cat(images)
                with watched_reads(batch) as reads:
                    together = network(batch)
                calls = [len(batched)]
                # Black and white images cross a threshold on the mean of a batch, if one image is near it.
                neighbours = 1 - images[1], torch.zeros_like(images[1]), torch.ones_like(images[1])
                others = [network(torch.cat([images[0], neighbour])) for neighbour in neighbours]
                crowd, crowded = [*images, *neighbours][: max(2, CROWD // images[0][0, 0].numel())], together
                before = len(batched)
                try:
                    if len(crowd) > len(images):
                        crowded = network(torch.cat(crowd))
                        calls.append(len(batched) - before)
                except RuntimeError as reason:
                    if not is_out_of_memory(reason):  # if so, batches of this size cannot be predicted later either
                        raise
            except Exception as reason:  # a network that is written for one image fails in many ways
                return Trial(images, outputs, drawn, True, {}, False, bool(alone), is_out_of_memory(reason))
    pairs = list(zip(alone, batched, strict=False))
    doubled = [two == (2 * one[0], *one[1:]) for (_, one), (_, two) in pairs]
    # A mask for an output that all images share, such as a positional embedding, is the same for all of them.
    misplaced = {
        name: two
        for ((_, one), (name, two)), grown in zip(pairs, doubled, strict=True)
        if not grown and (one != two or one[0] != 1)
    }
    # Batches of one size are computed alike, so what the second image changes in the first is not rounding.
    same = close_rows(together, outputs) and close_rows(crowded[:2], outputs)
    same = same and all(_is_close(other[:1], together[:1], 1e-6) for other in others)
    # A layer that is called for parts of the batch would give each part masks of its own.
    parts = any(2 * number != len(alone) for number in calls)
    mixes = not same or parts or reads.found or any(_needs_a_batch(module) for module in network.modules())
    return Trial(images, outputs, drawn, mixes, misplaced, stacks=all(doubled), drops=bool(alone))


def _drawn(network: nn.Module, image: Tensor) -> Tensor:
    with masks(network, 1):
        return cast(Tensor, network(image.clone()))


def masks(network: nn.Module, n: int, draws: Sequence[int] = (0,)) -> AbstractContextManager[list[str]]:
    """Return a ``with`` block in which the dropout layers apply the masks of some draws to n images each."""
    return apply_masks(active_layers(network), draws, n, Stream(0))


@contextmanager
def without_gradients(network: nn.Module) -> Iterator[None]:
    """Switch a network to evaluation mode without gradients, in a block whose tensors count the writes into them."""
    with evaluation_mode(network), torch.inference_mode(False), torch.no_grad():
        yield


def close_rows(batch: Any, alone: Sequence[Tensor], *, exact: bool = True) -> bool:
    """Return whether the rows of a batch equal the outputs for each image alone, but for rounding.

    A GPU may use other algorithms for other batch sizes, with the 10 bits of TF32 for each factor. At the edge of an
    object this can move a probability by a few hundredths, so there the difference counts on average only.

    Parameters
    ----------
    exact:
        Whether all of the network computes in float32 or better.
    """
    expected = torch.cat(list(alone))
    if not isinstance(batch, Tensor) or batch.shape != expected.shape:
        return False
    exact &= expected.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(expected.device.type)
    if exact and expected.device.type == "cpu":
        return _is_close(batch, expected, 1e-3)
    return _is_close(batch, expected, 2e-2) or _is_close_on_average(batch, expected, 2e-2)


def _needs_a_batch(module: nn.Module) -> bool:
    """Return whether a layer normalises by the statistics of the batch in evaluation mode, too."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None


def _is_close(values: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Return whether no value differs from the expected one by more than a share of the largest of them."""
    values, expected = values.float(), expected.float()
    scale = float(expected.abs().nan_to_num(posinf=0).max()) if expected.numel() else 0.0
    return torch.allclose(values, expected, 0, tolerance * scale + 1e-7, equal_nan=True)


def _is_close_on_average(values: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Return whether the mean squared difference is at most the share `tolerance` squared of the mean square."""
    difference = (values.float() - expected.float()).square().mean()
    return bool(difference <= tolerance**2 * expected.float().square().mean())


@contextmanager
def _recorded_calls(network: nn.Module) -> Iterator[list[Call]]:
    """Yield the list of the calls of dropout layers inside a ``with`` block. It grows inside the block."""
    calls: list[Call] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda layer, inputs, output: calls.append((name, tuple(output.shape)))

    with ExitStack() as hooks:
        for name, layer in active_layers(network).items():
            hooks.callback(layer.register_forward_hook(record(name)).remove)
        yield calls
