"""The last model of a record, with everything that is needed to use it elsewhere.

Only the record is read. The images, the oracle and the strategy of the experiment are not needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alkit.arguments.checked import checked
from alkit.arguments.returned import check_returned
from alkit.configuration.addresses import address_of
from alkit.configuration.construct import build
from alkit.configuration.forms import Written
from alkit.errors import ConfigurationError, ImageError, QueryError, StoreError
from alkit.evaluation.meanings import DIRECTIONS
from alkit.pools.base import Subset
from alkit.pools.deep import Pages
from alkit.pools.folder import ImagePool
from alkit.pools.scaling import Scale
from alkit.pools.tiles.pool import TilePool
from alkit.pools.tiles.source import Tiles
from alkit.pools.volumes.pool import VolumePool
from alkit.pools.volumes.scanning import check_modalities
from alkit.pools.volumes.slices import Cutting, check_cutting
from alkit.protocols import Learner, Predictor
from alkit.record.existing import is_there
from alkit.record.kept_models import model_of
from alkit.record.settings import Settings
from alkit.record.states import Recorded, Standing, find_standings
from alkit.record.store import Store
from alkit.record.testsets import test_set
from alkit.report.best import best_round
from alkit.report.truth import by_truth
from alkit.sharing.placing import place_learner
from alkit.values.frames import Fit
from alkit.values.label_spec import LabelSpec, Size
from alkit.values.rounds import RoundResult


@dataclass(frozen=True, slots=True)
class Reading:
    """How image files are read: the parameters of :class:`alkit.ImagePool` with the same names.

    `type` is that of the pixels before they are scaled, by its text in NumPy; None if it is not known.
    """

    size: Size | None
    grayscale: bool
    scale: Scale
    path: str
    fit: Fit = "squash"
    pages: Pages | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class TileReading:
    """How large images are cut into tiles: the parameters of :class:`alkit.TilePool` with the same names.

    `type` is that of the pixels before they are scaled, by its text in NumPy; None if it is not known.
    """

    tile: Size
    stride: Size
    margin: int
    level: int
    mpp: float | None
    grayscale: bool
    scale: Scale
    type: str | None = None

    def source(self, folder: Path) -> Tiles:
        """Return the source of the tiles of all images in a folder."""
        cut = self.tile, self.stride, self.margin, self.level, self.mpp
        return Tiles(folder, "**/*", *cut, self.grayscale, "all", 0.0)


@dataclass(frozen=True, slots=True)
class Slicing:
    """How volumes are found, cut and read: parameters of :class:`alkit.VolumePool`."""

    modalities: tuple[str, ...]
    cutting: Cutting
    path: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The experiment that a model comes from.

    Parameters
    ----------
    declared:
        Written forms of ``learner``, ``strategy`` and ``initial``; ``initial`` is None if none was given.
    seed:
        Seed of the experiment.
    images:
        Number of images in the pool.
    history:
        Committed rounds.
    standings:
        Standing of each query.
    used:
        Answers that the last model was trained or evaluated on.
    tested:
        Whether the rounds were evaluated on a test set that was declared in advance.
    best:
        Whether the round was chosen because its main metric is the best.
    """

    declared: Mapping[str, Written]
    seed: int
    images: int
    history: tuple[RoundResult, ...]
    standings: tuple[Standing, ...]
    used: tuple[Recorded, ...]
    tested: bool
    best: bool = False


@checked
@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """The last model of a record. :func:`trained_model` returns it.

    Parameters
    ----------
    predictor:
        The predictor, on its learner's device.
    spec:
        Label specification.
    shape:
        Shape of the images that the model was trained on: channels, height, width.
    reading:
        How image files are read; None if the pool was not a folder of images.
    slicing:
        How volumes are cut and read; None if the pool was not a folder of volumes.
    threads:
        Number of threads that the experiment computed with. The same number gives the same results.
    origin:
        The experiment that the model comes from.
    tiles:
        How large images are cut into tiles; None if the pool did not consist of tiles.
    learner:
        Learner of the model, which reads it again in other processes; None if it is not known.
    """

    predictor: Predictor
    spec: LabelSpec
    shape: tuple[int, int, int]
    reading: Reading | None
    threads: int
    origin: Origin
    tiles: TileReading | None = None
    slicing: Slicing | None = None
    learner: Learner | None = None


def check_type(pixels: np.dtype[Any], reading: Reading | TileReading, path: Path) -> None:
    """Refuse images of another type than those that a model was trained on, if they are scaled by the type.

    Raises
    ------
    ImageError
        They are of another type.
    """
    if reading.scale == "full" and reading.type is not None and pixels != np.dtype(reading.type):
        raise ImageError(
            f"{path} has pixels of another type than the images that the model was trained on, which scale='full' "
            "divides by the greatest value of their type",
            got=pixels,
            expected=np.dtype(reading.type),
            hint="save it with as many bits, and the same range of values",
        )


def check_trained(model: object) -> None:
    """Raise a :class:`ConfigurationError` unless `model` is a :class:`TrainedModel`."""
    if not isinstance(model, TrainedModel):
        path = isinstance(model, str | os.PathLike)
        raise ConfigurationError(
            "model must be a model that trained_model() returned",
            got=str(model) if path else f"an object of type {type(model).__name__}",
            hint=f"alkit.trained_model({os.fspath(model)!r})" if path else "alkit.trained_model(store)",  # type: ignore[call-overload]
        )


