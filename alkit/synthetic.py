"""Made-up dermoscopy: images of skin lesions with exact masks, drawn in memory, for trying things without data.

They imitate what makes real dermoscopic images hard to segment, and are mixed enough that it matters which ones are
labelled first. The commonest lesions are dark, compact and plain to see; rarer kinds are wide and faint, tiny, hollow,
or lighter than the skin around them. Over them lie hair, rulers, ink, stickers, freckles, gloss, a lens that darkens
or cuts off the corners, blur and noise. Lesion, overlay and lens are drawn independently of each other.

Nothing measured on these images says anything about patients. Two decisions shape them:

* Light is multiplied, not painted: every layer absorbs, and brightness is the lamp times ``exp(-absorption)``
  (Beer-Lambert), so that hair over a lesion, or a lesion in a dark corner, looks as it would.
* Every length is a fraction of the frame, so that a larger image shows the same sort of scene more finely.

The kinds and their parameters were set by eye, beside images of the ISIC 2017 training set (Codella et al., "Skin
lesion analysis toward melanoma detection", ISBI 2018, arXiv:1710.05006), and by the spread of lesion areas there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alkit.errors import ConfigurationError
from alkit.rng import Stream

Plane = npt.NDArray[np.float64]
Range = tuple[float, float]

SMALLEST = 16
"""The smallest side of an image, in pixels: below it the smallest lesions have no pixel left."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What lesions of one kind have in common; each lesion draws its own values from the ranges.

    Parameters
    ----------
    share:
        How often the kind is met; the shares of :data:`KINDS` sum to 1.
    area:
        Part of the frame it covers, drawn evenly on a logarithmic scale.
    depth:
        Absorption inside; negative is lighter than skin.
    soft:
        Width of the border, in lesion radii.
    ragged:
        How far the outline strays from an ellipse, in lesion radii.
    patchy:
        How uneven the inside is, relative to `depth`.
    hollow:
        Absorption lost in the middle, relative to `depth`; above 1 the middle is lighter than skin.
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
"""The kinds of lesion by name, the commonest first."""


