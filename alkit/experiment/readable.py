"""What can be read of an experiment: its parts and its state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import LabelError
from alkit.evaluation.agreement import Agreement
from alkit.evaluation.doubts import Doubt
from alkit.experiment import showing
from alkit.experiment.parts import Parts
from alkit.protocols import Learner, Pool, Strategy
from alkit.record.address import Server
from alkit.record.audit import recorded_audit
from alkit.record.disputes import recorded_disputes
from alkit.record.grouping import recorded_rules
from alkit.record.people import recorded_people
from alkit.record.states import Recorded, Standing
from alkit.report.annotators import recorded_agreement, recorded_doubts
from alkit.values.disputes import Disputes
from alkit.values.label_spec import Label, LabelSpec
from alkit.values.people import People
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult
from alkit.values.rules import SelectionRules


class Readable:
    """The part of :class:`alkit.Experiment` that changes nothing."""

    _parts: Parts

    def __repr__(self) -> str:
        return showing.as_text(self._parts) if "_parts" in vars(self) else "Experiment(not created yet)"

    def _repr_html_(self) -> str:
        return showing.as_html(self._parts)

    @property
    def pool(self) -> Pool:
        """The pool, without images that were added after the experiment was created."""
        return self._parts.pool

    @property
    def learner(self) -> Learner:
        """The learner."""
        return self._parts.learner

    @property
    def strategy(self) -> Strategy:
        """The strategy of all rounds after round 0."""
        return self._parts.strategy

    @property
    def initial(self) -> Strategy:
        """The strategy of round 0."""
        return self._parts.initial

    @property
    def seed(self) -> int:
        """The source of all randomness."""
        return self._parts.stream.seed

    @property
    def path(self) -> Path | Server:
        """The file of the record, or its campaign on a server."""
        return self._parts.store.path

    @property
    def spec(self) -> LabelSpec:
        """The classes of the labels; a :class:`ConfigurationError` until they are known."""
        return self._parts.settings.spec

    @property
    def campaign(self) -> str:
        """A random word of the record, by which oracles tell its queries from those of other records."""
        return self._parts.settings.campaign

    @property
    def candidates(self) -> tuple[str, ...]:
        """Ids that can still be queried, sorted: neither labelled, skipped, queried, nor against the rules."""
        return self._parts.candidates()

    @property
    def rules(self) -> SelectionRules:
        """The rules of selections, which the record keeps."""
        return recorded_rules(self._parts.store)

    @property
    def people(self) -> People:
        """Who labels the images, and until when, which the record keeps."""
        return recorded_people(self._parts.store)

    @property
    def audit(self) -> tuple[str, ...]:
        """Ids of the images of the audit set, in the order in which they were drawn."""
        return recorded_audit(self._parts.store).ids

    @property
    def apart(self) -> frozenset[str]:
        """Ids of the audit set and of all images that belong to one of it: none of them is ever trained on."""
        return frozenset(self._parts.apart())

    @property
    def learnable(self) -> bool:
        """Whether there are labels to train on that are not held out: one, or as many as the network needs."""
        labelled = [id for id, known in self._parts.known().items() if known.labels]
        return bool(labelled) and self._parts.settings.has_enough(labelled)

    @property
    def open_ids(self) -> tuple[str, ...]:
        """Ids whose queries still lack an answer, the most wanted first."""
        return tuple(query.id for query in self._parts.open_queries())

    @property
    def waiting_ids(self) -> tuple[str, ...]:
        """Those of :attr:`open_ids` that nobody has answered yet: :meth:`Experiment.top_up` counts them."""
        return tuple(query.id for query in self._parts.untouched_queries())

    @property
    def history(self) -> tuple[RoundResult, ...]:
        """The committed rounds. What is written into their figures changes a copy."""
        return tuple(
            replace(result, metrics=dict(result.metrics), seconds=dict(result.seconds))
            for result in self._parts.store.rounds()
        )

    def queries(self) -> tuple[Query, ...]:
        """Return the open queries, with rank, score and what each image stands for."""
        return tuple(self._parts.open_queries())

    def answers(self) -> tuple[Recorded, ...]:
        """Return all answers in the order of their recording, those that do not count included."""
        return tuple(self._parts.store.answers())

    @checked
    def label(self, answer: Recorded) -> Label:
        """Return the label of a recorded answer, as the annotator gave it: a mask ``(h, w)``, or a class id.

        Raises
        ------
        LabelError
            The answer has no label: it is a skip, a withdrawal or invalid.
        """
        if answer.label is None:
            raise LabelError(f"the answer for {answer.id!r} has no label", got=f"a {answer.kind} answer")
        return self._parts.files.read(answer.label)

    @checked
    def agreement(self, below: float | None = None) -> Agreement:
        """Return how well annotators agree, per image, per pair and per class, and the disputed images.

        Only the latest label of each annotator counts, and only labels that were asked for.

        Parameters
        ----------
        below:
            Images whose annotators agree less are disputed, in (0, 1]. Default: what :attr:`disputes` says.

        Raises
        ------
        ConfigurationError
            The classes are not known yet, or `below` is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> import alkit
        >>> experiment = alkit.Experiment(alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8)), alkit.testing.Brightness(),
        ...     alkit.strategy("random"), classes=("skin", "lesion"), annotators=2)
        >>> (id,) = experiment.ask(1)
        >>> mask = np.eye(8, dtype=np.uint8)
        >>> receipt = experiment.receive([alkit.Answer(id, mask, "ann"), alkit.Answer(id, 1 - mask, "bob")])
        >>> experiment.agreement().mean
        0.0
        """
        if below is not None:
            check_number("below", below, 0, 1, open_ends="(")
        return recorded_agreement(self._parts.store, below)

    @property
    def disputes(self) -> Disputes:
        """What becomes of images about which annotators disagree."""
        return recorded_disputes(self._parts.store)

    def doubts(self) -> tuple[Doubt, ...]:
        """Return the new masks that may be mistakes: those that are empty, full, inverted, or far from all others.

        New is a label that no model was trained on or measured by. It is compared with those of the other annotators
        of the image, and with the mask of the model that the image was sent with. None is refused for it.
        """
        return recorded_doubts(self._parts.store)

    def standings(self) -> tuple[Standing, ...]:
        """Return the state, the answers and the number of missing answers of each query, by round and rank."""
        return self._parts.store.snapshot().standings
