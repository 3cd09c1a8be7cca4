"""Synthetic images of skin lesions with exact masks, to try alkit without data. They are computed in memory.

The images imitate difficulties of real dermoscopic images, and are so diverse that it matters which ones are labelled
first. Most lesions are dark, compact and easy to see. Rarer kinds are wide and faint, tiny, hollow, or lighter than the
skin. Hair, rulers, ink, stickers, freckles, gloss, dark or black corners, blur and noise are added. Lesion, overlays
and lens are drawn independently of each other.

Results on these images say nothing about patients. Two decisions shape them:

* Layers absorb light. The brightness is that of the lamp times ``exp(-absorption)`` (Beer-Lambert law), so hair over a
  lesion and lesions in dark corners look realistic.
* Every length is a fraction of the frame, so a larger image shows the same kind of scene with more detail.

The parameters were set by comparing with images of the ISIC 2017 training set and its distribution of lesion areas
(Codella et al., "Skin lesion analysis toward melanoma detection", ISBI 2018, arXiv:1710.05006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.rng import Stream

Plane = npt.NDArray[np.float64]
Range = tuple[float, float]

SMALLEST = 16
MOST_PIXELS = 2**32
"""Smallest side of an image in pixels. In smaller images the smallest lesions would have no pixels."""


@checked
@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of lesion: ranges from which each lesion draws its own values.

    Parameters
    ----------
    share:
        Probability of the kind. The shares of :data:`KINDS` sum to 1.
    area:
        Area as a fraction of the frame, uniform on a logarithmic scale.
    depth:
        Absorption inside. A lesion with negative absorption is lighter than skin.
    soft:
        Width of the border, in radii of the lesion.
    ragged:
        Deviation of the outline from an ellipse, in radii of the lesion.
    patchy:
        Variation of the absorption inside, relative to `depth`.
    hollow:
        Decrease of the absorption in the middle, relative to `depth`. Above 1 the middle is lighter than skin.
    """

    share: float
    area: Range
    depth: Range
    soft: Range
    ragged: Range
    patchy: Range
    hollow: Range = (0.0, 0.0)


KINDS = {
    "mole": Kind(0.30, (0.03, 0.20), (0.4, 1.2), (0.05, 0.25), (0.05, 0.20), (0.1, 0.3)),
    "blotch": Kind(0.20, (0.15, 0.60), (0.4, 1.3), (0.10, 0.40), (0.15, 0.35), (0.3, 0.6), (0.0, 0.5)),
    "faint": Kind(0.17, (0.08, 0.50), (0.10, 0.25), (0.15, 0.40), (0.10, 0.30), (0.2, 0.5), (0.0, 0.4)),
    "speck": Kind(0.13, (0.005, 0.02), (0.3, 1.2), (0.10, 0.40), (0.05, 0.20), (0.0, 0.3)),
    "ring": Kind(0.12, (0.08, 0.45), (0.3, 0.8), (0.10, 0.30), (0.10, 0.30), (0.2, 0.5), (0.8, 1.2)),
    "pale": Kind(0.08, (0.02, 0.25), (-0.25, -0.10), (0.10, 0.30), (0.05, 0.25), (0.2, 0.5)),
}
"""The kinds of lesions by name, the most frequent first."""


