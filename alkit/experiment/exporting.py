"""Write the labels of an experiment for other programs, with a manifest and a data card."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alkit._files import check_outside, make_folder, without_tilde, write_atomically
from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, QueryError, nearest
from alkit.experiment.earlier_export import MANIFEST, replaced
from alkit.experiment.exported import Exported, ExportedLabel, Files, file_names, folder_names, labels_now
from alkit.experiment.exported_volumes import (
    FOLDER,
    segmentation_files,
    volume_files,
    write_segmentations,
    write_volumes,
)
from alkit.experiment.label_card import label_card
from alkit.experiment.parts import Parts
from alkit.labels.masks import mask_png
from alkit.labels.sets import set_text
from alkit.oracles.formats import coco
from alkit.oracles.formats.format import Page
from alkit.record.audit import recorded_audit
from alkit.record.removing import REMOVED
from alkit.values.label_spec import LabelSpec

COLUMNS = (
    *("id", "image", "file", "label", "annotators", "source", "asked", "round", "rank", "held_out"),
    *("told_at", "seconds", "height", "width", "original_size", "group", "digest"),
)
"""Columns of the manifest."""


def export_labels(parts: Parts, out: str | Path, form: str, *, per_annotator: bool, overwrite: bool) -> Path:
    """Write all labels that count: see :meth:`alkit.Experiment.export_labels`."""
    folder = without_tilde(out)
    if form not in FORMS:
        raise ConfigurationError(
            "form must be a format of labels", got=repr(form), expected=", ".join(FORMS), hint=nearest(form, FORMS)
        )
    spec = parts.settings.spec
    if form != "csv" and spec.per == "image":
        raise ConfigurationError("classes of images can be written only as a table", got=f"form={form!r}", hint="'csv'")
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError("out must be a folder", got=f"the file {folder}")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigurationError(f"out must be a new or empty folder, and {folder} has files", hint="overwrite=True")
    images = getattr(parts.pool, "path", None)
    if isinstance(images, str | Path) and Path(images).is_dir():
        check_outside("out", folder, Path(images))
    found = labels_now(parts, per_annotator=per_annotator)
    files = FORMS[form].files(found)
    rows = [
        {**label.facts, "file": files.get((name, label.id), ""), "label": _class(label, found.spec)}
        for name, labels in found.labels.items()
        for label in labels
    ]
    about = _about(parts, found, form, rows)
    make_folder(folder)
    with replaced(folder, {*files.values(), *FORMS[form].further(found, files)}, FORMS[form].own):
        FORMS[form].write(folder, found, files)
        if form in ("masks", "csv"):
            write_atomically(folder / "labels.csv", _labels_table(rows, found.spec))
        write_atomically(folder / "manifest.csv", _table(COLUMNS, rows))
        write_atomically(folder / "DATACARD.md", label_card(about, form, per_annotator=per_annotator).encode())
        content = json.dumps({**about, "labels": [{name: row[name] for name in COLUMNS} for row in rows]}, indent=1)
        write_atomically(folder / MANIFEST, content.encode())  # last: if it exists, the export is complete
    if gone := (parts.store.fact(REMOVED) or {}).keys() & {row["id"] for row in rows}:
        raise QueryError(
            f"{min(gone)!r} was removed while labels were exported, and its label is in {folder}",
            hint="delete this folder, and do the same again",
        )
    return folder


def _mask_files(found: Exported) -> Files:
    if found.spec.per == "image":
        return {}
    folders, names = (
        folder_names(found.labels),
        file_names((label.id for own in found.labels.values() for label in own), ".png"),
    )
    return {
        (name, label.id): f"{'masks' if name is None else f'masks/{folders[name]}'}/{names[label.id]}"
        for name, labels in found.labels.items()
        for label in labels
    }


def _write_masks(folder: Path, found: Exported, files: Files) -> None:
    for name, labels in found.labels.items() if files else ():
        for label in labels:
            path = folder / files[name, label.id]
            make_folder(path.parent)
            write_atomically(path, mask_png(label.label))


def _coco_files(found: Exported) -> Files:
    folders = folder_names(found.labels)
    return {
        (name, label.id): "annotations.json" if name is None else f"annotations-{folders[name]}.json"
        for name, labels in found.labels.items()
        for label in labels
    }


def _write_coco(folder: Path, found: Exported, files: Files) -> None:
    for name, labels in found.labels.items():
        pages = [
            Page(label.facts["image"], (label.label.shape[0], label.label.shape[1]), label.label) for label in labels
        ]
        content = json.loads(coco.encode(pages, found.spec))
        content["info"]["description"] = "Labels exported from alkit; an image without annotations is all background"
        file = files[name, labels[0].id]
        write_atomically(folder / file, json.dumps(content, ensure_ascii=False, indent=1).encode())


@dataclass(frozen=True, slots=True)
class Form:
    """A format of labels.

    Parameters
    ----------
    files:
        Returns the paths of the labels' files.
    write:
        Writes the labels to these files in a folder.
    own:
        Name of the folder in it that holds labels alone; empty if there is none.
    further:
        Returns the paths of further files.
    """

    files: Callable[[Exported], Files]
    write: Callable[[Path, Exported, Files], None]
    own: str = ""
    further: Callable[[Exported, Files], set[str]] = lambda found, files: set()


FORMS: Mapping[str, Form] = {
    "masks": Form(_mask_files, _write_masks, "masks"),
    "coco": Form(_coco_files, _write_coco),
    "csv": Form(_mask_files, _write_masks, "masks"),
    "nifti": Form(volume_files, write_volumes, FOLDER),
    "dicom-seg": Form(volume_files, write_segmentations, FOLDER, segmentation_files),
}
"""The formats by name."""


def _class(label: ExportedLabel, spec: LabelSpec) -> str | None:
    if spec.multiple:
        return set_text(label.label, spec)
    return None if label.label.ndim else spec.classes[int(label.label)]


def _about(parts: Parts, found: Exported, form: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the manifest and the card say about all labels."""
    import alkit

    spec = found.spec
    annotators = Counter(name for row in rows for name in row["annotators"])
    sources = Counter(row["source"] for row in rows if not row["asked"])
    declared, audit = parts.settings.declared, set(recorded_audit(parts.store).ids)
    return {
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "alkit": alkit.__version__,
        "campaign": parts.settings.campaign,
        "form": form,
        "classes": list(spec.classes),
        "per": spec.per,
        **({"multiple": True} if spec.multiple else {}),
        "ignore": spec.ignore,
        "images_in_pool": parts.settings.images,
        "join": str(written_form(parts.terms.join)),
        "strategy": declared["strategy"],
        "initial": declared["initial"],
        "counts": {
            "images": len({row["id"] for row in rows}),
            "labels": len(rows),
            "asked": len({row["id"] for row in rows if row["asked"]}),
            "not_asked": len({row["id"] for row in rows if not row["asked"]}),
            "held_out": len({row["id"] for row in rows if row["held_out"]}),
            **({"audit": len({row["id"] for row in rows} & audit)} if audit else {}),
        },
        "annotators": dict(sorted(annotators.items())),
        "sources": dict(sorted(sources.items())),
        "left_out": dict(sorted(found.left_out.items())),
    }


def _labels_table(rows: Sequence[Mapping[str, Any]], spec: LabelSpec) -> bytes:
    """Return a table that ``alkit import --csv`` reads."""
    column = "label" if spec.per == "image" else "mask"
    listed = [
        {
            "id": row["id"],
            column: row["label"] if spec.per == "image" else row["file"],
            "annotator": row["annotators"][0] if len(row["annotators"]) == 1 else "",
        }
        for row in rows
    ]
    return _table(("id", column, "annotator"), listed)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, list) else "" if value is None else value
