"""The inbox: which files of annotators are answers, and why the others are not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from alkit._reading.inside import leads_out
from alkit.errors import DataError, one_line
from alkit.oracles.folder.layout import (
    CONFIRMED,
    KEY,
    MASKS,
    NOTE,
    OWN,
    PERSONAL,
    QUERY,
    WORDS,
    contents,
    ending,
    is_annotation_file,
    is_personal,
    read_query,
)
from alkit.oracles.folder.strays import explain
from alkit.oracles.formats.registry import ENDINGS, FOLDER
from alkit.pictures.files import is_prelabel
from alkit.values.queries import Query

LOSSY, ARCHIVES = (".jpg", ".jpeg", ".jfif"), (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz")


@dataclass(frozen=True, slots=True)
class Entry:
    """The files of one annotator about one query, at least one of them a mask or a word.

    Parameters
    ----------
    annotator:
        Name of the annotator.
    key:
        Key of the query.
    masks, words:
        The masks; the skips and withdrawals.
    confirmed:
        The file that confirms a mask, if there is one.
    note:
        Path of the note to write if the answer is refused.
    """

    annotator: str
    key: str
    masks: tuple[Path, ...]
    words: tuple[Path, ...]
    confirmed: Path | None
    note: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the answer."""
        return (*self.masks, *self.words, *([] if self.confirmed is None else [self.confirmed]))


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A COCO, CVAT or NIfTI file, and the annotator in whose folder it lies."""

    annotator: str
    path: Path

    @property
    def note(self) -> Path:
        """Path of the note to write if answers in the file are refused."""
        return self.path.with_name(f"{self.path.name}{NOTE}")

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and its confirmation, if there is one."""
        return (self.path, *([self.confirmation] if self.confirmed else []))

    @property
    def confirmed(self) -> bool:
        """Whether a file in the inbox confirms all answers in the file. It confirms no later version of the file."""
        there = self.confirmation.is_file() and not leads_out(self.confirmation, self.path.parent.parent)
        return there and not _is_newer(self.path, self.confirmation)

    @property
    def confirmation(self) -> Path:
        """Path of the file that confirms all answers in the file, if it exists."""
        return self.path.with_name(f"{self.path.name}{CONFIRMED}")


@dataclass(frozen=True, slots=True)
class Found:
    """The content of an inbox.

    Parameters
    ----------
    entries, files:
        The answers.
    idle_notes:
        Notes about answers that no longer exist.
    strays:
        Files that look like answers or were meant as such, with the reason why they are not read.
    notes:
        Notes beside such files, of this and earlier scans.
    """

    entries: list[Entry] = field(default_factory=list)
    files: list[AnnotationFile] = field(default_factory=list)
    idle_notes: list[Path] = field(default_factory=list)
    strays: dict[Path, str] = field(default_factory=dict)
    notes: list[Path] = field(default_factory=list)


def _is_newer(path: Path, other: Path) -> bool:
    """Whether a file was changed after another one; False if one of them has just been deleted."""
    with suppress(OSError):
        return path.stat().st_mtime_ns > other.stat().st_mtime_ns
    return False


def scan(inbox: Path, outbox: Path, queries: dict[str, Query]) -> Found:
    """Return the content of an inbox, sorted by annotators; no answer is opened.

    Parameters
    ----------
    inbox, outbox:
        Paths of the two folders; they can be the same.
    queries:
        Known queries by key. Those in the outbox are added.

    Raises
    ------
    DataError
        The inbox does not exist.
    """
    if not inbox.is_dir():
        raise DataError(
            f"{inbox} must be an existing folder", got="a file" if inbox.exists() else None, hint="check the path"
        )
    found = Found()
    own = [folder for folder in contents(outbox, found.strays) if is_personal(folder)]
    personal = (inner for folder in own for inner in contents(folder, found.strays, outbox))
    for folder in (*contents(outbox, found.strays), *personal):
        if KEY.match(folder.name) and folder.is_dir():
            _add_query(folder, queries, found.strays)
            _find_misplaced(folder, outbox, inbox, found)
    for path in contents(inbox, found.strays):
        if KEY.match(path.name) and path.is_dir():
            _find_misplaced(path, inbox, inbox, found)
        elif path in own:
            _find_outside(path, inbox, found)
        elif path.is_dir():
            if not FOLDER.match(path.name) and not (outbox.is_dir() and path.samefile(outbox)):
                _scan_annotator(path, inbox, outbox, queries, found)
        elif ending(path.name) == NOTE:
            found.notes.append(path)
        elif (ending(path.name) or is_annotation_file(path)) and not path.name.startswith("contact-sheet-"):
            found.strays[path] = "an answer must lie in a folder with the annotator's name"
    return found