@checked_except("n", "size")
def lesions(n: int, size: int = 64, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return `n` grey images with one lesion each, and their masks.

    Image `i` depends only on `seed`, `i` and `size`, so more images do not change the first ones. With other versions
    of numpy or scipy, brightness values may differ by 1.

    Parameters
    ----------
    n:
        Number of images, at least 0. A thousand images of 64 pixels take a few seconds.
    size:
        Height and width in pixels, at least 16.
    seed:
        Seed of all random numbers.

    Returns
    -------
    images:
        ``(n, 1, size, size)``, uint8, from 0 (black) to 255 (white).
    masks:
        ``(n, size, size)``, uint8, 1 on the lesion and 0 elsewhere. A mask is one connected region without holes, as a
        person would outline it, and never empty. Hair or a ruler over a lesion does not change its mask.

    Raises
    ------
    ConfigurationError
        `n` is not an integer >= 0, or `size` is not an integer >= 16.

    Examples
    --------
    >>> images, masks = lesions(4, size=32)
    >>> images.shape, masks.shape
    ((4, 1, 32, 32), (4, 32, 32))
    >>> bool((lesions(2, size=32)[0] == images[:2]).all())
    True
    """
    n, size = check_integer("n", n, least=0), check_integer("size", size, least=SMALLEST)
    if n * size**2 > MOST_PIXELS or size**2 > MOST_PIXELS:
        raise ConfigurationError(f"size must be smaller for {n} images", got=size, expected="4 G pixels in all")
    images = np.empty((n, 1, size, size), np.uint8)
    masks = np.empty((n, size, size), np.uint8)
    root = Stream(seed)
    for i in range(n):
        images[i, 0], masks[i] = _image(root.child("lesion", i).numpy(), size)
    return images, masks


def _image(rng: np.random.Generator, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return one image and its mask."""
    kinds = list(KINDS.values())
    kind = kinds[rng.choice(len(kinds), p=[kind.share for kind in kinds])]
    lesion, inside = _lesion(rng, size, kind)
    tissue = ndimage.gaussian_filter(_skin(rng, size) + lesion, _log_uniform(rng, 0.002, 0.01) * size)
    lamp, field = _lens(rng, size)
    scene = field * (lamp * np.exp(-tissue - _overlay(rng, size)) + _gloss(rng, size))
    sharp = ndimage.gaussian_filter(scene, rng.uniform(0.0, 0.006) * size)
    seen = 255 * sharp + rng.uniform(0.5, 3.0) * rng.standard_normal((size, size))
    mask = _outline(np.where(field > 0.5, inside, inside.min()))  # without pixels that the lens hides
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8), mask


def _lesion(rng: np.random.Generator, size: int, kind: Kind) -> tuple[Plane, Plane]:
    """Return the absorption of one lesion, and the depth of each pixel inside it, in radii (0 on the outline)."""
    soft, ragged, patchy = (rng.uniform(*span) for span in (kind.soft, kind.ragged, kind.patchy))
    radius = np.sqrt(4 * _log_uniform(rng, *kind.area) / np.pi)
    room = np.clip(0.85 - radius, 0.1, 0.45)  # large lesions are near the middle, and all are inside any lens
    cx, cy = np.clip(0.2 * rng.standard_normal(2), -room, room)
    u, v = _rotate(size, cx, cy, rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(1.0, 1.35)
    u, v = u / (radius * stretch), v / (radius / stretch)
    rho, angle = np.hypot(u, v), np.arctan2(v, u)

    waves = np.arange(2, 9)[:, None, None]
    swings = np.cos(waves * angle + rng.uniform(0, 2 * np.pi, waves.shape)) / waves
    outline = 1 + ragged * np.tensordot(rng.standard_normal(len(waves)), swings, 1)
    roughness = 0.6 * ragged * _clouds(rng, size, 0.2 * radius)
    inside = np.maximum(outline, 0.3) - rho + roughness

    tone = (
        patchy * _clouds(rng, size, 0.2 * radius)
        + rng.uniform(0, 0.3) * np.clip(u, -1, 1)
        + rng.uniform(0, 0.6) * (0.5 - rho)
    )
    match rng.integers(3):
        case 0:  # a network: a mesh along the zero lines of noise
            tone += rng.uniform(0.2, 0.6) * (np.exp(-((_clouds(rng, size, 0.02) / 0.4) ** 2)) - 0.4)
        case 1:  # dots and globules: the peaks of noise
            tone += rng.uniform(0.4, 1.0) * np.maximum(_clouds(rng, size, 0.025) - 1, 0)
    hollow = rng.uniform(*kind.hollow) * np.exp(-((rho / rng.uniform(0.45, 0.75)) ** 4))
    fade = _step(inside, soft / 2)
    return rng.uniform(*kind.depth) * fade * (np.maximum(1 + tone, 0.1) - hollow), inside


def _outline(inside: Plane) -> npt.NDArray[np.uint8]:
    """Return the largest connected region in which `inside` is not negative, without holes; at least one pixel."""
    regions, _ = ndimage.label(inside >= min(0.0, float(inside.max())))
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    filled: npt.NDArray[np.uint8] = ndimage.binary_fill_holes(regions == largest).astype(np.uint8)
    return filled


def _skin(rng: np.random.Generator, size: int) -> Plane:
    """Return the absorption of skin: tone, uneven colour, grain and freckles."""
    skin = _log_uniform(rng, 0.2, 0.7) + rng.uniform(0, 0.05) * _clouds(rng, size, 0.15)
    skin += _log_uniform(rng, 0.005, 0.04) * _clouds(rng, size, 0.012)
    if rng.random() < 0.35:
        skin += rng.uniform(0.05, 0.4) * _spots(rng, size, int(rng.integers(1, 40)), (0.015, 0.08))
    return skin


def _overlay(rng: np.random.Generator, size: int) -> Plane:
    """Return the absorption of the layers over the skin. Each layer has its own probability."""
    over = np.zeros((size, size))
    for probability, layer in ((0.4, _hair), (0.1, _stubble), (0.3, _ruler), (0.12, _ink), (0.12, _sticker)):
        if rng.random() < probability:
            over += layer(rng, size)
    return over


def _hair(rng: np.random.Generator, size: int) -> Plane:
    """Return hairs with a common direction and individual bends. Few hairs are more frequent than many."""
    n = int(_log_uniform(rng, 1, 60))
    headings = rng.uniform(0, 2 * np.pi) + rng.uniform(0.1, 0.8) * rng.standard_normal(n)
    starts, lengths, bends = rng.uniform(-1.4, 1.0, (n, 2)), rng.uniform(0.3, 2.0, n), rng.normal(0, 1.2, n)
    strands = _strokes(starts, headings, lengths, bends, size)
    return rng.uniform(0.5, 2.5) * _pen(strands, size, _log_uniform(rng, 0.0015, 0.007))


def _stubble(rng: np.random.Generator, size: int) -> Plane:
    """Return short hairs."""
    n = int(_log_uniform(rng, 10, 80))
    headings = rng.uniform(0, 2 * np.pi) + 0.5 * rng.standard_normal(n)
    stubs = _strokes(rng.uniform(-1, 1, (n, 2)), headings, rng.uniform(0.04, 0.2, n), np.zeros(n), size)
    return rng.uniform(0.5, 2.0) * _pen(stubs, size, 0.006)


def _ruler(rng: np.random.Generator, size: int) -> Plane:
    """Return a line with ticks on one side, more often below the middle than above it."""
    turn, length, n = rng.normal(0, 0.35), rng.uniform(0.7, 1.3), int(rng.integers(11, 32))
    middle = np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.5, 0.85) * (1 if rng.random() < 0.8 else -1)])
    along = length * np.array([np.cos(turn), np.sin(turn)])
    starts = middle + np.linspace(-0.5, 0.5, n)[:, None] * along
    headings = np.r_[turn, np.full(n, turn - np.pi / 2)]
    lengths = np.r_[length, np.where(np.arange(n) % 5, 0.04, 0.08)]
    line_and_ticks = _strokes(np.r_[starts[:1], starts], headings, lengths, np.zeros(n + 1), size)
    return rng.uniform(0.8, 2.0) * _pen(line_and_ticks, size, _log_uniform(rng, 0.003, 0.007))


