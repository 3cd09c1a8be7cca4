"""Find ISIC 2017 images that show the same lesion, and count the pairs that the split separates.

::

    python -m benchmarks.isic2017.near_duplicates --data DIR

If two photographs show the same lesion, a model that was trained on one knows the other. Such a pair across pool and
test set makes every result look better than it is. The images in ``DIR/images`` are compared in two ways:

- Whole frames: the cosine similarity of 32 x 32 grayscale thumbnails, each standardised. It is high for copies in the
  same place, but also for different lesions of similar outline, and low for a lesion that was photographed from another
  side. Its histogram is printed, and its value is written beside each pair; it does not decide.
- Details: SIFT key points (Lowe 2004; descriptors square-rooted after Arandjelovic and Zisserman 2012) are matched over
  the whole set. If one affine map carries some points of one image onto the other's (RANSAC; Fischler and Bolles 1981),
  the map is refined (ECC; Evangelidis and Psarakis 2008), and the resemblance is the correlation of the fine structure
  of both images under it. The resemblance decides: it is 1 for the same picture, and chance matches stay below 0.5. The
  map is affine because photographs of one lesion differ in rotation and distance, and frames of different shapes were
  resized to a square. Colour is not used.

Result for the copy at 256 x 256: 46 pairs, 15 of them across pool and test set. We looked at all of them side by side;
all except one pair within the pool clearly show one lesion twice (near_duplicates_seen.csv). The other matches stay
below 0.45 and are mostly chance. Limit: two photographs with few common details, such as a blurred or hairy one, are
missed, so the number of pairs is a lower bound.

Needs OpenCV and FAISS (``pip install "alkit[benchmarks,cpu]"``). Takes some minutes on one thread.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit.errors import MissingDependencyError
from benchmarks.isic2017.split import read
from benchmarks.terminal import start

try:
    import cv2
    import faiss
except ImportError as error:
    raise MissingDependencyError(
        f"the search for near-duplicates needs the package {error.name}",
        hint='pip install "alkit[benchmarks,cpu]"',
    ) from error

Floats = npt.NDArray[np.floating]
Grays = npt.NDArray[np.uint8]

SIZE = 256
RESULT = Path(__file__).parents[1] / "results" / "near_duplicates.csv"

_y, _x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
DISC = (np.hypot(_y, _x) < 0.46 * SIZE).astype(np.float32)
"""The part of each image that is compared. It leaves out the dark rim of the dermatoscope in the corners."""

FEWEST = 4
"""Number of key points that must agree. Three points always lie on some affine map."""


class Pair(NamedTuple):
    """Two images by position, the number of key points that one map carries from `a` to `b`, and the resemblance."""

    a: int
    b: int
    points: int
    resemblance: float


def read_grays(files: Sequence[Path]) -> Grays:
    """Return the images, ``(n, 256, 256)``, uint8, resized to a square."""
    resized = (Image.open(file).convert("L").resize((SIZE, SIZE), Image.Resampling.BICUBIC) for file in files)
    return np.stack([np.asarray(image) for image in resized])


def thumbnail_similarity(images: Grays) -> Floats:
    """Return the cosine similarity of all pairs of standardised 32 x 32 thumbnails, ``(n, n)``, in [-1, 1]."""
    n, block = len(images), SIZE // 32
    rows = images.reshape(n, 32, block, 32, block).mean((2, 4), dtype=np.float32).reshape(n, -1)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return np.asarray(rows @ rows.T)


def near_duplicates(images: Grays) -> list[Pair]:
    """Return the pairs that an affine map carries onto each other, by decreasing resemblance.

    The resemblance of a pair is the higher of two: with the map as fitted, and as refined, because refining may fail.
    """
    found = []
    for a, b, here, there in matches(images):
        rough, points = fit_affine(here, there)
        if points >= FEWEST and is_plausible(rough):
            maps = rough, refine(images[a], images[b], rough)
            alike = max(resemblance(images[a], images[b], affine) for affine in maps if is_plausible(affine))
            found.append(Pair(a, b, points, alike))
    return sorted(found, key=lambda pair: -pair.resemblance)


def key_points(images: Grays, each: int = 200) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Return the image ``(m,)``, place ``(m, 2)`` and descriptor ``(m, 128)`` of each of m key points."""
    sift = cv2.SIFT_create(nfeatures=each, contrastThreshold=0.01)
    even = cv2.createCLAHE(clipLimit=3, tileGridSize=(8, 8))
    owners, places, descriptors = [], [], []
    for position, image in enumerate(images):
        points, found = sift.detectAndCompute(even.apply(image), DISC.astype(np.uint8))
        if points:
            owners.append(np.full(len(points), position))
            places.append(np.array([point.pt for point in points], np.float32))
            descriptors.append(np.sqrt(found / found.sum(1, keepdims=True), dtype=np.float32))
    return np.concatenate(owners), np.concatenate(places), np.concatenate(descriptors)


