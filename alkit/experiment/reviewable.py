"""The part of an experiment that looks at labels again."""

from __future__ import annotations

from collections.abc import Mapping

from alkit.arguments.checked import checked
from alkit.experiment.out_of_fold import FOLDS, label_qualities
from alkit.experiment.readable import Readable


class Reviewable(Readable):
    """The part of :class:`alkit.Experiment` that finds labels to look at again, and asks for them."""

    @checked
    def label_quality(self, folds: int = FOLDS) -> Mapping[str, float]:
        """Return how well each label agrees with a model that was not trained on it, in [0, 1], the worst first.

        The labels are divided into folds, and the learner is trained as many times, each time without one fold, which
        it then predicts. Images of one group, and near-duplicates, are in one fold; images that are held out are never
        trained on. The figures are kept in the record, so that the same labels are not computed again. The measure is
        that of :mod:`alkit.evaluation.label_quality`. Images of whose label no pixel or class counts are left out.

        Parameters
        ----------
        folds:
            Number of folds, at least 2.

        Raises
        ------
        QueryError
            There are no labels, or too few to divide them.

        Examples
        --------
        >>> import alkit
        >>> _, masks = alkit.synthetic.lesions(12, size=16)
        >>> pool = alkit.ArrayPool(200 - 150 * masks)  # dark lesions on light skin
        >>> experiment = alkit.Experiment(
        ...     pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=("skin", "lesion"))
        >>> labels = {id: masks[int(id)] for id in experiment.ask(12)}
        >>> experiment.tell({**labels, "0003": 1 - labels["0003"]})  # by accident
        >>> next(iter(experiment.label_quality(folds=3)))
        '0003'
        """
        return label_qualities(self._parts, folds)
