"""Rehearse an experiment once, before its images are labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, without_hint
from alkit.evaluation.chosen import Measurement
from alkit.experiment.parts import Parts
from alkit.learners.rehearsal import rehearse
from alkit.pools.checks import image_shape
from alkit.pools.frames import training_spec
from alkit.protocols import Learner, Pool, Strategy
from alkit.record.changing import REHEARSED
from alkit.record.settings import Settings, as_spec
from alkit.record.store import Store
from alkit.strategies.functions import check_labels_of, needs_of
from alkit.values.label_spec import LabelSpec
from alkit.values.progress import Progress, Report


def try_out(
    store: Store,
    settings: Settings,
    learner: Learner,
    strategy: Strategy,
    pool: Pool,
    report: Report,
    classes: LabelSpec | Sequence[str] | None = None,
) -> dict[str, Any] | None:
    """Try the learner on the images, and return what to record of it.

    The result is None if this was done, a round is committed or the classes are not known. Without `classes`, those of
    the record count.

    Raises
    ------
    ConfigurationError
        The learner cannot train on the images, or its models lack what the strategy needs; or the strategy cannot work
        with such labels.
    """
    if (classes is None and store.fact("classes") is None) or store.rounds():
        return None
    needs = needs_of(strategy)
    check_labels_of(strategy, settings.spec if classes is None else as_spec(classes))
    spec = training_spec(pool, settings.spec if classes is None else as_spec(classes))
    shape = image_shape(pool)
    subject = [written_form(learner), written_form(spec), sorted(needs), list(shape)]
    key = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()
    done = store.fact(REHEARSED)
    if done is not None and done["key"] == key:
        return None
    report(Progress("rehearse", 0, 1))
    with settings.threads():
        least = rehearse(learner, needs, pool, spec)
    report(Progress("rehearse", 1, 1))
    return {"key": key, "least": least}


def save(store: Store, tried: Mapping[str, Any] | None) -> None:
    """Record the result of :func:`try_out`."""
    if tried is not None:
        store.revise(REHEARSED, lambda before: dict(tried))


def rehearse_once(parts: Parts) -> None:
    """Try the learner on the images and record that, unless it was done: see :func:`try_out`. Check the metrics too."""
    if parts.store.fact("classes") is not None:
        Measurement(parts.metrics, parts.settings.spec)
    save(
        parts.store,
        try_out(parts.store, parts.settings, parts.learner, parts.strategy, parts.pool, parts.report),
    )


def rehearse_test(parts: Parts, test: Pool) -> None:
    """Try the learner on images of a test set, if they have another size than those of the pool and no round is there.

    Raises
    ------
    ConfigurationError
        The learner cannot work on the images.
    """
    (channels, height, width), own = image_shape(test), image_shape(parts.pool)
    if (channels, height, width) == own or parts.store.rounds():
        return
    try:
        if channels != own[0]:
            raise ConfigurationError("they have another number of channels")
        with parts.settings.threads():
            rehearse(parts.learner, (), test, parts.settings.spec)
    except ConfigurationError as reason:
        raise ConfigurationError(
            f"test must have images that fit the learner ({without_hint(reason)})",
            got=f"{channels} x {height} x {width}, and {' x '.join(map(str, own))} in the pool",
            hint="the same size for both",
        ) from reason


def check_enough(parts: Parts, name: str, n: int, before: int = 0) -> None:
    """Raise a :class:`ConfigurationError` if the network cannot be trained on the labels of round 0.

    Parameters
    ----------
    parts:
        The experiment.
    name:
        Name of the parameter.
    n:
        Its value: the number of images to label.
    before:
        Number of images that are labelled already.
    """
    least = parts.settings.fewest_labels - before
    if n < least:
        raise ConfigurationError(
            f"{name} must be >= {least} in round 0, because this network cannot be trained on a single image",
            got=n,
            hint=f"{name}={least}",
        )