def _ink(rng: np.random.Generator, size: int) -> Plane:
    """Return a broad and grainy pen stroke, straight or bent to most of a circle."""
    start, heading = rng.uniform(-0.9, 0.9, (1, 2)), rng.uniform(0, 2 * np.pi, 1)
    stroke = _strokes(start, heading, rng.uniform(0.4, 3.5, 1), rng.uniform(0, 5, 1), size)
    grain = np.maximum(1 + 0.6 * _clouds(rng, size, 0.012), 0)
    return rng.uniform(0.5, 1.6) * _pen(stroke, size, rng.uniform(0.02, 0.05)) * grain


def _sticker(rng: np.random.Generator, size: int) -> Plane:
    """Return a round sticker at the edge of the frame."""
    toward = rng.uniform(0, 2 * np.pi)
    u, v = _rotate(size, 1.1 * np.cos(toward), 1.1 * np.sin(toward), 0.0)
    disc = _step(rng.uniform(0.3, 0.5) - np.hypot(u, v), 1 / size)
    return rng.uniform(0.2, 1.5) * disc * np.maximum(1 + 0.15 * _clouds(rng, size, 0.012), 0)


def _lens(rng: np.random.Generator, size: int) -> tuple[Plane, Plane]:
    """Return the brightness of the lamp, and the transparency of the lens, 0 to 1."""
    u, v = _rotate(size, rng.normal(0, 0.05), rng.normal(0, 0.05), rng.uniform(0, 2 * np.pi))
    lamp: Plane = 1 + rng.uniform(0, 0.12) * u + 0.02 * _clouds(rng, size, 0.3)
    lamp *= 1 - rng.choice([0.0, 0.06, 0.17], p=[0.4, 0.35, 0.25]) * (u**2 + v**2)
    u, v = _rotate(size, rng.normal(0, 0.03), rng.normal(0, 0.03), 0.0)
    squeeze = 1.15 if rng.random() < 0.7 else 1.0  # most frames were wide before they were made square
    off = np.hypot(u * squeeze, v / squeeze)
    match rng.choice(3, p=[0.5, 0.35, 0.15]):
        case 0:
            return lamp, np.ones_like(lamp)
        case 1:  # dark corners
            reach, edge = rng.uniform(1.1, 1.35), _log_uniform(rng, 0.01, 0.12)
        case _:  # a round field on black
            reach, edge = rng.uniform(0.8, 1.05), _log_uniform(rng, 0.01, 0.08)
    return lamp, _step(reach - off, edge)


