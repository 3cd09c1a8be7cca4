"""Distances between the outlines of masks, by the distance transform of SciPy.

References
----------
Maier-Hein, Reinke et al. "Metrics Reloaded: Recommendations for Image Analysis Validation". Nature Methods 21, 2024.
Nikolov et al. "Clinically Applicable Segmentation of Head and Neck Anatomy for Radiotherapy". JMIR 23(7), 2021: the
surface Dice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.values.label_spec import LabelSpec

Distances = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def surface_distances(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Distances:
    """Return the distance of each outline pixel of one mask to the nearest one of the other mask, in both directions.

    The outline of a mask is made of its pixels that have one of their four neighbours outside of the mask, or that lie
    at the border of the image. Distances are Euclidean, in pixels.

    Parameters
    ----------
    predicted, truth:
        Masks ``(h, w)``, neither of them empty.

    Examples
    --------
    >>> surface_distances(np.array([[True, False, False]]), np.array([[True, False, True]]))
    (array([0.]), array([0., 2.]))
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt  # masks without outlines do not need it

    one, other = (mask & ~binary_erosion(mask) for mask in (predicted, truth))
    return distance_transform_edt(~other)[one], distance_transform_edt(~one)[other]


def hausdorff_95(distances: Distances) -> float:
    """Return the 95th percentile of the distances of each outline to the other, the larger one of the two.

    >>> hausdorff_95((np.zeros(1), np.array([0.0, 2.0])))
    1.9
    """
    return float(max(np.percentile(own, 95) for own in distances))


def share_within(distances: Distances, tolerance: float) -> float:
    """Return the share of all outline pixels that are at most `tolerance` from the other outline: the surface Dice.

    >>> round(share_within((np.zeros(1), np.array([0.0, 2.0])), tolerance=1.0), 3)
    0.667
    """
    return float(np.mean(np.concatenate(distances) <= tolerance))


def outline_figures(
    predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], spec: LabelSpec, tolerance: float
) -> npt.NDArray[np.float64]:
    """Return HD95 and the surface Dice of each image and foreground class, ``(2, n, classes - 1)``.

    Both are NaN if a class is in neither mask of an image. If it is in only one, HD95 is the diagonal of the image, the
    largest distance there is, and the surface Dice is 0.

    Parameters
    ----------
    predicted, truth:
        Masks ``(n, h, w)`` of class ids. Pixels whose `truth` is the ignore value of `spec` are background in both.
    spec:
        The classes; class 0 is the background.
    tolerance:
        Distance in pixels up to which outlines agree.
    """
    if spec.ignore is not None:
        ignored = truth == spec.ignore
        predicted, truth = (np.where(ignored, 0, masks).astype(np.uint8) for masks in (predicted, truth))
    found = np.full((2, len(truth), len(spec.classes) - 1), np.nan)
    for image in range(len(truth)):
        for label in range(1, len(spec.classes)):
            one, other = predicted[image] == label, truth[image] == label
            if one.any() and other.any():
                distances = surface_distances(one, other)
                found[:, image, label - 1] = hausdorff_95(distances), share_within(distances, tolerance)
            elif one.any() or other.any():
                found[:, image, label - 1] = float(np.hypot(*truth.shape[1:])), 0.0
    return found
