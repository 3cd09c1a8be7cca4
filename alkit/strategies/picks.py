"""What strategies share that pick one image after another: which may be next, and what each pick stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.checks import check_integer
from alkit.errors import SelectionError
from alkit.features.identical import first_identical
from alkit.features.search import Search
from alkit.features.tables import Table
from alkit.protocols import HasLimits, View
from alkit.strategies.ordering import check_n
from alkit.values.selection import Selection

ROWS = 4096
"""Number of rows of features that are read at once."""


@checked
class Picks:
    """The picks of a selection, and the candidates that may be picked next.

    Two images are identical if their features are. As long as different candidates are left, a candidate that is
    identical to a labelled image or to an earlier pick may not be picked. When only such candidates are left, those
    with the fewest identical labelled images and picks come first. The limits of a view
    (:class:`alkit.protocols.HasLimits`) are kept in the same way: a group that has reached its limit waits until no
    other different candidate is left.

    Parameters
    ----------
    view:
        View of the experiment.
    features:
        Features of the images of ``view.ids``, ``(N, d)``, float32 and finite. They are read in blocks.
    n:
        Number of images to pick, 0 to the number of candidates.

    Attributes
    ----------
    rows:
        Rows of the picks so far, in their order. Rows are those of ``view.ids`` and `features`.
    labelled:
        Rows of the labelled images, ``(l,)``, in order of their ids.
    free:
        Whether a row may be picked next, ``(N,)``, bool. Read it; :meth:`pick` changes it.
    refills:
        Number of times that identical images or full groups became free because nothing else was left.

    Raises
    ------
    SelectionError
        There are fewer than `n` candidates, features are not finite, or a row is picked that is not free.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(ids=["a", "b", "c", "d"], candidates=["a", "b", "d"], labelled=["c"])
    >>> picks = Picks(view, np.array([[5], [5], [1], [2]], np.float32), n=2)
    >>> picks.best(np.array([9, 9, 9, 1]))
    0
    >>> picks.pick(0)
    >>> picks.free  # b is identical to a
    array([False, False, False,  True])
    >>> picks.pick(3)
    >>> picks.selection().stands_for
    ('pick 1 of 2, stands for 2 images', 'pick 2 of 2, stands for 1 image')
    """

    def __init__(self, view: View, features: npt.NDArray[np.float32], n: int) -> None:
        check_n(n, view.candidates)
        _check_features(features, view.ids)
        self.n = n
        self.rows: list[int] = []
        self._ids = view.ids
        self._features = features
        place = {id: row for row, id in enumerate(view.ids)}
        self._waiting = np.zeros(len(view.ids), bool)
        self._waiting[[place[id] for id in view.candidates]] = True
        self.labelled = np.array(sorted(place[id] for id in view.labelled if id in place), np.int64)
        self._identical = first_identical(features)
        self._alike = _Groups(self._identical, most=1)
        for row in self.labelled.tolist():
            self._alike.count(row)
        self._limits = [
            _Groups(_group_numbers(limit.groups, view.ids), limit.most)
            for limit in (view.limits if isinstance(view, HasLimits) else ())
        ]
        self.refills = -1
        self._refill()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the picks so far, in their order."""
        return tuple(self._ids[row] for row in self.rows)

    @property
    def missing(self) -> int:
        """Number of images that are still to be picked."""
        return self.n - len(self.rows)

    @checked
    def best(self, values: npt.NDArray[np.floating]) -> int:
        """Return the free row with the highest value; the values ``(N,)`` are not NaN, and ties are broken by id."""
        if values.shape != self.free.shape:
            raise SelectionError("values must be one number for each row", got=f"shape {values.shape}")
        free = np.flatnonzero(self.free)
        if not len(free):
            raise SelectionError("no image is left that could be picked")
        return int(free[np.argmax(values[free])])

    @checked
    def pick(self, row: int) -> None:
        """Add a free row to the picks."""
        row = check_integer("row", row, least=0, most=len(self._ids) - 1)
        if not self.free[row]:
            raise SelectionError(f"{self._ids[row]!r} cannot be picked next: it is not free")
        self.rows.append(row)
        self._waiting[row] = self.free[row] = False
        for groups in (self._alike, *self._limits):
            for other in groups.count(row):
                self.free[other] = False
        self._left -= 1
        if self._left and not self.free.any():
            self._refill()

    def _refill(self) -> None:
        """Free the candidates with the fewest identical picks; among these, those of groups that are the least full."""
        waiting = np.flatnonzero(self._waiting)
        self._left = len(waiting)
        for groups in (self._alike, *self._limits):
            level = groups.level(waiting)
            groups.reached = int(level.min()) if len(level) else 0
            waiting = waiting[level == groups.reached]
        self.free: npt.NDArray[np.bool_] = np.zeros(len(self._ids), bool)
        self.free[waiting] = True
        self.refills += 1

    @checked
    def selection(self, stands_for: Sequence[int] | None = None) -> Selection:
        """Return the picks as a selection that says how many images each one stands for.

        Parameters
        ----------
        stands_for:
            The number for each pick, if the strategy knows it; otherwise see :func:`count_represented`.
        """
        if stands_for is None:
            stands_for = count_represented(self._features, self.labelled, self.rows, self._identical)
        return Selection(self.ids, stands_for=describe_picks(stands_for))