def _gloss(rng: np.random.Generator, size: int) -> Plane:
    """Return the light that glossy skin and bubbles reflect."""
    if rng.random() > 0.2:
        return np.zeros((size, size))
    return rng.uniform(0.1, 0.6) * _spots(rng, size, int(rng.integers(1, 25)), (0.006, 0.03))


def _grid(size: int) -> Plane:
    """Return the centres of the pixels along a side, from -1 to 1."""
    return (np.arange(size, dtype=np.float64) + 0.5) * (2 / size) - 1


def _rotate(size: int, cx: float, cy: float, turn: float) -> tuple[Plane, Plane]:
    """Return the coordinates of all pixels relative to a centre, in axes rotated by an angle."""
    x, y = _grid(size) - cx, _grid(size)[:, None] - cy
    cos, sin = math.cos(turn), math.sin(turn)
    return x * cos + y * sin, y * cos - x * sin


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a random number that is uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _step(height: Plane, width: float) -> Plane:
    """Return a smooth step from 0 for negative `height` to 1 for positive, about `width` wide."""
    return np.asarray(0.5 + 0.5 * np.tanh(height / (2 * width)))


def _clouds(rng: np.random.Generator, size: int, scale: float) -> Plane:
    """Return Gaussian noise of mean 0 and standard deviation 1 with patches about `scale` frames wide."""
    across, down = np.fft.rfftfreq(size, 1 / size), np.fft.fftfreq(size, 1 / size)[:, None]
    matern = 1 / (1 + (across**2 + down**2) * (2 * np.pi * scale) ** 2 / 3)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * matern, s=(size, size))
    return np.asarray((noise - noise.mean()) / noise.std())


def _spots(rng: np.random.Generator, size: int, n: int, radius: Range) -> Plane:
    """Return `n` round soft spots from 0 to 1, with radii in half frames."""
    x, y = rng.uniform(-1, 1, (2, n, 1))
    r = np.maximum(np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]), (n, 1))), 1 / size)
    across, down = (np.exp(-(((_grid(size) - centre) / r) ** 2)) for centre in (x, y))
    spots: Plane = np.einsum("ny,nx->yx", down, across * rng.uniform(0.3, 1.0, (n, 1)))
    return np.minimum(spots, 1.0)


def _strokes(
    starts: npt.NDArray[np.float64],
    headings: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    bends: npt.NDArray[np.float64],
    size: int,
) -> npt.NDArray[np.float64]:
    """Return points along curves with the total bends `bends`, at most half a pixel apart, ``(n, points, 2)``."""
    t = np.linspace(0, 1, 2 + int(lengths.max() * size))
    headings = headings[:, None] + bends[:, None] * t
    steps = np.stack([np.cos(headings), np.sin(headings)], -1) * lengths[:, None, None] / t.size
    return starts[:, None] + np.cumsum(steps, axis=1)


def _pen(strokes: npt.NDArray[np.float64], size: int, width: float) -> Plane:
    """Return the covered share of each pixel, 0 to 1, by strokes that are `width` frames wide."""
    points = (strokes + 1) * size / 2 - 0.5
    length = np.linalg.norm(np.diff(points, axis=1, prepend=points[:, :1]), axis=-1).ravel()
    x, y = points.reshape(-1, 2).T
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    covered = np.zeros((size, size))
    for column, wide in ((left, left + 1 - x), (left + 1, x - left)):
        for row, high in ((top, top + 1 - y), (top + 1, y - top)):
            seen = (column >= 0) & (column < size) & (row >= 0) & (row < size)
            ink = length * width * size * wide * high
            covered += np.bincount(row[seen] * size + column[seen], ink[seen], size**2).reshape(size, size)
    if width * size > 1.5:
        covered = ndimage.gaussian_filter(covered, width * size / 3.5)
    return 1 - np.exp(-covered)