def matches(images: Grays, neighbours: int = 8, similar: float = 0.88) -> Iterator[tuple[int, int, Floats, Floats]]:
    """Yield pairs of images with enough common key points, and the places of these points in both, ``(m, 2)``.

    Parameters
    ----------
    images:
        ``(n, 256, 256)``, uint8.
    neighbours:
        Number of nearest descriptors in the whole set that may match a descriptor, itself included.
    similar:
        Cosine of two descriptors above which they match.
    """
    owner, place, descriptor = key_points(images)
    faiss.omp_set_num_threads(1)
    cells = max(1, len(owner) // 200)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(128), 128, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(descriptor[:: max(1, len(owner) // (cells * 50))])
    index.add(descriptor)
    index.nprobe = 12
    cosines, nearest = index.search(descriptor, neighbours)

    shared: defaultdict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for p, rank in np.argwhere((cosines > similar) & (nearest >= 0)):
        first, second = sorted((int(p), int(nearest[p, rank])))  # points lie in the order of their images
        if owner[first] != owner[second]:
            shared[int(owner[first]), int(owner[second])].add((first, second))
    for (a, b), points in sorted(shared.items()):
        if len(points) >= FEWEST:
            here, there = np.array(sorted(points)).T
            yield a, b, place[here], place[there]


def fit_affine(here: Floats, there: Floats) -> tuple[Floats, int]:
    """Return the affine map ``(2, 3)`` that carries most points of `here` to `there` within 4 pixels; and how many."""
    cv2.setRNGSeed(0)
    affine, inside = cv2.estimateAffine2D(here, there, ransacReprojThreshold=4)
    if affine is None:
        return np.eye(2, 3), 0
    kept = inside.ravel().astype(bool)
    return affine, min(len(np.unique(side[kept].round(), axis=0)) for side in (here, there))


def is_plausible(affine: Floats) -> bool:
    """Say whether a map can relate two photographs: it does not mirror, and scales every direction by 0.4 to 2.5."""
    stretch = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(np.linalg.det(affine[:, :2]) > 0 and stretch.min() >= 0.4 and stretch.max() <= 2.5)


def refine(a: Grays, b: Grays, affine: Floats) -> Floats:
    """Return the map near `affine` under which the coarse structure of both images agrees best, or `affine` itself."""
    inverse = cv2.invertAffineTransform(affine).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
    try:
        _, inverse = cv2.findTransformECC(
            band_pass(b, 2, 8), band_pass(a, 2, 8), inverse, cv2.MOTION_AFFINE, stop, DISC.astype(np.uint8), 5
        )
    except cv2.error:  # it does not converge
        return affine
    return np.asarray(cv2.invertAffineTransform(inverse))


def resemblance(a: Grays, b: Grays, affine: Floats) -> float:
    """Return the correlation of the fine structure of `a`, moved by `affine`, and `b`; 0 if they hardly overlap."""
    overlap = cv2.warpAffine(DISC, affine, (SIZE, SIZE)) * DISC > 0.99
    if overlap.sum() < 0.2 * DISC.sum():
        return 0.0
    moved = cv2.warpAffine(a, affine, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    return float(np.corrcoef(band_pass(moved, 1.5, 5)[overlap], band_pass(b, 1.5, 5)[overlap])[0, 1])


def band_pass(image: Grays, fine: float, coarse: float) -> Floats:
    """Return the structure of `image` between two widths in pixels, scaled to the same contrast everywhere."""
    pixels = image.astype(np.float32)
    band = cv2.GaussianBlur(pixels, (0, 0), fine) - cv2.GaussianBlur(pixels, (0, 0), coarse)
    return np.asarray(band / np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 2 * coarse) + 1))


def print_counts(title: str, values: Floats, edges: Sequence[float]) -> None:
    """Print the number of `values` that reach each edge."""
    print(f"{title}, number of pairs that reach:")
    for edge in edges:
        print(f"  {edge:<5}  {(values >= edge).sum()}")


def main() -> None:
    """Find the pairs, and print and write them."""
    parser = argparse.ArgumentParser(description="Find photographs of one lesion among the ISIC 2017 images.")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/")
    parser.add_argument("--threshold", type=float, default=0.5, help="lowest resemblance of a near-duplicate")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    side = {id: part for part, ids in read().items() for id in ids}
    files = sorted((options.data / "images").glob("ISIC_*"))
    ids = [file.stem for file in files]
    images = read_grays(files)

    thumbnails = thumbnail_similarity(images)
    every = thumbnails[np.triu_indices(len(ids), 1)]
    print_counts("thumbnail similarity", every, (0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.9))
    pairs = near_duplicates(images)
    alike = np.array([pair.resemblance for pair in pairs])
    print_counts("resemblance", alike, (0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.2))

    found = [pair for pair in pairs if pair.resemblance >= options.threshold]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["a", "b", "side_a", "side_b", "resemblance", "points", "thumbnail_similarity"])
        for a, b, points, value in found:
            sides = side[ids[a]], side[ids[b]]
            table.writerow([ids[a], ids[b], *sides, f"{value:.3f}", points, f"{thumbnails[a, b]:.4f}"])
    across = sum(side[ids[pair.a]] != side[ids[pair.b]] for pair in found)
    print(f"{len(found)} pairs with a resemblance of at least {options.threshold}, {across} across pool and test set")


if __name__ == "__main__":
    start(main)
