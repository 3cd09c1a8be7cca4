"""The inbox: which files of annotators are answers, and why the others are not."""

from __future__ import annotations

import os
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
from alkit.oracles.formats.close_names import CloseNames, close_names, has_key
from alkit.oracles.formats.labelme import is_image_of
from alkit.oracles.formats.registry import ENDINGS, FOLDER
from alkit.pictures.files import is_prelabel
from alkit.pools.decoding import SUFFIXES
from alkit.values.queries import Query

LOSSY, ARCHIVES = (".jpg", ".jpeg", ".jfif"), (".7z", ".rar", ".tar", ".gz", ".tgz")

IMAGES = ("images", "imgs", "img")
"""Names of the folders in which exports have copies of the images."""

DEEPEST = 8
"""Greatest depth of a sub-folder that is read."""

ENDS = (*MASKS, *WORDS, CONFIRMED)
"""Endings of the files of an answer."""


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
    folder:
        The annotator's folder.
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
    folder: Path

    @property
    def renamed(self) -> tuple[str, ...]:
        """Names of the files, from the annotator's folder, that are not the key of the query."""
        return tuple(
            path.relative_to(self.folder).as_posix()
            for path in (*self.masks, *self.words)
            if normalize("NFC", _name(path)) != self.key
        )

    def is_keyed(self, query: Query) -> bool:
        """Whether a file has the key of the query as its name, and not only that of its image."""
        names = (path.with_name(_name(path)).relative_to(self.folder) for path in (*self.masks, *self.words))
        return any(has_key(name.as_posix(), query) for name in names)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the answer."""
        return (*self.masks, *self.words, *([] if self.confirmed is None else [self.confirmed]))


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A file of annotations, the annotator in whose folder it lies, and the inbox."""

    annotator: str
    path: Path
    inbox: Path

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
        there = self.confirmation.is_file() and not leads_out(self.confirmation, self.inbox)
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
        elif path.is_dir() and any(path.samefile(folder) for folder in own):
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
    """Add the files of an annotator, those in sub-folders included."""
    if one_line(folder.name) != folder.name:
        found.strays[folder] = "the name of this folder must be Unicode text without control characters"
        return
    own = _Own(folder, inbox, outbox, queries, found)
    own.scan(folder, 0)
    own.join()


