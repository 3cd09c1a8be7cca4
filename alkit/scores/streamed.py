"""Scores and predictions of a pool by one model, computed batch by batch.

Each question reads the pool once. Only the moments of one batch (:mod:`alkit.scores`) and one number per image stay in
memory, so memory grows neither with the number of draws nor with the size of the pool's images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked, checked_except
from alkit.configuration.addresses import address_of
from alkit.configuration.forms import Written, opaque_parts, without_state, written_form
from alkit.configuration.loaded_objects import LoadedCode
from alkit.errors import is_out_of_memory
from alkit.pools.batches import too_large
from alkit.pools.pieces import Shard, shards_of
from alkit.protocols import HasDigests, HasFeatures, Learner, LimitsBatches, Pool, Predictor, Reduction, Sampler, Score
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC
from alkit.scores.reductions import mean
from alkit.scores.work import Features, Probabilities, Scores, check_rows, lacks_features
from alkit.sharing.arithmetic import runtime_values
from alkit.sharing.share import Counted, Result, share
from alkit.sharing.worker import Work
from alkit.sharing.workers import Workers, check_workers
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet


@checked_except("workers", "key")
class Scoring:
    """The scores of a pool by one model. Each score is computed once and then remembered.

    Parameters
    ----------
    pool:
        The images.
    predictor:
        The model.
    stream:
        Random stream of the draws. The same stream gives the same draws.
    report:
        Called after each batch with the progress.
    learner:
        Learner of the model. With it, the model is sent to workers as a file, and otherwise with each piece of work.
    workers:
        Who computes: a number of processes, -1 for one per core, or devices of torch, one process for each. Default:
        the workers of ``joblib.parallel_config``, else this process. The scores are the same.
    key:
        What tells this pool and this model from others, as values of JSON. With it, a process that was killed leaves
        the scores that it has computed to the next one, if the pool has digests, which tell that its images changed.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool, scores
    >>> class Uncertain:
    ...     def probabilities(self, images):
    ...         return np.full((len(images), 2, 4, 4), 0.5, np.float32)
    >>> pool = ArrayPool(np.zeros((2, 4, 4), np.uint8), ids=["a", "b"])
    >>> found = Scoring(pool, Uncertain(), Stream(0)).scores(["a"], scores.entropy)
    >>> round(found["a"], 3)
    0.693
    """

    def __init__(
        self,
        pool: Pool,
        predictor: Predictor,
        stream: Stream,
        report: Report = quiet,
        *,
        learner: Learner | None = None,
        workers: Workers = None,
        key: object = None,
    ) -> None:
        self._pool, self._predictor, self._stream, self._report = pool, predictor, stream, report
        self._learner, self._workers, self._key = learner, check_workers(workers), key
        self._known: dict[tuple[Score, Sampler, Reduction, LoadedCode, str], dict[str, float]] = {}

    @checked
    def scores(
        self,
        ids: Sequence[str],
        score: Score,
        sampler: Sampler = DETERMINISTIC,
        reduction: Reduction = mean,
    ) -> dict[str, float]:
        """Return the score of each image by id. See :meth:`alkit.protocols.View.scores` for parameters and errors."""
        code = LoadedCode(score, sampler, reduction)  # a function of a notebook may call others, which may change
        what = [written_form(part) for part in (score, sampler, reduction)]
        parameters = json.dumps(without_state(what), sort_keys=True)  # an object of the user may get others
        known = self._known.setdefault((score, sampler, reduction, code, parameters), {})
        left = [id for id in ids if id not in known]
        work = Scores(self._predictor, self._learner, score, sampler, reduction, self._stream)
        shards = self._shards(left)
        found = self._share(work, shards, Counted(self._report, "scores", len(ids), len(ids) - len(left)), what)
        for shard, result in zip(shards, found, strict=True):
            known.update(zip(shard.ids, result["scores"].tolist(), strict=True))
        return {id: known[id] for id in ids}

    @checked
    def predictions(self, ids: Sequence[str]) -> Iterator[Predictions]:
        """Yield the deterministic predictions of these images, in batches.

        Raises
        ------
        SelectionError
            A prediction is not finite. The message names the image.
        """
        work, shards = Probabilities(self._predictor, self._learner), self._shards(ids)
        found = share(work, shards, Counted(self._report, "predict", len(ids)), workers=self._workers, stream=True)
        for shard, result in zip(shards, found, strict=True):
            yield Predictions(tuple(shard.ids), result["probabilities"])

    @checked
    def features(self, ids: Sequence[str]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield what the model sees in these images before its head, in batches: one row for each image, float32.

        Raises
        ------
        ConfigurationError
            The model has no features, or gives another number of rows or columns.
        SelectionError
            A row is not finite. The message names the image.
        """
        if not isinstance(self._predictor, HasFeatures):
            raise lacks_features(type(self._predictor).__name__)
        work, shards, width = Features(self._predictor, self._learner), self._shards(ids), None
        found = self._share(work, shards, Counted(self._report, "features", len(ids)), [])
        for shard, result in zip(shards, found, strict=True):
            rows = result["features"]
            check_rows(self._predictor, rows, shard.ids, width)
            width = rows.shape[1]
            yield rows

    def _share(
        self, work: Work[Shard], shards: Sequence[Shard], counted: Counted, what: Sequence[Written]
    ) -> Iterator[Result]:
        """Share work whose results are kept until it is done, if all that they depend on has a name."""
        key = None
        what = [*what, written_form(self._learner), runtime_values(self._learner)]
        if self._key is not None and isinstance(self._pool, HasDigests) and not any(map(opaque_parts, what)):
            digests = self._pool.digests()
            content = "".join(digests[id] for shard in shards for id in shard.ids)
            images = [[list(shard.ids) for shard in shards], hashlib.sha256(content.encode()).hexdigest()]
            stream = [self._stream.seed, list(self._stream.path)]
            model = {"is": address_of(type(self._predictor))}
            key = [self._key, model, type(work).__name__, what, stream, images]
        return share(work, shards, counted, workers=self._workers, key=key)

    def _shards(self, ids: Sequence[str]) -> list[Shard]:
        """Divide images into batches of the size that suits the model, if it tells."""
        at_once = None
        if ids and isinstance(self._predictor, LimitsBatches):
            image = self._pool.read(ids[:1])
            try:
                at_once = self._predictor.images_at_once(image)
            except Exception as error:
                if is_out_of_memory(error):
                    raise too_large(error, image.shape[-2:]) from error
                raise
        return shards_of(self._pool, ids, at_once)
