"""People who label by files: queries go to one folder, answers come back in another, or in the same one.

::

    outbox/how-to-answer.txt
           contact-sheet-r02.png          the images of a round on one page, the most wanted first
           r02-0004-ward_3_0017/          one folder per query, named by its key
               image.png                  the image, as a copy of its file where there is one
               prelabel.png               what a model predicts, where there is one: a palette image of class ids
               query.json                 written last: a folder without it is not finished
               withdrawn.txt              where the query was taken back

    inbox/ann/r02-0004-ward_3_0017.png        a mask (or .tif, .tiff), by the annotator `ann`
              r02-0004-ward_3_0017.confirmed  beside a mask: it is right although it equals the pre-label
              r02-0005-ward_3_0021.skip       will not be labelled; the reason may stand in it
              r02-0006-ward_3_0022.withdrawn  an earlier answer is taken back
              r02-0007-ward_3_0025.refused.txt  written by alkit: why an answer was not taken
              instances.json                    many masks in one COCO file (or .xml: CVAT for images)
              instances.json.confirmed          beside it: all in it are right although they equal their pre-labels

Nothing is ever written over, and no answer is touched. Only notes why an answer was refused come and go.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import make_folder, write_atomically
from alkit.errors import ConfigurationError, DataError, LabelError, StoreError, UnknownNameError, nearest
from alkit.labels.masks import class_ids, mask_values
from alkit.oracles.formats import coco, cvat
from alkit.oracles.formats.handover import FOLDER
from alkit.oracles.formats.protocol import Format
from alkit.oracles.formats.regions import Empty, label_values
from alkit.pictures.colours import colour
from alkit.pictures.files import KEY as MARK
from alkit.pictures.files import image_file, is_prelabel, png_text, prelabel_png
from alkit.protocols import Pool
from alkit.values.answers import Answer, Invalid, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec, Size
from alkit.values.queries import Query

log = logging.getLogger(__name__)

VERSION = 1
"""Of what a query.json says."""

MASKS = (".png", ".tif", ".tiff")
WORDS = (".skip", ".withdrawn")
CONFIRMED, NOTE = ".confirmed", ".refused.txt"
FORMATS: dict[str, Format] = {"coco": coco, "cvat": cvat}
SUFFIXES = {".json": "coco", ".xml": "cvat"}
"""Of files that hold many answers: their formats."""

GONE = "The next time answers are fetched, this note is gone or written anew.\n"
WITHDRAWN = "No longer asked for: nobody needs to answer. What is answered all the same is taken.\n"
OURS = ("image", "prelabel", "query", "withdrawn")
"""What the files in a query's folder are called, without their endings."""

LONGEST_REASON = 10_000
"""Bytes."""

KEY = re.compile(r"r\d{2,}-\d{4,}-")
"""How the key of a query begins."""

PASSING = re.compile(r"(\.(tmp|temp|part|partial|crdownload|swp|bak)|~|^thumbs\.db|^desktop\.ini)$", re.IGNORECASE)
"""What programs leave in folders for a while."""

HOW = """\
How to answer
=============

Each folder here with a query.json is one image to be labelled; begin with the lowest number. The query.json says why it
was chosen; beside it are the image and perhaps a prelabel.png: what a model believes, to be corrected.

Make a folder with your name in {inbox} and save in it, for the query {key}:

    {key}.png        the mask: {classes}
    {key}.skip       instead of a mask, where the image cannot be labelled; write the reason into it
    {key}.withdrawn  instead of a mask, to take an earlier answer back
    {key}.confirmed  beside a mask, where the pre-label is right as it is; it may be empty

A mask has one channel and the size of the image; a TIFF (.tif) or a palette image will do. A tool may also save many
masks in one file: COCO (.json) or CVAT for images 1.1 (.xml), with any name; a file of the same name and .confirmed,
such as masks.json.confirmed, confirms all in it. Where a folder here holds a withdrawn.txt, nobody waits for the answer
any more. To correct an answer, save it anew. Where
an answer could not be taken, a file {key}.refused.txt beside it says why.
"""


