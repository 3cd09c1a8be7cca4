"""Draw the picture of the first page, from a real run on synthetic images: ``python docs/figures/overview.py``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import alkit

OUT = Path(__file__).parent / "overview.png"
CHOSEN, LESION = "#d55e00", "#0072b2"


def main() -> None:
    """Choose, label, train, and draw what came out."""
    images, masks = alkit.synthetic.lesions(140, size=64, seed=1)
    everything = alkit.ArrayPool(images)
    mask_of = dict(zip(everything.ids, masks, strict=True))
    pool, test = everything.split(test=60, seed=0)
    oracle = alkit.MaskOracle(mask_of, classes=("skin", "lesion"))
    network = partial(alkit.UNet, widths=(8, 16, 32, 64))
    pretext = alkit.Reconstruction(network, epochs=30)
    learner = alkit.SegmentationLearner(network, epochs=(30, 10), lr=1e-3, warm_start=pretext)
    strategy = alkit.strategy("ssl-cluster", features=pretext, clusters=10)
    experiment = alkit.Experiment(pool, learner, strategy, seed=0)
    history = experiment.run(oracle, test=test, start=10, batch=10, rounds=4)

    figure = Figure(figsize=(12, 4.3), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(10, 4.2, 7))
    left.suptitle(f"1  From {len(pool.ids)} images without labels, alkit chooses {len(history[0].ids)}")
    chosen = set(history[0].ids)
    for axes, id in zip(left.subplots(8, 10).flat, sorted(pool.ids), strict=True):
        _show(axes, pool.read([id])[0, 0], frame=CHOSEN if id in chosen else None)
    middle.suptitle("2  People label them")
    for axes, id in zip(middle.subplots(5, 2).flat, history[0].ids, strict=True):
        _show(axes, pool.read([id])[0, 0], frame=CHOSEN)
        if mask_of[id].any():
            axes.contour(mask_of[id], levels=[0.5], colors=LESION, linewidths=1.5)
    right.suptitle("3  A model learns, and alkit chooses again")
    axes = right.subplots()
    axes.plot(
        [result.n_labels for result in history], [result.metrics["dice"] for result in history], "o-", color=LESION
    )
    axes.set(xlabel="labels", ylabel=f"Dice on {len(test.ids)} test images")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT, dpi=110)
    with Image.open(OUT) as picture:
        picture.convert("RGB").quantize(96).save(OUT, optimize=True)


def _show(axes: Axes, image: np.ndarray, frame: str | None) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=2.5)


if __name__ == "__main__":
    main()
