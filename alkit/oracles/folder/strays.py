"""Notes beside files that are not read although somebody may have meant them as answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from alkit._files import write_atomically
from alkit._logs import logger
from alkit._reading.inside import read_inside
from alkit.errors import StoreError
from alkit.oracles.folder.layout import LONGEST, NOTE, holds
from alkit.oracles.folder.notes import END, not_read

log = logger(__name__)

FEW = 5
"""Most names that a reason lists."""


def write_notes(
    strays: Mapping[Path, str], notes: Iterable[Path], folders: Iterable[Path], kept: Collection[Path] = ()
) -> None:
    """Write a note beside each stray file, and delete the notes of files that are no longer there or are read now.

    Parameters
    ----------
    strays:
        Reasons by path.
    notes:
        Notes that were found.
    folders:
        The inbox and the outbox. A stray that is neither in them nor below them gets no note.
    kept:
        Notes about refused answers, which stay.
    """
    above = {folder.absolute() for folder in folders}
    wanted = {note_of(path): why for path, why in strays.items() if above & set(path.absolute().parents)}
    for note, why in wanted.items():
        text = not_read(note.name.removesuffix(NOTE), why)
        try:
            if not holds(note, text):
                write_atomically(note, text)
        except (StoreError, OSError) as error:
            log.warning("cannot write why %s was not read: %s", note.name.removesuffix(NOTE), error)
    for note in notes:
        with suppress(OSError):
            if note not in wanted and note not in kept and _content(note).endswith(END.encode()):
                note.unlink()


def _content(note: Path) -> bytes:
    """Return the content of a note; nothing if it does not exist or is not a file in its folder."""
    try:
        return read_inside(note, note.parent, LONGEST)
    except OSError:
        return b""


def note_of(path: Path) -> Path:
    """Return the path of the note beside a file that is not read."""
    return path.with_name(f"{path.name}{NOTE}")


def explain(name: str, end: str, meant: Sequence[str], outbox: Path) -> str:
    """Return why a file in an annotator's folder is not an answer although its name ends in `end`.

    Parameters
    ----------
    name, end:
        Path of the file from that folder, and its ending.
    meant:
        Keys of the queries that it can mean.
    outbox:
        Folder of the queries.
    """
    if len(meant) == 1:
        return f"the name must be {meant[0]}{end}"
    if meant:
        more = f" and {len(meant) - FEW} more" if len(meant) > FEW else ""
        listed = " or ".join(f"{key}{end}" for key in meant[:FEW])
        return f"its name can mean several queries: rename it to {listed}{more}"
    return f"{outbox} has no query {name[: len(name) - len(end)]!r}"