@dataclass(frozen=True)
class FolderOracle:
    """Annotators who are handed files and answer by files; see :mod:`alkit.oracles.folder.oracle` for their names.

    Which queries there are is read from `outbox`, so that answers are understood in another process, days later; or it
    is said, where the answers lie elsewhere.

    Parameters
    ----------
    outbox:
        Where queries are written.
    inbox:
        Where each annotator has a folder of their own, named after them; None for the same folder.
    classes:
        Names of the classes, the background first, or a :class:`LabelSpec`, of masks. With two classes a mask of only
        0 and 255 means class 1 where it is 255, unless 255 is the ignore value.
    images:
        The pool; not needed by who only fetches answers.
    prelabels:
        By image id a mask, at the image's original size, that is handed over to be corrected.
    queries:
        Queries that may be answered besides those found in `outbox`, such as all of a record's.
    campaign:
        Name of the campaign, :attr:`alkit.Experiment.campaign`; a folder of another is refused. Empty for no such look.
    also:
        Formats in which queries are written besides: ``coco``, ``cvat``. Answers in these are read in any case.
    empty:
        What an image without annotations means in such a file: ``unanswered``, or all ``background``.
    settle:
        Seconds for which a file must have been left alone before it is read: it may be half-written.

    Raises
    ------
    ConfigurationError
        Labels that are no masks, or a class that is called as ignored pixels are in annotation files.
    UnknownNameError
        A format that there is not.

    Examples
    --------
    >>> import tempfile
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(2, size=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     oracle = FolderOracle(folder, classes=("skin", "lesion"), images=alkit.ArrayPool(images), settle=0)
    ...     query = Query("0001", round=0, rank=0, sizes=((16, 16),))
    ...     oracle.ask([query])
    ...     (Path(folder) / "ann").mkdir()
    ...     Image.fromarray(masks[1]).save(Path(folder) / "ann" / f"{query.key}.png")
    ...     [(answer.id, answer.annotator, answer.label.shape) for answer in oracle.poll()]
    [('0001', 'ann', (16, 16))]
    """

    outbox: str | Path
    inbox: str | Path | None = None
    _: KW_ONLY
    classes: LabelSpec | Sequence[str]
    images: Pool | None = field(default=None, repr=False)
    prelabels: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)
    queries: Sequence[Query] = field(default=(), repr=False)
    campaign: str = field(default="", repr=False)
    also: Sequence[str] = ()
    empty: Empty = "unanswered"
    settle: float = 2.0
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _out: Path = field(init=False, repr=False, compare=False)
    _in: Path = field(init=False, repr=False, compare=False)
    _known: dict[str, Query] = field(init=False, repr=False, compare=False, default_factory=dict)
    _given: dict[tuple[str, str, int | None], _Source] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(tuple(self.classes))
        if spec.per != "pixel":
            raise ConfigurationError("answers in files are masks", got=f"per={spec.per!r}", expected="per='pixel'")
        label_values(spec)
        for name in self.also:
            if name not in FORMATS:
                raise UnknownNameError("there is no such format", got=repr(name), hint=nearest(name, FORMATS))
        out = Path(self.outbox).expanduser()
        self._known.update((query.key, query) for query in self.queries)
        vars(self).update(spec=spec, _out=out, _in=out if self.inbox is None else Path(self.inbox).expanduser())

    # Asking.

    def ask(self, queries: Sequence[Query]) -> None:
        """Write what is not there yet: a folder for each query, and a page with the images of each round.

        What is there is left as it is, so that handing over again completes what was cut short.

        Raises
        ------
        ConfigurationError
            The folder is another campaign's, or holds another query of the same name; or no pool was given.
        LabelError
            A pre-label does not fit its image.
        ImageError
            An image's file can no longer be read.
        StoreError
            The folder cannot be written.
        """
        if self.images is None:
            raise ConfigurationError("there is no pool to take the images from", hint="FolderOracle(..., images=pool)")
        self._check_campaign()
        for query in queries:
            self._check_same(query)
        for query in queries:
            self._hand_over(query, self.images)
        if queries and not (self._out / "how-to-answer.txt").exists():
            write_atomically(self._out / "how-to-answer.txt", self._how(queries[0]).encode())
        make_folder(self._in)
        for name in self.also:
            FORMATS[name].write(self._out, queries, self.images, self.spec, self.prelabels)
        for round in sorted({query.round for query in queries}):
            own = sorted((query for query in queries if query.round == round), key=lambda query: query.rank)
            self._show(round, own, self.images)

    def cancelled(self, queries: Sequence[Query]) -> None:
        """Say in the folders of these queries that they were withdrawn; raises as :meth:`ask`."""
        self._check_campaign()
        for query in queries:
            folder = self._out / query.key
            if (folder / "query.json").exists() and not (folder / "withdrawn.txt").exists():
                write_atomically(folder / "withdrawn.txt", WITHDRAWN.encode())

    def _check_campaign(self) -> None:
        for folder in _visible(self._out, {}) if self.campaign else ():
            path = folder / "query.json"
            if not KEY.match(folder.name) or not path.is_file():
                continue
            with suppress(DataError):  # a damaged one is reported elsewhere
                _, campaign = _read_query(path)
                if campaign not in ("", self.campaign):
                    raise ConfigurationError(
                        f"{self._out} belongs to another campaign",
                        got=f"{folder.name} of campaign {campaign!r}",
                        expected=repr(self.campaign),
                        hint="a folder of its own for each campaign",
                    )

    def _check_same(self, query: Query) -> None:
        path = self._out / query.key / "query.json"
        if path.exists() and ((there := _read_query(path)[0]).id, there.sizes) != (query.id, query.sizes):
            raise ConfigurationError(
                f"{path} is another query of the same name",
                got=f"image {there.id!r} of {_sizes(there.sizes)}",
                expected=f"image {query.id!r} of {_sizes(query.sizes)}",
                hint="a folder of its own for each campaign",
            )

    def _hand_over(self, query: Query, images: Pool) -> None:
        folder = self._out / query.key
        there = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
        if "image" not in there:
            content, suffix = image_file(images, query.id)
            write_atomically(folder / f"image{suffix}", content)
        if query.id in self.prelabels and "prelabel" not in there:
            mask = self.spec.check(self.prelabels[query.id], id=query.id, sizes=query.sizes[:1])
            write_atomically(folder / "prelabel.png", prelabel_png(mask, self.spec))
        if "query" not in there:
            facts = json.dumps(self._facts(query), indent=2, ensure_ascii=False)
            write_atomically(folder / "query.json", facts.encode())

    def _facts(self, query: Query) -> dict[str, Any]:
        spec, place = self.spec, _from(self._in, self._out / query.key)
        ids = [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]
        names = [*spec.classes, *([] if spec.ignore is None else ["ignored"])]
        return {
            "version": VERSION,
            "campaign": self.campaign,
            "query": query.key,
            "image": query.id,
            "round": query.round,
            "rank": query.rank,
            "score": query.score,
            "stands_for": query.stands_for,
            "annotators_wanted": query.wanted,
            "sizes_allowed": [{"height": height, "width": width} for height, width in query.sizes],
            "classes": [
                {"id": id, "name": name, "colour": colour(id, spec)} for id, name in zip(ids, names, strict=True)
            ],
            "answer": {
                "mask": f"{place}/YOUR_NAME/{query.key}.png",
                "skip": f"{place}/YOUR_NAME/{query.key}.skip",
                "withdraw": f"{place}/YOUR_NAME/{query.key}.withdrawn",
                "confirm_the_prelabel": f"{place}/YOUR_NAME/{query.key}.confirmed",
            },
        }

    def _how(self, query: Query) -> str:
        place = _from(self._in, self._out)
        inbox = "this folder" if place == "." else place
        return HOW.format(inbox=inbox, key=query.key, classes=self.spec)

    def _show(self, round: int, queries: Sequence[Query], images: Pool) -> None:
        """Write a contact sheet of these queries, unless sheets that are there show all of them."""
        number, shown = 1, set[str]()
        while (path := self._out / f"contact-sheet-r{round:02}{'' if number == 1 else f'-{number}'}.png").exists():
            shown |= _shown_on(path)
            number += 1
        if news := [query for query in queries if query.key not in shown]:
            write_atomically(path, _sheet(images, news, self.prelabels, round))

    # Fetching.

    def poll(self) -> Iterator[Answer]:
        """Yield every answer that lies in the inbox, by annotators, also those yielded before.

        An answer that cannot be read comes as :class:`Invalid`, with the reason. What is no answer, and what may be
        half-written, is passed over: see :meth:`unread`. Before an answer is yielded, the note that an earlier one was
        refused is removed.

        Raises
        ------
        DataError
            There is no such folder.
        ConfigurationError
            It is another campaign's.
        """
        self._check_campaign()
        found = self._scan()
        for note in found.idle_notes:
            _remove(note)
        for entry in found.entries:
            answer = self._answer(entry, self._known[entry.key])
            if answer is not None:
                _remove(entry.note)
                self._given[_name(answer)] = _Source(entry.note, entry.key)
                yield answer
        for file in found.files:
            answers = self._opened(file)
            if not isinstance(answers, str):
                source = _Source(_beside(file.path), None)
                _remove(source.note)
                for answer in answers:
                    self._given[_name(answer)] = source
                    yield answer

    def refused(self, answer: Answer, reason: str) -> None:
        """Say in a file beside an answer why it was not taken, and what to do about it."""
        source = self._given.get(_name(answer))
        if source is None:
            return  # it came from elsewhere
        if source.key is None:
            source.refused.append(f"{answer.id}: {reason}\n")
            text = f"These answers were not taken; correct and export them anew.\n\n{''.join(source.refused)}"
        else:
            text = self._advice(source.key, reason)
        try:
            write_atomically(source.note, f"{text}\n{GONE}".encode())
        except StoreError as error:
            log.warning("nobody is told why the answer for %s was refused: %s", answer.id, error)

    def _advice(self, key: str, reason: str) -> str:
        allowed = f"{_sizes(self._known[key].sizes)}, one channel of {self.spec}"
        return (
            f"The answer to {key} was not taken.\n\nWhy: {reason}\n\n"
            f"What to do: save it anew as {key}.png. A mask is {allowed}.\n"
            f"Or, instead of a mask, write why there is none into {key}.skip.\n"
            f"If the pre-label is right as it is, put an empty file {key}.confirmed beside its copy.\n"
        )

    def unread(self) -> dict[Path, str]:
        """Return the files that :meth:`poll` passes over though somebody may have meant them as answers, and why."""
        found = self._scan()
        for entry in found.entries:
            found.strays.update((path, why) for path in entry.files if (why := self._unsettled(path)) is not None)
        for file in found.files:
            if isinstance(answers := self._opened(file), str):
                found.strays[file.path] = answers
        return found.strays

    def _opened(self, file: _File) -> Iterator[Answer] | str:
        """Return the answers in a file of annotations, or why it is not read."""
        confirmation = file.path.with_name(file.path.name + CONFIRMED)
        confirmed = confirmation.exists()
        for path in (file.path, *([confirmation] if confirmed else [])):
            if (why := self._unsettled(path)) is not None:
                return why
        form, queries = FORMATS[SUFFIXES[file.path.suffix.lower()]], tuple(self._known.values())
        try:
            before = _stamp(file.path)
            answers = form.read(file.path, queries, self.spec, annotator=file.annotator, empty=self.empty)
            if confirmed:
                since = _stamp(confirmation)[1]
                answers = (
                    replace(answer, confirmed=True, revision=max(since, answer.revision or 0)) for answer in answers
                )
            first = list(islice(answers, 1))  # all of the file is read, and checked, before this comes
            if _stamp(file.path) != before:
                return "it has just changed"
        except (DataError, FileNotFoundError) as error:
            return str(error)
        return chain(first, answers)

    def _scan(self) -> _Found:
        """Look at what lies in the inbox, and in the folders of queries."""
        if not self._in.is_dir():
            raise DataError("there is no such folder of answers", got=self._in, hint="check the path")
        found = _Found()
        for folder in _visible(self._out, found.strays):
            if KEY.match(folder.name) and folder.is_dir():
                self._read_query(folder, found.strays)
        for path in _visible(self._in, found.strays):
            if KEY.match(path.name) and path.is_dir():
                self._look_for_misplaced(path, found.strays)
            elif path.is_dir():
                if not FOLDER.match(path.name) and not (self._out.is_dir() and path.samefile(self._out)):
                    self._scan_annotator(path, found)
            elif (_ending(path.name) or _holds_many(path)) and not path.name.startswith("contact-sheet-"):
                found.strays[path] = "answers belong in a folder that bears the annotator's name"
        return found

    def _scan_annotator(self, folder: Path, found: _Found) -> None:
        annotator, files = folder.name, dict[str, dict[str, Path]]()
        try:
            annotator.encode()
        except UnicodeEncodeError:
            found.strays[folder] = "the name of this folder is no Unicode text"
            return
        for path in _visible(folder, found.strays):
            ending = _ending(path.name)
            key = path.name[: len(path.name) - len(ending)]
            if path.is_dir():
                found.strays[path] = "folders inside an annotator's folder are not looked into"
            elif not path.is_file():
                found.strays[path] = "this is no file"
            elif _holds_many(path):
                found.files.append(_File(annotator, path))
            elif ending == CONFIRMED and _holds_many(folder / key):
                if not (folder / key).exists():
                    found.strays[path] = "there is no such file beside it"
            elif ending == NOTE and _holds_many(folder / key):
                found.idle_notes.extend([] if (folder / key).exists() else [path])
            elif path.name == "query.json":
                found.strays[path] = "this says what was asked, and is no answer"
            elif not ending:
                found.strays[path] = f"no answer ends like this, but in {' '.join((*MASKS, *WORDS, *SUFFIXES))}"
            elif key not in self._known:
                found.strays[path] = f"there is no query {key!r} in {self._out}"
            elif ending in files.get(key, {}):
                found.strays[path] = f"there is {files[key][ending].name} already"
            else:
                files.setdefault(key, {})[ending] = path
        for key, own in sorted(files.items()):
            masks = tuple(own[ending] for ending in MASKS if ending in own)
            words = tuple(own[ending] for ending in WORDS if ending in own)
            if masks or words:
                note = folder / f"{key}{NOTE}"
                found.entries.append(_Entry(annotator, key, masks, words, own.get(CONFIRMED) if masks else None, note))
            elif NOTE in own:
                found.idle_notes.append(own[NOTE])
            if CONFIRMED in own and not masks:
                found.strays[own[CONFIRMED]] = "there is no mask beside it"

    def _read_query(self, folder: Path, strays: dict[Path, str]) -> None:
        """Get to know a query; one that is not finished yet has no query.json."""
        path = folder / "query.json"
        if folder.name not in self._known and path.is_file():
            try:
                self._known[folder.name], _ = _read_query(path)
            except DataError as reason:
                strays[path] = str(reason)
        self._look_for_misplaced(folder, strays)

    def _look_for_misplaced(self, folder: Path, strays: dict[Path, str]) -> None:
        """Find what was saved in the folder of a query though it is an answer."""
        for path in _visible(folder, strays):
            if path.stem not in OURS:
                strays[path] = f"this is the folder of a query; answers go to {self._in}/NAME/{folder.name}.png"
            elif path.name == "prelabel.png" and not is_prelabel(path):
                strays[path] = f"somebody changed this pre-label; answers go to {self._in}/NAME/{folder.name}.png"

    def _unsettled(self, path: Path) -> str | None:
        """Say why a file cannot be read yet; None where it can."""
        try:
            facts = path.stat()
        except OSError:
            return "it has just gone"
        if not facts.st_size and _ending(path.name) in MASKS:
            return "it is empty"
        # A time far in the future is that of a clock that goes wrong, and says nothing.
        if abs(time.time() - facts.st_mtime) < self.settle:
            return f"it may be half-written: it has just changed, and is read when it was left alone {self.settle:g} s"
        return None

    def _answer(self, entry: _Entry, query: Query) -> Answer | None:
        """Return an answer, or None where its files are not at rest."""
        if any(self._unsettled(path) for path in entry.files):
            return None
        try:
            before = [_stamp(path) for path in entry.files]
            label = self._label(entry, query)
            if [_stamp(path) for path in entry.files] != before:
                return None
        except FileNotFoundError:
            return None
        revision = max(modified for _, modified in before)
        return Answer(query.id, label, entry.annotator, revision, confirmed=entry.confirmed is not None)

    def _label(self, entry: _Entry, query: Query) -> npt.NDArray[Any] | Skip | Withdrawal | Invalid:
        names = " and ".join(path.name for path in (*entry.masks, *entry.words))
        if len(entry.words) > 1 or (entry.words and entry.masks):
            return Invalid(f"there are two answers, {names}; leave one of them")
        try:
            if entry.words:
                return _word(entry.words[0])
            masks = [self._mask(path, query) for path in entry.masks]
        except LabelError as reason:
            return Invalid(str(reason))
        except FileNotFoundError:
            raise
        except OSError as reason:
            return Invalid(f"{names} cannot be read ({reason.strerror})")
        if any(not np.array_equal(masks[0], other) for other in masks[1:]):
            return Invalid(f"there are two answers, {names}, and they differ; leave one of them")
        return masks[0]

    def _mask(self, path: Path, query: Query) -> npt.NDArray[Any]:
        return class_ids(mask_values(path.read_bytes(), path.name), self.spec, query.id)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The files of one annotator about one query, at least one of them a mask or a word."""

    annotator: str
    key: str
    masks: tuple[Path, ...]
    words: tuple[Path, ...]
    confirmed: Path | None
    note: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All that make up the answer."""
        return (*self.masks, *self.words, *([] if self.confirmed is None else [self.confirmed]))


