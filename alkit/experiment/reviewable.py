"""The part of an experiment that looks at labels again."""

from __future__ import annotations

from collections.abc import Mapping

from alkit.arguments.checked import checked
from alkit.experiment import reviewing
from alkit.experiment.out_of_fold import FOLDS, label_qualities
from alkit.experiment.readable import Readable
from alkit.record.disputes import change_disputes
from alkit.report.disputes import ask_about_disputes
from alkit.report.reviews import Review, recorded_reviews
from alkit.values.disputes import Disputes


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

    @checked
    def review(
        self,
        n: int,
        *,
        random: int | None = None,
        by: str = "",
        show_first: bool = False,
        folds: int = FOLDS,
    ) -> tuple[str, ...]:
        """Ask again for `n` labels that may be wrong, and return the ids of their images.

        These are labels with which a model disagrees that was not trained on them (:meth:`label_quality`), labels about
        which annotators disagree (:meth:`agreement`), and some that are drawn at random, which tell how many of all
        labels that were not reviewed before are wrong. They are recorded as reviews, whose order tells nothing about
        the reasons. :meth:`send` hands them to an oracle with the open queries, and no training waits for them.
        :meth:`reviews` says what they found.

        An answer to a review counts as any other answer of its annotator does. If it is a skip, the labels before are
        sent back. A model does not send back labels that are held out, because what measures it must not be changed
        towards it; they can be drawn at random, or be disputed.

        Images with an open query or review, and labels that were reviewed already, are left out. Reviews that were not
        sent yet are returned first: a call that was killed is completed by the same call.

        Parameters
        ----------
        n:
            Number of images.
        random:
            How many of them are drawn at random. Default: one of five.
        by:
            Name of the person who is asked; empty for anybody.
        show_first:
            Whether the first answer is shown: a mask as pre-label, which must be confirmed if it is right; classes in
            words. Labels that differ are not shown.
        folds:
            As in :meth:`label_quality`.

        Raises
        ------
        QueryError
            There are fewer labels to review, or too few to divide them.
        ConfigurationError
            A parameter is out of range.

        Examples
        --------
        >>> import alkit
        >>> _, masks = alkit.synthetic.lesions(12, size=16)
        >>> pool = alkit.ArrayPool(200 - 150 * masks)
        >>> experiment = alkit.Experiment(
        ...     pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=("skin", "lesion"))
        >>> labels = {id: masks[int(id)] for id in experiment.ask(12)}
        >>> experiment.tell({**labels, "0003": 1 - labels["0003"]}, annotator="ann")
        >>> experiment.review(1, folds=3)
        ('0003',)
        >>> experiment.tell({"0003": labels["0003"]}, annotator="ben")
        >>> (found,) = experiment.reviews()
        >>> found.outcome, found.by, found.first
        ('corrected', 'ben', ('ann',))
        """
        return reviewing.review(self._parts, n, folds, random, by, show_first=show_first)

    def reviews(self) -> tuple[Review, ...]:
        """Return all reviews that were not withdrawn, with what they found, in the order in which they were asked."""
        return recorded_reviews(self._parts.store)

    @checked
    def decide_disputes(self, disputes: Disputes) -> tuple[str, ...]:
        """Record what becomes of images about which annotators disagree, and ask one more person if it says so.

        It holds for the next round on, and may change at any time; the record keeps the dates. Return the images about
        which one more person is asked now. New disputes are asked about when answers arrive.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
        >>> experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"),
        ...     classes=("skin", "lesion"), annotators=2, join="majority")
        >>> (id,) = experiment.ask(1)
        >>> mask = np.eye(8, dtype=np.uint8)
        >>> receipt = experiment.receive([alkit.Answer(id, mask, "ann"), alkit.Answer(id, 1 - mask, "bob")])
        >>> experiment.open_ids
        ()
        >>> experiment.decide_disputes(alkit.values.Disputes("third")) == experiment.open_ids == (id,)
        True
        """
        with self._parts.store.exclusive():
            change_disputes(self._parts.store, disputes)
            return ask_about_disputes(self._parts.store)
