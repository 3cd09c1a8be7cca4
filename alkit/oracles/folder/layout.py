"""The names of the files and folders of an exchange, and the content of a ``query.json``."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from alkit._reading.inside import leads_out, read_inside
from alkit._reading.limits import read_file
from alkit.errors import AlkitError, DataError
from alkit.oracles.formats.registry import format_name
from alkit.pictures.colours import colour
from alkit.values.label_spec import NONE, SEPARATOR, LabelSpec
from alkit.values.queries import Query

VERSION = 1
"""Version of the content of a query.json."""

LONGEST = 2**20
"""Greatest number of bytes of a query.json or a note."""

MASKS = (".png", ".tif", ".tiff", ".bmp")
RACY = 2_000_000_000
"""Nanoseconds in which two changes of a file may get the same time: that long on FAT, and less elsewhere."""

WORDS = (".skip", ".withdrawn")
TABLE = "answers.csv"
"""Name of a table of classes in the examples of texts. Any name that ends in .csv is read."""

CONFIRMED, NOTE = ".confirmed", ".refused.txt"

REVIEWED = ".reviewed.txt"
"""Ending of a note that says what a review found about a label. Nobody reads it but the annotator."""

QUERY = "query.json"
INSTRUCTIONS = "instructions.txt"
"""Name of the file in which the lead of a campaign tells the annotators what matters."""

OWN = ("image", "prelabel", "query", "surroundings", "withdrawn", "handed-on")
"""Names of the files in a query's folder, without suffixes."""

PERSONAL, HOW = "for-", "how-to-answer.txt"
"""Start of the name of a person's folder in an outbox, and name of the instructions in an outbox."""

KEY = re.compile(r"r\d{2,}-\d{4,}-")
"""Start of a query's key."""

TEMPORARY = re.compile(r"(\.(tmp|temp|part|partial|crdownload|swp|bak)|~|^thumbs\.db|^desktop\.ini)$", re.IGNORECASE)
"""Names of files that programs and file managers leave in folders."""


def ending(name: str) -> str:
    """Return the ending that marks a file as an answer or a note, in lower case, or "" if it is neither.

    >>> ending("r00-0001-a.refused.TXT"), ending("r00-0001-a.txt")
    ('.refused.txt', '')
    """
    lower = name.lower()
    return next((ending for ending in (*MASKS, *WORDS, CONFIRMED, NOTE) if lower.endswith(ending)), "")


def is_annotation_file(path: Path) -> bool:
    """Return whether a file's name is that of a file of annotations, such as COCO; a ``query.json`` is not one."""
    return format_name(path.name) is not None and path.name != QUERY


def contents(folder: Path, strays: dict[Path, str], whole: Path | None = None) -> list[Path]:
    """Return the entries of a folder, sorted by name, without hidden and temporary files; none if it does not exist.

    A folder that cannot be read is added to `strays`, with the reason, and so are symbolic links that lead out of
    `whole`, the outbox or inbox that contains the folder.
    """
    whole = folder if whole is None else whole
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as reason:
        strays[folder] = f"this folder cannot be read ({reason.strerror})"
        return []
    shown = [path for path in found if not path.name.startswith((".", "~")) and not TEMPORARY.search(path.name)]
    shown = [path for path in shown if not path.name.endswith(REVIEWED)]
    outside = {path for path in shown if path.is_symlink() and leads_out(path, whole)}
    strays.update((path, f"it is a symbolic link that leads out of {whole}") for path in outside)
    return [path for path in shown if path not in outside]


def holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content. No more than that is read, and no link that leads out of its folder."""
    try:
        return read_inside(path, path.parent, len(content)) == content
    except OSError:
        return False


def is_personal(folder: Path) -> bool:
    """Return whether a folder in an outbox is that of a person: it has instructions, or folders of queries."""
    if not folder.name.startswith(PERSONAL) or not folder.is_dir():
        return False
    return (folder / HOW).exists() or any(KEY.match(path.name) and path.is_dir() for path in contents(folder, {}))


@dataclass(frozen=True, slots=True)
class Version:
    """What shows whether a file has changed.

    Parameters
    ----------
    modified:
        Time of its content in nanoseconds, which programs that copy files may set to that of the original.
    facts:
        Its number and its size.
    digest:
        Digest of the content of a file that was changed just now, whose times need not show another change; else "".
    """

    modified: int
    facts: tuple[int, int]
    digest: str


def version_of(path: Path, now: int) -> Version:
    """Return what shows whether a file has changed. Only a file that was changed just before a time is read.

    Versions that are compared must have one time, in nanoseconds: otherwise a file would change by growing older.
    """
    facts = path.stat()
    changed = max(facts.st_mtime_ns, facts.st_ctime_ns)
    digest = ""
    if now - changed < RACY:
        with suppress(DataError):  # it is too large, and is refused when it is read
            digest = hashlib.sha256(read_file(path)).hexdigest()
    return Version(facts.st_mtime_ns, (facts.st_ino, facts.st_size), digest)


def relative_path(place: Path, start: Path) -> str:
    """Return the path from one folder to another, which is also valid on another computer that sees both."""
    try:
        return Path(os.path.relpath(place, start)).as_posix()
    except ValueError:  # the folders are on different drives
        return place.absolute().as_posix()


def describe_query(query: Query, spec: LabelSpec, campaign: str, place: str, instructions: str = "") -> bytes:
    """Return the content of a ``query.json``.

    Parameters
    ----------
    place:
        Path from its folder to the inbox.
    instructions:
        What the lead of the campaign tells the annotators, or empty.
    """
    ignored = [] if spec.ignore is None or spec.multiple else [spec.ignore]
    ids, names = [*range(len(spec.classes)), *ignored], [*spec.classes, *("ignored" for _ in ignored)]
    facts: dict[str, Any] = {
        "version": VERSION,
        "campaign": campaign,
        "query": query.key,
        "image": query.id,
        "round": query.round,
        "rank": query.rank,
        "score": query.score,
        "stands_for": query.stands_for,
        **({"instructions": instructions} if instructions else {}),
        "annotators_wanted": query.wanted,
        **({"assigned_to": list(query.assigned)} if query.assigned else {}),
        **({"due": query.due} if query.due else {}),
        "sizes_allowed": [{"height": height, "width": width} for height, width in query.sizes],
        "classes": [
            {"id": id, "name": name, **({"colour": colour(id, spec)} if spec.per == "pixel" else {})}
            for id, name in zip(ids, names, strict=True)
        ],
        "answer": {
            "mask": f"{place}/YOUR_NAME/{query.key}.png",
            "skip": f"{place}/YOUR_NAME/{query.key}.skip",
            "withdraw": f"{place}/YOUR_NAME/{query.key}.withdrawn",
            "confirm_the_prelabel": f"{place}/YOUR_NAME/{query.key}.confirmed",
        },
    }
    if spec.per == "image":
        facts["answer"] = {
            "table": f"{place}/YOUR_NAME/{TABLE}",
            "row": f"{query.key},{f'CLASS{SEPARATOR}CLASS, or {NONE}' if spec.multiple else 'CLASS'}",
            "skip": f"{place}/YOUR_NAME/{query.key}.skip",
            "withdraw": f"{place}/YOUR_NAME/{query.key}.withdrawn",
        }
    return json.dumps(facts, indent=2, ensure_ascii=False).encode()


def read_query(path: Path) -> tuple[Query, str]:
    """Return the query in a ``query.json``, without its score and its reason, and the name of its campaign.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        facts: Any = json.loads(read_inside(path, path.parent.parent, LONGEST))
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}")
        query = Query(
            str(facts["image"]),
            int(facts["round"]),
            int(facts["rank"]),
            tuple((int(size["height"]), int(size["width"])) for size in facts["sizes_allowed"]),
        )
        if normalize("NFC", path.parent.name) not in query.keys:
            raise ValueError(f"query {query.key!r}")
        return query, str(facts["campaign"])
    except (AlkitError, OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as reason:
        raise DataError(f"{path} is damaged", got=reason, hint="delete it, and send the query again") from reason
