"""A map of the pool: each image is a dot, and images that look alike lie close to each other.

The places come from the features that the strategy of the record uses, if they are on disk: nothing is trained or
computed by a network for a page. Without them, images are compared by their pixels at a small size. A map of few images
is made by t-SNE, which shows groups well; a larger one by the first two principal components, which take a moment for
any number of images.

References
----------
van der Maaten, Hinton. "Visualizing Data using t-SNE". Journal of Machine Learning Research 9 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import cache_folder
from alkit.configuration.construct import build
from alkit.configuration.forms import opaque_parts, written_form
from alkit.configuration.versions import to_former
from alkit.errors import AlkitError
from alkit.features.clustering import kmeans
from alkit.features.embeddings import Embeddings
from alkit.features.kept_rows import find_kept_rows
from alkit.features.row_index import image_digests
from alkit.pages.campaign import Campaign
from alkit.pools.batches import batches
from alkit.pools.checks import image_shape
from alkit.protocols import FeatureExtractor, HasDigests, Pool
from alkit.rng import Stream
from alkit.strategies.functions import extractors_in
from alkit.values.clusters import Clusters

Rows = npt.NDArray[np.float32]

MOST_NEIGHBOURS = 1500
"""Greatest number of images that t-SNE places; it takes a few seconds for so many."""

COMPONENTS = 50
"""Number of principal components that images are compared by."""

SMALL = 16
"""Height and width at which images are compared by their pixels, or less."""

MOST_READ = 2**30
"""Greatest number of pixel values that are read to compare images without features."""

MOST_KINDS = 12
"""Greatest number of kinds of images."""

MOST_DRAWN = 20_000
"""Greatest number of images on a map; of more, those that were never asked for are drawn at random."""

RARE = 0.4
"""A kind is rare if its number of images is below this part of the mean over the kinds."""


@dataclass(frozen=True, eq=False)
class Map:
    """The places of images.

    Parameters
    ----------
    ids:
        The images.
    places:
        ``(n, 2)``, in [0, 1].
    kinds:
        The kinds of images, as clusters.
    by:
        What images are compared by, in words.
    method:
        ``t-SNE`` or ``principal components``.
    """

    ids: tuple[str, ...]
    places: npt.NDArray[np.float64]
    kinds: Clusters
    by: str
    method: str

    @property
    def rare(self) -> list[int]:
        """Numbers of the kinds with few images."""
        sizes = self.kinds.sizes
        return [kind for kind, size in enumerate(sizes) if size < RARE * np.mean(sizes)]


def make_map(campaign: Campaign) -> Map | str:
    """Return the map of a campaign, or why there is none, as a clause."""
    if campaign.pool is None:
        return campaign.why_no_pool
    if len(campaign.ids) < 3:
        return "there are fewer than three images that can be read"
    rng = Stream(campaign.settings.seed).child("page").numpy()
    drawn = _drawn(campaign, rng)
    known = features_on_disk(campaign, drawn)
    if known is None:
        if len(drawn) * int(np.prod(image_shape(campaign.pool))) > MOST_READ:
            return "no features of the images are on disk, and there are too many pixels to compare"
        height, width = (min(SMALL, side) for side in image_shape(campaign.pool)[1:])
        known = drawn, _small_pixels(campaign.pool, drawn), f"their pixels at {height} x {width}"
    ids, rows, by = known
    if not np.ptp(rows, axis=0).any():
        return f"all images are alike by {by}"
    rows = _principal(rows)
    kinds = kmeans(rows, ids, min(MOST_KINDS, max(2, len(ids) // 20)), rng)
    places, method = _places(rows)
    return Map(tuple(ids), places, kinds, by, method)


def _drawn(campaign: Campaign, rng: np.random.Generator) -> Sequence[str]:
    """Return the images that are drawn, sorted: all, or those that were asked for and some others."""
    ids = campaign.ids
    if len(ids) <= MOST_DRAWN:
        return ids
    asked = {entry.query.id for entry in campaign.snapshot.asked} | campaign.labels.keys()
    first, others = [id for id in ids if id in asked], [id for id in ids if id not in asked]
    room = max(0, MOST_DRAWN - len(first))
    return sorted([*first[:MOST_DRAWN], *(others[row] for row in rng.choice(len(others), room, replace=False))])


def features_on_disk(campaign: Campaign, ids: Sequence[str]) -> tuple[Sequence[str], Rows, str] | None:
    """Return the images whose features are on disk or in a file, their features, and what these are in words.

    At least nine in ten images must have them.
    """
    if campaign.pool is None:
        return None
    for extractor in _extractors(campaign):
        try:
            found = _rows_of(campaign.pool, ids, extractor)
        except (AlkitError, OSError, ImportError):
            continue
        if found is not None and len(found[0]) >= max(3, 0.9 * len(ids)):
            return *found, f"the features of {type(extractor).__name__}"
    return None


def _extractors(campaign: Campaign) -> list[FeatureExtractor]:
    found: list[FeatureExtractor] = []
    for name in ("strategy", "initial"):
        form = campaign.settings.declared.get(name)
        try:
            found += [] if form is None else extractors_in(build(form, "strategy"))
        except AlkitError:  # a plugin that is not installed here, for example
            continue
    return found


def _rows_of(pool: Pool, ids: Sequence[str], extractor: FeatureExtractor) -> tuple[Sequence[str], Rows] | None:
    if isinstance(extractor, Embeddings):  # which reads them from a file
        fitted = extractor.fit(pool, np.random.default_rng(0))
        return ids, np.asarray(fitted.rows(list(ids)), np.float32)
    form: Any = written_form(extractor)
    if opaque_parts(form) or not isinstance(pool, HasDigests):
        return None
    digests = pool.digests()
    images = image_digests(image_shape(pool), getattr(pool, "scale", None), [digests[id] for id in ids])
    folder = cache_folder(getattr(extractor, "cache", None)) / "features"
    found = find_kept_rows(folder, to_former(form), images)
    return None if found is None else ([id for id, known in zip(ids, found[1], strict=True) if known], found[0])


def _small_pixels(pool: Pool, ids: Sequence[str]) -> Rows:
    """Return the means of images over blocks of pixels, ``(n, d)``."""
    parts = []
    for some in batches(list(ids), pool):
        images = pool.read(some)
        for axis in (2, 3):
            length = images.shape[axis]
            if length > SMALL:
                starts = np.arange(SMALL) * length // SMALL
                counts = np.diff([*starts, length]).astype(np.float32)
                means = np.add.reduceat(images, starts, axis=axis) / (counts[:, None] if axis == 2 else counts)
                images = means.astype(np.float32)
        parts.append(images.reshape(len(some), -1))
    return np.concatenate(parts)


def _principal(rows: Rows) -> Rows:
    """Return the first principal components of some rows."""
    from sklearn.decomposition import PCA

    components = min(COMPONENTS, *rows.shape)
    found = PCA(components, svd_solver="covariance_eigh" if rows.shape[1] <= 2000 else "randomized", random_state=0)
    return np.ascontiguousarray(found.fit_transform(np.asarray(rows, np.float32)), np.float32)


def _places(rows: Rows) -> tuple[npt.NDArray[np.float64], str]:
    if 30 <= len(rows) <= MOST_NEIGHBOURS and rows.shape[1] > 2:
        from sklearn.manifold import TSNE

        close = TSNE(perplexity=min(30, len(rows) // 4), init="pca", random_state=0)
        return _unit(close.fit_transform(rows)), "t-SNE"
    two = rows[:, :2] if rows.shape[1] > 1 else np.column_stack([rows[:, 0], np.zeros(len(rows))])
    return _unit(two), "principal components"


def _unit(places: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return places moved into [0, 1]; the farthest two in a thousand may lie on the edge."""
    low, high = np.percentile(places, [0.1, 99.9], axis=0)
    moved: npt.NDArray[np.float64] = np.clip((places - low) / np.where(high > low, high - low, 1), 0, 1)
    return moved
