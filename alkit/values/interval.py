"""A figure of a sample of images, with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

from alkit.arguments.checked import checked


@checked
@dataclass(frozen=True, slots=True)
class Interval:
    """A figure measured on some images, and what it may be for all images of their kind.

    Parameters
    ----------
    value:
        The figure on exactly these images.
    low, high:
        Bounds of the confidence interval; None if there are too few images or groups for one.
    n:
        Number of images.
    clusters:
        Number of groups that the images come from; `n` if none has several.
    confidence:
        Confidence of the interval, in (0, 1).

    Examples
    --------
    >>> print(Interval(0.8123, 0.75, 0.86, 40, 40))
    0.812 [0.750, 0.860], 40 images
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    confidence: float = 0.95

    def __str__(self) -> str:
        """Return the figure, its interval and the number of images."""
        images = f"{self.n} image{'' if self.n == 1 else 's'}"
        images += f" of {self.clusters} group{'' if self.clusters == 1 else 's'}" if self.clusters < self.n else ""
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval: too few), {images}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}], {images}"