def _add_query(folder: Path, queries: dict[str, Query], strays: dict[Path, str]) -> None:
    """Add the query of a folder to `queries`; an incomplete folder has no ``query.json``."""
    path = folder / QUERY
    if normalize("NFC", folder.name) not in queries and path.is_file():
        try:
            query, _ = read_query(path)
            queries.update(dict.fromkeys(query.keys, query))
        except DataError as reason:
            strays[path] = str(reason)


def _find_misplaced(folder: Path, whole: Path, inbox: Path, found: Found) -> None:
    """Add files to the strays that somebody saved in the folder of a query, which is in `whole`."""
    place, strays = f"{inbox}/NAME/{folder.name}.png", found.strays
    for path in contents(folder, strays, whole):
        if ending(path.name) == NOTE:
            found.notes.append(path)
        elif path.stem not in OWN:
            strays[path] = f"this is the folder of a query; an answer must be saved as {place}"
        elif path.name == "prelabel.png" and not is_prelabel(path, whole):
            strays[path] = f"this pre-label was changed; an answer must be saved as {place}"


def _find_outside(folder: Path, inbox: Path, found: Found) -> None:
    """Add answers to the strays that somebody saved in the folder of the images that are assigned to them."""
    for path in contents(folder, found.strays, inbox):
        if ending(path.name) == NOTE:
            found.notes.append(path)
        elif path.name.startswith("contact-sheet-") or not path.is_file():
            continue
        elif ending(path.name) or is_annotation_file(path):
            found.strays[path] = f"an answer must be saved in {inbox / folder.name.removeprefix(PERSONAL)}"


def _scan_annotator(folder: Path, inbox: Path, outbox: Path, queries: dict[str, Query], found: Found) -> None:
    annotator, files, strays = folder.name, dict[str, dict[str, Path]](), found.strays
    if one_line(annotator) != annotator:
        strays[folder] = "the name of this folder must be Unicode text without control characters"
        return
    for path in contents(folder, strays, inbox):
        end = ending(path.name)
        name = path.name[: len(path.name) - len(end)]
        key = normalize("NFC", name)  # some systems take letters and accents apart
        if path.is_dir():
            strays[path] = "folders in an annotator's folder are not read"
        elif not path.is_file():
            strays[path] = "this is not a file"
        elif is_annotation_file(path):
            found.files.append(AnnotationFile(annotator, path))
        elif end == CONFIRMED and is_annotation_file(folder / name):
            if not (folder / name).exists():
                strays[path] = f"it confirms {name}, which does not exist"
            elif _is_newer(folder / name, path):
                strays[path] = (
                    f"{name} is newer, and this confirms an earlier version: save it again to confirm this one"
                )
        elif end == NOTE and is_annotation_file(folder / name):
            found.idle_notes.extend([] if (folder / name).exists() else [path])
        elif end == NOTE and key not in queries:
            found.notes.append(path)
        elif path.name == QUERY:
            strays[path] = "this file describes a query and is not an answer"
        elif not end:
            strays[path] = f"the name of an answer must end in {' '.join((*MASKS, *WORDS, *ENDINGS))}"
            if path.suffix.lower() in LOSSY:
                strays[path] += ", and JPEG changes the values of a mask: save it as PNG"
            elif path.suffix.lower() in ARCHIVES:
                strays[path] += ": unpack this archive"
        elif key not in queries:
            strays[path] = explain(path.name, end, queries, outbox)
        elif end in files.get(key, {}):
            strays[path] = f"{files[key][end].name} is the same answer"
        else:
            files.setdefault(key, {})[end] = path
    for key, own in sorted(files.items()):
        masks = tuple(own[end] for end in MASKS if end in own)
        words = tuple(own[end] for end in WORDS if end in own)
        if masks or words:
            note = folder / f"{key}{NOTE}"
            found.entries.append(Entry(annotator, key, masks, words, own.get(CONFIRMED) if masks else None, note))
        elif NOTE in own:
            found.idle_notes.append(own[NOTE])
        if CONFIRMED in own and not masks:
            strays[own[CONFIRMED]] = "it confirms a mask that does not exist"
