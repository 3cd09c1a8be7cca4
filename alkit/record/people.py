"""Who labels the images of a record: the names with their shares, and the deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any
from unicodedata import normalize

from alkit.record.changing import dated
from alkit.record.disputes import recorded_disputes
from alkit.record.facts import PEOPLE
from alkit.record.store import Store
from alkit.values.answers import Answer
from alkit.values.people import People

Place = tuple[int, int]
"""Round and rank of a query."""


def recorded_people(store: Store) -> People:
    """Return the people of a record; nobody by name if it has none."""
    fact: Mapping[str, Any] = store.fact(PEOPLE) or {}
    return People(fact.get("shares", {}), fact.get("days"), fact.get("wanted", {}).get("audit"))


def counted_since(store: Store) -> Place:
    """Return the round and rank of the first query that counts for the shares: the first one after they were set."""
    fact = store.fact(PEOPLE)
    return (0, 0) if fact is None else (fact["since"][0], fact["since"][1])


def settle_people(store: Store, people: People | None) -> list[str]:
    """Record other people, and the date of the change if the record has queries; None changes nothing.

    Return a line for each setting that differs. Open queries stay with whom they are assigned to.
    """
    if people is None or people == recorded_people(store) or store.read_only:
        return []
    with store.exclusive():
        before = recorded_people(store)  # another process may have changed them
        lines = changed_people(before, people)
        done = store.rounds()
        round = done[-1].round + 1 if done else 0
        form: dict[str, Any] = {"shares": dict(people.shares), "days": people.days}
        form |= {"wanted": {} if people.audit is None else {"audit": people.audit}}
        same = dict(people.shares) == dict(before.shares) and store.fact(PEOPLE) is not None
        form["since"] = list(counted_since(store) if same else (round, store.count_ranks(round)))
        now = dated(lines if store.has_queries() else ())
        store.revise_all({PEOPLE: lambda _: form if people else None, **now})
    return lines


def changed_people(before: People, now: People) -> list[str]:
    """Return a line for each setting that differs.

    >>> changed_people(People({"ann": 2}), People({"ann": 2, "ben": 1}, days=3))
    ['people: recorded ann=2, now ann=2,ben=1', 'deadline: recorded none, now 3 days']
    """
    pairs = {
        "people": (shares_in_words(before), shares_in_words(now)),
        "deadline": (_days(before.days), _days(now.days)),
        "audit_annotators": (str(before.audit or "none"), str(now.audit or "none")),
    }
    return [f"{name}: recorded {old}, now {new}" for name, (old, new) in pairs.items() if old != new]


def shares_in_words(people: People) -> str:
    """Return the names with their shares as the command line takes them."""
    return ",".join(f"{name}={share:g}" for name, share in people.shares.items()) or "none"


def _days(days: float | None) -> str:
    return "none" if days is None else "1 day" if days == 1 else f"{days:g} days"


class Names:
    """The names that a record knows. Systems write letters with accents in one of two forms of Unicode."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def known(self, answer: Answer) -> Answer:
        """Return an answer with the name of its annotator in the form that the record has; if none, in that of most."""
        name = answer.annotator
        if not isinstance(name, str) or name.isascii():
            return answer
        plain = normalize("NFC", name)
        known = self._by_plain.get(plain, plain)
        return answer if known == name else replace(answer, annotator=known)

    @cached_property
    def _by_plain(self) -> Mapping[str, str]:
        snapshot = self._store.snapshot()
        names = [name for query in snapshot.queries for name in query.assigned]
        names += [*recorded_people(self._store).shares, recorded_disputes(self._store).senior]
        names += (answer.annotator for answer in snapshot.answers)  # the last ones count
        return {normalize("NFC", name): name for name in names if not name.isascii()}
