"""What a person should look at when answers arrive."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from alkit.errors import AlkitError
from alkit.record.store import Store
from alkit.report.annotators import recorded_agreement, recorded_doubts
from alkit.report.disputes import ask_about_disputes
from alkit.values.answers import Receipt


def look_at(store: Store, receipt: Receipt) -> Receipt:
    """Return a receipt with its warnings, after one more person was asked about new disputes, if the record says so.

    The answers are recorded already, so a label that cannot be read is a warning, too. If no answer is new, a call that
    was killed after it had recorded them may not have asked.
    """
    taken = {answer.id for answer in receipt.taken}
    try:
        asked = set(ask_about_disputes(store))
        if not taken:
            return receipt
        doubts = [f"{doubt.id!r}{_by(doubt.annotator)}: {doubt.reason}" for doubt in recorded_doubts(store, taken)]
        disputed = list(about_disputed(store, taken, asked))
    except AlkitError as reason:
        return replace(receipt, warnings=(str(reason),))
    names = {answer.annotator for answer in store.answers()}
    return replace(receipt, warnings=(*doubts, *disputed, *about_similar_names(names)))


def about_disputed(
    store: Store, ids: set[str], asked: set[str], names: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield a sentence for each of some images about which annotators disagree; one more person was asked of some.

    Parameters
    ----------
    names:
        Names of images by id. Default: the ids.
    """
    known = store.snapshot().known
    if not any(len(known[id].labels) > 1 for id in ids if id in known):
        return
    found = recorded_agreement(store)
    disputed = ids & set(found.disputed)
    for image in found.images:
        if image.id in disputed:
            who = " and ".join(name or "an unnamed annotator" for name in image.annotators)
            more = "; one more person is asked" if image.id in asked else ""
            name = (names or {}).get(image.id, repr(image.id))
            yield f"{name} is disputed: {who} agree by {image.agreement:.2f}, below {found.below:g}{more}"


def about_similar_names(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for annotators whose names differ in case, spaces or Unicode form only.

    >>> list(about_similar_names(["Ann", "bob", "ann "]))
    ["'Ann' and 'ann ' count as different people. If they are one person, ... reject the answers of the other name."]
    """
    alike: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        alike.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    for own in alike.values():
        if len(own) > 1:
            yield (
                f"{' and '.join(map(repr, own))} count as different people. If they are one person, use one name from "
                "now on, give its answers again under this name, and reject the answers of the other name."
            )


def _by(annotator: str) -> str:
    return f" by {annotator}" if annotator else ""