@checked
def different_first(picks: Picks, order: Iterable[str]) -> Picks:
    """Pick in the given order of ids until enough are picked; images that are not free wait until they are.

    Parameters
    ----------
    picks:
        Picks so far.
    order:
        All candidates that are left, the most wanted first. Other ids are ignored.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(ids=["a", "b", "c"], candidates=["a", "b", "c"], labelled=[])
    >>> picks = Picks(view, np.array([[5], [5], [1]], np.float32), n=3)
    >>> different_first(picks, ["b", "a", "c"]).ids
    ('b', 'c', 'a')
    """
    place = {id: row for row, id in enumerate(picks._ids)}
    waiting = [place[id] for id in order if id in place and picks._waiting[place[id]]]
    while picks.missing and waiting:
        refills, left = picks.refills, []
        for turn, row in enumerate(waiting):
            if not picks.missing:
                break
            if not picks.free[row]:
                left.append(row)
                continue
            picks.pick(row)
            if picks.refills > refills:  # those that waited come first again
                left += waiting[turn + 1 :]
                break
        waiting = left
    return picks


@checked
def describe_picks(stands_for: Sequence[int]) -> tuple[str, ...]:
    """Describe picks by the numbers of images that they stand for.

    >>> describe_picks([212, 1])
    ('pick 1 of 2, stands for 212 images', 'pick 2 of 2, stands for 1 image')
    """
    return tuple(
        f"pick {turn} of {len(stands_for)}, stands for {count} image{'' if count == 1 else 's'}"
        for turn, count in enumerate(stands_for, start=1)
    )


def count_represented(
    features: npt.NDArray[np.float32],
    labelled: npt.NDArray[np.int64],
    picks: Sequence[int],
    identical: npt.NDArray[np.int64],
) -> list[int]:
    """Return how many images each pick stands for: those that are nearer to it than to other picks and labelled images.

    A pick stands for itself. At equal distances, an image belongs to a labelled image rather than to a pick, and to an
    earlier pick rather than to a later one. Distances are L2, compared in float64.

    Parameters
    ----------
    features:
        Table, ``(N, d)``; it is read in blocks.
    labelled, picks:
        Rows of the labelled images and of the picks.
    identical:
        For each row, the first row that is identical to it, ``(N,)``.
    """
    if not len(picks):
        return []
    references = np.array([*labelled, *picks], np.int64)
    different = np.sort(np.unique(identical[references], return_index=True)[1])  # later identical ones get no other row
    search = Search(Table(features), len(different))
    for start in range(0, len(different), ROWS):
        search.add(features[references[different[start : start + ROWS]]])
    owner = different[search.best]
    owner[references[len(labelled) :]] = np.arange(len(labelled), len(references))
    return [int(count) for count in np.bincount(owner, minlength=len(references))[len(labelled) :]]


class _Groups:
    """Groups of rows, how often each was picked, and how often it may be picked now.

    A group with `reached` = r may be picked ``most * (r + 1)`` times.
    """

    def __init__(self, numbers: npt.NDArray[np.int64], most: int) -> None:
        self._numbers, self._most, self.reached = numbers, most, 0
        self._order = np.argsort(numbers, kind="stable")
        self._starts = np.searchsorted(numbers[self._order], np.arange(len(numbers) + 1))
        self._counts = np.zeros(len(numbers), np.int64)

    def count(self, row: int) -> npt.NDArray[np.int64]:
        """Count a pick, and return the rows that may not be picked now because of it."""
        number = self._numbers[row]
        if number < 0:
            return self._order[:0]
        self._counts[number] += 1
        if self._counts[number] < self._most * (self.reached + 1):
            return self._order[:0]
        return self._order[self._starts[number] : self._starts[number + 1]]

    def level(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many times the group of each row has reached its limit; 0 for a row without a group."""
        numbers = self._numbers[rows]
        return np.where(numbers < 0, 0, self._counts[numbers] // self._most)


def _group_numbers(groups: Mapping[str, str], ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the number of the group of each id, ``(N,)``; -1 without a group."""
    numbers: dict[str, int] = {}
    names = (groups.get(id) for id in ids)
    return np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _check_features(features: npt.NDArray[np.float32], ids: Sequence[str]) -> None:
    """Check the shape of the features and that they are finite, block by block."""
    if features.ndim != 2 or len(features) != len(ids) or not features.shape[1]:
        raise SelectionError(
            "features must have one row for each image of the pool, and a column",
            got=f"shape {features.shape}",
            expected=f"({len(ids)}, d)",
        )
    for start in range(0, len(features), ROWS):
        finite = np.isfinite(features[start : start + ROWS]).all(axis=1)
        if not finite.all():
            raise SelectionError(
                f"the features of {ids[start + int(np.argmin(finite))]!r} are not finite",
                hint="look at this image, and at the training loss of the feature extractor",
            )