def lesions(n: int, size: int = 64, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw `n` grey images, each with one lesion, and their masks.

    Image `i` depends on `seed`, `i` and `size` alone: the first of many are the same as few, and no other use of
    chance changes them. Another version of numpy or scipy may move a brightness by a level.

    Parameters
    ----------
    n:
        How many; 0 is allowed. A thousand at 64 pixels take a few seconds.
    size:
        Height and width in pixels, at least 16.
    seed:
        The only source of chance.

    Returns
    -------
    images:
        ``(n, 1, size, size)``, uint8, 0 black to 255 white.
    masks:
        ``(n, size, size)``, uint8, 1 on the lesion and 0 elsewhere: one connected region without holes, as a person
        would outline it, and never empty. What lies over a lesion (hair, a ruler) does not cut its mask.

    Raises
    ------
    ConfigurationError
        `n` below 0 or `size` below 16.

    Examples
    --------
    >>> images, masks = lesions(4, size=32)
    >>> images.shape, masks.shape
    ((4, 1, 32, 32), (4, 32, 32))
    >>> bool((lesions(2, size=32)[0] == images[:2]).all())
    True
    """
    if n < 0:
        raise ConfigurationError("this many images cannot be drawn", got=n, expected="0 or more")
    if size < SMALLEST:
        raise ConfigurationError(
            "a lesion cannot be drawn this small", got=f"size {size}", expected=f"at least {SMALLEST}"
        )
    images = np.empty((n, 1, size, size), np.uint8)
    masks = np.empty((n, size, size), np.uint8)
    root = Stream(seed)
    for i in range(n):
        images[i, 0], masks[i] = _image(root.child("lesion", i).numpy(), size)
    return images, masks


def _image(rng: np.random.Generator, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    kinds = list(KINDS.values())
    kind = kinds[rng.choice(len(kinds), p=[kind.share for kind in kinds])]
    lesion, inside = _lesion(rng, size, kind)
    tissue = ndimage.gaussian_filter(_skin(rng, size) + lesion, _log(rng, 0.002, 0.01) * size)
    lamp, field = _lens(rng, size)
    scene = field * (lamp * np.exp(-tissue - _overlay(rng, size)) + _gloss(rng, size))
    sharp = ndimage.gaussian_filter(scene, rng.uniform(0.0, 0.006) * size)
    seen = 255 * sharp + rng.uniform(0.5, 3.0) * rng.standard_normal((size, size))
    mask = _outlined(np.where(field > 0.5, inside, inside.min()))  # nobody outlines what the lens hides
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8), mask


def _lesion(rng: np.random.Generator, size: int, kind: Kind) -> tuple[Plane, Plane]:
    """Return the absorption of one lesion, and how far inside it each pixel is, in radii: 0 on the outline."""
    soft, ragged, patchy = (rng.uniform(*span) for span in (kind.soft, kind.ragged, kind.patchy))
    radius = np.sqrt(4 * _log(rng, *kind.area) / np.pi)
    room = np.clip(0.85 - radius, 0.1, 0.45)  # large lesions lie near the middle, and all inside any lens
    cx, cy = np.clip(0.2 * rng.standard_normal(2), -room, room)
    u, v = _turned(size, cx, cy, rng.uniform(0, 2 * np.pi))
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


def _outlined(inside: Plane) -> npt.NDArray[np.uint8]:
    """Return the largest connected region where `inside` is not negative, its holes filled; at least one pixel."""
    regions, _ = ndimage.label(inside >= min(0.0, float(inside.max())))
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    filled: npt.NDArray[np.uint8] = ndimage.binary_fill_holes(regions == largest).astype(np.uint8)
    return filled


def _skin(rng: np.random.Generator, size: int) -> Plane:
    """Return the absorption of skin: its tone, its unevenness, its grain and its freckles."""
    skin = _log(rng, 0.2, 0.7) + rng.uniform(0, 0.05) * _clouds(rng, size, 0.15)
    skin += _log(rng, 0.005, 0.04) * _clouds(rng, size, 0.012)
    if rng.random() < 0.35:
        skin += rng.uniform(0.05, 0.4) * _spots(rng, size, int(rng.integers(1, 40)), (0.015, 0.08))
    return skin


def _overlay(rng: np.random.Generator, size: int) -> Plane:
    """Return the absorption of what lies over the skin; each thing has its own chance to be there."""
    over = np.zeros((size, size))
    for chance, layer in ((0.4, _hair), (0.1, _stubble), (0.3, _ruler), (0.12, _ink), (0.12, _sticker)):
        if rng.random() < chance:
            over += layer(rng, size)
    return over


def _hair(rng: np.random.Generator, size: int) -> Plane:
    """Return strands that flow one way and bend as they like; few are commoner than many."""
    n = int(_log(rng, 1, 60))
    headings = rng.uniform(0, 2 * np.pi) + rng.uniform(0.1, 0.8) * rng.standard_normal(n)
    starts, lengths, bends = rng.uniform(-1.4, 1.0, (n, 2)), rng.uniform(0.3, 2.0, n), rng.normal(0, 1.2, n)
    strands = _strokes(starts, headings, lengths, bends, size)
    return rng.uniform(0.5, 2.5) * _pen(strands, size, _log(rng, 0.0015, 0.007))


def _stubble(rng: np.random.Generator, size: int) -> Plane:
    n = int(_log(rng, 10, 80))
    headings = rng.uniform(0, 2 * np.pi) + 0.5 * rng.standard_normal(n)
    stubs = _strokes(rng.uniform(-1, 1, (n, 2)), headings, rng.uniform(0.04, 0.2, n), np.zeros(n), size)
    return rng.uniform(0.5, 2.0) * _pen(stubs, size, 0.006)


def _ruler(rng: np.random.Generator, size: int) -> Plane:
    """Return a line above or, more often, below the middle, with long and short ticks to one side."""
    turn, length, n = rng.normal(0, 0.35), rng.uniform(0.7, 1.3), int(rng.integers(11, 32))
    middle = np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.5, 0.85) * (1 if rng.random() < 0.8 else -1)])
    along = length * np.array([np.cos(turn), np.sin(turn)])
    starts = middle + np.linspace(-0.5, 0.5, n)[:, None] * along
    headings = np.r_[turn, np.full(n, turn - np.pi / 2)]
    lengths = np.r_[length, np.where(np.arange(n) % 5, 0.04, 0.08)]
    line_and_ticks = _strokes(np.r_[starts[:1], starts], headings, lengths, np.zeros(n + 1), size)
    return rng.uniform(0.8, 2.0) * _pen(line_and_ticks, size, _log(rng, 0.003, 0.007))


def _ink(rng: np.random.Generator, size: int) -> Plane:
    """Return a broad grainy pen stroke, straight or bent up to most of a circle."""
    start, heading = rng.uniform(-0.9, 0.9, (1, 2)), rng.uniform(0, 2 * np.pi, 1)
    stroke = _strokes(start, heading, rng.uniform(0.4, 3.5, 1), rng.uniform(0, 5, 1), size)
    grain = np.maximum(1 + 0.6 * _clouds(rng, size, 0.012), 0)
    return rng.uniform(0.5, 1.6) * _pen(stroke, size, rng.uniform(0.02, 0.05)) * grain


def _sticker(rng: np.random.Generator, size: int) -> Plane:
    """Return a round colour sticker that reaches in over the edge of the frame."""
    toward = rng.uniform(0, 2 * np.pi)
    u, v = _turned(size, 1.1 * np.cos(toward), 1.1 * np.sin(toward), 0.0)
    disc = _step(rng.uniform(0.3, 0.5) - np.hypot(u, v), 1 / size)
    return rng.uniform(0.2, 1.5) * disc * np.maximum(1 + 0.15 * _clouds(rng, size, 0.012), 0)


def _lens(rng: np.random.Generator, size: int) -> tuple[Plane, Plane]:
    """Return the lamp's brightness and what part of it the lens lets through."""
    u, v = _turned(size, rng.normal(0, 0.05), rng.normal(0, 0.05), rng.uniform(0, 2 * np.pi))
    lamp: Plane = 1 + rng.uniform(0, 0.12) * u + 0.02 * _clouds(rng, size, 0.3)
    lamp *= 1 - rng.choice([0.0, 0.06, 0.17], p=[0.4, 0.35, 0.25]) * (u**2 + v**2)
    u, v = _turned(size, rng.normal(0, 0.03), rng.normal(0, 0.03), 0.0)
    squeeze = 1.15 if rng.random() < 0.7 else 1.0  # most frames were wider than high before they were square
    off = np.hypot(u * squeeze, v / squeeze)
    match rng.choice(3, p=[0.5, 0.35, 0.15]):
        case 0:
            return lamp, np.ones_like(lamp)
        case 1:  # dark corners
            reach, edge = rng.uniform(1.1, 1.35), _log(rng, 0.01, 0.12)
        case _:  # a round field on black
            reach, edge = rng.uniform(0.8, 1.05), _log(rng, 0.01, 0.08)
    return lamp, _step(reach - off, edge)


def _gloss(rng: np.random.Generator, size: int) -> Plane:
    """Return the light that glossy skin and bubbles throw straight back."""
    if rng.random() > 0.2:
        return np.zeros((size, size))
    return rng.uniform(0.1, 0.6) * _spots(rng, size, int(rng.integers(1, 25)), (0.006, 0.03))


def _grid(size: int) -> Plane:
    """Return the positions of the pixels' centres along a side, from -1 to 1."""
    return (np.arange(size, dtype=np.float64) + 0.5) * (2 / size) - 1


def _turned(size: int, cx: float, cy: float, turn: float) -> tuple[Plane, Plane]:
    """Return the two coordinates of all pixels about a centre, in axes turned by an angle."""
    x, y = _grid(size) - cx, _grid(size)[:, None] - cy
    cos, sin = math.cos(turn), math.sin(turn)
    return x * cos + y * sin, y * cos - x * sin


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _step(height: Plane, width: float) -> Plane:
    """Return 0 where `height` is negative and 1 where it is positive, with a smooth rise about `width` wide."""
    return np.asarray(0.5 + 0.5 * np.tanh(height / (2 * width)))


def _clouds(rng: np.random.Generator, size: int, scale: float) -> Plane:
    """Return Gaussian noise of mean 0 and deviation 1 whose patches are about `scale` frames wide."""
    across, down = np.fft.rfftfreq(size, 1 / size), np.fft.fftfreq(size, 1 / size)[:, None]
    matern = 1 / (1 + (across**2 + down**2) * (2 * np.pi * scale) ** 2 / 3)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * matern, s=(size, size))
    return np.asarray((noise - noise.mean()) / noise.std())


def _spots(rng: np.random.Generator, size: int, n: int, radius: Range) -> Plane:
    """Return `n` round soft spots, each 0 to 1, with radii in half frames."""
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
    """Return points half a pixel apart or closer along curves that turn by `bends` in all, ``(n, points, 2)``."""
    t = np.linspace(0, 1, 2 + int(lengths.max() * size))
    headings = headings[:, None] + bends[:, None] * t
    steps = np.stack([np.cos(headings), np.sin(headings)], -1) * lengths[:, None, None] / t.size
    return starts[:, None] + np.cumsum(steps, axis=1)


def _pen(strokes: npt.NDArray[np.float64], size: int, width: float) -> Plane:
    """Return how much of each pixel is covered, 0 to 1, by strokes that are `width` frames wide."""
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
