"""The data card of exported labels: what they are, where they come from, and what they do not show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alkit.errors import one_line

OPTIONS = {
    ("masks", False): "--masks OUT/masks",
    ("csv", False): "--csv OUT/labels.csv",
    ("coco", False): "--coco OUT/annotations.json --empty-is-background",
    ("nifti", False): "--nifti OUT/volumes",
    ("nifti", True): "--nifti OUT/volumes/NAME --annotator NAME",
    ("dicom-seg", False): "--nifti OUT/volumes",
    ("dicom-seg", True): "--nifti OUT/volumes/NAME --annotator NAME",
    ("masks", True): "--csv OUT/labels.csv",
    ("csv", True): "--csv OUT/labels.csv",
    ("coco", True): "--coco OUT/annotations-NAME.json --annotator NAME --empty-is-background",
}
"""Options of ``alkit import`` that read the labels, by their format and whether those of each annotator are apart."""

JOINED = "Into a new record with the same images, this gives the labels that the campaign trains on."
APART = (
    "Into a new record with the same images, this gives the labels of each annotator. What a review or a senior has "
    "decided, and which of several labels of an image is the latest, is not known there: it may train on others than "
    "the campaign."
)
HELD_OUT = " It may also train on those that the campaign holds out: take them out, or hold out labels there, too."
"""What an import of joined labels gives, of those of each annotator, and of those that are held out."""

LIMITS = (
    "A strategy selected images because they are informative. They are not a random sample of the pool, so shares of "
    "classes in them are not those of the pool.",
    "The manifest has the names of the annotators. Check whether you may pass them on.",
    "The images are not included. Their file names and digests are in the manifest.",
)


def label_card(about: Mapping[str, Any], form: str, *, per_annotator: bool) -> str:
    """Return the card, as Markdown.

    Parameters
    ----------
    about:
        What the manifest says about all labels.
    form:
        Format of the labels.
    per_annotator:
        Whether the labels of each annotator are apart.
    """
    files = [
        "`manifest.csv` and `manifest.json`: a row for each label: image, annotators, time, source, round, and whether "
        "it is held out"
    ]
    if form == "coco":
        files.append("`annotations*.json`: a COCO file; an image without annotations is all background")
    elif form in ("nifti", "dicom-seg"):
        files.append(
            "`volumes/`: a NIfTI file for each volume; values are class ids; `slices.csv` lists labelled slices"
        )
        if form == "dicom-seg":
            files.append(
                "`volumes/*.seg.dcm`: a DICOM segmentation for each DICOM series; numbers of segments are class "
                "ids, and slices without an object have no frame"
            )
    else:
        files.append("`labels.csv`: the labels as a table")
        files += ["`masks/`: a PNG file for each label; values are class ids"] if about["per"] == "pixel" else []
    parts = [
        f"# Labels of {', '.join(map(literal, about['classes']))}",
        _lines(list(_facts(about, per_annotator))),
        "## Files",
        _lines(files),
        "## Use",
        f"```\nalkit import campaign.db {OPTIONS[form, per_annotator]}\n```",
        (APART if per_annotator else JOINED) + (HELD_OUT if about["counts"]["held_out"] else ""),
        "## Limits",
        _lines(LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(about: Mapping[str, Any], per_annotator: bool) -> Iterator[str]:
    counts = about["counts"]
    classes = ", ".join(f"{number} {literal(name)}" for number, name in enumerate(about["classes"]))
    if about.get("multiple"):
        yield f"Classes: {', '.join(map(literal, about['classes']))}; an image can have several of them, or none."
        yield "In the tables, | is between the classes of an image, and ? before a class of which nothing is known."
        if about["ignore"] is not None:
            yield f"A campaign that takes such labels is started with --ignore {about['ignore']}."
    else:
        yield f"Classes: {classes}; one label per {about['per']}."
    if about["ignore"] is not None and about["per"] == "pixel":
        yield (
            f"Pixels with the value {about['ignore']} do not count. A campaign that takes such labels is started with "
            f"--ignore {about['ignore']}."
        )
    yield f"{counts['labels']} labels of {counts['images']} images, out of a pool of {about['images_in_pool']}."
    strategy = literal(_name(about["strategy"]))
    before = f"{counts['not_asked']} were labelled before"
    yield f"{counts['asked']} images were selected by a strategy ({strategy}); {before}."
    if about["sources"]:
        yield f"Sources of labels that nobody asked for: {_counted(about['sources'])}."
    kept = f"{counts['held_out']} images are held out"
    kept += f" or belong to the audit set ({counts['audit']} of them)" if counts.get("audit") else ""
    yield f"{kept}: no model of the campaign was trained on them."
    yield f"Annotators, with the number of their labels: {_counted(about['annotators'])}."
    joined = f"Several labels of an image are joined: {literal(about['join'])}."
    yield "The labels of each annotator are apart." if per_annotator else joined
    yield f"Exported {about['exported']} with alkit {about['alkit']}."
    if about["left_out"]:
        yield f"{len(about['left_out'])} labelled images are left out; the manifest has the reasons."


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{literal(name) or 'unnamed'} ({n})" for name, n in counts.items())


def literal(text: str) -> str:
    """Return a text from a record as Markdown that shows it, without HTML, links or code.

    >>> print(literal("<b>skin</b>"))
    \\<b>skin\\</b>
    """
    return re.sub(r"[\\`<\[|]", r"\\\g<0>", one_line(text))


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _name(form: Any) -> str:
    name = form.get("is") or form.get("named") or "unknown" if isinstance(form, dict) else form
    return str(name).rpartition(":")[2]
