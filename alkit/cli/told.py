"""What ``alkit tell`` says about answers that it took, and about images that it did not take as answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alkit.evaluation.doubts import Doubt
    from alkit.record.states import Answered
    from alkit.values.answers import Answer
    from alkit.values.label_spec import LabelSpec
    from alkit.values.queries import Query

FEW = 5
"""Most names that a line lists."""


def about_unannotated(found: Mapping[Path, Sequence[str]], keys: Mapping[str, str]) -> Iterable[str]:
    """Yield a line for each file with images that have no annotation, by their ids.

    >>> list(about_unannotated({Path("a.xml"): ["x"]}, {"x": "r00-0000-x"}))
    ['a.xml lists 1 image without annotations, which stays open: r00-0000-x. --empty-is-background labels it as ...']
    """
    for path, ids in found.items():
        which, it = ("1 image", "it") if len(ids) == 1 else (f"{len(ids)} images", "them")
        stay = "stays" if len(ids) == 1 else "stay"
        yield (
            f"{path.name} lists {which} without annotations, which {stay} open: {listed([keys[id] for id in ids])}. "
            f"--empty-is-background labels {it} as background."
        )


def about_remarks(taken: Iterable[Answer], keys: Mapping[str, str]) -> Iterable[str]:
    """Yield a line for each thing that was interpreted in files of answers, with the images.

    >>> from alkit.values import SKIP, Answer
    >>> remark = "its equal channels were read as one"
    >>> list(about_remarks([Answer(id, SKIP, remarks=(remark,)) for id in "ab"], {"a": "r0", "b": "r1"}))
    ['interpreted: its equal channels were read as one: r0, r1']
    >>> remark = "the name 'x' was taken for r0"
    >>> list(about_remarks([Answer("a", SKIP, remarks=(remark,))] * 7, {"a": "r0"}))[-1]
    'interpreted: 2 more names, which --json lists'
    """
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for answer in taken:
        for remark in answer.remarks:
            if (key := answer.query or keys.get(answer.id, answer.id)) in remark:  # how the file was found
                names.append(remark)
            else:
                found.setdefault(remark, []).append(key)
    yield from (f"interpreted: {remark}" for remark in names[:FEW])
    if more := len(names) - FEW if len(names) > FEW else 0:
        yield f"interpreted: {more} more {'name' if more == 1 else 'names'}, which --json lists"
    yield from (f"interpreted: {remark}: {listed(own)}" for remark, own in found.items())


def about_ignored(taken: Iterable[Answer], spec: LabelSpec, keys: Mapping[str, str]) -> Iterable[str]:
    """Yield a line if masks of two classes have only class 0 and the ignore value 255, which often means class 1."""
    if spec.per != "pixel" or spec.ignore != 255 or len(spec.classes) != 2:
        return
    labels = {keys[answer.id]: answer.label for answer in taken if isinstance(answer.label, np.ndarray)}
    if odd := [key for key, mask in labels.items() if 255 in mask and not (mask == 1).any()]:
        yield (
            f"{len(odd)} of the new masks {'has' if len(odd) == 1 else 'have'} ignored pixels (255) and no pixel of "
            f"{spec.classes[1]!r} (1): {listed(odd)}. If 255 means {spec.classes[1]!r} in them, save 1 in its place."
        )


def about_unnamed(taken: Iterable[Answer], known: Mapping[str, Answered]) -> Iterable[str]:
    """Yield a line if somebody without a name, and somebody with a name, have answered the same images."""
    both: dict[str, Collection[str]] = {}
    for answer in taken:
        names = {other.annotator for other in known[answer.id].labels} if answer.id in known else set()
        if "" in names and len(names) > 1:
            both[answer.id] = {name for name in names if name}
    if both:
        named = sorted({name for names in both.values() for name in names})
        which = "1 image has answers" if len(both) == 1 else f"{len(both)} images have answers"
        yield (
            f"{which} by an unnamed annotator and by {listed(named)}, who count as different people. Give --annotator "
            "with each file of a person."
        )


def about_others(taken: Iterable[Answer], queries: Iterable[Query]) -> Iterable[str]:
    """Yield a line for each answer by somebody else than those whom its query is assigned to. It counts as well."""
    assigned = {query.id: query for query in queries if query.assigned and query.purpose != "review"}
    for answer in taken:
        query = assigned.get(answer.id)
        if query is None or answer.query not in ("", *query.keys):
            continue  # it answers a review of the image
        if answer.annotator not in query.assigned:
            people = " and ".join(query.assigned)
            yield f"{query.key} was for {people}, and {answer.annotator or 'an unnamed annotator'} answered; it counts"


def about_doubts(doubts: Iterable[Doubt], keys: Mapping[str, str]) -> Iterable[str]:
    """Yield a line for each label that may be a mistake.

    >>> from alkit.evaluation import Doubt
    >>> list(about_doubts([Doubt("x", "ann", "the mask is empty: all of it is 'skin'")], {"x": "r00-0000-x"}))
    ["please look at r00-0000-x by ann: the mask is empty: all of it is 'skin'"]
    """
    for doubt in doubts:
        yield f"please look at {keys.get(doubt.id, doubt.id)}{by_whom(doubt.annotator)}: {doubt.reason}"


def by_whom(annotator: str) -> str:
    """Return the words that follow an answer, to say whose it is."""
    return f" by {annotator}" if annotator else ""


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
