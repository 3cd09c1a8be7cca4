"""Assign queries to people, by their shares or by hand, and hand on those whose deadline has passed.

A query is assigned to as many people as it wants answers. People who have their share of all answers that are waited
for come last, so that somebody who is slow or away does not take the work of the others. Among the rest it goes to the
person with the lowest ``(queries so far + 1) / share``; of equals, the first by name. Queries count from the moment
when the shares were set, withdrawn ones and reviews do not. So the record alone decides, and the same record gives the
same assignment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from alkit.arguments.checked import check_argument
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError, QueryError, nearest
from alkit.record.disputes import ASKED_MORE, recorded_disputes
from alkit.record.facts import HANDED_ON
from alkit.record.people import Place, counted_since, recorded_people
from alkit.record.snapshot import Snapshot
from alkit.record.states import Asked
from alkit.record.store import Store
from alkit.values.people import MOST_DAYS, People, check_name
from alkit.values.queries import Query


@dataclass(frozen=True, slots=True)
class HandedOn:
    """An image that went from one person to another because it was due, or to one more because it wants more answers.

    Parameters
    ----------
    query:
        The query, as it is assigned now.
    before, after:
        Names of the two people; `before` is empty if the person comes in addition.
    """

    query: Query
    before: str
    after: str


def time_now(store: Store) -> datetime:
    """Return the time now by the clock of a record."""
    return datetime.fromtimestamp(store.database.time_ns() // 10**9, UTC)


def changed_since(store: Store, snapshot: Snapshot) -> Callable[[], bool]:
    """Return a function that says whether queries, answers or rounds have changed since a snapshot was taken."""
    return lambda: store.snapshot() is not snapshot


@dataclass(frozen=True, slots=True)
class _Load:
    """Numbers of queries by person: those that were given to them so far, and those that wait for their answer.

    Parameters
    ----------
    places:
        Number of answers that are waited for, those to new queries included.
    """

    given: Counter[str]
    waiting: Counter[str]
    places: int

    def add(self, names: Iterable[str]) -> None:
        """Count a query for these people."""
        names = list(names)
        self.given.update(names)
        self.waiting.update(names)


def _load(store: Store, new: int = 0) -> _Load:
    """Return the load of each person, with the number of answers that new queries want."""
    since, snapshot = counted_since(store), store.snapshot()
    given = Counter(name for query in snapshot.queries if _place(query) >= since for name in query.assigned)
    waiting = Counter(
        name
        for entry in snapshot.open
        for name in entry.query.assigned
        if name not in _answered(snapshot, entry.query.id)
    )
    return _Load(given, waiting, waiting.total() + new)


def _answered(snapshot: Snapshot, id: str) -> set[str]:
    """Return the people whose answers to an image count."""
    known = snapshot.known.get(id)
    return set() if known is None else {answer.annotator for answer in known.counted}


def _choose(people: People, n: int, load: _Load, but: Collection[str] = ()) -> tuple[str, ...]:
    """Return the `n` people who get a query; fewer if there are fewer.

    Parameters
    ----------
    but:
        People who are not chosen.

    Examples
    --------
    >>> people = People({"ann": 2, "ben": 1})
    >>> _choose(people, 1, _Load(Counter(ann=1), Counter(), 3))
    ('ann',)
    >>> _choose(people, 1, _Load(Counter(ann=2), Counter(ann=2), 3))  # her share of three is full
    ('ben',)
    """
    whole = sum(people.shares.values())

    def order(name: str) -> tuple[bool, float, str]:
        share = people.shares[name]
        return load.waiting[name] >= load.places * share / whole, (load.given[name] + 1) / share, name

    return tuple(sorted((name for name in people.shares if name not in but), key=order)[:n])


def assign(store: Store, queries: Sequence[Query]) -> list[Query]:
    """Return new queries with the number of answers, the people and the deadline that the record's people give them.

    Queries that are assigned already stay as they are.
    """
    if not (people := recorded_people(store)):
        return list(queries)
    audit = people.audit
    new = [query if query.purpose != "audit" or audit is None else replace(query, wanted=audit) for query in queries]
    load, due = _load(store, sum(query.wanted for query in new)), due_of(people, time_now(store))
    found = list[Query]()
    for query in new:
        own = query
        if not query.assigned and query.due is None:
            own = replace(query, assigned=_choose(people, query.wanted, load), due=due)
        load.add(own.assigned)
        found.append(own)
    return found


def hand_on(store: Store, now: datetime | None = None) -> tuple[HandedOn, ...]:
    """Assign the open queries that are due to somebody else, and return what has changed.

    Each person who has not answered is replaced, if there is somebody who has neither the query nor answered it. Those
    who never had it come first. Late answers still count. The senior who decides disputes is not replaced. An assigned
    query that wants more answers than it has people, because that was changed, gets more of them.

    Parameters
    ----------
    now:
        Time with a time zone; None for that of the record's clock.
    """
    if not recorded_people(store).shares:
        return ()
    now, done = time_now(store) if now is None else now, False
    with store.exclusive():
        while not done:
            snapshot = store.snapshot()
            if not (found := _due_or_short(store, snapshot, recorded_people(store), now)):
                break
            last = {_place(one.query): one.query for one in found}
            at = now.isoformat(timespec="seconds")
            new = [
                {"at": at, "query": list(_place(one.query)), "people": [*filter(None, [one.before]), one.after]}
                for one in found
            ]
            facts = {HANDED_ON: lambda before, new=new: [*(before or ()), *new]}
            # Answers that arrive meanwhile may ask one more person.
            done = store.revise_queries(list(last.values()), facts, unless=changed_since(store, snapshot))
    return tuple(found)


def _due_or_short(store: Store, snapshot: Snapshot, people: People, now: datetime) -> list[HandedOn]:
    """Return the changes of the open queries that are due, and of those that have too few people."""
    load, found = _load(store), list[HandedOn]()
    log, senior = store.fact(HANDED_ON) or [], recorded_disputes(store).senior
    decided = set(store.fact(ASKED_MORE) or ()) if senior else set[str]()
    for entry in snapshot.open:
        query, answered, due = entry.query, _answered(snapshot, entry.query.id), due_of(people, now)
        if is_due(query, now):
            had = {name for old in log if tuple(old["query"]) == _place(query) for name in old["people"]}
            stay = {*answered, senior} if query.id in decided else answered
            found += _pass(query, people, load, stay, had, due)
            query = found[-1].query if found and _place(found[-1].query) == _place(query) else query
        found += _complete(query, people, load, answered, due)
    return found


def _pass(
    query: Query, people: People, load: _Load, answered: Collection[str], had: Collection[str], due: str | None
) -> Iterable[HandedOn]:
    """Yield the changes of a query that is due, each with the query after all of them up to it.

    Nobody from whom it is taken gets it back in place of somebody else.
    """
    before = query.assigned
    for late in [name for name in before if name not in answered]:
        taken = {*before, *query.assigned, *answered}
        new = _choose(people, 1, load, {*taken, *had}) or _choose(people, 1, load, taken)
        if new:
            names = tuple(new[0] if name == late else name for name in query.assigned)
            query = replace(query, assigned=names, due=due)
            load.add(new)
            load.given.subtract([late])
            load.waiting.subtract([late])
            yield HandedOn(query, late, new[0])


def _complete(
    query: Query, people: People, load: _Load, answered: Collection[str], due: str | None
) -> Iterable[HandedOn]:
    """Yield the additions to an assigned query that wants more answers than it has people, each as :func:`_pass`."""
    taken = {*query.assigned, *answered}
    if not query.assigned or len(taken) >= query.wanted:
        return
    for name in _choose(people, query.wanted - len(taken), load, taken):
        query = replace(query, assigned=(*query.assigned, name), due=due or query.due)
        load.add([name])
        yield HandedOn(query, "", name)


def assign_by_hand(
    store: Store,
    ids: Collection[str],
    to: Sequence[str] | None = None,
    annotators: int | None = None,
    days: float | None = None,
    *,
    instead_of: str | None = None,
) -> tuple[Query, ...]:
    """Change who labels some images, by how many people and until when: see :meth:`alkit.Experiment.assign`.

    Parameters
    ----------
    instead_of:
        Name of the only person whom those in `to` replace; None: they replace all.
    """
    if isinstance(ids, str):
        raise ConfigurationError("ids must be a list of ids", got=repr(ids), hint=f"assign([{ids!r}], ...)")
    check_argument("ids", ids, Collection[str])
    if isinstance(to, str):
        raise ConfigurationError("to must be a list of names", got=repr(to), hint=f"to=[{to!r}]")
    check_argument("to", to, Sequence[str] | None)
    for name in to or ():
        check_name(name)
    if annotators is not None:
        check_integer("annotators", annotators, least=1)
    if days is not None:
        check_number("days", days, 0, MOST_DAYS, open_ends="(")
    if to is None and annotators is None and days is None:
        raise ConfigurationError("nothing to change is given", hint="to=['ann'], annotators=2 or days=3")
    with store.exclusive():
        done = False
        while not done:
            snapshot = store.snapshot()
            newest = {entry.query.id: entry for entry in snapshot.asked if _may_change(entry)}
            if strange := [id for id in ids if id not in newest]:
                raise QueryError(f"{strange[0]!r} has no query", hint=nearest(strange[0], newest) if newest else None)
            now = time_now(store)
            due, usual = due_of(People(days=days), now), due_of(recorded_people(store), now)
            changed = []
            for id in dict.fromkeys(ids):
                query = newest[id].query
                if to is not None:
                    others = [name for name in query.assigned if name != instead_of] if instead_of else []
                    names = tuple(dict.fromkeys([*others, *to]))
                    new = set(names) - set(query.assigned)  # they get the usual time
                    query = replace(query, assigned=names, due=usual or query.due if new else query.due)
                query = query if annotators is None else replace(query, wanted=annotators)
                changed.append(query if due is None else replace(query, due=due))
            # Answers that arrive meanwhile may ask one more person.
            done = store.revise_queries(changed, unless=changed_since(store, snapshot))
    return tuple(changed)


def waiting_for(store: Store, name: str) -> list[str]:
    """Return the ids of the open images that are assigned to a person who has not answered them."""
    snapshot = store.snapshot()
    answered = {id for id, known in snapshot.known.items() if any(answer.annotator == name for answer in known.counted)}
    asked = [entry.query for entry in snapshot.open]
    return [query.id for query in asked if name in query.assigned and query.id not in answered]


def is_due(query: Query, now: datetime) -> bool:
    """Return whether the deadline of a query has passed."""
    return query.due is not None and datetime.fromisoformat(query.due) <= now


def _may_change(entry: Asked) -> bool:
    return not entry.withdrawn and entry.query.purpose != "review"


def due_of(people: People, now: datetime) -> str | None:
    """Return until when an answer is wanted that is asked for now; None if there is no deadline."""
    return None if people.days is None else (now + timedelta(days=people.days)).isoformat(timespec="seconds")


def _place(query: Query) -> Place:
    return query.round, query.rank