@checked
def trained_model(
    store: str | os.PathLike[str],
    *,
    round: int | Literal["best"] | None = None,
    learner: Learner | None = None,
    device: str = "auto",
    wait: float = 30.0,
) -> TrainedModel:
    """Return the last model of a record, or an earlier one, even while another process works on the record.

    Parameters
    ----------
    store:
        File of the record, or its URL, as for :class:`alkit.Experiment`.
    round:
        Round of the model, if the record keeps it (``keep=`` of :class:`alkit.Experiment`); ``"best"``: the round with
        the best main metric. Default: the last one.
    learner:
        Learner that the record was created with. It is needed only if the record cannot rebuild it, for example
        because it contains a lambda.
    device:
        Device that the model computes on, such as ``"cpu"`` or ``"cuda"``. Default: ``"auto"``, the learner's device.
    wait:
        Seconds to wait for another process that is writing.

    Raises
    ------
    StoreError
        The record does not exist, or is damaged.
    QueryError
        The record has no model yet, or none of that round.
    ConfigurationError
        The record cannot rebuild the learner, or `device` is given and the learner has no parameter ``device``.

    Examples
    --------
    >>> trained_model("nowhere.db")
    Traceback (most recent call last):
    alkit.errors.StoreError: the record nowhere.db does not exist...
    """
    if not is_there(store, wait):
        raise StoreError(f"the record {store} does not exist", hint="create it with Experiment(..., store=...)")
    record = Store(store, wait)
    settings = Settings(record)
    try:
        wanted = _best(record) if round == "best" else round
        while (found := model_of(record, wanted)) is not None:
            # Another process may commit a round meanwhile, and replace the last model.
            number, file = found
            try:
                dumped = record.content(file)
            except StoreError:
                if model_of(record, wanted) == found:
                    raise
                continue
            settings.check_complete()
            origin, spec, threads, shape, pixels = (
                replace(_origin(record, number), best=round == "best"),
                settings.spec,
                record.fact("threads"),
                settings.shape,
                settings.pixels,
            )
            if model_of(record, wanted) == found:
                break
        else:
            raise QueryError(
                f"the record {store} has no model yet",
                hint="Experiment.open(...).fit(), which trains one",
            )
        form = settings.declared["pool"]
    finally:
        record.close()
    own = _learner(origin.declared["learner"], store) if learner is None else learner
    learner = place_learner(own, device)
    predictor = learner.loads(dumped)
    check_returned(learner, "loads", predictor, Predictor)
    return TrainedModel(
        predictor,
        spec,
        shape,
        _reading(form, pixels),
        threads,
        origin,
        _tiles(form, pixels),
        _slicing(form),
        learner,
    )


def _best(record: Store) -> int | None:
    """Return the round with the best main metric of those whose models are kept; None if none was measured."""
    kept, alike = record.models(), by_truth(record.rounds())[-1:]
    return best_round([result for part in alike for result in part if result.round in kept], record.fact(DIRECTIONS))


def _origin(record: Store, round: int) -> Origin:
    """Return where the model of a round comes from: the rounds up to it, and the answers that it has seen."""
    settings, snapshot = Settings(record), record.snapshot()
    declared, used = settings.declared, record.used_in(round)
    return Origin(
        {name: declared[name] for name in ("learner", "strategy", "initial")},
        settings.seed,
        settings.images or 0,
        tuple(result for result in snapshot.rounds if result.round <= round),
        find_standings(snapshot.asked, snapshot.answers, used, used),
        tuple(answer for answer in snapshot.answers if answer.number in used),
        test_set(settings, record) is not None,
    )


def _learner(form: Written, store: str | os.PathLike[str]) -> Learner:
    try:
        learner: Learner = build(form, "learner")
    except ConfigurationError as reason:
        raise ConfigurationError(
            f"the record {store} cannot rebuild its learner ({reason})",
            hint="learner= the learner that the record was created with",
        ) from reason
    return learner


def _reading(form: Written, pixels: str | None) -> Reading | None:
    """Return how a pool reads files, from its written form. The folder need not exist."""
    if (own := _parameters(form, ImagePool)) is None:
        return None
    size, fit = own["size"], own.get("fit", "squash")
    whole = None if size is None else (size[0], size[1])
    return Reading(whole, own["grayscale"], own["scale"], own["path"], fit, own.get("pages"), pixels)


def _tiles(form: Written, pixels: str | None) -> TileReading | None:
    """Return how a pool cuts images into tiles, from its written form."""
    if (own := _parameters(form, TilePool)) is None:
        return None
    tile, stride = ((own[name][0], own[name][1]) for name in ("tile", "stride"))
    return TileReading(tile, stride, own["margin"], own["level"], own["mpp"], own["grayscale"], own["scale"], pixels)


def _slicing(form: Written) -> Slicing | None:
    """Return how a pool cuts and reads volumes, from its written form. The folder need not exist."""
    if (own := _parameters(form, VolumePool)) is None:
        return None
    return Slicing(check_modalities(own["modalities"]), check_cutting(own), own["path"])


def _parameters(form: Written, kind: type) -> Mapping[str, Any] | None:
    """Return the written parameters of a pool of this class, or of one that it is a part of; None for other pools."""
    names = {address_of(known): known for known in (kind, Subset)}
    while isinstance(form, dict) and names.get(form.get("is", "")) is Subset:
        form = form["with"]["pool"]
    if not isinstance(form, dict) or names.get(form.get("is", "")) is not kind:
        return None
    own: Mapping[str, Any] = form["with"]
    return own
