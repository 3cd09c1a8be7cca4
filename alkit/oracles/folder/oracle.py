"""The oracle for people who label by files: queries go to one folder, answers come back in another or the same.

::

    outbox/how-to-answer.txt
           contact-sheet-r02.png          the images of a round on one page, the most wanted first
           for-ann/                       a folder with the same content, for the images that are assigned to `ann`
               r02-0003-ward_1_0002/
                   handed-on.txt          present if the image was given to somebody else
           r02-0004-ward_3_0017/          a folder for each query, with the query's key as its name
               image.png                  the image; a copy of its file if the pool has one
               prelabel.png               the prediction of a model, if there is one: a palette image of class ids
               surroundings.jpg           a tile with its surroundings and its place in the image
               query.json                 written last, so a folder without it is incomplete
               withdrawn.txt              present if the query was withdrawn

    inbox/ann/r02-0004-ward_3_0017.png        a mask (or .tif, .tiff) by the annotator `ann`
              r02-0004-ward_3_0017.confirmed  beside a mask: it is right although it equals the pre-label
              r02-0005-ward_3_0021.skip       the image will not be labelled; the file can contain the reason
              r02-0006-ward_3_0022.withdrawn  an earlier answer is taken back
              r02-0007-ward_3_0025.refused.txt  written by alkit: why an answer was not accepted
              ward_3_0025.jpg.refused.txt       written by alkit: why a file was not read
              r02-0008-ward_3_0028.reviewed.txt written by alkit: what a review found about this label
              instances.json                    many masks in a COCO file (or .xml: CVAT for images)
              r02-v000-case7.nii.gz             the labels of a volume, under the name that they were sent with
              instances.json.confirmed          beside it: all its masks are right although they equal their pre-labels
              answers.csv                       the classes of many images, if each image has one class
              job.zip                           such files as tools export them
              ward 3/0017_mask.png              a mask in a sub-folder under another name that only one query can have

alkit never overwrites a file and never changes an answer. It only writes and deletes notes about answers that were not
accepted and files that were not read. It follows no symbolic link that leads out of these folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from alkit._files import check_reachable, make_folder, without_tilde, write_atomically
from alkit._logs import logger
from alkit._reading.inside import leads_out
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError, StoreError, UnknownNameError, nearest, one_line
from alkit.oracles.annotations import Empty
from alkit.oracles.folder.inbox import scan
from alkit.oracles.folder.layout import REVIEWED, holds
from alkit.oracles.folder.notes import refusal, refusals
from alkit.oracles.folder.outbox import Outbox
from alkit.oracles.folder.reading import EMPTY, Reader
from alkit.oracles.folder.same_time import same_time
from alkit.oracles.folder.strays import write_notes
from alkit.oracles.formats.registry import FORMATS, NAMES, NIFTI, format_of
from alkit.oracles.label_names import label_values
from alkit.pools.volumes.pool import volumes_of
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query

log = logger(__name__)


@checked_except("settle")
@dataclass(frozen=True)
class FolderOracle:
    """Annotators who get images as files and answer with files; :mod:`alkit.oracles.folder.oracle` lists them.

    Queries are read from `outbox`, so another process can read the answers days later. If the outbox is not there,
    `queries` replaces it.

    Parameters
    ----------
    outbox:
        Folder to which queries are written.
    inbox:
        Folder in which each annotator has a folder with their name. None: the same folder as `outbox`.
    classes:
        Names of the classes of masks, the background first, or a :class:`LabelSpec`. With two classes, a mask of only 0
        and 255 means class 1 where it is 255, unless 255 is the ignore value. If each image has one class
        (``LabelSpec(..., per="image")``), the answers are tables with the columns ``image`` and ``class``.
    images:
        The pool; required by :meth:`ask` only.
    prelabels:
        Masks at the original size, by image id, which annotators correct.
    queries:
        Queries that can be answered besides those in `outbox`, such as all queries of a record.
    campaign:
        Name of the campaign, :attr:`alkit.Experiment.campaign`. A folder of another campaign is refused. Empty: no
        check.
    instructions:
        What the lead of the campaign tells the annotators: it is in ``instructions.txt``, in each new ``query.json``,
        and its first lines are on contact sheets.
    also:
        Formats in which queries are also written: ``coco``, ``cvat``; for classes of images ``csv``, ``cvat``;
        ``nifti`` for slices of an :class:`alkit.VolumePool`, as whole volumes in which the asked slices are to be
        labelled. Answers in these formats are always read.
    empty:
        Meaning of an image without annotations in such a file: ``unanswered``, or ``background`` everywhere.
    settle:
        Seconds for which a file must not have changed before it is read, because it may be half-written.

    Raises
    ------
    ConfigurationError
        A class has the name of ignored pixels in annotation files, `also` contains a format that cannot hold the
        labels, or `settle` is negative.
    UnknownNameError
        `also` contains an unknown format.

    Examples
    --------
    >>> import tempfile
    >>> import alkit
    >>> from PIL import Image
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
    instructions: str = field(default="", repr=False)
    also: Sequence[str] = ()
    empty: Empty = "unanswered"
    settle: float = 2.0
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _out: Outbox = field(init=False, repr=False, compare=False)
    _known: dict[str, Query] = field(init=False, repr=False, compare=False, default_factory=dict)
    _sources: dict[tuple[str, str, int | None], dict[int, _Source]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(tuple(self.classes))
        if spec.per == "pixel":
            label_values(spec)
        elif self.empty == "background" and not spec.multiple:
            raise ConfigurationError("empty must be 'unanswered' if each image has one class", got=repr(self.empty))
        check_number("settle", self.settle, least=0)
        fitting = [name for name, form in FORMATS.items() if spec.per in form.per]
        fitting += [NIFTI] if spec.per == "pixel" else []
        for name in self.also:
            if name not in NAMES:
                raise UnknownNameError(
                    f"also must be {' or '.join(fitting)}", got=repr(name), hint=nearest(name, fitting)
                )
            format_of(name, without_tilde(self.outbox)).check_labels(spec)
        out = without_tilde(self.outbox)
        inbox = out if self.inbox is None else without_tilde(self.inbox)
        check_reachable(out)
        check_reachable(inbox)
        self._known.update((key, query) for query in self.queries for key in query.keys)
        vars(self).update(spec=spec, _out=Outbox(out, inbox, spec, self.campaign, self.instructions))
        if self.images is not None:
            self._out.check_place(self.images)
            if NIFTI in self.also:
                volumes_of(self.images)  # refuses other pools

    @checked
    def ask(self, queries: Sequence[Query]) -> None:
        """Write a folder for each query, and a contact sheet for each round.

        Queries that are assigned to people are written into a folder for each of them, such as ``for-ann``; volumes
        (``nifti``) are not, because they have slices of several people. Existing files stay as they are, so a repeated
        call completes an interrupted one.

        Raises
        ------
        ConfigurationError
            The folder belongs to another campaign or contains another query with the same key, or `images` is None.
        LabelError
            A pre-label does not fit its image.
        ImageError
            An image's file cannot be read.
        StoreError
            The folder cannot be written.
        """
        if self.images is None:
            raise ConfigurationError("images must be a pool", got="None", hint="FolderOracle(..., images=pool)")
        self._out.check_campaign()
        for out, own in self._out.addressed(queries):
            out.write(own, self.images, self.prelabels)
            make_folder(out.inbox)
            for name in self.also:
                if name != NIFTI:
                    FORMATS[name].write(out.folder, own, self.images, self.spec, self.prelabels)
            out.write_sheets(own, self.images, self.prelabels)
        if NIFTI in self.also:  # a volume has slices of several people
            whole = format_of(NIFTI, self._out.folder)
            whole.write(self._out.folder, queries, self.images, self.spec, self.prelabels)
        self._out.note_handed_on(queries)

    @checked
    def cancelled(self, queries: Sequence[Query]) -> None:
        """Write into the folders of these queries that they were withdrawn; raises the errors of :meth:`ask`."""
        self._out.check_campaign()
        for out in self._out.all():
            out.withdraw(queries)

    def poll(self) -> Iterator[Answer]:
        """Yield all answers in the inbox, sorted by annotators, including those that were yielded before.

        An answer that cannot be read is :class:`Invalid`, with the reason. Files that are not answers, or that may be
        half-written, are skipped: see :meth:`unread`. In the end, files that are not answers get a note with the
        reason. The note about an earlier refusal is deleted before its answer is yielded.

        Raises
        ------
        DataError
            The inbox does not exist.
        ConfigurationError
            The outbox belongs to another campaign.
        """
        self._out.check_campaign()
        found, reader = scan(self._out.inbox, self._out.folder, self._known), self._reader
        together = same_time(found)
        self._sources.clear()
        for note in found.idle_notes:
            _delete(note)
        for entry in found.entries:
            answer = reader.answer(entry, self._known[entry.key])
            if answer is not None:
                answer = together.check(answer, (path.name for path in entry.files))
                _delete(entry.note)
                self._remember(answer, _Source(entry.note, self._known[entry.key]))
                yield answer
            else:
                found.strays.update((path, EMPTY) for path in entry.files if reader.obstacle(path) == EMPTY)
        for file in found.files:
            answers = reader.answers(file, tuple(self._known.values()))
            if isinstance(answers, str):
                if all(reader.obstacle(path) is None for path in file.files):
                    found.strays[file.path] = answers
                continue
            source = _Source(file.note, None)
            _delete(source.note)
            for given in answers:
                answer = together.check(given, [file.path.name])
                self._remember(answer, source)
                yield answer
        kept = {entry.note for entry in found.entries}
        write_notes(found.strays, found.notes, (self._out.inbox, self._out.folder), kept)

    @checked
    def refused(self, answer: Answer, reason: str) -> None:
        """Write a note beside an answer: why it was not accepted, and what to do."""
        known = self._sources.get(_identity(answer))
        if known is None:
            return  # the answer came from another oracle
        source = known.get(id(answer), next(reversed(known.values())))
        if source.query is None:
            source.reasons.append((answer.id, reason))
            text = refusals(source.reasons)
        else:
            drafted = any((out.folder_of(source.query) / "prelabel.png").exists() for out in self._out.all())
            text = refusal(source.query, self.spec, reason, prelabel=drafted)
        try:
            write_atomically(source.note, text)
        except StoreError as error:
            log.warning("cannot write why the answer for %s was refused: %s", answer.id, error)

    @checked
    def reviewed(self, query: Query, annotator: str, text: str) -> None:
        """Write a note beside a label: what a review found about it. An annotator without a folder gets none."""
        folder = self._out.inbox / annotator
        if not annotator or one_line(annotator) != annotator or folder.parent != self._out.inbox or not folder.is_dir():
            return
        note = folder / f"{query.key}{REVIEWED}"
        if leads_out(note, self._out.inbox):
            return
        try:
            if not holds(note, text.encode()):
                write_atomically(note, text.encode())
        except (OSError, StoreError) as error:
            log.warning("cannot write what a review found about %s: %s", query.id, error)

    def _remember(self, answer: Answer, source: _Source) -> None:
        """Keep where an answer came from. Files that were unpacked have equal times, so two answers can be alike."""
        self._sources.setdefault(_identity(answer), {})[id(answer)] = source

    def unread(self) -> dict[Path, str]:
        """Return the files that :meth:`poll` skips although somebody may have meant them as answers, with reasons."""
        found, reader = scan(self._out.inbox, self._out.folder, self._known), self._reader
        for entry in found.entries:
            found.strays.update((path, why) for path in entry.files if (why := reader.obstacle(path)) is not None)
        for file in found.files:
            if isinstance(answers := reader.answers(file, tuple(self._known.values())), str):
                found.strays[file.path] = answers
        return found.strays

    def unannotated(self) -> dict[Path, tuple[str, ...]]:
        """Return the ids of the queried images that a COCO, CVAT or NIfTI file lists without labels, by file."""
        files = scan(self._out.inbox, self._out.folder, self._known).files
        found = {file.path: self._reader.unannotated(file, tuple(self._known.values())) for file in files}
        return {path: ids for path, ids in found.items() if ids}

    @property
    def _reader(self) -> Reader:
        return Reader(self._out.inbox, self._out.folder, self.spec, self.empty, self.settle)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an answer came from.

    Parameters
    ----------
    note:
        Path of the note to write if the answer is refused.
    query:
        The query; None for a file with many answers.
    reasons:
        Refusals of answers in such a file: pairs of image id and reason.
    """

    note: Path
    query: Query | None
    reasons: list[tuple[str, str]] = field(default_factory=list)


def _identity(answer: Answer) -> tuple[str, str, int | None]:
    return answer.id, answer.annotator, answer.revision


def _delete(note: Path) -> None:
    with suppress(OSError):
        note.unlink()
