"""The interface of an experiment.

The file is long because :class:`Experiment` is the interface most users read; the work is done in the modules beside
it. Each step reads the state from the record. So the steps may run in one process, in several processes one after the
other, or after a crash, with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alkit.arguments.checked import checked, checked_except
from alkit.errors import ConfigurationError, StoreError
from alkit.evaluation.chosen import Metrics
from alkit.evaluation.truth import TestLabels
from alkit.experiment import committing, gathering, measuring, opening, selecting
from alkit.experiment.assembling import assemble
from alkit.experiment.budget import Workload, workload
from alkit.experiment.keeping import Keep
from alkit.experiment.listening import Listeners
from alkit.experiment.model import LastModel
from alkit.experiment.reviewable import Reviewable
from alkit.experiment.rounds import run_rounds
from alkit.labels.joining import Join
from alkit.pools.checks import check_pool
from alkit.protocols import Learner, Oracle, Pool, Strategy
from alkit.record import assigning, taking_back
from alkit.record.address import locate
from alkit.record.existing import is_there
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.record.unasked import Unasked, unasked_labels
from alkit.report.arrivals import look_at
from alkit.report.disputes import ask_about_disputes
from alkit.report.reviews import tell_annotators
from alkit.sharing.workers import Workers
from alkit.strategies.functions import Choice
from alkit.values.answers import Answer, Receipt, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec, Mask, Told
from alkit.values.people import People
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult
from alkit.values.rules import SelectionRules

if TYPE_CHECKING:
    from alkit.experiment.growing import Growth
    from alkit.experiment.parts import Parts
    from alkit.experiment.removing import Removal


@checked_except("pool", "learner", "strategy", "initial", "classes", "metrics", "workers")
class Experiment(Reviewable):
    """A pool, a learner and a strategy, with a record of all queries, answers and models.

    Parameters
    ----------
    pool:
        The images that may be labelled. When an experiment is resumed, images added since it was created are ignored.
        Images that are missing or cannot be used are left out and listed in :attr:`RoundResult.warnings`; if the rounds
        have a schedule, or more than half of the images are missing, they are an error.
    learner:
        Trains a model on the labels.
    strategy:
        Selects the images to label next: a strategy, or a function of view, n and rng that returns ids.
    store:
        Path of the record, ``postgresql+psycopg://HOST/DATABASE?campaign=NAME`` for one in PostgreSQL, or an open
        :class:`alkit.record.Store`. An existing record is resumed if it was created
        with the same arguments; one without answers takes new arguments. None keeps the record in a temporary folder
        that is deleted with the experiment.
    files:
        Where labels and models are kept: a folder, or an address that fsspec reaches, such as ``s3://bucket/prefix``.
        Default: beside the file of the record; or, if they are elsewhere or the record is in PostgreSQL,
        ``$ALKIT_FILES``.
    seed:
        The source of all randomness, through named streams (:mod:`alkit.rng`).
    initial:
        The strategy of round 0. Default: `strategy` itself if it can select without a model, else ``random``. Its
        randomness depends on the seed alone, so all experiments that start with ``random`` share their start set.
    classes:
        Names of the classes, or a :class:`LabelSpec`. Default: the classes of the oracle.
    annotators:
        Number of annotators who label each image.
    join:
        The rule that joins several annotators' labels of an image: ``"one"`` (the latest revision), ``"majority"``,
        ``"staple"``, or a function (:mod:`alkit.labels`).
    hold_out:
        Share of the labels, in [0, 1), that is never trained on. :meth:`fit` draws it by the seed among the new labels,
        as a whole number by largest remainder; an image stays on its side, and so do its near-duplicates. Rounds
        without a test set are measured on these images.
    stop_set:
        Number of images of the pool, drawn by the seed, on which the models of successive rounds are compared
        (:attr:`RoundResult.agreement`); 0 for no comparison.
    metrics:
        What the models are measured by: a list of names such as ``"dice"``, ``"hd95"`` or ``"auroc"``, parts of
        :mod:`alkit.evaluation`, objects of torchmetrics, and functions of predicted and true classes; or a mapping of
        names to these. The first one is the main metric. Default: those of the record; for a new record Dice and IoU of
        masks, accuracy, balanced accuracy, F1 and recalls of classes, or F1, micro F1 and exact match if an image can
        have several. They may change between rounds.
    rules:
        Which images may be selected, which come first, and how many of a group (:class:`SelectionRules`). They may
        change at any time; the record keeps the dates. Default: those of the record.
    audit:
        Number of images of the audit set: drawn at random by the seed, mixed into the queries, labelled like others and
        never trained on, and neither are the rest of their groups and near-duplicates. Models are measured on it
        (:attr:`RoundResult.audit`). It may be enlarged at any time. Default: that of the record; 0 for a new record.
    people:
        Who labels the images, with which shares and until when (:class:`alkit.values.People`). They may change at any
        time; the record keeps the dates. Default: those of the record; for a new record anybody, without a deadline.
    keep:
        Which models of earlier rounds stay in the record: ``"last"``, none of them; ``"best"``, the one with the best
        main metric; or ``"all"``. The last model always stays. Each takes the size of its weights. It may change at any
        time; models that were deleted do not come back. Default: that of the record; ``"last"`` for a new record.
    change:
        Whether the learner, the strategies and the working size of the images may differ from those of the record, as
        long as no round is committed. The answers are kept, and the record keeps the date of the change.
    report:
        Called with a :class:`alkit.values.Progress` after each step of a long computation.
    wait:
        Seconds to wait for another process that works on the same record.
    workers:
        Who computes features, scores, predictions, evaluations and the members of an :class:`alkit.Ensemble`: a number
        of processes, -1 for one per core, or devices of torch such as ``["cuda:0", "cuda:1"]``, one process for each.
        Default: the workers of ``joblib.parallel_config``, which may be those of a cluster, else this process. Results
        do not depend on it.

    Raises
    ------
    ResumeError
        The record was created with other arguments; the differences are shown. Device, workers and `wait` may differ.
    StoreError
        The record cannot be read or written.
    DataError
        The pool is empty or its ids are not unique.
    ColdStartError
        `initial` needs a trained model.
    ConfigurationError
        A part lacks a method it needs; the learner cannot train on the images; or its models cannot give what the
        strategy needs: an ensemble, dropout or heads. As soon as the classes are known, and before anybody labels an
        image, the learner trains one step on images of the pool with made-up labels to find this out.

    Examples
    --------
    >>> from functools import partial
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(12, size=16)
    >>> pool = alkit.ArrayPool(images)
    >>> learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    >>> experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=("skin", "lesion"))
    >>> ids = experiment.ask(3)
    >>> experiment.tell({id: masks[int(id)] for id in ids})
    >>> experiment.fit().n_labels
    3
    """

    def __init__(
        self,
        pool: Pool,
        learner: Learner,
        strategy: Strategy | Choice,
        store: str | os.PathLike[str] | Store | None = None,
        seed: int = 0,
        *,
        files: str | os.PathLike[str] | None = None,
        initial: Strategy | Choice | None = None,
        classes: LabelSpec | Sequence[str] | None = None,
        annotators: int = 1,
        join: str | Join = "one",
        hold_out: float = 0.0,
        stop_set: int = 0,
        metrics: Metrics | None = None,
        rules: SelectionRules | None = None,
        audit: int | None = None,
        people: People | None = None,
        keep: Keep | None = None,
        change: bool = False,
        report: Report = quiet,
        wait: float = 30.0,
        workers: Workers = None,
    ) -> None:
        check_pool(pool)
        terms, self._listeners = Terms(annotators, join, hold_out, stop_set), Listeners(report)
        self._parts = assemble(
            self,
            pool,
            learner,
            strategy,
            _located(store, files),
            seed,
            initial,
            classes,
            terms,
            metrics,
            rules,
            audit,
            people,
            keep,
            change,
            self._listeners,
            wait,
            workers,
        )
        self._model = LastModel(self._parts)
        self._test_labels = TestLabels(partial(gathering.gather_test_answers, self._parts))

    @classmethod
    @checked_except("workers")
    def open(
        cls,
        store: str | os.PathLike[str] | Store,
        *,
        files: str | os.PathLike[str] | None = None,
        pool: Pool | None = None,
        learner: Learner | None = None,
        strategy: Strategy | Choice | None = None,
        initial: Strategy | Choice | None = None,
        join: Join | None = None,
        metrics: Metrics | None = None,
        rules: SelectionRules | None = None,
        people: People | None = None,
        report: Report = quiet,
        wait: float = 30.0,
        workers: Workers = None,
    ) -> Experiment:
        """Resume the experiment of a record; parts that are not passed are built from the record.

        Raises
        ------
        StoreError
            `store` is not a record.
        ConfigurationError
            A part was recorded by a value that cannot be built again, such as an array or a lambda; the message names
            the argument to pass.
        """
        if not isinstance(store, Store):
            place = locate(store, files)
            if not is_there(place, wait):
                raise StoreError(f"{store} does not exist", hint="Experiment(..., store=...) creates a record")
            store = Store(place, wait)
        given = {"pool": pool, "learner": learner, "strategy": strategy, "initial": initial}
        parts, terms = opening.build_parts(store, given, join)
        seed = Settings(store).seed
        parts |= {"metrics": metrics, "rules": rules, "people": people, "report": report, "workers": workers}
        return cls(**parts, **vars(terms), store=store, seed=seed, wait=wait)

    # Asking and telling.

    @checked
    def ask(self, n: int | None = None) -> tuple[str, ...]:
        """Select `n` images to label and return their ids, the most wanted first.

        The query is on disk before this returns. While it is open, asking again returns the ids that are still open.

        Parameters
        ----------
        n:
            Number of images, at least 1; None returns the open ids.

        Raises
        ------
        QueryError
            A query of another size is open.
        ConfigurationError
            `n` is not an integer >= 1, there are fewer candidates, or the network cannot be trained on so few.
        """
        return selecting.ask(self._parts, self._model, n)

    @checked
    def top_up(self, n: int | None = None, *, hours: float | None = None) -> tuple[str, ...]:
        """Select images until `n` wait for a first answer, or for `hours` of work; return the ids of all that are open.

        Nobody waits for a slow annotator: answers may be missing, and :meth:`fit` with ``wait_for_answers=False``
        trains on those that came. No open image is selected again, and for the strategy open images count as labelled.
        A call that was killed has recorded all of its queries or none, so the same call again is always right.

        Parameters
        ----------
        n:
            Number of images that nobody has answered yet, at least 1. While images are open, fewer are selected if the
            pool or the rules leave fewer.
        hours:
            In place of `n`, the hours of work that all open images together are expected to take, over all annotators,
            above 0. What a label costs is fitted to the times of the labels so far, see :meth:`workload`.

        Raises
        ------
        ConfigurationError
            Neither or both of `n` and `hours` are given, or one is out of range; no time of a label is known; no image
            is open, and there are fewer candidates; or the network cannot be trained on so few.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> pool = alkit.ArrayPool(np.zeros((9, 8, 8), np.uint8))
        >>> learner, strategy = alkit.testing.Brightness(), alkit.strategy("random")
        >>> experiment = alkit.Experiment(pool, learner, strategy, classes=("a", "b"))
        >>> first, second, third = experiment.top_up(3)
        >>> experiment.tell({second: np.eye(8, dtype=np.uint8)})
        >>> experiment.top_up(3)[:2] == (first, third), len(experiment.open_ids)
        (True, 3)
        """
        return selecting.top_up(self._parts, self._model, n, hours)

    def workload(self) -> Workload | None:
        """Return how long the open queries are expected to take, with an interval.

        None if no query is open, or if no time of a label is known. Times come from the tools that state them, or are
        estimated from the times at which files were saved. The cost of a mask grows with its size and the length of its
        borders (:class:`alkit.statistics.LabelCost`); those of candidates are what the last model predicts.
        """
        return workload(self._parts, self._model)

    @checked_except("oracle")
    def send(self, oracle: Oracle) -> tuple[Query, ...]:
        """Hand the open queries to an oracle and return them. A query that is sent again is not labelled twice."""
        return gathering.send(self._parts, oracle)

    @checked_except("oracle")
    def collect(self, oracle: Oracle) -> Receipt:
        """Record the answers an oracle has now, without waiting for more; refusals are passed on to it.

        So is what reviews found about labels. The receipt's warnings name labels that a person should look at.
        """
        receipt = look_at(self._parts.store, self._parts.answers.collect(oracle))
        tell_annotators(self._parts.store, oracle)
        return receipt

    @checked
    def receive(
        self, answers: Iterable[Answer], *, unasked: bool = False, revise: bool = False, source: str = ""
    ) -> Receipt:
        """Record answers as people give them: late, in any order, repeated, some of them wrong.

        Each valid answer is taken. An invalid answer to a query is recorded as invalid with the reason, and reported.
        Another process may train a model at the same time. An answer that differs from an earlier one of the same
        annotator replaces it if its revision is greater; all answers are kept.

        Parameters
        ----------
        answers:
            The answers.
        unasked, source:
            As in :meth:`tell`. Wrong labels that nobody asked for are refused and not recorded.
        revise:
            As in :meth:`tell`, for labels that nobody asked for. Answers to queries always replace earlier ones.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> from functools import partial
        >>> pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
        >>> learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
        >>> experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=("skin", "lesion"))
        >>> first, second = experiment.ask(2)
        >>> mask = np.zeros((8, 8), np.uint8)
        >>> receipt = experiment.receive([alkit.Answer(first, mask, "ann"), alkit.Answer(second, mask[:4], "ann")])
        >>> len(receipt.taken), len(receipt.refused), experiment.open_ids == (second,)
        (1, 1, True)
        """
        if not unasked:
            self._check_source(source)
            return look_at(self._parts.store, self._parts.answers.receive(answers))
        told = list(answers)
        of = self._unasked(source, [answer.id for answer in told])
        return look_at(self._parts.store, self._parts.answers.receive(told, revise=revise, unasked=of))

    @checked_except("labels")
    def tell(
        self,
        labels: Mapping[str, Told | Skip | Withdrawal],
        *,
        annotator: str = "",
        revise: bool = False,
        confirmed: bool = False,
        unasked: bool = False,
        source: str = "",
    ) -> None:
        """Record one annotator's answers: all of this call, or none of them if one is wrong.

        Parameters
        ----------
        labels:
            By id a mask ``(h, w)`` of class ids, at the image's original size or the working size; a class id if each
            image has one class; a set of names, or an array of 0 and 1, if it can have several; :data:`alkit.SKIP`; or
            :class:`alkit.values.Withdrawal`. Any order and any part of the query will do. Repeating an answer changes
            nothing.
        annotator:
            The annotator's name.
        revise:
            Let a different answer replace the annotator's earlier one, which stays in the record.
        confirmed:
            Accept labels that are identical to their pre-label.
        unasked:
            Whether nobody asked for these labels, such as those of an earlier project. Any image of the pool may have
            one. It is trained on from round 0, strategies see it in ``view.labelled``, and it is counted apart
            (:attr:`RoundResult.n_unasked`). For an image with an open query it is the answer.
        source:
            Where such labels come from, in one line.

        Raises
        ------
        ConfigurationError
            `labels` is not a mapping, or a source is given without ``unasked=True``.
        DataError
            An id is not in the pool.
        QueryError
            An id was never queried, or a withdrawal has no answer to take back. Answers to withdrawn queries are taken.
        LabelError
            A mask has another size or type, or values outside the classes, or is an unchanged pre-label.
        ConflictError
            An answer differs from the annotator's earlier one, without ``revise=True``; or nobody asked for it, and
            another annotator was asked for the image and has answered.
        """
        if not isinstance(labels, Mapping):
            raise ConfigurationError(
                "labels must be a mapping from ids to labels",
                got=f"an object of type {type(labels).__name__}",
                hint="tell({id: mask})",
            )
        told = [Answer(id, label, annotator, confirmed=confirmed) for id, label in labels.items()]
        if not unasked:
            self._check_source(source)
        of = self._unasked(source, labels) if unasked else None
        self._parts.answers.tell(told, revise=revise, unasked=of)
        ask_about_disputes(self._parts.store)

    def _unasked(self, source: str, ids: Iterable[object]) -> Unasked:
        return unasked_labels(source, self._parts.pool, ids, self._parts.representations.known_ids)

    @staticmethod
    def _check_source(source: str) -> None:
        if source:
            raise ConfigurationError("source can be given only with unasked=True", got=repr(source))

    @checked_except("reason")
    def reject(self, id: str, reason: str, annotator: str | None = None) -> None:
        """Send the answers for an image back: they no longer count, and the query is open until there are new ones.

        Repeating the call changes nothing.

        Parameters
        ----------
        reason:
            What is wrong with the answers. The annotators see this text.
        annotator:
            Whose answer to send back; None for all.

        Raises
        ------
        ConfigurationError
            `reason` is empty.
        QueryError
            The image has no such answer.
        """
        taking_back.reject(self._parts.store, id, reason, annotator)

    @checked_except("ids")
    def withdraw(self, ids: Collection[str] | None = None) -> tuple[str, ...]:
        """Close open queries and return the ids that lacked an answer; those without any may be selected again.

        Parameters
        ----------
        ids:
            Images whose queries to close; None for all that are open.

        Raises
        ------
        QueryError
            An image has no open query. Nothing is closed then.
        """
        return tuple(query.id for query in taking_back.withdraw(self._parts.store, ids))

    @checked_except("ids", "to")
    def assign(
        self,
        ids: Collection[str],
        to: Sequence[str] | None = None,
        *,
        annotators: int | None = None,
        days: float | None = None,
    ) -> tuple[Query, ...]:
        """Change who labels some images, by how many people and until when, and return their queries.

        Answers that are there stay. An image that wants more answers than it has is open again.

        Parameters
        ----------
        ids:
            Images that were asked for and not withdrawn.
        to:
            Names of the people; an empty list: anybody. None: those of before.
        annotators:
            Number of people who shall label each of them, at least 1; None: as before.
        days:
            Days from now after which an image without an answer goes to somebody else, > 0; None: as before.

        Raises
        ------
        QueryError
            An image has no query. Nothing is changed then.
        ConfigurationError
            A name or a number cannot be used, or there is nothing to change.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> pool = alkit.ArrayPool(np.zeros((9, 8, 8), np.uint8))
        >>> learner, strategy = alkit.testing.Brightness(), alkit.strategy("random")
        >>> experiment = alkit.Experiment(pool, learner, strategy, classes=("a", "b"))
        >>> (id,) = experiment.top_up(1)
        >>> [(query.assigned, query.wanted) for query in experiment.assign([id], ["ann", "ben"], annotators=2)]
        [(('ann', 'ben'), 2)]
        """
        return assigning.assign_by_hand(self._parts.store, ids, to, annotators, days)

    def hand_on(self) -> tuple[str, ...]:
        """Assign open images that are due to somebody else, as :attr:`people` says, and return their ids.

        So are images that want more answers than they are assigned to people.
        ``alkit ask`` does so before it selects images. The first person's answer still counts when it comes late.
        """
        return tuple(dict.fromkeys(one.query.id for one in assigning.hand_on(self._parts.store)))

    def prelabels(self) -> dict[str, Mask]:
        """Return by id the last model's masks of the open queries, at each image's original size.

        They are recorded before they are returned: an identical answer is taken only if it is confirmed. A pre-label
        that was recorded once stays as it is. The result is empty before there is a model.

        Raises
        ------
        ConfigurationError
            The labels are classes of images, not masks.
        """
        return self._model.prelabels()

    # Learning.

    @checked_except("test", "oracle")
    def fit(
        self, *, test: Pool | None = None, oracle: Oracle | None = None, wait_for_answers: bool = True
    ) -> RoundResult:
        """Train on all labels so far and commit the round. Without new labels the last round is returned.

        It is measured then if it was not yet, or if the labels of its test set were corrected.

        Parameters
        ----------
        test, oracle:
            Images to measure the round on, and what labels them. Their ids may be those of images in the pool. Default:
            the round is measured on the audit set as far as it is labelled, else on the labels held out, if any are.
        wait_for_answers:
            Whether an open query is an error. If not, answers that are missing now count from the next round on, and an
            image that only some of its annotators have labelled is trained on with their labels.

        Raises
        ------
        QueryError
            A query is open, unless ``wait_for_answers=False``; or there is no label yet.
        DataError
            An image of `test` is identical to one of the pool.
        ResumeError
            The rounds are measured on another test set, or on labels held out.
        ConfigurationError
            Only one of `test` and `oracle` is given.
        """
        waits = {"wait_for_answers": wait_for_answers}
        return committing.fit(self._parts, self._model, self._test_labels, test, oracle, **waits)

    @checked_except("pool", "clusters")
    def grow(self, pool: Pool, *, clusters: Literal["keep", "update"] = "keep") -> Growth:
        """Take new images into the pool, and say how different they are from the others.

        The new images can be selected from now on. Labels, queries and rounds stay. Without new images nothing changes.

        Parameters
        ----------
        pool:
            All images of the record, unchanged, and the new ones.
        clusters:
            ``"keep"``: each new image joins the cluster with the nearest centre, and the others stay in theirs.
            ``"update"``: all images are clustered again.

        Raises
        ------
        QueryError
            The rounds have a schedule: such an experiment measures a strategy on one pool.
        DataError
            Images of the record are missing in `pool`, or have changed.
        ConfigurationError
            `pool` has no digests, `clusters` is something else, or only the new images have no groups.
        """
        from alkit.experiment.growing import grow

        parts, found = grow(self._parts, pool, clusters)
        self._go_on_with(parts)
        return found

    @property
    def repaired(self) -> tuple[str, ...]:
        """Ids of images that could not be used when the record was made, can be used now, and are not in the pool."""
        from alkit.experiment.growing import repaired_images

        return repaired_images(self._parts)

    @checked
    def take_repaired(self, *, test: Pool | None = None) -> Growth:
        """Take the images of :attr:`repaired` into the pool, as :meth:`grow` takes new ones; clusters are kept.

        ``alkit ask`` does so before it selects images.

        Parameters
        ----------
        test:
            The test set, which must not contain one of them.

        Raises
        ------
        DataError
            An image is one of the test set, or other images of the record are missing.
        ConfigurationError
            An image has no group while the others have.
        """
        from alkit.experiment.growing import grow_by_repaired

        parts, found = grow_by_repaired(self._parts, test)
        self._go_on_with(parts)
        return found

    @checked
    def remove(self, id: str, reason: str) -> Removal:
        """Remove an image, because somebody withdrew their consent, and say what alkit cannot delete.

        The image leaves the pool. Its labels are deleted, and its answers and queries are taken out of the database,
        the journal and the backups; so are its rows in the caches of pixels and features. The record keeps its id, and
        when and why it was removed. It never comes back, neither by a repair nor by :meth:`grow`. Models and metrics of
        earlier rounds stay; the next :meth:`fit` trains without its label.

        Parameters
        ----------
        id:
            Id of the image.
        reason:
            Why it is removed.

        Raises
        ------
        QueryError
            The record has no such image, or no other one.
        ConfigurationError
            `reason` is empty.
        StoreBusyError
            Another process has the record open. The image is removed, and the same call deletes the rest.
        StoreError
            A backup, all of which are deleted, has answers that the record lacks, because an earlier copy was restored.
        """
        from alkit.experiment.removing import remove

        parts, found = remove(self._parts, id, reason)
        self._go_on_with(parts)
        return found

    def _go_on_with(self, parts: Parts) -> None:
        """Use other parts from now on, with another pool."""
        if parts is not self._parts:
            self._parts, self._model = parts, LastModel(parts)
            self._test_labels = TestLabels(partial(gathering.gather_test_answers, parts))

    @checked
    def export_labels(
        self,
        out: str | os.PathLike[str],
        form: str = "masks",
        *,
        per_annotator: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write all labels that count now, with a manifest and a data card, and return the folder.

        The files ``manifest.csv`` and ``manifest.json`` have a row for each label: image, annotators, time, whether and
        when it was asked for or where it comes from, and whether it is held out. Masks have the original sizes of their
        images. Imported into a new record with the same images, joined labels are those that this experiment trains on.

        Parameters
        ----------
        out:
            Folder to write to, outside the folder of images.
        form:
            ``"masks"``: PNG files; ``"coco"``: a COCO file; ``"csv"``: a table, with PNG files if labels are masks;
            ``"nifti"``: volumes of labels, if the pool is an :class:`alkit.VolumePool`. ``"dicom-seg"``: these, and a
            DICOM segmentation of each DICOM series (``pip install "alkit[dicom-seg]"``).
        per_annotator:
            Write the labels of each annotator apart. By default, several labels of an image are joined. A record that
            imports them knows neither which is the latest nor what a review or a senior has decided.
        overwrite:
            Write into a folder that has files already. Labels of an earlier export that are not written again are
            deleted.

        Raises
        ------
        QueryError
            There is no label yet.
        ConfigurationError
            `form` is unknown or does not fit the labels, or `out` has files, has labels of another origin, or is inside
            the folder of images.
        """
        from alkit.experiment.exporting import export_labels

        return export_labels(self._parts, Path(out), form, per_annotator=per_annotator, overwrite=overwrite)

    @checked_except("test", "oracle", "metrics")
    def evaluate(
        self, test: Pool, oracle: Oracle, *, metrics: Metrics | None = None, poll: float = 1.0
    ) -> Mapping[str, float]:
        """Measure the last round's model on `test` and record the metrics with the round.

        If the rounds of the record are measured on another test set, on an audit set or on labels held out, the record
        keeps those metrics, and these are only returned. The same is true of `metrics`. Of several answers for a test
        image, the one with the latest revision counts.

        Parameters
        ----------
        test, oracle:
            Images that are not in the pool, and what labels them.
        metrics:
            Other metrics than those of the experiment.
        poll:
            Seconds between two looks at an oracle that has not answered yet.

        Raises
        ------
        QueryError
            There is no model yet.
        DataError
            `test` shares images with the pool.
        ConfigurationError
            A metric does not fit the labels, or fails.
        """
        return measuring.evaluate(self._parts, self._model, self._test_labels, test, oracle, metrics, poll)

    @checked_except("pool")
    def predict(self, pool: Pool) -> Iterator[Predictions]:
        """Yield the last model's predictions for the images of any pool, in batches that fit in memory.

        Raises
        ------
        DataError
            `pool` is not a pool.
        QueryError
            There is no model yet.
        """
        check_pool(pool)
        return self._model.predict(pool)

    # The loop.

    @checked_except("start", "batch", "rounds", "oracle", "test", "test_oracle")
    def rounds(
        self,
        oracle: Oracle,
        *,
        test: Pool | None = None,
        test_oracle: Oracle | None = None,
        start: int,
        batch: int,
        rounds: int,
        poll: float = 1.0,
        progress: bool = False,
    ) -> Iterator[RoundResult]:
        """Run round 0 with `start` labels and `rounds` more with `batch` each, and yield each round's result.

        Committed rounds are yielded from the record; an unfinished round continues where it stopped. If all rounds are
        committed, and the labels of the test set were corrected since, the last one is measured again.

        Parameters
        ----------
        oracle:
            Labels the queries and the images of `test`.
        test:
            Images to measure each round on; they must not be in the pool.
        test_oracle:
            What labels the images of `test`, which may then have the ids of images in the pool. Default: `oracle`.
        start, batch:
            Labels of round 0 and of each later round, at least 1.
        rounds:
            Rounds after round 0. When an experiment is resumed, this is the only one of the three that may differ.
        poll:
            Seconds between two looks at an oracle that has not answered yet.
        progress:
            Show a progress bar, in a terminal or a notebook.

        Raises
        ------
        ConfigurationError
            `oracle` is not an oracle, `start` or `batch` is not an integer >= 1, `rounds` is not an integer >= 0, or
            the pool has fewer images than start + rounds * batch.
        LabelError
            The oracle knows all labels beforehand, and some are missing or cannot be used.
        QueryError
            A round has more queries than the schedule says.
        ResumeError
            The record was created with another schedule, test set or oracle.
        """
        return run_rounds(
            lambda: (self._parts, self._model, self._test_labels),
            oracle,
            (test, test_oracle),
            start,
            batch,
            rounds,
            poll,
            progress,
        )

    @checked_except("oracle", "test", "test_oracle", "start", "batch", "rounds")
    def run(
        self,
        oracle: Oracle,
        *,
        test: Pool | None = None,
        test_oracle: Oracle | None = None,
        start: int,
        batch: int,
        rounds: int,
        poll: float = 1.0,
        progress: bool = False,
    ) -> tuple[RoundResult, ...]:
        """Run :meth:`rounds` to the end and return all results."""
        schedule = {"start": start, "batch": batch, "rounds": rounds}
        return tuple(self.rounds(oracle, test=test, test_oracle=test_oracle, **schedule, poll=poll, progress=progress))


def _located(
    store: str | os.PathLike[str] | Store | None, files: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | Store | None:
    """Return a record, or its address with that of its files."""
    if files is None:
        return store
    if store is not None and not isinstance(store, Store):
        return locate(store, files)
    raise ConfigurationError("files needs the path or the URL of a record", got=f"store={store!r}", hint="store=...")
