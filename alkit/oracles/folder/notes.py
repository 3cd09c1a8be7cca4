"""Texts for annotators: the instructions in the outbox, and the notes beside refused answers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from alkit.errors import one_line
from alkit.oracles.folder.layout import TABLE
from alkit.values.label_spec import NONE, SEPARATOR, UNKNOWN, LabelSpec, size_text
from alkit.values.queries import Query

INSTRUCTIONS = """\
How to answer
=============

Each folder here that contains a query.json is an image to label. Start with the lowest number. The query.json states
why the image was chosen. Beside it are the image and sometimes a prelabel.png: the prediction of a model, which you
correct; and a surroundings.jpg: what lies around the image, which is not labelled.

Make a folder with your name in {inbox}. For the query {key}, save in it:

    {key}.png        the mask: {classes}
    {key}.skip       instead of a mask, if the image cannot be labelled: a text file with the reason
    {key}.withdrawn  instead of a mask, to take back an earlier answer
    {key}.confirmed  beside a mask that equals the pre-label, if the pre-label is right: an empty file

A mask has one channel and the size of the image. It can also be a TIFF (.tif), a BMP or a palette image, or be in
colour with equal channels; but not a JPEG, which changes values. {key}_mask.png and the name of the image are found,
too. A tool can save many masks in one file, with any name: COCO (.json), CVAT for images 1.1 (.xml), or a .zip with
such a file; LabelMe saves one .json for each image. A file with the same name and .confirmed, such as
masks.json.confirmed, confirms all masks that are in it then. Save it again after a later export.

To correct an answer, save it again. If an answer is not accepted, the file {key}.refused.txt beside it states why. If a
folder here contains a withdrawn.txt, nobody needs to answer that query.
"""

INSTRUCTIONS_OF_CLASSES = """\
How to answer
=============

Each folder here that contains a query.json is an image to label. Start with the lowest number. The query.json states
why the image was chosen, and the image lies beside it.

Make a folder with your name in {inbox}. Save in it a table such as {table}, with a line for each image:

    image,class
    {key},{example}

The class is one of: {classes}. The name {key} can also be the image's own file name. A line without a class is not an
answer yet, and the class skip skips an image that cannot be labelled. Spreadsheets can write such a table as CSV.

    {key}.skip       instead of a line, if the image cannot be labelled: a text file with the reason
    {key}.withdrawn  to take back an earlier answer; delete its line, too

CVAT can be used as well: save its export (CVAT for images 1.1, .xml), in which each image has one tag.

To correct an answer, change the line and save the table again. If a file is not accepted, a file with the same name and
.refused.txt beside it states why. If a folder here contains a withdrawn.txt, nobody needs to answer that query.
"""

SEVERAL = """
The classes of an image are any of: {classes}. Write | between them, or none if the image has none of them.
{unknown}Instead of the column class, the table can have a column for each class, with 1 or 0 in it. The name {key} can
also be the image's own file name. A line without a class is not an answer yet, and the class skip skips an image that
cannot be labelled. Spreadsheets can write such a table as CSV.
"""
"""The part of the instructions about the classes, if an image can have several."""

WHOLE_TAG, TAGS = "in which each image has one tag", "in which each image has tags, none among them"

END = "\nalkit deletes or replaces this note the next time it reads answers.\n"


def how_to_answer(query: Query, spec: LabelSpec, place: str) -> bytes:
    """Return the content of ``how-to-answer.txt``, with one query as example; `place` is the path to the inbox."""
    inbox = "this folder" if place == "." else place
    if spec.multiple:
        return _instructions_of_sets(query, spec, inbox)
    if spec.per == "image":
        names = one_line(", ".join(spec.classes))
        return INSTRUCTIONS_OF_CLASSES.format(
            inbox=one_line(inbox), key=query.key, classes=names, example=one_line(spec.classes[0]), table=TABLE
        ).encode()
    return INSTRUCTIONS.format(inbox=one_line(inbox), key=query.key, classes=one_line(spec)).encode()


def _instructions_of_sets(query: Query, spec: LabelSpec, inbox: str) -> bytes:
    """Return the instructions if an image can have several classes: those of one class, with another paragraph."""
    before, _, rest = INSTRUCTIONS_OF_CLASSES.partition("The class is one of: ")
    after = rest.partition("\n\n")[2].replace(WHOLE_TAG, TAGS)
    names = [one_line(name) for name in spec.classes]
    unknown = "" if spec.ignore is None else f"Write {UNKNOWN} before a class of which you are not sure. "
    said = SEVERAL.format(classes=", ".join(names), unknown=unknown, key=query.key)
    shared = {"inbox": one_line(inbox), "key": query.key, "table": TABLE, "classes": ""}
    shared["example"] = SEPARATOR.join(names[:2])
    return f"{before.format(**shared)}{textwrap.fill(said.strip(), 120)}\n\n{after.format(**shared)}".encode()


def refusal(query: Query, spec: LabelSpec, reason: str, *, prelabel: bool) -> bytes:
    """Return the note beside a refused answer; `prelabel`: whether the query has a pre-label.

    The fix in `reason` is left out, because it is for those who write programs.
    """
    reason = reason.partition(". Try: ")[0]
    if not query.sizes:  # its image was removed
        return f"The answer to {query.key} was not accepted.\n\nWhy: {one_line(reason)}\n\nDelete it.\n{END}".encode()
    if spec.per == "image":
        what = f"write its class into a table such as {TABLE}: one of {one_line(', '.join(spec.classes))}"
        if spec.multiple:
            names = one_line(", ".join(spec.classes))
            what = f"write its classes into a table such as {TABLE}: any of {names} with {SEPARATOR} between, or {NONE}"
        return (
            f"The answer to {query.key} was not accepted.\n\nWhy: {one_line(reason)}\n\nWhat to do: {what}.\n{END}"
        ).encode()
    text = (
        f"The answer to {query.key} was not accepted.\n\nWhy: {one_line(reason)}\n\n"
        f"What to do: save {query.key}.png again. A mask is {size_text(*query.sizes)}, one channel of "
        f"{one_line(spec)}.\n"
        f"If the image cannot be labelled, save the reason as {query.key}.skip instead of a mask.\n"
    )
    if prelabel:
        text += f"If the pre-label is right, save an empty file {query.key}.confirmed beside its copy.\n"
    return f"{text}{END}".encode()


def refusals(reasons: Iterable[tuple[str, str]]) -> bytes:
    """Return the note beside a file of annotations, of which some were refused: pairs of image id and reason."""
    lines = "".join(f"{one_line(id)}: {one_line(reason.partition('. Try: ')[0])}\n" for id, reason in reasons)
    return f"These answers were not accepted. Correct them and export the file again.\n\n{lines}{END}".encode()


def not_read(name: str, reason: str) -> bytes:
    """Return the note beside a file that is not read."""
    return f"{one_line(name)} was not read.\n\nWhy: {one_line(reason)}.\n{END}".encode()
