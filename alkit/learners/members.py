"""The members of an ensemble, each trained on the same labels by any worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alkit.arguments.returned import check_returned
from alkit.configuration.forms import opaque_parts, written_form
from alkit.errors import ConfigurationError
from alkit.features.packed import NetworkFile, open_extractor, pack_extractor
from alkit.learners.packed import PackedImages, images_digest, pack_images
from alkit.protocols import FeatureExtractor, FittedExtractor, HasFingerprint, Labelled, Learner, Predictor
from alkit.sharing.arithmetic import runtime_values
from alkit.sharing.devices import worker_device
from alkit.sharing.placing import place_learner
from alkit.sharing.share import Result, share
from alkit.sharing.travelling import ModelFile, open_model, pack_model
from alkit.sharing.worker import Tick
from alkit.values.label_spec import Label, LabelSpec
from alkit.values.progress import Progress, Report


@dataclass(frozen=True)
class Member:
    """One member: its number, its random numbers, its learner, and its model of the last round."""

    number: int
    rng: np.random.Generator
    learner: Learner
    previous: Predictor | ModelFile | None
    size: int = 1

    def packed(self, folder: Path) -> Member:
        """Return the member with its model as a file."""
        if self.previous is None:
            return self
        return replace(self, previous=pack_model(self.previous, self.learner, folder))


def train_members(
    learner: Learner, labelled: Labelled, members: Sequence[Member], reports: Sequence[Report]
) -> list[Predictor]:
    """Train each member on all labels, and return the models.

    Parameters
    ----------
    reports:
        For each member, what is called with the progress of its training. The reports of another process come when the
        member is trained.
    """
    work = Training(learner, labelled, reports)
    models = []
    for member, result in zip(
        members, share(work, members, _nothing, key=_key(learner, labelled, members)), strict=True
    ):
        if member.number in work.made:
            models.append(work.made.pop(member.number))
            continue
        for step in json.loads(result["progress"].tobytes()):
            reports[member.number](Progress(*step))
        model = learner.loads(result["model"].tobytes())
        check_returned(learner, "loads", model, Predictor)
        models.append(model)
    return models


def _nothing(done: int) -> None:
    pass


@dataclass(frozen=True)
class Training:
    """The training of members. In this process, the models that were `made` are kept."""

    learner: Learner
    labelled: Labelled
    reports: Sequence[Report] = ()
    made: dict[int, Predictor] = field(default_factory=dict)

    def packed(self, folder: Path) -> Training:
        """Return the work as it travels: images, labels and weights lie in files."""
        return Training(self.learner, pack_labelled(self.learner, self.labelled, folder))

    def __call__(self, member: Member, tick: Tick) -> Result:
        """Return ``model``, the bytes of its ``dumps()``, and ``progress``, its reports as JSON."""
        said: list[tuple[str, int, int, dict[str, float]]] = []

        def report(step: Progress) -> None:
            said.append((step.stage, step.done, step.total, dict(step.detail)))
            if self.reports:
                self.reports[member.number](step)

        learner = place_learner(self.learner, worker_device())
        previous = None if member.previous is None else open_model(member.previous)
        model = learner.fit(self.labelled, member.rng, previous, report)
        check_returned(learner, "fit", model, Predictor)
        if self.reports:
            self.made[member.number] = model
        dumped = model.dumps()
        check_returned(model, "dumps", dumped, bytes)
        tick(1)
        told = json.dumps(said).encode()
        return {"model": np.frombuffer(dumped, np.uint8), "progress": np.frombuffer(told, np.uint8)}


@dataclass(frozen=True)
class PackedLabelled:
    """Labelled images on their way to workers: see :class:`alkit.protocols.Labelled`."""

    ids: tuple[str, ...]
    pseudo_ids: tuple[str, ...]
    spec: LabelSpec
    packed_images: PackedImages
    packed_labels: PackedImages
    extractors: tuple[tuple[FeatureExtractor, FittedExtractor | NetworkFile], ...]

    def images(self, ids: Sequence[str]) -> Any:
        """Return these images, ``(n, c, h, w)``."""
        return self.packed_images.read(ids)

    def stored(self, ids: Sequence[str]) -> Any:
        """Return these images as the pool stores them, and how they are scaled; None if it does not tell."""
        return self.packed_images.stored(ids)

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels, ``(n, h, w)`` or ``(n,)``."""
        found: Label = self.packed_labels.rows(ids)
        return found

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool, if it is a parameter of the learner."""
        for known, fitted in self.extractors:
            if known == extractor:
                return open_extractor(fitted)
        raise ConfigurationError(
            f"the feature extractor {type(extractor).__name__} must be a parameter of the learner, because it is "
            "fitted before members are trained in other processes",
            hint="workers=1",
        )


def pack_labelled(learner: Learner, labelled: Labelled, folder: Path) -> PackedLabelled:
    """Return labelled images with all that the learner needs of them, in files of a folder."""
    ids = tuple(labelled.ids)
    fitted = tuple((one, pack_extractor(labelled.fitted(one), folder)) for one in _extractors(learner))
    labels = pack_images(ids, lambda some: (labelled.labels(some), None), folder / "labels.npy")
    images = pack_images(ids, _reader(labelled), folder / "images.npy")
    return PackedLabelled(ids, tuple(labelled.pseudo_ids), labelled.spec, images, labels, fitted)


def _reader(labelled: Labelled) -> Any:
    from alkit.protocols import HasStored

    def read(ids: Sequence[str]) -> Any:
        stored = labelled.stored(ids) if isinstance(labelled, HasStored) else None
        return (labelled.images(ids), None) if stored is None else stored

    return read


def _extractors(learner: object) -> Iterator[FeatureExtractor]:
    """Yield the feature extractors among the parameters of a learner, and of the learners inside it."""
    if not is_dataclass(learner):
        return
    for entry in fields(learner):
        value = getattr(learner, entry.name, None)
        if isinstance(value, Learner):
            yield from _extractors(value)
        elif hasattr(value, "predict_proba"):  # an estimator of scikit-learn has fit(), too
            continue
        elif isinstance(value, FeatureExtractor) and not isinstance(value, type):
            yield value


def _key(learner: Learner, labelled: Labelled, members: Sequence[Member]) -> object:
    """Return all that the members depend on; None if a part has no name."""
    form = [written_form(learner), runtime_values(learner)]
    if opaque_parts(form):  # before anything is fitted: an estimator of scikit-learn looks like an extractor
        return None
    fitted = [labelled.fitted(one) for one in _extractors(learner)]
    if not all(isinstance(one, HasFingerprint) for one in fitted):
        return None
    read, ids = _reader(labelled), list(labelled.ids)
    content = [images_digest(ids, read), images_digest(ids, lambda some: (labelled.labels(some), None))]
    spec = labelled.spec
    told = [ids, list(labelled.pseudo_ids), list(spec.classes), spec.ignore, spec.per, spec.multiple]
    own = [[member.number, str(member.rng.bit_generator.state), _model_digest(member.previous)] for member in members]
    return ["members", form, content, told, own, [one.fingerprint() for one in fitted]]  # type: ignore[attr-defined]


def _model_digest(model: Predictor | ModelFile | None) -> str | None:
    return None if model is None else hashlib.sha256(open_model(model).dumps()).hexdigest()
