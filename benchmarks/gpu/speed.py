"""Time of scoring, features, K-means and training on a device, training beside a bare loop; one row per measurement.

Each measurement runs once to warm up and then `repeats` times; a row has the median, and the least and the most. The
bare loop trains the same network with the same loss, optimizer, batches and number of steps, in two forms: with all
images on the device as float32, scaled beforehand, and with autocast to bfloat16 in addition.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import alkit
from alkit.features import FittedReconstruction, kmeans
from alkit.learners import NetworkPredictor, segmentation_loss
from alkit.networks import adam, make_network, minibatches
from alkit.rng import Stream, seed_torch
from alkit.scores import Scoring, entropy
from benchmarks import rows
from benchmarks.cost.training import SPEC, Labels
from benchmarks.gpu.machine import facts
from benchmarks.gpu.usage import Usage


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements: the defaults are those of the paper's protocol."""

    size: int = 256
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    images: int = 320
    draws: int = 20
    batch: int = 10
    clusters: int = 10
    repeats: int = 5


TINY = Sizes(size=32, widths=(2, 4), images=12, draws=2, clusters=2, repeats=1)
"""Sizes for a rehearsal."""


Work = Callable[[], object]


def works(device: str, sizes: Sizes) -> Iterator[tuple[str, int, Work]]:
    """Yield the measurements: a name, the number of images that pass through the network once, and the work."""
    images, masks = alkit.synthetic.lesions(sizes.images, size=sizes.size)
    pool = alkit.ArrayPool(images, scale="minmax")
    network = partial(alkit.UNet, widths=sizes.widths)
    labels = Labels(pool, masks)
    for precision in ("32-true", "bf16-mixed"):
        learner = alkit.SegmentationLearner(
            network, epochs=(1, 1), batch=sizes.batch, device=device, precision=precision
        )
        fit = partial(learner.fit, labels)
        yield f"training {precision}", len(pool), lambda fit=fit: fit(np.random.default_rng(0))
        loop = bare_loop(network, pool.read(pool.ids), masks, sizes.batch, device, precision)
        yield f"bare loop {precision}", len(pool), loop
    built = make_network(network, in_channels=1, classes=2, stream=Stream(0))
    model = alkit.SegmentationLearner(network, device=device).loads(NetworkPredictor(built, 1, 2).dumps())

    def score(sampler: alkit.protocols.Sampler) -> object:
        return Scoring(pool, model, Stream(0)).scores(pool.ids, entropy, sampler)

    yield f"entropy of {sizes.draws} dropout draws", len(pool), partial(score, alkit.Dropout(sizes.draws))
    yield "entropy of the prediction", len(pool), partial(score, alkit.samplers.Deterministic())
    fitted = FittedReconstruction(make_network(network, in_channels=1, classes=1, stream=Stream(0)).to(device), 2)
    ids = list(pool.ids)
    parts = [ids[begin : begin + 16] for begin in range(0, len(ids), 16)]
    yield "features", len(pool), lambda: [fitted.features(pool.read(part)) for part in parts]
    width = 4 * sizes.widths[-1]
    table = np.random.default_rng(0).standard_normal((5 * len(ids), width)).astype(np.float32)
    names = [f"{row:05}" for row in range(len(table))]
    yield (
        f"k-means of {width} features",
        len(table),
        lambda: kmeans(table, names, sizes.clusters, np.random.default_rng(0)),
    )
    pretext = partial(alkit.Reconstruction, network, epochs=1, device=device)
    yield "one epoch of the pretext", len(pool), lambda: without_cache(pretext, pool)
    count, k = (50_000, 500) if sizes.size > 100 else (6000, 200)
    large = np.random.default_rng(0).standard_normal((count, 64)).astype(np.float32)
    many = [f"{row:06}" for row in range(count)]
    for where in dict.fromkeys((device, "cpu")):
        yield (
            f"k-means of {count} rows into {k} clusters on {where}",
            count,
            partial(kmeans, large, many, k, np.random.default_rng(0), where),
        )


def without_cache(pretext: Callable[..., alkit.Reconstruction], pool: alkit.ArrayPool) -> object:
    """Train a pretext whose weights are not in the cache."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return pretext(cache=folder).fit(pool, np.random.default_rng(0))


def bare_loop(
    network: partial[alkit.UNet], images: np.ndarray, masks: np.ndarray, batch: int, device: str, precision: str
) -> Work:
    """Return the training of one epoch without alkit's learner."""
    kind = torch.device(device).type

    @cache
    def data() -> tuple[torch.Tensor, torch.Tensor]:
        on_device = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
        return on_device, torch.from_numpy(masks).long().to(device)

    def run() -> float:
        on_device, targets = data()
        stream = Stream(0)
        built = make_network(network, in_channels=1, classes=2, stream=stream)
        model = built.to(device, memory_format=torch.channels_last).train()
        optimizer, loss = adam(model, 1e-4), segmentation_loss(SPEC)
        total = torch.zeros((), device=device)
        with seed_torch(stream.child("dropout")):
            for positions in minibatches(len(images), batch, stream.child("order")):
                optimizer.zero_grad(set_to_none=True)
                chosen = torch.as_tensor(positions, device=device)
                mixed = torch.autocast(kind, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
                with mixed:
                    logits = model(on_device[chosen])
                value = loss(logits, targets[chosen])
                value.backward()
                optimizer.step()
                total += value.detach()
        return float(total)

    return run


def measure(file: Path, device: str, sizes: Sizes, left: Callable[[], float]) -> None:
    """Append a row for each measurement that the file lacks, until no time is left.

    Parameters
    ----------
    left:
        Returns the seconds that are left.
    """
    on_gpu = torch.device(device).type == "cuda"
    about = facts(device)
    earlier = rows.read(file)
    done = {(row["work"], row["machine"], row["commit"]) for row in earlier}
    known = {row["work"] for row in earlier if row["machine"] == about["machine"]}
    # First those that were never measured on this machine.
    for name, count, work in sorted(works(device, sizes), key=lambda one: one[0] in known):
        if left() <= 0:
            return
        if (name, about["machine"], about["commit"]) in done:
            continue
        seconds_of(work, on_gpu)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        times: list[float] = []
        with Usage() as usage:
            while len(times) < sizes.repeats and (not times or left() > times[-1]):
                times.append(seconds_of(work, on_gpu))
        rows.append(
            file,
            [{"work": name, "images": count, "size": sizes.size, "widths": "-".join(map(str, sizes.widths)),
              "seconds": round(statistics.median(times), 4), "least": round(min(times), 4),
              "most": round(max(times), 4), "repeats": len(times),
              "images_per_s": round(count / statistics.median(times), 1),
              "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else "",
              "utilisation": "" if usage.utilisation is None else usage.utilisation, **about}],
        )  # fmt: skip
        print(f"{name}: {statistics.median(times):.3f} s", flush=True)


def seconds_of(work: Work, on_gpu: bool) -> float:
    """Return the duration of some work, until the device has finished."""
    start = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start
