"""The outbox: a folder for each query, a contact sheet for each round, and instructions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy.typing as npt

from alkit._files import check_outside, delete_abandoned, delete_file, write_atomically
from alkit._reading.inside import leads_out
from alkit.errors import ConfigurationError, DataError, StoreError
from alkit.oracles.folder.layout import (
    HOW,
    INSTRUCTIONS,
    KEY,
    PERSONAL,
    QUERY,
    contents,
    describe_query,
    holds,
    is_personal,
    read_query,
    relative_path,
)
from alkit.oracles.folder.notes import how_to_answer
from alkit.oracles.notes import GIVEN_TO_OTHERS, WITHDRAWN
from alkit.pictures import files
from alkit.pictures.surroundings import surroundings_file
from alkit.protocols import HasFiles, Pool
from alkit.values.label_spec import LabelSpec, size_text
from alkit.values.people import check_name
from alkit.values.queries import Query

HANDED_ON = "handed-on.txt"
"""Name of the note in the folder of a query that was given to somebody else."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The folder to which queries are written.

    Parameters
    ----------
    folder:
        Path of the folder.
    inbox:
        Path of the folder for answers, which the instructions name.
    spec:
        The classes.
    campaign:
        Name of the campaign, or empty.
    instructions:
        What the lead of the campaign tells the annotators, or empty.
    """

    folder: Path
    inbox: Path
    spec: LabelSpec
    campaign: str
    instructions: str = ""

    def addressed(self, queries: Sequence[Query]) -> list[tuple[Outbox, list[Query]]]:
        """Return the outboxes that these queries belong to, each with its queries: this one, and one for each person.

        A query that wants more annotators than it is assigned to is in this one, too. A query in a person's outbox
        names nobody else.

        Raises
        ------
        ConfigurationError
            A name cannot be that of a folder.
        """
        names = sorted({check_name(name) for query in queries for name in query.assigned})
        found = [(self, [query for query in queries if len(query.assigned) < query.wanted])]
        for name in names:
            own = [replace(query, assigned=(name,), wanted=1) for query in queries if name in query.assigned]
            found.append((self._personal(name), own))
        return [(box, own) for box, own in found if own or not names]

    def _personal(self, name: str) -> Outbox:
        folder = self.folder / f"{PERSONAL}{name}"
        if leads_out(folder, self.folder):
            raise StoreError(f"{folder} must be a folder", got=f"a symbolic link that leads out of {self.folder}")
        return replace(self, folder=folder)

    def all(self) -> list[Outbox]:
        """Return this outbox and those of people that are in it."""
        own = [path for path in contents(self.folder, {}) if is_personal(path)]
        return [self, *(replace(self, folder=path) for path in own)]

    def note_handed_on(self, queries: Sequence[Query]) -> None:
        """Write a note into the folders of these queries of people that they are not assigned to, and delete others."""
        for box in self.all()[1:]:
            name = box.folder.name.removeprefix(PERSONAL)
            for query in queries:
                note = box.folder_of(query) / HANDED_ON
                if leads_out(note, self.folder) or not (note.parent / QUERY).exists():
                    continue
                if name in query.assigned:
                    with suppress(OSError):
                        note.unlink()
                elif not note.exists():
                    write_atomically(note, f"{GIVEN_TO_OTHERS}\n".encode())

    def check_place(self, images: Pool) -> None:
        """Check that the folder can hold queries for these images, unless it holds queries already.

        Raises
        ------
        ConfigurationError
            The folder is a file, or in the pool's folder of images.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError("outbox must be a folder", got=f"the file {self.folder}", hint="another folder")
        first = images.ids[0]
        file = images.file(first) if isinstance(images, HasFiles) else None
        if file is None or any(KEY.match(path.name) for path in contents(self.folder, {})):
            return
        parts = Path(first).parts
        if file.with_suffix("").parts[-len(parts) :] == parts:
            check_outside("outbox", self.folder, Path(*file.parts[: -len(parts)]))

    def check_campaign(self) -> None:
        """Raise a :class:`ConfigurationError` if the folder contains a query of another campaign."""
        for folder in [one for box in self.all() for one in contents(box.folder, {})] if self.campaign else ():
            path = folder / QUERY
            if not KEY.match(folder.name) or not path.is_file():
                continue
            with suppress(DataError):  # a damaged file is reported elsewhere
                _, campaign = read_query(path)
                if campaign not in ("", self.campaign):
                    raise ConfigurationError(
                        f"{self.folder} belongs to another campaign",
                        got=f"{folder.name} of campaign {campaign!r}",
                        expected=repr(self.campaign),
                        hint="use a folder of its own for each campaign",
                    )

    def write(self, queries: Sequence[Query], images: Pool, prelabels: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write the missing files of these queries, and the instructions; existing files stay as they are.

        Raises
        ------
        ConfigurationError
            The folder contains another query with the same key.
        LabelError
            A pre-label does not fit its image.
        ImageError
            An image's file cannot be read.
        StoreError
            The folder cannot be written.
        """
        for query in queries:
            self._check_same(query)
        for folder in [self.folder, *contents(self.folder, {})]:
            delete_abandoned(folder)
        for query in queries:
            self._write_query(query, images, prelabels.get(query.id))
        how = self.folder / HOW
        if queries and not how.exists():
            write_atomically(how, how_to_answer(queries[0], self.spec, relative_path(self.inbox, self.folder)))
        self._write_instructions()

    def _write_instructions(self) -> None:
        """Write what the lead tells the annotators, or delete it, unless it is there already."""
        path, content = self.folder / INSTRUCTIONS, self.instructions.encode()
        if leads_out(path, self.folder):
            raise StoreError(f"{path} must be a file", got=f"a symbolic link that leads out of {self.folder}")
        if path.is_dir():
            raise StoreError(f"{path} must be a file", got="a folder", hint="delete it")
        if content and not holds(path, content):
            write_atomically(path, content)
        elif not content:
            delete_file(path)

    def folder_of(self, query: Query) -> Path:
        """Return the folder of a query; that of its former key if version 0.1 has written it."""
        places = [self.folder / key for key in query.keys]
        return next((place for place in places if place.exists()), places[0])

    def _check_same(self, query: Query) -> None:
        path = self.folder_of(query) / QUERY
        if path.exists() and ((known := read_query(path)[0]).id, known.sizes) != (query.id, query.sizes):
            raise ConfigurationError(
                f"{path} describes another query",
                got=f"image {known.id!r} of {size_text(*known.sizes)}",
                expected=f"image {query.id!r} of {size_text(*query.sizes)}",
                hint="use a folder of its own for each campaign",
            )

    def _write_query(self, query: Query, images: Pool, prelabel: npt.NDArray[Any] | None) -> None:
        folder = self.folder_of(query)
        if leads_out(folder, self.folder):
            raise StoreError(f"{folder} must be a folder", got=f"a symbolic link that leads out of {self.folder}")
        existing = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
        if "image" not in existing:
            content, suffix = files.image_file(images, query.id)
            write_atomically(folder / f"image{suffix}", content)
        if "surroundings" not in existing and (around := surroundings_file(images, query.id)) is not None:
            write_atomically(folder / "surroundings.jpg", around)
        if prelabel is not None and "prelabel" not in existing:
            mask = self.spec.check(prelabel, id=query.id, sizes=query.sizes[:1])
            write_atomically(folder / "prelabel.png", files.prelabel_png(mask, self.spec))
        if "query" not in existing:
            place = relative_path(self.inbox, folder)
            write_atomically(folder / QUERY, describe_query(query, self.spec, self.campaign, place, self.instructions))

    def write_sheets(self, queries: Sequence[Query], images: Pool, prelabels: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write for each round a contact sheet of the queries that no existing sheet shows."""
        for round in sorted({query.round for query in queries}):
            own = sorted((query for query in queries if query.round == round), key=lambda query: query.rank)
            number, known = 1, set[str]()
            while (path := self._sheet_path(round, number)).exists():
                known |= _keys_on(path, self.folder)
                number += 1
            if new := [query for query in own if known.isdisjoint(query.keys)]:
                write_atomically(path, _sheet(images, new, prelabels, round, self.instructions))

    def _sheet_path(self, round: int, number: int) -> Path:
        return self.folder / f"contact-sheet-r{round:02}{'' if number == 1 else f'-{number}'}.png"

    def withdraw(self, queries: Sequence[Query]) -> None:
        """Write into the folders of these queries that they were withdrawn."""
        for query in queries:
            folder = self.folder_of(query)
            if leads_out(folder, self.folder):
                continue
            if (folder / QUERY).exists() and not (folder / "withdrawn.txt").exists():
                write_atomically(folder / "withdrawn.txt", f"{WITHDRAWN}\n".encode())


def has_queries(folder: Path, campaign: str) -> bool:
    """Return whether a folder contains a query of a campaign."""
    # A folder of a person contains none of another person: by links, it could contain itself.
    places = [folder, *(path for path in contents(folder, {}) if is_personal(path))]
    for path in (inner for place in places for inner in contents(place, {}, folder)):
        if KEY.match(path.name) and (path / QUERY).is_file():
            with suppress(DataError):
                if read_query(path / QUERY)[1] == campaign:
                    return True
    return False


def _sheet(
    images: Pool, queries: Sequence[Query], prelabels: Mapping[str, Any], round: int, instructions: str
) -> bytes:
    """Return a contact sheet as PNG, whose text contains the keys of its queries."""
    from PIL.PngImagePlugin import PngInfo

    from alkit.pictures.overviews import overview

    sheet = overview(
        images,
        [query.id for query in queries],
        masks={query.id: prelabels[query.id] for query in queries if query.id in prelabels},
        captions={query.id: "\n".join(filter(None, (query.key, query.stands_for))) for query in queries},
        title=[f"Round {round}: {len(queries)} images, the most wanted first", *_first_lines(instructions)],
        columns=max(6, 1 + math.isqrt(len(queries) - 1)),
    )
    keys, file = PngInfo(), BytesIO()
    keys.add_text(files.KEY, json.dumps([query.key for query in queries]))
    sheet.save(file, format="png", pnginfo=keys, compress_level=3)
    return file.getvalue()


def _first_lines(text: str, lines: int = 6) -> list[str]:
    """Return the first lines of the lead's instructions, for a contact sheet."""
    found = [line for line in text.splitlines() if line.strip()]
    return [*found[:lines], *([f"... more in {INSTRUCTIONS}"] if len(found) > lines else [])]


def _keys_on(path: Path, folder: Path) -> set[str]:
    """Return the keys of the queries on a contact sheet; none if the file is another picture."""
    try:
        return set(json.loads(files.png_text(path, files.KEY, folder) or "[]"))
    except (TypeError, ValueError, RecursionError):
        return set()
