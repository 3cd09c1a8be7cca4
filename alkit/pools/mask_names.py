"""Notice masks among the files of a folder of images, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

WORDS = "masks?|seg|segs|segmentations?|labels?|annotations?|annot|gt|groundtruth|ground_truth|targets?"
"""Words by which people name masks."""

ENDED = re.compile(rf"(?P<image>.+?)(?P<end>[_\-. ]+(?:{WORDS}))", re.IGNORECASE)
STARTED = re.compile(rf"(?P<end>(?:{WORDS})[_\-. ]+)(?P<image>.+)", re.IGNORECASE)
FOLDER = re.compile(f"({WORDS})", re.IGNORECASE)


class Pairs(NamedTuple):
    """Images and masks in one folder.

    Parameters
    ----------
    found:
        Number of pairs.
    image, mask:
        Ids of the first pair.
    exclude:
        Pattern of the masks, as :class:`alkit.ImagePool` excludes files.
    pattern:
        Pattern of the masks, as :class:`alkit.MaskOracle` finds them.
    """

    found: int
    image: str
    mask: str
    exclude: str
    pattern: str


def find_pairs(names: Collection[str]) -> Pairs | None:
    """Return how image and mask files pair up by their names; None if they do not.

    Parameters
    ----------
    names:
        Names of image files relative to a folder, with ``/`` between their parts.

    Examples
    --------
    >>> find_pairs(["a.png", "a_mask.png", "b.png"])
    Pairs(found=1, image='a.png', mask='a_mask.png', exclude='*_mask.*', pattern='{id}_mask.png')
    >>> find_pairs(["images/a.jpg", "masks/a.png"]).exclude
    'masks'
    >>> find_pairs(["a.png", "unmasked.png", "mask.png"])
    """
    by_stem = {name.rpartition(".")[0]: name for name in names}
    tails: dict[str, list[str]] = {}
    for stem in by_stem:
        parts = stem.split("/")
        for place in range(1, len(parts)):
            tails.setdefault("/".join(parts[place:]), []).append(stem)
    found: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for stem, mask in sorted(by_stem.items()):
        for kind, image in _images(stem, by_stem, tails):
            suffix = mask.rpartition(".")[2]
            key = _exclude(kind), kind.replace("\0", "{id}") + f".{suffix}"
            found[key] += 1
            first.setdefault(key, (image, mask))
            break
    if not found:
        return None
    (exclude, pattern), count = max(found.items(), key=lambda item: (item[1], item[0]))
    return Pairs(count, *first[exclude, pattern], exclude, pattern)


def _images(stem: str, by_stem: dict[str, str], tails: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the images whose mask a stem may name: the form of the name, with NUL for the image, and the image."""
    top, slash, own = stem.rpartition("/")
    found = []
    for form in (ENDED, STARTED):
        match = form.fullmatch(own)
        if match and (image := by_stem.get(f"{top}{slash}{match['image']}")):
            text = f"\0{match['end']}" if form is ENDED else f"{match['end']}\0"
            found.append((text, image))
    parts = stem.split("/")
    for place, part in enumerate(parts[:-1]):
        if FOLDER.fullmatch(part):
            before, after = "/".join(parts[:place]), "/".join(parts[place + 1 :])
            above = by_stem.get(f"{before}/{after}" if before else after)
            others = [by_stem[other] for other in tails[after] if _beside(other, before, after)]
            others += [] if above is None else [above]
            found += [(f"{part}/\0", min(others))] if others else []
    return found


def _beside(other: str, before: str, after: str) -> bool:
    """Return whether a stem ends in `after` in a folder that is directly in `before`, and not one of masks."""
    folder = other.removesuffix(f"/{after}").removeprefix(f"{before}/" if before else "")
    return "/" not in folder and not FOLDER.fullmatch(folder)


def _exclude(kind: str) -> str:
    return kind.partition("/")[0] if "/" in kind else f"{kind.replace(chr(0), '*')}" + ".*"