@dataclass(frozen=True, slots=True)
class _File:
    """A file of annotations, and whose it is."""

    annotator: str
    path: Path


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the inbox: answers, notes about answers that are gone, and what is no answer, with the reason."""

    entries: list[_Entry] = field(default_factory=list)
    files: list[_File] = field(default_factory=list)
    idle_notes: list[Path] = field(default_factory=list)
    strays: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an answer came from: the note to write if it is refused, and its query, or what was refused beside it."""

    note: Path
    key: str | None
    refused: list[str] = field(default_factory=list)


def _name(answer: Answer) -> tuple[str, str, int | None]:
    return answer.id, answer.annotator, answer.revision


def _holds_many(path: Path) -> bool:
    """Whether a file is one of annotations; a query.json may have been copied anywhere."""
    return path.suffix.lower() in SUFFIXES and path.name != "query.json"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{NOTE}")


def _remove(note: Path) -> None:
    with suppress(OSError):
        note.unlink()


def _ending(name: str) -> str:
    """Return the ending that makes a file an answer or a note, in lower case; empty where it is neither."""
    lower = name.lower()
    return next((ending for ending in (*MASKS, *WORDS, CONFIRMED, NOTE) if lower.endswith(ending)), "")


def _visible(folder: Path, strays: dict[Path, str]) -> list[Path]:
    """Return what lies in a folder, by name, but for what is hidden or what programs leave there for a while."""
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as reason:
        strays[folder] = f"this folder cannot be read ({reason.strerror})"
        return []
    return [path for path in found if not path.name.startswith((".", "~")) and not PASSING.search(path.name)]


