"""The settings an experiment was created with; they are checked whenever it is resumed.

The module is long because everything that compares settings with the recorded ones is in one place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, cast

from alkit._logs import logger
from alkit.configuration.construct import build
from alkit.configuration.forms import Written, opaque_parts, written_form
from alkit.configuration.versions import MISSING, NO_PARAMETER
from alkit.errors import AlkitError, ConfigurationError, ResumeError, StoreError
from alkit.labels.joining import Join, one
from alkit.pools.base import whole_pool
from alkit.pools.checks import image_shape, stored_type
from alkit.pools.digests import digest
from alkit.protocols import HasDigests, HasSubsets, Pool
from alkit.record.agreed import Agreed
from alkit.record.audit import compare_again, kept_apart
from alkit.record.changing import (
    GROUPS,
    MOVED,
    PLACE,
    REHEARSED,
    SIDES,
    apply_change,
    change_early,
    changed_settings,
    restart,
)
from alkit.record.choices import has_other_images, kept_choices
from alkit.record.facts import PIXELS
from alkit.record.held import apart
from alkit.record.left_out import left_out_now
from alkit.record.removing import REMOVED, without_removed
from alkit.record.sides import forecast
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.rng import Stream, threads
from alkit.values.label_spec import LabelSpec
from alkit.values.progress import quiet

log = logger(__name__)

FEW = 5
"""Number of images that a message names."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of rounds.

    Parameters
    ----------
    start, batch:
        Labels of round 0 and of each later round.
    test:
        Description of the test set, from :func:`describe`; None without a test set.
    """

    start: int
    batch: int
    test: Written


@dataclass(frozen=True, slots=True)
class Described:
    """The settings of an experiment in written form: see :meth:`Settings.described`.

    Parameters
    ----------
    given:
        The pool.
    parts:
        The written forms of the other parts.
    seed, terms:
        The seed, and the terms.
    removed:
        The fact about removed images when the pool was described.
    pool:
        The pool without them.
    configuration:
        What is recorded of all this.
    """

    given: Pool
    parts: Mapping[str, Written]
    seed: int
    terms: object
    removed: Mapping[str, Any]
    pool: Pool
    configuration: Mapping[str, Any]


class Settings:
    """The settings in a record.

    They may change until the first answer. After that, other settings are refused, and the error shows the difference;
    until the first round is committed, some may be changed on purpose.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.agreed = Agreed(store)

    def copied(self) -> Settings:
        """Return settings of the same record, for a pool with other images; steps with the former one are refused."""
        copy = Settings(self._store)
        copy.agreed = replace(self.agreed)
        return copy

    def described(self, parts: Mapping[str, object], pool: Pool, seed: int) -> Described:
        """Return the settings of an experiment in written form, for :meth:`declare`; it may read all images.

        Parameters
        ----------
        parts:
            ``learner``, ``strategy``, ``initial`` and ``terms``.
        pool, seed:
            As :class:`alkit.Experiment` takes them.
        """
        return self._described(pool, {name: written_form(part) for name, part in parts.items()}, seed, parts["terms"])

    def _described(self, given: Pool, parts: Mapping[str, Written], seed: int, terms: object) -> Described:
        removed = self._store.fact(REMOVED) or {}
        pool = without_removed(given, removed, self._store.fact("images") or ())
        with self._store.no_connection():
            configuration = {**parts, "seed": seed, "pool": describe(pool)}
        return Described(given, parts, seed, terms, removed, pool, configuration)

    def differ(self, now: Described) -> bool:
        """Return whether settings are others than the recorded ones."""
        return bool(self._store.fact("configuration") != now.configuration)

    def declare(
        self, described: Described, classes: LabelSpec | Sequence[str] | None = None, *, change: bool = False
    ) -> Pool:
        """Record the parts of an experiment and its terms, or check that they equal the recorded ones.

        Return the pool without images that were added since the experiment was created. The images may be in another
        folder than before; the new one is recorded. Images that are missing are recorded, with the reason, and the
        others are used (decision 0039).

        Parameters
        ----------
        described:
            What :meth:`described` has returned.
        classes:
            As :class:`alkit.Experiment` takes them.
        change:
            Whether the learner, the strategies and the size of the images may differ from those recorded, if no round
            is committed. The answers are kept.

        Raises
        ------
        ResumeError
            The settings differ, or images have changed; or images are missing, and these are more than half of them,
            or the rounds have a schedule. The message names them.
        """
        given, parts, seed, terms = described.given, described.parts, described.seed, described.terms
        if classes is not None:
            self._check_ids(as_spec(classes))
        declared = {**parts, "pool": written_form(given)}
        pool, configuration, gone = described.pool, {**described.configuration}, list[str]()
        offered, former = pool.ids, self.unusable
        if self._store.fact("configuration") != configuration:
            with self._store.exclusive():
                if (self._store.fact(REMOVED) or {}) != described.removed:  # another process has just removed an image
                    described = self._described(given, parts, seed, terms)
                    pool, configuration = described.pool, {**described.configuration}
                    offered = pool.ids
                recorded = self._store.fact("configuration")
                facts = {"configuration": configuration, "declared": declared, "seed": seed, "threads": _threads()}
                facts[PIXELS] = stored_type(pool)
                kept = kept_choices(self._store, None if classes is None else written_form(as_spec(classes)))
                begun = self._store.has_queries() or self._store.has_answers()  # answers that nobody asked for
                if recorded and not begun and (change or has_other_images(self._store, recorded, configuration)):
                    change_early(self._store, self._new(facts, pool))
                elif recorded is None or not begun:
                    if recorded != configuration:  # unless another process has just recorded it
                        self._store.replace(self._new(facts, pool), kept.__contains__, unanswered=not begun)
                elif self._is_fresh() and self._is_other(recorded, configuration, declared):
                    restart(self._store, recorded, self._new(facts, pool), pool, terms, kept)
                elif {**recorded, "pool": None} == {**configuration, "pool": None} and not change:
                    # After the other settings, which come first.
                    pool, gone = self._restrict(pool, configuration["pool"])
                    configuration["pool"] = recorded["pool"] if gone else describe(pool)
                    if recorded["pool"]["content"] is None:  # images were missing when another one was removed
                        self._store.revise("configuration", lambda before: configuration)
                elif change:
                    pool, gone = self._restrict(pool, configuration["pool"], change=True)
                    configuration["pool"] = recorded["pool"] if gone else describe(pool)
                    facts["images"] = self._store.fact("images") if gone else _images(pool)
                    apply_change(self._store, recorded, facts, pool)
                self._settle("configuration", configuration)
        self.agreed.form = configuration
        unusable = left_out_now(pool, gone, former, offered, scheduled=self.schedule is not None)
        if self.unusable != unusable and not self._store.read_only:
            self._store.revise(UNUSABLE, lambda before: self.agreed.checked(unusable))
            if former.keys() - unusable.keys():  # some images are back
                compare_again(self._store)
        place = declared["pool"]
        if self.declared["pool"] != place and not opaque_parts(place) and not self._store.read_only:
            self._store.revise(MOVED, lambda before: self.agreed.checked(place))
        if classes is not None and self._store.fact("classes") != written_form(as_spec(classes)):
            with self._store.exclusive():
                self._store.revise_unanswered("classes", lambda before: written_form(as_spec(classes)))
                self.declare_classes(classes)
        return pool

    def _new(self, facts: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
        """Return the facts of a new record."""
        sides: dict[str, list[str]] = {"held_out": [], "trained": []}
        return {**facts, "images": _images(pool), "campaign": secrets.token_hex(8), SIDES: sides}

    def _is_fresh(self) -> bool:
        """Whether nothing was answered; records of alkit 0.1 refuse other settings from the first query on."""
        return not self._store.has_answers() and self._store.fact(SIDES) is not None

    def _is_other(self, recorded: Mapping[str, Any], now: Mapping[str, Any], declared: Mapping[str, Written]) -> bool:
        """Whether settings are others, and not only images that were moved or have changed.

        A run that is tried again may have other images, too.
        """
        if {**recorded, "pool": None} != {**now, "pool": None}:
            return True
        if any(recorded["pool"][name] != now["pool"][name] for name in ("channels", "height", "width")):
            return True
        run = self.schedule is not None and self._store.fact(PLACE) is None
        return bool(run and recorded["pool"] != now["pool"] and declared["pool"] != self.declared["pool"])

    @property
    def declared(self) -> Mapping[str, Written]:
        """The written forms of the parts, with the latest folder of the pool; empty before they are declared."""
        declared, moved = self._store.fact("declared"), self._store.fact(MOVED)
        return {**(declared or {}), **({} if moved is None else {"pool": moved})}

    @property
    def campaign(self) -> str:
        """A random name of this record, drawn when it was created."""
        return str(self._store.fact("campaign") or "")

    @property
    def unusable(self) -> Mapping[str, str]:
        """The reason for each image that could not be used when the pool was opened the last time, by its id."""
        return dict(self._store.fact(UNUSABLE) or {})

    @property
    def recorded_ids(self) -> Sequence[str] | None:
        """Sorted ids of the images that the record was created with; None if the pool had no digests."""
        before = self._store.fact("images")
        return None if before is None else sorted(before)

    def _restrict(self, pool: Pool, now: Mapping[str, Any], *, change: bool = False) -> tuple[Pool, list[str]]:
        """Return the pool without added images, and the ids of missing ones; see :meth:`declare` for errors."""
        before, shown = self._store.fact("images"), self._store.fact("configuration")["pool"]
        if before is None or (there := _images(pool)) is None:
            return pool, []
        resized = any(now[name] != shown[name] for name in ("channels", "height", "width"))
        if resized and not change:
            return pool, []  # which is an error
        gone = [id for id in before if id not in there]
        other = [id for id in before if id in there and there[id] != before[id] and not resized]
        reasons = [f"{word}: {_list(ids)}" for word, ids in (("missing", gone), ("changed", other)) if ids]
        if resized and gone:  # nobody would know the content of the missing ones at the new size
            what = f"the images of {self._store.path} cannot be read in another way while some are missing"
            raise ResumeError(what, got=_list(gone), hint="restore them, or alkit remove")
        if other or (gone and (2 * len(gone) > len(before) or self.schedule is not None)):
            raise ResumeError(
                f"pool must hold the images that {self._store.path} was created with",
                got="; ".join(reasons),
                hint="restore them, or pool=alkit.ImagePool(FOLDER) with the folder that contains them",
            )
        if added := _added_since(pool, gone):
            raise ResumeError(
                f"pool lists the images as they were before some were added, which {self._store.path} has",
                got=f"no {_list(added)}",
                hint="open the folder again, with the same parameters",
            )
        if gone:
            log.warning("these images are missing and not used: %s", _list(gone))
        if (new := [id for id in there if id not in before]) and isinstance(pool, HasSubsets):
            log.warning("these images were added later and are not used: %s", _list(new))
            return pool.subset(tuple(id for id in before if id in there)), gone
        return pool, [] if new else gone

    @property
    def seed(self) -> int:
        """The seed; 0 before it is declared."""
        seed = self._store.fact("seed")
        if not isinstance(seed, int | None):
            raise StoreError(f"the seed in {self._store.path} must be an integer", got=repr(seed))
        return int(seed or 0)

    @property
    def terms(self) -> Terms:
        """The terms; a :class:`ConfigurationError` if their join rule cannot be built from the record."""
        return cast(Terms, build(self.declared["terms"], "set of terms"))

    def terms_joined_by(self, join: Join) -> Terms:
        """Return the terms with `join` in place of the recorded join rule, which need not be buildable."""
        form = self.declared["terms"]
        terms = cast(Terms, build({**form, "with": {**form["with"], "join": "one"}}, "set of terms"))
        return replace(terms, join=join)

    @property
    def hold_out(self) -> float:
        """Share of the labels that no model is trained on; 0 before the terms are declared."""
        form = self.declared.get("terms")
        return 0.0 if form is None else float(form["with"]["hold_out"])

    def held_out(self, labelled: Collection[str]) -> Callable[[str], bool]:
        """Return a function that says, for the id of a labelled image, whether its label is never trained on.

        It is held out, or it belongs to the audit set. Labels that have no side yet, because no model was trained since
        they came, count as held out if they will be: because a label of their group is, or because all of them will be.
        """
        return self._sides(labelled)[0]

    def _sides(self, labelled: Collection[str]) -> tuple[Callable[[str], bool], int]:
        """Return the function, and how many of the labels it calls trained on may be held out all the same."""
        apart, terms = kept_apart(self._store, list(labelled)), Terms(hold_out=self.hold_out)
        if (sides := self._store.fact(SIDES)) is None:
            return lambda id: id in apart or terms.holds_out(id, Stream(self.seed)), 0
        free = set(labelled) - apart
        held, room = forecast(sides, self._store.fact(GROUPS), free, terms.count_held_out(len(free)))
        return (held | apart).__contains__, room

    def has_enough(self, labelled: Collection[str]) -> bool:
        """Return whether the learner can be trained on those of these images that are not held out."""
        held_out, room = self._sides(labelled)
        return len(labelled) - sum(map(held_out, labelled)) - room >= self.fewest_labels

    @property
    def fewest_labels(self) -> int:
        """Fewest labels that the learner can be trained on, as far as it was tried."""
        done = self._store.fact(REHEARSED)
        return 1 if done is None else int(done["least"])

    @property
    def joins_by_latest(self) -> bool:
        """Whether only the latest of several annotators' labels is trained on."""
        return self.declared["terms"]["with"]["join"] in ("one", written_form(one))

    def check_complete(self) -> None:
        """Raise a :class:`StoreError` unless all settings are recorded: a record that alkit wrote has them or none."""
        declared = self.declared
        missing = [name for name in ("pool", "learner", "strategy", "initial") if name not in declared]
        if missing or self._store.fact("configuration") is None:
            raise StoreError(
                f"{self._store.path} lacks settings that alkit records before anything else",
                got="no " + ", ".join(missing or ["configuration"]),
                hint="another record: somebody has changed this one",
            )

    @property
    def images(self) -> int | None:
        """Number of images in the pool; None before the pool is declared."""
        configuration = self._store.fact("configuration")
        return None if configuration is None else int(configuration["pool"]["images"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pool's images; a :class:`KeyError` before the pool is declared."""
        pool = self._store.fact("configuration")["pool"]
        return pool["channels"], pool["height"], pool["width"]

    @property
    def pixels(self) -> str | None:
        """The type of the pool's pixels before they are scaled; None if it is not known."""
        found = self._store.fact(PIXELS)
        return None if found is None else str(found)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of rounds; None if the rounds are not scheduled."""
        form = self._store.fact("schedule")
        return None if form is None else Schedule(**form)

    def declare_schedule(self, start: int, batch: int, test: Pool | None) -> None:
        """Declare a schedule of rounds, or check that it equals the one declared before."""
        with self._store.exclusive():
            schedule = {"start": start, "batch": batch, "test": None if test is None else describe(test)}
            if not self._store.has_answers():
                recorded = self._store.fact("schedule")
                if recorded is not None and recorded["start"] != start and self._store.fact(PLACE) is None:
                    self._store.delete_queries()  # another start set
                self._store.revise_unanswered("schedule", lambda before: schedule)
            self._settle("schedule", schedule)

    def forget_classes(self) -> None:
        """Forget the classes of an oracle in a record without answers, whose run is tried again."""
        if self._is_fresh() and self.schedule is not None:
            self._store.revise_unanswered("classes", lambda before: None)

    def _check_ids(self, now: LabelSpec) -> None:
        """Check that a class keeps its id while people have queries: they save masks of the ids that they were told.

        Raises
        ------
        ResumeError
            A class has another id, or a value that was or will be ignored is one.
        """
        is_run = self.schedule is not None and self._store.fact(PLACE) is None
        if is_run or self._store.fact("classes") in (None, written_form(now)) or self._store.has_answers():
            return
        former = self.spec
        if all(entry.sent_at is None for entry in self._store.asked()):
            return
        ids = _ids_of(former, now), _ids_of(now, former)
        if moved := [name for name in ids[0] if name in ids[1] and ids[0][name] != ids[1][name]]:
            raise ResumeError(
                f"classes must keep their ids, because people have queries of {self._store.path}",
                got=f"{moved[0]!r}, recorded {ids[0][moved[0]]}, now {ids[1][moved[0]]}",
                hint="the former ids, or another store",
            )

    def declare_classes(self, classes: LabelSpec | Sequence[str]) -> None:
        """Record the classes of the labels, or check that they equal the recorded ones."""
        if self._store.fact("classes") != (form := written_form(as_spec(classes))):
            with self._store.exclusive():
                self._settle("classes", form)

    @property
    def spec(self) -> LabelSpec:
        """The classes of the labels; a :class:`ConfigurationError` before they are declared."""
        form = self._store.fact("classes")
        if form is None:
            raise ConfigurationError(
                f"{self._store.path} has no classes yet",
                hint='Experiment(..., classes=("background", "object"))',
            )
        spec = build(form, "label specification")
        if not isinstance(spec, LabelSpec):
            raise ConfigurationError(
                f"the classes in {self._store.path} must be a label specification", got=type(spec).__name__
            )
        return spec

    def threads(self) -> AbstractContextManager[None]:
        """Compute with the number of threads the record was created with; with the present one before that."""
        number = self._store.fact("threads")
        return apart(self._store, nullcontext() if number is None else threads(number))

    def _settle(self, name: str, value: Written) -> None:
        recorded = self._store.fact(name)
        if recorded is None:
            self._store.declare({name: value})
        elif lines := changed_settings(recorded, value):
            hint = "the recorded settings, or another store"
            if name == "configuration" and not self._store.rounds():
                hint += ", or change=True, which keeps the labels"
            if any(MISSING in line or NO_PARAMETER in line for line in lines):
                hint = (
                    "the version of the part that wrote the record, or declare what has changed with "
                    "alkit.configuration.changes"
                )
            raise ResumeError(f"{self._store.path} was created with other settings: {'; '.join(lines)}", hint=hint)


def describe(pool: Pool) -> Written:
    """Return the number of a pool's images, their shape, and a digest of their content."""
    shape = dict(zip(("channels", "height", "width"), image_shape(pool), strict=True))
    return {"images": len(pool.ids), **shape, "content": digest(pool)}


UNUSABLE = "unusable"
"""Name of the fact that contains the reason for each image that cannot be used, by its id."""


def _images(pool: Pool) -> dict[str, str] | None:
    """Return by id a digest of each image; None if the pool has no digests."""
    return {id: found[:16] for id, found in pool.digests().items()} if isinstance(pool, HasDigests) else None


def _added_since(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Return those of some images that a pool lacks only because its folder was read before they were there."""
    if not ids:
        return []
    whole = whole_pool(pool)
    own = set(whole.ids)
    if not hasattr(whole, "path") or not is_dataclass(whole):
        return []
    try:
        again: Any = replace(cast(Any, whole), groups=None, report=quiet)
    except (AlkitError, TypeError):
        return []
    return sorted((set(ids) & set(again.ids)) - own)


def as_spec(classes: LabelSpec | Sequence[str]) -> LabelSpec:
    """Return the label specification of some classes, which may be given by name."""
    return classes if isinstance(classes, LabelSpec) else LabelSpec(cast("tuple[str, ...]", classes))


def _ids_of(spec: LabelSpec, other: LabelSpec) -> dict[str, str]:
    """Return in words what the value of each class is, and of each class of another specification that is ignored."""
    found = {name: f"the id {id}" for id, name in enumerate(spec.classes)}
    if spec.ignore is not None and spec.ignore < other.values:
        found[other.classes[spec.ignore]] = "ignored"
    return found


def _list(ids: Sequence[str]) -> str:
    text = ", ".join(map(repr, ids[:FEW]))
    return text if len(ids) <= FEW else f"{text} and {len(ids) - FEW} more"


def _threads() -> int:
    import torch

    return torch.get_num_threads()
