"""The last model of a record, with what it takes to use it elsewhere.

Only the record is read: neither the pool's images need to be there, nor the oracle, nor the strategy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from alkit.configuration.addresses import address_of
from alkit.configuration.forms import Written, build
from alkit.configuration.registry import trusted_packages
from alkit.errors import ConfigurationError, QueryError, StoreError
from alkit.pools.base import Subset
from alkit.pools.folder import ImagePool
from alkit.pools.scaling import Scale
from alkit.protocols import Learner, Predictor
from alkit.record.settings import Settings
from alkit.record.states import Recorded, Standing
from alkit.record.store import Store
from alkit.values.label_spec import LabelSpec, Size
from alkit.values.rounds import RoundResult


@dataclass(frozen=True, slots=True)
class Reading:
    """How image files are read: as :class:`alkit.ImagePool` has it."""

    size: Size | None
    grayscale: bool
    scale: Scale


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from.

    Parameters
    ----------
    declared:
        Written forms of ``learner``, ``strategy`` and ``initial``; the last is None where none was given.
    seed:
        Of the experiment.
    images:
        In the pool.
    history:
        The committed rounds.
    standings:
        Where each query stands.
    used:
        The answers that the last model was trained on, or measured by.
    tested:
        Whether the rounds were measured on a test set that was declared beforehand.
    """

    declared: Mapping[str, Written]
    seed: int
    images: int
    history: tuple[RoundResult, ...]
    standings: tuple[Standing, ...]
    used: tuple[Recorded, ...]
    tested: bool


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """The last model of a record.

    Parameters
    ----------
    predictor:
        On its learner's device.
    spec:
        What its labels look like.
    shape:
        Of the images it was trained on: channels, height, width.
    reading:
        How files become such images; None where the pool was no folder of them.
    threads:
        On how many the experiment computes: as many give the same numbers.
    origin:
        Where it comes from.
    """

    predictor: Predictor
    spec: LabelSpec
    shape: tuple[int, int, int]
    reading: Reading | None
    threads: int
    origin: Origin


def trained_model(
    store: str | os.PathLike[str], *, learner: Learner | None = None, device: str = "auto", wait: float = 30.0
) -> TrainedModel:
    """Return the last model of a record; another process may be working on it.

    Parameters
    ----------
    learner:
        The one the record was made with, where it was declared by what cannot be written down, such as a lambda.
    device:
        Where the model is to compute; ``auto``: where the learner says.
    wait:
        Seconds to wait for another process that is writing.

    Raises
    ------
    StoreError
        There is no such record, or it is damaged.
    QueryError
        There is no model yet.
    ConfigurationError
        The learner has to be passed, or knows of no device.

    Examples
    --------
    >>> trained_model("nowhere.db")
    Traceback (most recent call last):
    alkit.errors.StoreError: there is no record at nowhere.db...
    """
    if not Path(store).is_file():
        raise StoreError(f"there is no record at {store}", hint="alkit start makes one, and so does alkit run")
    record = Store(store, wait)
    settings = Settings(record)
    try:
        while (last := record.last_model()) is not None:
            # Another process may commit a round meanwhile, and its model takes the last one's place.
            try:
                dumped = record.content(last[0])
            except StoreError:
                if record.last_model() == last:
                    raise
                continue
            origin, spec, threads, shape = _origin(record), settings.spec, record.fact("threads"), settings.shape
            if record.last_model() == last:
                break
        else:
            raise QueryError(
                f"there is no model in {store} yet", hint="alkit status says what is missing; alkit fit trains one"
            )
        form = settings.declared["pool"]
    finally:
        record.close()
    found = _learner(origin.declared["learner"], store) if learner is None else learner
    return TrainedModel(
        _on(found, device).loads(dumped),
        spec,
        shape,
        _reading(form),
        threads,
        origin,
    )


def _origin(record: Store) -> Origin:
    history, answers, last = tuple(record.rounds()), record.answers(), record.last_consumed()
    settings = Settings(record)
    schedule, declared = settings.schedule, settings.declared
    return Origin(
        {name: declared[name] for name in ("learner", "strategy", "initial")},
        settings.seed,
        settings.images or 0,
        history,
        record.standings(),
        tuple(answer for answer in answers if answer.number in last),
        schedule is not None and schedule.test is not None,
    )


def _learner(form: Written, store: str | os.PathLike[str]) -> Learner:
    try:
        learner: Learner = build(form, trusted_packages())
    except ConfigurationError as reason:
        raise ConfigurationError(
            f"{store} does not say enough to build its learner ({reason})",
            hint="in code, trained_model(store, learner=...)",
        ) from reason
    return learner


def _reading(form: Written) -> Reading | None:
    """Read how a pool reads its files off its written form; the folder itself may be gone."""
    names = {address_of(kind): kind for kind in (ImagePool, Subset)}
    while isinstance(form, dict) and names.get(form.get("is", "")) is Subset:
        form = form["with"]["pool"]
    if not isinstance(form, dict) or names.get(form.get("is", "")) is not ImagePool:
        return None
    size = form["with"]["size"]
    return Reading(None if size is None else (size[0], size[1]), form["with"]["grayscale"], form["with"]["scale"])


def _on(learner: Learner, device: str) -> Learner:
    """Return the learner on another device; that of an ensemble, inside it."""
    if device == "auto":
        return learner
    thing: Any = learner
    names = {entry.name for entry in fields(thing)} if is_dataclass(thing) else set()
    if "device" in names:
        placed: Learner = replace(thing, device=device)
        return placed
    if "learner" in names:
        around: Learner = replace(thing, learner=_on(thing.learner, device))
        return around
    raise ConfigurationError(
        f"a {type(learner).__name__} knows of no device", got=f"device={device!r}", hint="leave it out"
    )