def _read_query(path: Path) -> tuple[Query, str]:
    """Return what was asked, and by which campaign."""
    try:
        facts = json.loads(path.read_bytes())
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}")
        query = Query(
            str(facts["image"]),
            int(facts["round"]),
            int(facts["rank"]),
            tuple((int(size["height"]), int(size["width"])) for size in facts["sizes_allowed"]),
        )
        if query.key != path.parent.name:
            raise ValueError(f"query {query.key!r}")
        return query, str(facts["campaign"])
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as reason:
        raise DataError(
            f"{path} is no longer what alkit wrote", got=reason, hint="remove it, and hand the query over again"
        ) from reason


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _word(path: Path) -> Skip | Withdrawal | Invalid:
    content = path.read_bytes()
    if len(content) > LONGEST_REASON:
        return Invalid(f"{path.name} holds {len(content)} bytes, too many for a reason")
    try:
        reason = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig").strip()
    except UnicodeDecodeError:
        return Invalid(f"{path.name} holds something else than text; save the reason as UTF-8")
    return Skip(reason) if path.suffix.lower() == ".skip" else Withdrawal(reason)


def _sizes(sizes: Sequence[Size]) -> str:
    return " or ".join(f"{width} x {height} pixels" for height, width in sizes)


def _from(place: Path, start: Path) -> str:
    """Return the way from one folder to another, which also holds on another machine that sees both."""
    try:
        return Path(os.path.relpath(place, start)).as_posix()
    except ValueError:  # on another drive
        return place.absolute().as_posix()


def _sheet(images: Pool, queries: Sequence[Query], prelabels: Mapping[str, Any], round: int) -> bytes:
    from alkit.pictures.sheets import contact_sheet

    figure = contact_sheet(
        images,
        [query.id for query in queries],
        masks={query.id: _thinned(prelabels[query.id]) for query in queries if query.id in prelabels},
        captions={query.id: "\n".join(filter(None, (query.key, query.stands_for))) for query in queries},
        title=f"Round {round}: {len(queries)} images, the most wanted first",
        columns=max(6, 1 + math.isqrt(len(queries) - 1)),
    )
    file = BytesIO()
    figure.savefig(file, format="png", dpi=120, metadata={"alkit": json.dumps([query.key for query in queries])})
    return file.getvalue()


def _thinned(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return every n-th pixel, for an outline no one looks at closely: those of large masks take seconds."""
    rows, columns = (max(1, side // 256) for side in mask.shape)
    return mask[::rows, ::columns]


def _shown_on(path: Path) -> set[str]:
    """Return the keys of the queries on a contact sheet; none where it is another picture."""
    try:
        return set(json.loads(png_text(path, MARK) or "[]"))
    except (TypeError, ValueError, RecursionError):
        return set()
