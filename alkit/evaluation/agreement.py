"""How well annotators of the same images agree, and the images about which they do not.

Masks are compared by the Dice coefficient, and classes of images by Cohen's kappa. If an image can have several, each
class is a decision of its own. Two labels are compared where neither has the ignore value.

References
----------
Cohen. "A Coefficient of Agreement for Nominal Scales". Educational and Psychological Measurement 20 (1960).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.values.disputes import DISPUTED
from alkit.values.label_spec import Label, LabelSpec, Mask


@checked
@dataclass(frozen=True, slots=True)
class ImageAgreement:
    """The agreement of the annotators of one image.

    Parameters
    ----------
    id:
        The image.
    annotators:
        Their names, sorted.
    agreement:
        The mean over all pairs of annotators, in [0, 1]: of masks their Dice coefficient, the mean over the foreground
        classes that occur in either of the two, and 1 if none occurs; of classes 1 if both are the same, else 0; of
        several classes the share about which both say the same.
    by_class:
        The same for each class that occurs in a label of the image, by its name.
    """

    id: str
    annotators: tuple[str, ...]
    agreement: float
    by_class: Mapping[str, float]


@checked
@dataclass(frozen=True, slots=True)
class PairAgreement:
    """The agreement of two annotators over all images that both labelled.

    Parameters
    ----------
    annotators:
        Their names, sorted.
    images:
        Number of images.
    agreement:
        Of masks the mean Dice coefficient, in [0, 1]; of classes Cohen's kappa, in [-1, 1]. None if kappa is undefined,
        because both gave all images one class.
    by_class:
        The same for each class, by its name: the mean over the images in which a class of masks occurs, or the kappa of
        this class against all others. Classes without a value are left out.
    """

    annotators: tuple[str, ...]
    images: int
    agreement: float | None
    by_class: Mapping[str, float]


@checked
@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of all annotators.

    Parameters
    ----------
    measure:
        ``dice`` for masks, ``kappa`` for classes of images.
    below:
        Images with a lower agreement are disputed, in (0, 1].
    images:
        The images that several annotators labelled, those of the least agreement first.
    pairs:
        The pairs of annotators who labelled the same images, sorted by name.
    settled:
        Images that a review or a senior has decided, so they are not disputed any more.
    """

    measure: Literal["dice", "kappa"]
    below: float
    images: tuple[ImageAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    settled: frozenset[str] = frozenset()

    @property
    def disputed(self) -> tuple[str, ...]:
        """Ids of the disputed images, those of the least agreement first."""
        return tuple(image.id for image in self.images if image.agreement < self.below and image.id not in self.settled)

    @property
    def mean(self) -> float | None:
        """The mean agreement of the pairs, weighted by their images; None if no pair has one."""
        known = [(pair.agreement, pair.images) for pair in self.pairs if pair.agreement is not None]
        return _mean_of(known)

    @property
    def by_class(self) -> dict[str, float]:
        """The mean agreement of the pairs on each class, weighted by their images."""
        known: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for pair in self.pairs:
            for name, value in pair.by_class.items():
                known[name].append((value, pair.images))
        return {name: mean for name, values in known.items() if (mean := _mean_of(values)) is not None}


def _mean_of(known: Sequence[tuple[float, int]]) -> float | None:
    return sum(value * images for value, images in known) / sum(images for _, images in known) if known else None


def agreement_of_annotators(
    labels: Iterable[tuple[str, Mapping[str, Label]]], spec: LabelSpec, *, below: float = DISPUTED
) -> Agreement:
    """Return how well annotators agree.

    Parameters
    ----------
    labels:
        Each image with its labels by annotator: masks of one shape ``(h, w)``, class ids without axes, or several
        ``(classes,)``. They are read one after another. Images with fewer than two labels are left out, and images of
        whose pixels or classes none counts.
    spec:
        The classes.
    below:
        Images with a lower agreement are disputed, in (0, 1].

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> mask = np.array([[0, 1, 1]], np.uint8)
    >>> labels = [("a", {"ann": mask, "bob": mask}), ("b", {"ann": mask, "bob": 0 * mask})]
    >>> found = agreement_of_annotators(labels, spec)
    >>> found.mean, found.disputed
    (0.5, ('b',))
    """
    spec, per_image = spec.with_ignore(), spec.per == "image"
    compare = _sets if spec.multiple else _classes if per_image else _masks
    images, told, pairs = [], defaultdict(list), defaultdict(list)
    for id, own in labels:
        names, values, classes = sorted(own), [], defaultdict(list)
        for one, other in combinations(names, 2):
            found = compare(own[one], own[other], spec)
            if found is None:
                continue
            told[one, other].append(found)
            if per_image:
                pairs[one, other].append((own[one], own[other]))
            values.append(found[0])
            for name, value in found[1].items():
                classes[name].append(value)
        if values:
            by_class = {name: float(np.mean(classes[name])) for name in spec.classes if name in classes}
            images.append(ImageAgreement(id, tuple(names), float(np.mean(values)), by_class))
    summaries = (
        _pair_by_kappa(names, pairs[names], spec) if per_image else _pair_by_dice(names, told[names], spec)
        for names in sorted(told)
    )
    ordered = sorted(images, key=lambda image: (image.agreement, image.id))
    return Agreement("kappa" if per_image else "dice", below, tuple(ordered), tuple(summaries))


Compared = tuple[float, dict[str, float]]
"""The agreement about one image, and that by class."""


def _masks(one: Label, other: Label, spec: LabelSpec) -> Compared | None:
    n, counted = len(spec.classes), (one != spec.ignore) & (other != spec.ignore)
    if not counted.any():
        return None
    # One pass over the pixels: how often each class of one mask meets each class of the other.
    joint = np.bincount(one[counted].astype(np.intp) * n + other[counted], minlength=n * n).reshape(n, n)
    both, total = joint.diagonal(), joint.sum(axis=0) + joint.sum(axis=1)
    by_class = {spec.classes[k]: 2 * float(both[k]) / float(total[k]) for k in range(1, n) if total[k]}
    return float(np.mean(list(by_class.values()))) if by_class else 1.0, by_class


def dice_of_two(one: Mask, other: Mask, spec: LabelSpec) -> float | None:
    """Return the Dice coefficient of two masks of an image; None if no pixel counts. The spec has an ignore value."""
    found = _masks(one, other, spec)
    return None if found is None else found[0]


def compare_two(one: Label, other: Label, spec: LabelSpec) -> float | None:
    """Return the agreement of two labels of an image, as in :class:`ImageAgreement`; None if nothing of them counts."""
    compare = _sets if spec.multiple else _classes if spec.per == "image" else _masks
    found = compare(one, other, spec.with_ignore())
    return None if found is None else found[0]


def _classes(one: Label, other: Label, spec: LabelSpec) -> Compared:
    same = float(one == other)
    return same, {spec.classes[int(label)]: same for label in (one, other)}


def _sets(one: Label, other: Label, spec: LabelSpec) -> Compared | None:
    counted = (one != spec.ignore) & (other != spec.ignore)
    by_class = {spec.classes[k]: float(one[k] == other[k]) for k in np.flatnonzero(counted)}
    return (float(np.mean(list(by_class.values()))), by_class) if by_class else None


def _pair_by_dice(names: tuple[str, str], told: Sequence[Compared], spec: LabelSpec) -> PairAgreement:
    by_class = {
        name: float(np.mean(values))
        for name in spec.classes
        if (values := [classes[name] for _, classes in told if name in classes])
    }
    return PairAgreement(names, len(told), float(np.mean([value for value, _ in told])), by_class)


def _pair_by_kappa(names: tuple[str, str], told: Sequence[tuple[Label, Label]], spec: LabelSpec) -> PairAgreement:
    one, other = (np.stack(labels).astype(np.int64) for labels in zip(*told, strict=True))
    if spec.multiple:
        known = (one != spec.ignore) & (other != spec.ignore)
        columns = {name: known[:, k] for k, name in enumerate(spec.classes)}
        found = {name: _kappa(one[rows, k], other[rows, k]) for k, (name, rows) in enumerate(columns.items())}
        by_class = {name: value for name, value in found.items() if value is not None}
        return PairAgreement(names, len(told), _kappa(one[known], other[known]), by_class)
    by_class = {
        name: value for k, name in enumerate(spec.classes) if (value := _kappa(one == k, other == k)) is not None
    }
    return PairAgreement(names, len(told), _kappa(one, other), by_class)


def _kappa(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float | None:
    if len(np.union1d(one, other)) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(one, other))
