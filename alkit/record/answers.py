"""Check answers, and record those that are new.

Answers may come in any order, in part and more than once, from several processes at a time. All answers of a call are
compared with the record in the transaction that records them.

The module is long because everything that decides about an answer is in one place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from alkit.arguments.words import found
from alkit.configuration.forms import written_form
from alkit.errors import (
    AlkitError,
    ConfigurationError,
    ConflictError,
    DataError,
    LabelError,
    QueryError,
    StoreBusyError,
    StoreError,
    one_line,
)
from alkit.protocols import Oracle, ReportsUnread, TakesRefusals
from alkit.record.answer_fields import (
    LONGEST_NAME,
    LONGEST_REASON,
    check_annotator,
    check_confirmed,
    check_seconds,
)
from alkit.record.earlier import Earlier, Sizes
from alkit.record.held import on_one_connection
from alkit.record.label_files import LabelFiles
from alkit.record.people import Names
from alkit.record.polling import poll
from alkit.record.removing import REMOVED
from alkit.record.reviewed import facts_of_reviews, sent_back_by_review
from alkit.record.reviews import place_of
from alkit.record.revisions import EARLIEST, UNKNOWN, check_revision, find_revision
from alkit.record.settings import Settings
from alkit.record.states import Asked, Recorded
from alkit.record.store import Store
from alkit.record.unasked import Unasked, check_unasked
from alkit.record.unread import save_unread
from alkit.values.answers import Answer, Invalid, Receipt, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec


@dataclass(frozen=True, eq=False)
class Answers:
    """Records answers. It does not need the images: the queries contain their sizes.

    Parameters
    ----------
    ids:
        Ids of all images of the pool, or None. With them, an error tells an unknown image from one that was not asked.
        Another process may have added images to the pool since, and asked for them.
    now:
        Clock, in nanoseconds since 1970; None for the clock of the record. A revision of a later time comes from a
        clock that runs ahead, and is recorded with this time.
    """

    store: Store
    settings: Settings
    files: LabelFiles
    ids: Collection[str] | None = None
    now: Callable[[], int] | None = None
    _polled: list[Answer] = field(repr=False, default_factory=list)

    def _now(self) -> int:
        return self.store.database.time_ns() if self.now is None else self.now()

    def collect(self, oracle: Oracle, place: str = "") -> Receipt:
        """Record the answers that an oracle has now: see :meth:`alkit.Experiment.collect`."""
        self.settings.declare_classes(spec_of(oracle))
        receipt = self.receive_polled(oracle)
        unread = oracle.unread() if isinstance(oracle, ReportsUnread) else {}
        self.save_unread(place or _place_of(oracle), receipt, unread)
        return receipt

    def save_unread(self, place: str, receipt: Receipt, unread: Mapping[Path, str]) -> None:
        """Record which files of a place were not read, and which of its answers belong to no query."""
        sizes = Sizes(self.store)
        strange = [(answer.id, reason) for answer, reason in receipt.refused if not sizes.of(answer.id)]
        both = (*unread.items(), *strange)
        pairs = [(one_line(what, LONGEST_REASON), one_line(why, LONGEST_REASON)) for what, why in both]
        save_unread(self.store, one_line(place), pairs)

    def receive_polled(self, oracle: Oracle, wanted: Callable[[Answer], bool] = lambda answer: True) -> Receipt:
        """Poll an oracle, record those of its answers that are wanted, and tell it which of them are refused.

        Raises
        ------
        OracleError
            The oracle returned something else than answers. The answers beside it are recorded.
        """
        answers, strange = poll(oracle)
        receipt = self.receive_once(answers, wanted)
        if isinstance(oracle, TakesRefusals):
            for answer, reason in receipt.refused:
                oracle.refused(answer, reason)
        if strange is not None:
            raise strange
        return receipt

    def receive_once(
        self, answers: Sequence[Answer], wanted: Callable[[Answer], bool] = lambda answer: True
    ) -> Receipt:
        """Record those answers of an oracle that are wanted.

        It may give an answer only once. If they cannot be recorded now, the next call records them first.
        """
        given = {_identity(answer) for answer in answers} if self._polled else set[str]()
        late = [answer for answer in self._polled if _identity(answer) not in given]
        answers = [*late, *filter(wanted, answers)]
        self._polled.clear()
        try:
            return self.receive(answers, sent=True)
        except BaseException as reason:
            if isinstance(reason, StoreError) or not isinstance(reason, AlkitError):  # such as Ctrl-C, or no memory
                self._polled.extend(answers)  # but no error in an answer, which would come again and again
            raise

    def of_pool(self, settings: Settings, ids: Collection[str]) -> Answers:
        """Return what records answers if the pool has other images; it keeps those that the next call records first."""
        return replace(self, settings=settings, ids=ids)

    @on_one_connection
    def tell(self, answers: Iterable[Answer], *, revise: bool, unasked: Unasked | None = None) -> None:
        """Record all these answers, or none if one is wrong: see :meth:`alkit.Experiment.tell`."""
        sizes, spec = unasked or Sizes(self.store), cache(lambda: self.settings.spec)
        self._check_current(None, unasked)  # before labels are stored
        drafts = [(answer, self._draft(answer, sizes, spec)) for answer in map(Names(self.store).known, answers)]

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            self._check_current(spec() if spec.cache_info().currsize else None, unasked)
            history, removed = Earlier(asked, known), self._removed()
            for _, draft in drafts:
                _check_not_removed(draft.id, removed)
            checked = [self._check(draft, answer, history, revise, unasked) for answer, draft in drafts]
            return [entry for entry in checked if entry is not None]

        labels = {draft.label for _, draft in drafts}
        with self._without_labels_of_removed(draft for _, draft in drafts):
            ids = {draft.id for _, draft in drafts}
            self.store.add_answers(ids, decide, labels=labels, sent_back=self._sent_back)

    @on_one_connection
    def receive(
        self, answers: Iterable[Answer], *, sent: bool = False, revise: bool = True, unasked: Unasked | None = None
    ) -> Receipt:
        """Record valid answers, and wrong ones as invalid: see :meth:`alkit.Experiment.receive`.

        Parameters
        ----------
        sent:
            Whether an oracle gave the answers, so their queries must have been sent to it.
        revise:
            Whether a different answer replaces an earlier one of its annotator.
        unasked:
            The source of labels that nobody asked for; wrong ones are refused and not recorded. None for answers to
            queries.
        """
        drafts: list[tuple[Answer, Recorded | AlkitError]] = []
        sizes, spec = unasked or Sizes(self.store), cache(lambda: self.settings.spec)
        self._check_current(None, unasked)  # before labels are stored
        names, originals = Names(self.store), dict[int, Answer]()
        for given in answers:
            answer = names.known(given)
            originals[id(answer)] = given
            try:
                drafts.append((answer, self._draft(answer, sizes, spec)))
            except (DataError, QueryError) as reason:  # but not, for instance, a full disk
                drafts.append((answer, reason))
        _sort_by_time(drafts)
        taken, unchanged, outdated = list[Answer](), list[Answer](), list[Answer]()
        refused: list[tuple[Answer, str]] = []

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            self._check_current(spec() if spec.cache_info().currsize else None, unasked)
            history, removed = Earlier(asked, known), self._removed()
            new: list[Recorded] = []
            for answer, draft in drafts:
                try:
                    _check_not_removed(answer.id, removed)
                    if isinstance(draft, AlkitError):
                        raise draft
                    entry = self._check(draft, answer, history, revise, unasked)
                    if entry is not None:
                        self._check_age(entry, answer, history)
                except (_SentBackError, _CorrectedError, _RemovedError) as reason:
                    refused.append((answer, str(reason)))
                    late.update([answer.id] if isinstance(reason, _RemovedError) else ())
                    continue  # it is recorded already, with the reason, or its image was removed
                except (DataError, QueryError) as reason:
                    refused.append((answer, str(reason)))
                    known_id = unasked is None and bool(sizes.of(answer.id))
                    entry = _make_invalid(answer, str(reason), history, self._now()) if known_id else None
                else:
                    last = history.last(answer.id, answer.annotator)
                    same = last is not None and self._equal(last, draft)
                    if last is not None and entry is None:
                        same = same or last.query is not None  # the first answer is read again after that to a review
                    if same and (entry is None or entry.query is None):
                        unchanged.append(answer)
                    elif entry is not None and (last is None or entry.revision > last.revision):
                        taken.append(answer)
                    else:
                        outdated.append(answer)
                if entry is not None:
                    history.add(entry)  # one call may contain two answers for an image
                    new.append(entry)
            return new

        labels = {draft.label for _, draft in drafts if isinstance(draft, Recorded)}
        known_ids = {answer.id for answer, _ in drafts if sizes.of(answer.id)}
        stored = [draft for _, draft in drafts if isinstance(draft, Recorded)]
        with self._without_labels_of_removed(stored) as late:
            self.store.add_answers(known_ids, decide, sent=sent, labels=labels, sent_back=self._sent_back)
        back = tuple((originals[id(answer)], reason) for answer, reason in refused)  # an oracle knows its own answers
        return Receipt(tuple(taken), tuple(unchanged), tuple(outdated), back)

    def _sent_back(self, new: Sequence[Recorded], known: Sequence[Recorded]) -> Mapping[int, str]:
        """Return by number the labels that new answers to reviews send back, with the reasons."""
        skips = [answer for answer in new if answer.kind == "skip" and answer.query is not None]
        return sent_back_by_review(skips, known, facts_of_reviews(self.store)) if skips else {}

    @contextmanager
    def _without_labels_of_removed(self, drafts: Iterable[Recorded]) -> Iterator[set[str]]:
        """After the block, delete the labels that were stored for images which another process has removed meanwhile.

        Yield a set for the ids of such images; after an error they are looked up.
        """
        late, stored = set[str](), [(draft.id, draft.label) for draft in drafts if draft.label is not None]
        try:
            yield late
        except AlkitError:
            late.update(self._removed())
            raise
        finally:
            if labels := {label for id, label in stored if id in late}:
                self.store.delete_files(labels, strays=False)

    def _check_current(self, before: LabelSpec | None, unasked: Unasked | None) -> None:
        """Raise an error if another process has changed the classes or the pool since labels were checked by them."""
        if unasked is not None:
            self.settings.agreed.check()  # queries of images that were removed are not there any more
        if before is not None and self.store.fact("classes") != written_form(before):
            raise StoreBusyError(
                f"another process has just changed the classes of {self.store.path}", hint="the same call again"
            )

    def _draft(self, answer: Answer, sizes: Sizes | Unasked, spec: Callable[[], LabelSpec]) -> Recorded:
        """Check an answer by itself, store its label as a file, and return the answer to record."""
        if isinstance(answer.label, Invalid) and not sizes.of(answer.id):
            raise LabelError(answer.label.reason)  # a bad item of a file, which the reason names
        allowed = sizes.of(answer.id) if isinstance(answer.id, str) else ()
        if not allowed and (not isinstance(answer.id, str) or (self.ids is not None and answer.id not in self.ids)):
            _check_not_removed(answer.id, self._removed())
            which = "labels of its images" if isinstance(sizes, Unasked) else "labels of the ids that ask() returns"
            raise DataError(f"{answer.id!r} is not an image of the pool", hint=which)
        if not allowed and isinstance(sizes, Unasked):
            raise DataError(f"the image {answer.id!r} cannot be used now, so the size of its mask is not known")
        if not allowed:
            _check_not_removed(answer.id, self._removed())
            raise _never_asked(answer.id)
        annotator, revision, seconds = check_annotator(answer), check_revision(answer), check_seconds(answer)
        check_confirmed(answer)
        draft = Recorded(answer.id, annotator, revision, "label", seconds=seconds)
        match answer.label:
            case Invalid(reason):
                raise LabelError(reason)
            case Skip(reason):
                if isinstance(sizes, Unasked):
                    raise LabelError(f"a skip answers a query, and nobody asked for {answer.id!r}", hint="a label")
                return replace(draft, kind="skip", reason=one_line(reason, LONGEST_REASON))
            case Withdrawal(reason):
                return replace(draft, kind="withdrawal", reason=one_line(reason, LONGEST_REASON))
        label = spec().check(answer.label, id=answer.id, sizes=allowed)
        source = sizes.source if isinstance(sizes, Unasked) else ""
        return replace(draft, label=self.files.keep(label), reason=source)

    def _removed(self) -> Collection[str]:
        """Return the images that were removed, also just now by another process."""
        return (self.store.fact(REMOVED) or {}).keys()

    def _check(
        self, draft: Recorded, answer: Answer, history: Earlier, revise: bool, unasked: Unasked | None
    ) -> Recorded | None:
        """Return the draft with its revision, or None if it is recorded already; raise an error if it is wrong."""
        if unasked is None and draft.id not in history.asked:
            raise _never_asked(draft.id)  # another process has just deleted the query
        own, last = history.of(draft.id, draft.annotator), history.last(draft.id, draft.annotator)
        again = last is not None and self._equal(last, draft)
        review = None if unasked is not None else history.review(answer, draft, again)
        if review is not None:
            draft = replace(draft, query=place_of(review.query))
        if again and last is not None and last.rejected is not None:
            raise _SentBackError(f"this answer for {draft.id!r} was sent back: {last.rejected}", hint="another label")
        # A copy of a file has a later time, but its labels are not later than those that others gave meanwhile. All
        # labels of the next export are confirmed if some are pre-labels that are right.
        if again and review is None and (answer.exported or draft.revision == UNKNOWN or draft.revision >= EARLIEST):
            return None
        if draft.revision == UNKNOWN:
            if draft.kind == "withdrawal" and (last is None or last.kind == "withdrawal"):
                raise QueryError(f"annotator {draft.annotator!r} has no answer for {draft.id!r} to take back")
            everybodys = (entry.revision for entry in history.all_of(draft.id))  # the rule "one" orders them, too
            draft = replace(draft, revision=1 + max(everybodys, default=0))
        else:
            revision = find_revision(
                draft, [entry for entry in own if entry.kind != "invalid"], last, self._equal, self._now()
            )
            if revision is None and review is None:
                return None
            if review is not None and last is not None:  # it is a later answer, whatever time its file has
                revision = max(revision or 0, last.revision + 1)
            draft = replace(draft, revision=revision or 0)
        if unasked is None and review is None and last is not None and not again:
            corrected = history.corrected(answer, draft, last)
            draft = draft if corrected is None else replace(draft, query=place_of(corrected.query))
        if unasked is not None and draft.kind == "label" and not again and not revise:
            check_unasked(draft.id, history.all_of(draft.id))
        if last is not None and not revise and review is None:
            raise ConflictError(
                f"{draft.id!r} has an answer{f' of annotator {draft.annotator!r}' if draft.annotator else ''} already",
                got="a skip" if draft.kind == "skip" else "a different label",
                hint="tell(..., revise=True), which replaces it",
            )
        # An image that was asked twice has two pre-labels, and the answer may belong to the earlier query.
        label = draft.label
        untouched = label is not None and any(self.files.same(one, label) for one in history.prelabels[draft.id])
        repeated = again and last is not None and draft.revision > last.revision  # an answer that counts already
        if review is not None and review.prelabel is not None and label is not None:  # the first answer was shown
            repeated = repeated and not self.files.same(review.prelabel, label)
        if untouched and not answer.confirmed and not repeated:
            raise LabelError(
                f"the label of {draft.id!r} equals its pre-label, untouched",
                hint="confirm it, if the pre-label is right",
            )
        return draft

    def _check_age(self, entry: Recorded, answer: Answer, history: Earlier) -> None:
        """Refuse an exported answer that its annotator has corrected since, if it comes again with a later time.

        Copying an export or downloading it again gives it a new time, and its answers would replace the corrections.
        """
        last = history.last(entry.id, entry.annotator)
        if last is None or not answer.exported or answer.confirmed or entry.revision < last.revision:
            return
        if last.kind == "withdrawal" or last.rejected is not None or self._equal(last, entry):
            return
        own = (other for other in history.of(entry.id, entry.annotator) if other.kind != "invalid")
        if any(self._equal(other, entry) for other in own):  # in whatever order they arrived
            raise _CorrectedError(
                f"this {entry.kind} of {entry.id!r} has been corrected since, and is read again with a later time",
                hint=f"a file with the correction; or confirm this {entry.kind}, if it is right after all",
            )

    def _equal(self, recorded: Recorded, draft: Recorded) -> bool:
        if recorded.kind != draft.kind:
            return False
        return recorded.label is None or draft.label is None or self.files.same(recorded.label, draft.label)


class _SentBackError(LabelError):
    """An answer that was sent back arrived again without a change."""


class _CorrectedError(LabelError):
    """A label that was corrected arrived again from an older file."""


class _RemovedError(QueryError):
    """An answer to an image that was removed arrived."""


def _sort_by_time(drafts: list[tuple[Answer, Recorded | AlkitError]]) -> None:
    """Sort the answers of each annotator to each image that have times: files of several tools come in any order."""
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for place, (_, draft) in enumerate(drafts):
        if isinstance(draft, Recorded) and draft.revision >= EARLIEST:
            places[draft.id, draft.annotator].append((draft.revision, place))
    for own in places.values():
        pairs = [drafts[place] for _, place in sorted(own)]
        for (_, place), pair in zip(own, pairs, strict=True):
            drafts[place] = pair


def _check_not_removed(id: object, removed: Collection[str]) -> None:
    if isinstance(id, str) and id in removed:
        raise _RemovedError(f"the image {id!r} was removed, and answers to it are not recorded", hint="delete them")


def _make_invalid(answer: Answer, reason: str, history: Earlier, now: int) -> Recorded | None:
    """Return an invalid answer to record in place of one that is refused; None if it is recorded already."""
    annotator, reason = one_line(answer.annotator, LONGEST_NAME), one_line(reason, LONGEST_REASON)
    revision, seconds = UNKNOWN, None
    with suppress(LabelError):
        revision = check_revision(answer)
    with suppress(LabelError):
        seconds = check_seconds(answer)
    own = history.of(answer.id, annotator)
    ahead = revision > now
    there = [entry for entry in own if entry.kind == "invalid" and (ahead or revision in (UNKNOWN, entry.revision))]
    if any(entry.reason == reason for entry in there):
        return None
    if revision == UNKNOWN:
        revision = 1 + max((entry.revision for entry in own), default=0)
    revision = min(revision, now) if ahead else revision
    return Recorded(answer.id, annotator, revision, "invalid", reason=reason, seconds=seconds)


def _identity(answer: Answer) -> str:
    return repr((answer.id, answer.annotator, answer.revision, answer.query))


def _never_asked(id: str) -> QueryError:
    return QueryError(
        f"{id!r} was never asked",
        hint="labels of the ids that ask() returns; or unasked=True, for labels that exist already",
    )


def _place_of(oracle: Oracle) -> str:
    """Return a name for an oracle that is the same in each process."""
    kind = type(oracle)
    return kind.__name__ if kind.__repr__ is object.__repr__ else repr(oracle)


def spec_of(oracle: Oracle, name: str = "oracle") -> LabelSpec:
    """Return the label specification of an oracle; `name` is the name of the argument for messages.

    Raises
    ------
    ConfigurationError
        `oracle` is not an oracle.
    """
    if isinstance(oracle, type) or not all(hasattr(oracle, member) for member in ("spec", "ask", "poll")):
        raise ConfigurationError(
            f"{name} must be an object with spec and the methods ask(queries) and poll()",
            got=repr(oracle) if isinstance(oracle, str) else f"an object of type {type(oracle).__name__}",
            hint="alkit.MaskOracle for masks that are known" if isinstance(oracle, str | Mapping) else None,
        )
    spec = oracle.spec
    if not isinstance(spec, LabelSpec):
        raise ConfigurationError(f"spec of {name} {type(oracle).__name__} must be a LabelSpec", got=found(spec))
    return spec