@dataclass(slots=True)
class _Own:
    """What the folder of an annotator contains.

    Parameters
    ----------
    folder:
        The annotator's folder.
    inbox, outbox, queries:
        As for :func:`scan`.
    found:
        What was found, to which everything is added.
    files:
        The files about each query, by key.
    notes:
        Notes by the key that is their name.
    seen:
        Real paths of the folders that were read.
    """

    folder: Path
    inbox: Path
    outbox: Path
    queries: dict[str, Query]
    found: Found
    files: dict[str, list[Path]] = field(default_factory=dict)
    notes: dict[str, Path] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    names: CloseNames | None = None

    def scan(self, folder: Path, depth: int) -> None:
        """Add the files in a folder and its folders."""
        strays = self.found.strays
        if (real := os.path.realpath(folder)) in self.seen:
            return  # a symbolic link to a folder above
        self.seen.add(real)
        inside = contents(folder, strays, self.inbox)
        told = any(map(is_annotation_file, inside)) or any(path.name.lower() == "annotations" for path in inside)
        is_copy = depth > 0 and normalize("NFC", folder.name) in self.queries
        stems = {path.stem for path in inside if path.suffix.lower() == ".json"}
        for path in inside:
            if path.is_dir():
                if path.name.lower() in IMAGES:
                    if not told:
                        strays[path] = f"a folder named {path.name} holds images, and is not read"
                elif FOLDER.match(path.name):
                    strays[path] = "this is a copy of a folder of queries, and is not read"
                elif depth == DEEPEST:
                    strays[path] = f"it lies more than {DEEPEST} folders deep"
                else:
                    self.scan(path, depth + 1)
            elif not path.is_file():
                strays[path] = "this is not a file"
            elif is_copy and path.stem in OWN:
                if not self.was_sent(path):
                    strays[path] = f"it is not an answer: save the mask as {folder.name}.png"
            elif not (path.stem in stems and path.suffix.lower() in SUFFIXES and is_image_of(path, self.inbox)):
                self.add(path)

    def was_sent(self, path: Path) -> bool:
        """Whether a file in a copy of a query's folder is as it was sent, as far as its size tells."""
        for place in (self.outbox, self.outbox / f"{PERSONAL}{self.folder.name}"):
            with suppress(OSError):
                if (place / path.parent.name / path.name).stat().st_size == path.stat().st_size:
                    return path.stem != "prelabel" or is_prelabel(path, self.inbox)
        return False

    def add(self, path: Path) -> None:
        """Add a file."""
        strays, end = self.found.strays, ending(path.name)
        name = path.name[: len(path.name) - len(end)]
        beside = path.with_name(name)
        if is_annotation_file(path):
            self.found.files.append(AnnotationFile(self.folder.name, path, self.inbox))
        elif end == CONFIRMED and is_annotation_file(beside):
            if not beside.exists():
                strays[path] = f"it confirms {name}, which does not exist"
            elif _is_newer(beside, path):
                strays[path] = (
                    f"{name} is newer, and this confirms an earlier version: save it again to confirm this one"
                )
        elif end == NOTE and is_annotation_file(beside):
            self.found.idle_notes.extend([] if beside.exists() else [path])
        elif end == NOTE:
            key = normalize("NFC", name)
            if key in self.queries and path.parent == self.folder:
                self.notes[key] = path
            else:
                self.found.notes.append(path)
        elif path.name == QUERY:
            strays[path] = "this file describes a query and is not an answer"
        elif path.suffix.lower() in LOSSY:
            strays[path] = "JPEG changes the values of a mask: save it as PNG"
        elif not end:
            strays[path] = f"the name of an answer must end in {' '.join((*MASKS, *WORDS, *ENDINGS))}"
            if path.suffix.lower() in ARCHIVES:
                strays[path] += ": unpack this archive"
        elif len(meant := self.find(path.with_name(name))) == 1:
            self.files.setdefault(meant[0], []).append(path)
        else:
            meant = meant or [key for key in self.queries if path.name.startswith(key)]
            strays[path] = explain(path.relative_to(self.folder).as_posix(), end, meant, self.outbox)

    def find(self, path: Path) -> list[str]:
        """Return the keys of the queries that a file can mean by its name, which is without its ending."""
        if (key := normalize("NFC", path.name)) in self.queries:  # some systems take letters and accents apart
            return [key]
        if self.names is None:
            self.names = close_names(tuple(self.queries.values()))
        return [query.key for query in self.names.find(path.relative_to(self.folder).as_posix())]

    def join(self) -> None:
        """Add an answer for each query, from its files."""
        strays = self.found.strays
        for key, own in sorted(self.files.items()):
            kept: dict[tuple[str, str], Path] = {}
            for path in own:
                same = (normalize("NFC", str(path.parent / _name(path))), ending(path.name))
                if same in kept:
                    strays[path] = f"{kept[same].name} is the same answer"
                kept.setdefault(same, path)
            by_end = {end: [path for (_, other), path in kept.items() if other == end] for end in ENDS}
            masks = tuple(path for end in MASKS for path in by_end[end])
            words = tuple(path for end in WORDS for path in by_end[end])
            if masks or words:
                first = (masks or words)[0]
                is_key = normalize("NFC", _name(first)) == key
                note = first.with_name(f"{key if is_key else first.name}{NOTE}")
                confirmed = next(iter(by_end[CONFIRMED]), None) if masks else None
                self.found.entries.append(Entry(self.folder.name, key, masks, words, confirmed, note, self.folder))
                if self.notes.get(key) == note:
                    del self.notes[key]
            if not masks:
                strays.update((path, "it confirms a mask that does not exist") for path in by_end[CONFIRMED])
        self.found.idle_notes.extend(self.notes.values())


def _name(path: Path) -> str:
    """Return the name of a file without its ending."""
    return path.name[: len(path.name) - len(ending(path.name))]
