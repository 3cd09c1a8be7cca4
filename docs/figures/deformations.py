"""Draw ``deformations.png``: some images, and what each deformation makes of them.

::

    python docs/figures/deformations.py --images DIR

Without ``--images`` it draws a disc on a gradient.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from alkit.features import Deformation, flip, paint, remap_intensity, shuffle_locally

COLUMNS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "original": lambda images, _: images,
    "flip": lambda images, generator: flip(images, generator, p=1),
    "shuffle": lambda images, generator: shuffle_locally(images, generator, p=1),
    "remap": lambda images, generator: remap_intensity(images, generator, p=1),
    "paint in": lambda images, generator: paint(images, generator, p=1, inward=1),
    "paint out": lambda images, generator: paint(images, generator, p=1, inward=0),
    "all": lambda images, generator: Deformation()(images, generator)[0],
}


def disc_on_gradient(size: int) -> Tensor:
    """Return one image, ``(1, 1, size, size)``."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    disc = (rows - 0.45) ** 2 + (columns - 0.55) ** 2 < 0.06
    return torch.where(disc, 0.2, 0.4 + 0.6 * columns)[None, None]


def read(folder: Path, count: int, size: int) -> Tensor:
    """Return images spread over the sorted names, ``(count, 1, size, size)``, gray, each from 0 to 1."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in {".jpg", ".jpeg", ".png"})
    chosen = [files[i * len(files) // count] for i in range(count)]
    small = [Image.open(file).convert("L").resize((size, size), Image.Resampling.BICUBIC) for file in chosen]
    images = torch.stack([F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True) for image in small])
    least, most = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - least) / (most - least)


def main() -> None:
    """Draw the grid."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, help="folder of .jpg or .png files")
    parser.add_argument("--count", type=int, default=4, help="images from the folder")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    args = parser.parse_args()

    images = read(args.images, args.count, args.size) if args.images else disc_on_gradient(args.size)
    generator = torch.Generator().manual_seed(args.seed)
    figure, axes = plt.subplots(
        len(images),
        len(COLUMNS),
        figsize=(1.2 * len(COLUMNS), 1.2 * len(images) + 0.2),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for column, (title, deformed) in zip(axes.T, COLUMNS.items(), strict=True):
        column[0].set_title(title, fontsize=9)
        for axis, image in zip(column, deformed(images, generator), strict=True):
            axis.imshow(image[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120)
    Image.open(drawn).convert("L").quantize(64).save(args.out, optimize=True)  # noise does not compress


if __name__ == "__main__":
    main()
