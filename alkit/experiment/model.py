"""The model of the last committed round: read from the record when it is needed, and kept until it is replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit._logs import logger
from alkit.arguments.returned import check_returned
from alkit.errors import ColdStartError, ConfigurationError, QueryError, StoreError
from alkit.experiment.opening import initial_that_starts_cold
from alkit.experiment.parts import Parts, next_round
from alkit.features.gathered import Gathered
from alkit.labels.outlines import Outline, outline_of
from alkit.pools.checks import reads_otherwise
from alkit.pools.frames import content_of, frames_of
from alkit.pools.pieces import shards_of
from alkit.protocols import Pool, Predictor
from alkit.report.costs import RecordedCost, recorded_cost
from alkit.sharing.share import Counted, share
from alkit.statistics.costs import fit_correction
from alkit.values.clusters import Clusters
from alkit.values.label_spec import Mask
from alkit.values.predictions import Predictions
from alkit.values.progress import quiet

if TYPE_CHECKING:
    from alkit.scores.streamed import Scoring


log = logger(__name__)


class LastModel:
    """The last round's model of an experiment, and its scores and features of the pool."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.asked = False  # for scores, predictions or features, since somebody set it to False
        self._loaded: tuple[str, Predictor] | None = None  # the model's file, and the model
        self._scoring: tuple[tuple[str, int], Scoring] | None = None  # by the model's file and the round
        self._features: npt.NDArray[np.float32] | None = None  # of this scoring, like the clusters
        self._clusters: dict[int, Clusters] = {}
        self._outlines: tuple[str, dict[str, Outline]] = ("", {})  # by the model's file
        self._cost: tuple[object, RecordedCost | None] | None = None  # by the queries and answers

    def replace(self, predictor: Predictor) -> None:
        """Keep the model of the round that was just committed."""
        last = self._parts.store.last_model()
        self._loaded = None if last is None else (last[0], predictor)

    def predictor(self) -> Predictor:
        """Return the model.

        Raises
        ------
        QueryError
            No round is committed yet.
        ResumeError
            Another process has changed the learner since, which reads the model.
        """
        store = self._parts.store
        while (last := store.last_model()) is not None:
            if self._loaded is not None and self._loaded[0] == last[0]:
                return self._loaded[1]
            self._parts.settings.agreed.check_learner()
            try:
                loaded = self._parts.learner.loads(store.content(last[0]))
                check_returned(self._parts.learner, "loads", loaded, Predictor)
                self._loaded = (last[0], loaded)
            except StoreError:
                if store.last_model() == last:  # else another process has just replaced the model
                    raise
        raise QueryError("the record has no model yet", hint="tell() some labels and fit()")

    def to_train(self) -> Predictor:
        """Return the model for a training: one of its own for a learner of the user, who may train it in place.

        Otherwise the new model would be compared with itself, and a training that was interrupted would leave a model
        that the record does not have. The learners of alkit copy it.
        """
        learner = self._parts.learner
        own = getattr(learner, "learner", learner)  # of an ensemble
        if all(type(part).__module__.partition(".")[0] == "alkit" for part in (learner, own)):
            return self.predictor()
        kept = self._loaded
        self._loaded = None
        try:
            return self.predictor()
        except Exception:  # it cannot read its own models, which matters to those who open the record again
            if kept is None:
                raise
            return kept[1]
        finally:
            self._loaded = kept

    def scoring(self) -> Scoring:
        """Return the scores of the model, which are computed once for each round.

        Raises
        ------
        ColdStartError
            No round is committed yet.
        """
        parts = self._parts
        if (last := parts.store.last_model()) is None:
            if parts.known():
                raise ColdStartError("the record has labels, but no model was trained on them yet", hint="fit() first")
            raise ColdStartError(
                "round 0 has no model yet: predictions and scores begin with round 1",
                hint=initial_that_starts_cold(),
            )
        self.asked = True
        key = last[0], next_round(parts.store.rounds())
        if self._scoring is None or self._scoring[0] != key:
            from alkit.scores.streamed import Scoring  # imports torch, which ask and tell do not need

            draws = parts.stream.child("round", key[1], "draws")
            self._scoring = (
                key,
                Scoring(
                    parts.pool,
                    self.predictor(),
                    draws,
                    parts.report,
                    learner=parts.learner,
                    workers=parts.workers,
                    key=[str(parts.store.path), parts.settings.agreed.form, *key],
                ),
            )
            self._features, self._clusters = None, {}
        return self._scoring[1]

    def predictions(self, ids: Sequence[str]) -> Iterator[Predictions]:
        """Yield the predictions of images, in batches, without padding and surroundings, which do not count.

        Raises
        ------
        ColdStartError
            No round is committed yet.
        """
        found = self.scoring().predictions(ids)
        return (content for batch in found for content in content_of(self._parts.pool, batch))

    def features(self) -> npt.NDArray[np.float32]:
        """Return what the model sees in each image of the pool, by sorted ids, computed once for each round; read-only.

        Raises
        ------
        ColdStartError
            No round is committed yet.
        ConfigurationError
            The model has no features.
        SelectionError
            A row is not finite.
        """
        scoring = self.scoring()
        if self._features is None:
            gathered = Gathered()
            for rows in scoring.features(self._parts.ids):
                gathered.append(rows)
            self._features = gathered.array()
        return self._features

    def clusters(self, k: int) -> Clusters:
        """Return the K-means clusters of :meth:`features`, computed once for each round and not recorded."""
        features = self.features()
        if k not in self._clusters:
            self._clusters[k] = self._parts.representations.cluster(features, k)
        return self._clusters[k]

    def cost(self) -> RecordedCost | None:
        """Return what a label costs, fitted once to the answers that there are; None if no time of a label is known."""
        snapshot = self._parts.store.snapshot()
        of = snapshot.asked, snapshot.answers  # an answer that was sent back has no time any more
        if self._cost is None or self._cost[0] != of:
            self._cost = of, recorded_cost(self._parts.store)
        return self._cost[1]

    def seconds(self, ids: Sequence[str]) -> dict[str, float]:
        """Return the expected seconds for a label of each image; empty if no time of a label is known."""
        if (known := self.cost()) is None:
            return {}
        outlines = self._outlines_of([*ids, *known.outlines]) if known.cost.by_outline else {}
        labelled = [id for id in known.outlines if id in outlines]
        if not labelled:
            return dict.fromkeys(ids, known.cost.expected())
        actual, predicted = ([known.cost.expected(of[id]) for id in labelled] for of in (known.outlines, outlines))
        correction = fit_correction(actual, predicted)
        drawn = {id: correction.apply(known.cost.expected(outlines[id])) for id in ids if id in outlines}
        return {id: drawn[id] if id in drawn else known.cost.expected() for id in ids}

    def _outlines_of(self, ids: Sequence[str]) -> Mapping[str, Outline]:
        """Return the outlines that the model predicts, of each image once; nothing without a model of masks."""
        if (last := self._parts.store.last_model()) is None:
            return {}
        if self._outlines[0] != last[0]:
            self._outlines = last[0], {}
        known, asked = self._outlines[1], self.asked
        usable = self._parts.representations.known_ids
        missing = [id for id in ids if id not in known and id in usable]
        for batch in self.predictions(missing) if missing else ():
            if batch.probabilities.ndim == 4:
                known.update(zip(batch.ids, map(outline_of, batch.labels), strict=True))
        self.asked = asked  # the strategy has not chosen by them
        return known

    def predict(self, pool: Pool) -> Iterator[Predictions]:
        """Return the predictions for the images of any pool, in batches that fit in memory.

        Raises
        ------
        QueryError
            No round is committed yet.
        """
        predictor = self.predictor()
        for sentence in reads_otherwise(self._parts.pool, pool, "the pool that is predicted"):
            log.warning("%s", sentence)
        return self._predict(pool, pool.ids, predictor)

    def _predict(self, pool: Pool, ids: Sequence[str], predictor: Predictor) -> Iterator[Predictions]:
        from alkit.evaluation.work import Checked

        parts, ids = self._parts, list(ids)
        work, shards = Checked(predictor, parts.learner, parts.settings.spec), shards_of(pool, ids)
        found = share(work, shards, Counted(quiet, "predict", len(ids)), workers=parts.workers, stream=True)
        for shard in shards:
            with parts.settings.threads():
                result = next(found)
            yield Predictions(tuple(shard.ids), result["whole"])

    def predict_masks(self, ids: Sequence[str]) -> dict[str, str]:
        """Predict masks of some images at their original sizes; return their files by id."""
        from alkit.labels.resizing import masks_at_original_size  # imports torch, which ask and tell do not need

        parts, files = self._parts, dict[str, str]()
        for predictions in self._predict(parts.pool, ids, self.predictor()):
            masks = masks_at_original_size(predictions, frames_of(parts.pool, predictions.ids))
            files.update((id, parts.files.keep(mask)) for id, mask in zip(predictions.ids, masks, strict=True))
        return files

    def _recorded_prelabels(self) -> dict[str, str | None]:
        """Return by id the files of the pre-labels of open queries; None for those that have none yet."""
        usable = self._parts.representations.known_ids
        asked = [entry for entry in self._parts.store.snapshot().open if entry.query.id in usable]
        reviews = [entry for entry in self._parts.store.snapshot().open_reviews if entry.query.id in usable]
        shown = {entry.query.id: entry.prelabel for entry in reviews if entry.prelabel is not None}  # first answers
        return {**shown, **{entry.query.id: entry.prelabel for entry in asked}}

    def prelabels(self) -> dict[str, Mask]:
        """Record the masks of open queries that have none, and return all: see :meth:`alkit.Experiment.prelabels`."""
        parts = self._parts
        if parts.settings.spec.per == "image":
            raise ConfigurationError("pre-labels are masks, but the labels of this experiment are classes of images")
        files = self._recorded_prelabels()
        if None in files.values() and parts.store.last_model() is not None:
            with parts.store.exclusive():
                parts.settings.agreed.check()
                files = self._recorded_prelabels()
                predicted = self.predict_masks([id for id, file in files.items() if file is None])
                parts.store.set_prelabels(predicted)
                files.update(predicted)
        parts.files.fetch([file for file in files.values() if file is not None])
        return {id: parts.files.read(file) for id, file in files.items() if file is not None}
