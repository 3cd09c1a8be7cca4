"""Which ISIC 2017 images show the same lesion, and whether the split parts them.

::

    python -m benchmarks.near_duplicates --data DIR

A model that has learned from one photograph of a lesion knows the other: a pair across pool and test flatters
every result. Two looks at the images, in ``DIR/images``:

- The whole frame: the cosine similarity of 32 x 32 grayscale thumbnails, standardised each. It finds copies that
  lie in the same place, and also many different lesions of the same outline; its histogram is printed, and its
  value stands beside each pair, but it decides nothing.
- Details: SIFT key points (Lowe 2004; descriptors square-rooted after Arandjelovic and Zisserman 2012), matched
  over the whole set and kept where one affine map carries those of one image onto the other's (RANSAC; Fischler
  and Bolles 1981). Affine, because photographs of one lesion are turned, nearer or further, and squashed to a
  square from frames of different shapes. The number of points that agree decides. Colour plays no part.

Limit: two photographs with few details in common, such as a blurred or a very differently lit one, are missed.

Needs OpenCV, which is no dependency of alkit, and FAISS. One thread; some minutes.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit.errors import MissingDependencyError
from benchmarks.isic2017_split import read

try:
    import cv2
    import faiss
except ImportError as reason:
    raise MissingDependencyError(
        f"near-duplicates need {reason.name}", hint="pip install opencv-python-headless faiss-cpu"
    ) from reason

Floats = npt.NDArray[np.float32]
Grays = npt.NDArray[np.uint8]

SIZE = 256
RESULT = Path(__file__).parent / "results" / "near_duplicates.csv"


class Pair(NamedTuple):
    """Two images, by position, and how many key points one affine map carries from the first to the second."""

    a: int
    b: int
    points: int


def grays(files: Sequence[Path]) -> Grays:
    """Return the images, ``(n, 256, 256)``, uint8, squashed to the square."""
    return np.stack(
        [
            np.asarray(Image.open(file).convert("L").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for file in files
        ]
    )


def thumbnail_similarity(images: Grays) -> Floats:
    """Return the cosine similarity of all pairs of standardised 32 x 32 thumbnails, ``(n, n)``, in [-1, 1]."""
    n, block = len(images), SIZE // 32
    rows = images.reshape(n, 32, block, 32, block).mean((2, 4), dtype=np.float32).reshape(n, -1)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows @ rows.T


def key_points(images: Grays, each: int = 200) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Return, for each of m key points, its image ``(m,)``, its place ``(m, 2)`` and its descriptor ``(m, 128)``.

    Contrast is evened out first, and the corners are left out: the dark rim of a dermatoscope is in many images.
    """
    sift = cv2.SIFT_create(nfeatures=each, contrastThreshold=0.01)
    even = cv2.createCLAHE(clipLimit=3, tileGridSize=(8, 8))
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    disc = np.where(np.hypot(y, x) < 0.47 * SIZE, 255, 0).astype(np.uint8)
    owners, places, descriptors = [], [], []
    for position, image in enumerate(images):
        points, found = sift.detectAndCompute(even.apply(image), disc)
        if points:
            owners.append(np.full(len(points), position))
            places.append(np.float32([point.pt for point in points]))
            descriptors.append(np.sqrt(found / found.sum(1, keepdims=True)))
    return np.concatenate(owners), np.concatenate(places), np.concatenate(descriptors).astype(np.float32)


def pairs(images: Grays, neighbours: int = 8, similar: float = 0.88, at_least: int = 5) -> list[Pair]:
    """Return the pairs that share `at_least` matched key points, those with the most agreeing points first.

    Parameters
    ----------
    images:
        ``(n, 256, 256)``, uint8.
    neighbours:
        Nearest descriptors looked at, of the whole set.
    similar:
        Cosine of two descriptors above which they match.
    at_least:
        Matches a pair needs to be looked at. Three points always agree on an affine map.
    """
    owner, place, descriptor = key_points(images)
    faiss.omp_set_num_threads(1)
    cells = max(1, len(owner) // 200)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(128), 128, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(descriptor[:: max(1, len(owner) // (cells * 50))])
    index.add(descriptor)
    index.nprobe = 12
    cosines, nearest = index.search(descriptor, neighbours)

    matches: defaultdict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for p, q in zip(*np.nonzero((cosines > similar) & (nearest >= 0)), strict=True):
        first, second = sorted((int(p), int(nearest[p, q])))  # points are in the order of their images
        if owner[first] != owner[second]:
            matches[int(owner[first]), int(owner[second])].add((first, second))
    found = [
        Pair(a, b, agreeing(place[[p for p, _ in matched]], place[[q for _, q in matched]]))
        for (a, b), matched in sorted((pair, sorted(m)) for pair, m in matches.items() if len(m) >= at_least)
    ]
    return sorted(found, key=lambda pair: (-pair.points, pair))


def agreeing(here: Floats, there: Floats) -> int:
    """Return how many different points the best affine map carries from `here` to `there`, ``(m, 2)`` both.

    To within 4 pixels. A map that mirrors, or stretches some direction beyond the range 0.4 to 2.5, counts as none:
    it explains chance matches, not two photographs.
    """
    cv2.setRNGSeed(0)
    found, inside = cv2.estimateAffine2D(here, there, ransacReprojThreshold=4)
    if found is None:
        return 0
    stretch = np.linalg.svd(found[:, :2], compute_uv=False)
    if np.linalg.det(found[:, :2]) < 0 or stretch.min() < 0.4 or stretch.max() > 2.5:
        return 0
    inside = inside.ravel().astype(bool)
    return min(len(np.unique(side[inside].round(), axis=0)) for side in (here, there))


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description="Find photographs of one lesion among the ISIC 2017 images.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds images/")
    parser.add_argument("--points", type=int, default=8, help="agreeing key points that make a near-duplicate")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    files = sorted((options.data / "images").glob("ISIC_*"))
    ids = [file.stem for file in files]
    side = {id: part for part, members in read().items() for id in members}
    images = grays(files)
    similarity = thumbnail_similarity(images)
    every = similarity[np.triu_indices(len(ids), 1)]
    print("thumbnail similarity: pairs at or above")
    for edge in (0.9, 0.95, 0.97, 0.98, 0.99, 0.995):
        print(f"  {edge:5}  {(every >= edge).sum()}")

    found = pairs(images)
    counts = np.array([pair.points for pair in found])
    print("agreeing key points: pairs")
    for points in np.unique(counts)[::-1]:
        print(f"  {points:3}  {(counts == points).sum()}")

    rows: list[dict[str, Any]] = [
        {
            "a": ids[pair.a],
            "b": ids[pair.b],
            "side_a": side[ids[pair.a]],
            "side_b": side[ids[pair.b]],
            "points": pair.points,
            "thumbnail_similarity": f"{similarity[pair.a, pair.b]:.4f}",
        }
        for pair in found
        if pair.points >= options.points
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["a", "b", "side_a", "side_b", "points", "thumbnail_similarity"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    across = sum(row["side_a"] != row["side_b"] for row in rows)
    print(f"{len(rows)} pairs with {options.points} points or more, {across} of them across pool and test")


if __name__ == "__main__":
    main()
