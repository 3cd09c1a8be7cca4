"""NIfTI: for each volume, the whole image, and a volume of labels in which the asked slices are to be labelled.

::

    r02-nifti/slices-to-label.txt         for people: which slices of which volumes
              images/r02-v000-case7.nii.gz
              labels/r02-v000-case7.nii.gz   pre-labels in the asked slices, 0 elsewhere
              volumes.json                for alkit: which voxels belong to which query; written last

Annotators save the volume of labels under the same name in their folder of the inbox. Values are class ids. A slice in
which every voxel is 0 counts as not answered, unless the caller declares that it is background; labels in slices that
nobody asked for are reported and not taken. A volume of another shape or place is not read at all.

A file that has the name of the volume itself, such as ``case7.nii.gz``, is taken for the one that was sent if there is
only one. A file of one slice with the name of an image that is not a volume is its mask, as ITK-SNAP saves it for a
PNG: see :mod:`alkit.oracles.formats.flat_nifti`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import atomic_file, make_folder, temporary_folder, without_tilde, write_atomically
from alkit._reading.inside import leads_out
from alkit.errors import ConfigurationError, DataError, ImageError, LabelError, StoreError, one_line
from alkit.oracles.annotations import Empty
from alkit.oracles.formats.close_names import close_names, said
from alkit.oracles.formats.flat_nifti import FLAT, flat_mask
from alkit.oracles.formats.format import read_content, revision_at
from alkit.oracles.formats.manifests import VERSION, Sent, read_manifest
from alkit.pools.volumes.geometry import Plane
from alkit.pools.volumes.nifti import SUFFIXES, NiftiFile, open_nifti
from alkit.pools.volumes.pool import VolumePool, volumes_of
from alkit.pools.volumes.scanning import Volume
from alkit.pools.volumes.writing import label_planes, write_volume
from alkit.protocols import Pool
from alkit.values.answers import Answer, Invalid
from alkit.values.label_spec import LabelSpec, Mask
from alkit.values.queries import Query

MANIFEST, LIST = "volumes.json", "slices-to-label.txt"
"""Files that state which slices are asked for: for alkit, and for people."""

FEW = 8
"""Most slices that a message lists."""

AXES = ("first", "second", "third")

Cut = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class NiftiFormat:
    """The format; `outbox` is the folder that queries were written to, which answers are compared with."""

    outbox: Path

    def check_labels(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if labels are not masks."""
        if spec.per != "pixel":
            raise ConfigurationError("the format nifti cannot hold classes of images", hint="the format csv or cvat")

    def check_readable(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if labels are not masks."""
        self.check_labels(spec)

    def write(
        self,
        folder: str | Path,
        queries: Sequence[Query],
        images: Pool,
        spec: LabelSpec,
        prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> tuple[Path, ...]:
        """Write a folder for each round, such as ``r02-nifti``; see :meth:`alkit.oracles.formats.format.Format.write`.

        Raises
        ------
        DataError
            The pool does not consist of slices of volumes.
        LabelError
            A pre-label does not fit its slice.
        StoreError
            The folder cannot be written.
        """
        self.check_labels(spec)
        pool, known, place = volumes_of(images), prelabels or {}, Path(folder)
        drafts = {
            query.id: spec.check(known[query.id], id=query.id, sizes=query.sizes[:1])
            for query in queries
            if query.id in known
        }
        paths: list[Path] = []
        for round in sorted({query.round for query in queries}):
            own = sorted((query for query in queries if query.round == round), key=lambda query: query.rank)
            number, keys, names = 1, set[str](), 0
            while (path := _manifest(place, round, number)).exists():
                for sent in read_manifest(path, place, lenient=True):
                    keys |= {key for key, _ in sent.slices.values()}
                    names += 1
                paths.append(path)
                number += 1
            if new := [query for query in own if keys.isdisjoint(query.keys)]:
                _write_round(path, place, new, pool, drafts, names)
                paths.append(path)
        return tuple(paths)

    def read(
        self,
        path: str | Path,
        queries: Sequence[Query],
        spec: LabelSpec,
        *,
        annotator: str = "",
        empty: Empty = "unanswered",
        inside: Path | None = None,
    ) -> Iterator[Answer]:
        """Yield an answer for each asked slice that has labels; see :meth:`alkit.oracles.formats.format.Format.read`.

        Labels in slices that nobody asked for are listed in an invalid answer whose id is the name of the file.

        Raises
        ------
        DataError
            The file is not one that was sent, cannot be read, or has another shape or place.
        """
        self.check_labels(spec)
        path = without_tilde(path)
        if empty not in ("unanswered", "background"):
            raise ConfigurationError("empty must be 'unanswered' or 'background'", got=repr(empty))
        if (flat := self._flat(path, queries, spec, inside)) is not None:
            yield replace(flat, annotator=annotator)
            return
        found, strange, revision = self._labels(path, queries, inside)
        sent = self._find(path)
        remarks = () if sent.name == stem(path.name) else (f"{path.name!r} was taken for the volume {sent.volume}",)
        for query, mask in found:
            label: Mask | Invalid = mask
            if not np.isin(mask, _values(spec)).all():
                wrong = sorted(set(np.unique(mask).tolist()) - set(_values(spec)))[:FEW]
                label = Invalid(f"its slice in {path.name} holds values that are not classes: {wrong}")
            elif not mask.any() and empty == "unanswered":
                continue
            yield Answer(query.id, label, annotator, revision, exported=True, remarks=remarks)
        if strange:
            listed = ", ".join(f"{place} ({count} voxels)" for place, count in list(strange.items())[:FEW])
            more = f" and {len(strange) - FEW} more" if len(strange) > FEW else ""
            reason = f"labels in slices that were not asked for are not taken: {listed}{more}"
            yield Answer(path.name, Invalid(reason), annotator, revision)

    def unannotated(
        self, path: str | Path, queries: Sequence[Query], spec: LabelSpec, *, inside: Path | None = None
    ) -> tuple[str, ...]:
        """Return the ids of the asked slices in a file without a label."""
        self.check_labels(spec)
        if self._flat(without_tilde(path), queries, spec, inside) is not None:
            return ()
        found, _, _ = self._labels(without_tilde(path), queries, inside)
        return tuple(query.id for query, mask in found if not mask.any())

    def _labels(
        self, path: Path, queries: Sequence[Query], inside: Path | None
    ) -> tuple[list[tuple[Query, Mask]], dict[str, int], int]:
        """Return the masks of the asked slices, the number of labelled voxels in others, and the time of the file."""
        sent = self._find(path)
        by_key = {key: query for query in queries for key in query.keys}
        revision = revision_at(path)  # before the content is read: a later change is later
        with _opened(path, inside) as part:
            if (other := sent.geometry.difference(part.geometry)) is not None:
                raise DataError(f"{path} does not fit the volume {sent.volume}", got=one_line(other))
            cuts, strange = _cut(part, sent)
        masks = []
        for place, (key, plane) in sorted(sent.slices.items()):
            query = by_key.get(key)
            if query is not None and plane.size(sent.geometry) in query.sizes:
                masks.append((query, np.ascontiguousarray(plane.turn(cuts[place]))))
        return masks, strange, revision

    def _find(self, path: Path) -> Sent:
        """Return what was sent under the name of a file, or of the only volume that it can mean."""
        name, everything = stem(path.name), self._all
        if same := [sent for sent in everything if sent.name == name]:
            return same[0]
        own = close_names([Query(id, 0, rank, ()) for rank, id in enumerate({sent.volume for sent in everything})])
        volumes = {query.id for query in own.find(f"{path.parent.name}/{name}")}
        if len(meant := [sent for sent in everything if sent.volume in volumes]) == 1:
            return meant[0]
        hint = f"keep the name, such as {(meant or everything)[0].name}.nii.gz" if everything else None
        raise DataError(f"{path.name} is not a volume of labels that was sent", hint=hint)

    @property
    def _all(self) -> list[Sent]:
        manifests = sorted(self.outbox.glob(f"r*-nifti*/{MANIFEST}"))
        return [sent for path in manifests for sent in read_manifest(path, self.outbox, lenient=True)]

    def _flat(self, path: Path, queries: Sequence[Query], spec: LabelSpec, inside: Path | None) -> Answer | None:
        """Return the answer in a file for one image; None if it is a volume."""
        name = stem(path.name)
        if any(sent.name == name for sent in self._all):
            return None
        found = close_names(queries).find(f"{path.parent.name}/{name}")
        if len(found) != 1 or not found[0].sizes:
            return None
        revision = revision_at(path)
        with _opened(path, inside) as part:
            if part.geometry.shape[2] != 1:
                return None
            try:
                mask = flat_mask(part, spec, found[0].id)
            except LabelError as reason:
                return Answer(found[0].id, Invalid(str(reason)), revision=revision, exported=True)
        remarks = tuple(filter(None, (FLAT, said(name, found[0]))))
        return Answer(found[0].id, mask, revision=revision, exported=True, remarks=remarks)


@contextmanager
def _opened(path: Path, inside: Path | None) -> Iterator[NiftiFile]:
    """Open a private copy of a file with one label for each voxel; errors name the file itself."""
    content = read_content(path, inside)
    with temporary_folder() as private:
        copy = private / path.name
        copy.write_bytes(content)
        try:
            part = open_nifti(copy)
            if part.channels != 1:
                raise DataError(f"{path} must have one label for each voxel", got=f"{part.channels} channels")
            yield part
        except (ImageError, DataError) as reason:
            raise DataError(str(reason).replace(str(private), str(path.parent))) from reason


def stem(name: str) -> str:
    """Return the name of a NIfTI file without its suffix.

    >>> stem("r00-v000-a.b.nii.gz")
    'r00-v000-a.b'
    """
    end = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(end)]


def _values(spec: LabelSpec) -> list[int]:
    return [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]


def _cut(part: NiftiFile, sent: Sent) -> tuple[dict[int, Cut], dict[str, int]]:
    """Return the asked slices as the array stores them, and the number of labelled voxels in each other slice.

    Raises
    ------
    DataError
        A label is not an integer from 0 to 255.
    """
    axis = next(plane.axis for _, plane in sent.slices.values())
    sides = [side for number, side in enumerate(part.geometry.shape) if number != axis]
    cuts: dict[int, Cut] = {place: np.zeros(sides, np.uint8) for place in sent.slices}
    others = np.zeros(part.geometry.shape[axis], np.int64)
    for number, values in enumerate(part.planes(0, range(part.geometry.shape[2]))):
        plane = values.astype(np.uint8) if values.min() >= 0 and values.max() <= 255 else None
        if plane is None or not np.array_equal(plane, values):
            raise DataError(
                f"{part.path} must hold class ids, integers from 0 to 255",
                got=f"{values.min():g} to {values.max():g} in plane {number} of its third axis",
            )
        if axis == 2:
            others[number] = np.count_nonzero(plane)
            if number in cuts:
                cuts[number] = plane
        else:
            others += np.count_nonzero(plane, axis=1 - axis)
            for place, cut in cuts.items():
                cut[:, number] = plane[:, place] if axis == 1 else plane[place]
    others[list(cuts)] = 0
    strange = {f"slice {place} of the {AXES[axis]} axis": int(others[place]) for place in np.flatnonzero(others)}
    return cuts, strange


def _manifest(folder: Path, round: int, number: int) -> Path:
    return folder / f"r{round:02}-nifti{'' if number == 1 else f'-{number}'}" / MANIFEST


def _write_round(
    path: Path, folder: Path, queries: Sequence[Query], pool: VolumePool, drafts: Mapping[str, Mask], start: int
) -> None:
    """Write the volumes of some queries and their manifest, which is written last."""
    if any(leads_out(place, folder) for place in (path.parent, path.parent / "images", path.parent / "labels")):
        raise StoreError(f"{path.parent} must be a folder", got=f"a symbolic link that leads out of {folder}")
    asked: dict[str, list[tuple[Query, int]]] = {}
    for query in queries:
        volume, number = pool.place(query.id)
        asked.setdefault(volume.id, []).append((query, number))
    entries, lines = [], []
    for ordinal, (id, own) in enumerate(asked.items(), start=start):
        volume, plane = pool.volumes[id], pool.plane(id)
        name = f"r{queries[0].round:02}-v{ordinal:03}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', id)[:80]}"
        _write_images(path.parent / "images", name, volume)
        cuts = {number: plane.turn_back(drafts[query.id]) for query, number in own if query.id in drafts}
        file = path.parent / "labels" / f"{name}.nii.gz"
        make_folder(file.parent)
        write_volume(file, volume.parts[0], "|u1", label_planes(volume.geometry, plane, cuts))
        entries.append(_describe(name, volume, plane, own))
        places, count = sorted(number for _, number in own), plane.count(volume.geometry)
        lines.append(
            f"{name}.nii.gz: {len(places)} of {count} slices across the {AXES[plane.axis]} axis: "
            f"{', '.join(map(str, places))}  (counted from 1: {', '.join(str(place + 1) for place in places)})"
        )
    facts = {"version": VERSION, "volumes": entries}
    write_atomically(path.parent / LIST, _instructions(lines, path.parent.name))
    write_atomically(path, json.dumps(facts, indent=1, ensure_ascii=False).encode())


def _write_images(folder: Path, name: str, volume: Volume) -> None:
    """Write the image of a volume: a copy of its file, or a NIfTI file of another format's values."""
    make_folder(folder)
    for number, part in enumerate(volume.parts):
        end = "" if number == 0 else f"-{number + 1}"
        if isinstance(part, NiftiFile):
            suffix = next(suffix for suffix in SUFFIXES if part.path.name.lower().endswith(suffix))
            target = folder / f"{name}{end}{suffix}"
            try:
                source = part.path.open("rb")
            except OSError as reason:
                raise StoreError(f"cannot read {part.path} ({reason.strerror})") from reason
            with source, atomic_file(target) as file:  # it replaces a symbolic link, and does not write into its file
                shutil.copyfileobj(source, file)
        else:
            every = range(part.geometry.shape[2])
            write_volume(folder / f"{name}{end}.nii.gz", part, "<f4", part.planes(0, every))


def _describe(name: str, volume: Volume, plane: Plane, own: Sequence[tuple[Query, int]]) -> dict[str, Any]:
    return {
        "file": name,
        "volume": volume.id,
        "shape": volume.geometry.shape,
        "affine": volume.geometry.affine,
        "is_oriented": volume.geometry.is_oriented,
        "unit": volume.geometry.unit,
        "axis": plane.axis,
        "is_transposed": plane.is_transposed,
        "flips": plane.flips,
        "slices": [{"query": query.key, "number": number} for query, number in own],
    }


def _instructions(lines: Sequence[str], folder: str) -> bytes:
    text = (
        f"Slices to label in {folder}\n\nOpen a file of images/ with the file of the same name in labels/, for example "
        "in 3D Slicer or ITK-SNAP.\nLabel these slices completely, and leave all others empty. Then save the labels "
        "under the same\nname, as .nii.gz, in the folder with your name. Do not resample or crop them.\n\n"
    )
    return f"{text}{chr(10).join(map(one_line, lines))}\n".encode()
