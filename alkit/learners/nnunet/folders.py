"""The folders in which nnU-Net finds images and masks, and the splits of its cross-validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from alkit.errors import LabelError
from alkit.protocols import Labelled
from alkit.rng import Stream
from alkit.values.label_spec import Images, Label, LabelSpec

DATASET = "Dataset001_alkit"
"""Name of the only data set in the folders of a job."""

AT_ONCE = 64
"""Images in memory at once."""


def batches(labelled: Labelled) -> Iterator[tuple[Images, Label]]:
    """Yield all images and labels, some at a time."""
    ids = list(labelled.ids)
    for begin in range(0, len(ids), AT_ONCE):
        some = ids[begin : begin + AT_ONCE]
        yield labelled.images(some), labelled.labels(some)


def digest(labelled: Labelled, *facts: Any) -> str:
    """Return a name of a training: a SHA-256 of its images, its labels and some facts."""
    sha = hashlib.sha256(json.dumps([list(labelled.ids), *facts], sort_keys=True).encode())
    for images, labels in batches(labelled):
        sha.update(np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(labels).tobytes())
    return sha.hexdigest()


def dataset_json(spec: LabelSpec, channels: int, cases: int) -> dict[str, Any]:
    """Return the description of a data set. The ignore value becomes the highest label, as nnU-Net wants it.

    >>> dataset_json(LabelSpec(("skin", "lesion"), ignore=255), channels=1, cases=3)["labels"]
    {'background': 0, 'class_1': 1, 'ignore': 2}
    """
    labels = {"background" if number == 0 else f"class_{number}": number for number in range(len(spec.classes))}
    if spec.ignore is not None:
        labels["ignore"] = len(spec.classes)
    return {
        "channel_names": {str(number): f"channel_{number}" for number in range(channels)},
        "labels": labels,
        "numTraining": cases,
        "file_ending": ".tif",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }


def write_dataset(folder: Path, labelled: Labelled) -> None:
    """Write ``imagesTr``, ``labelsTr`` and ``dataset.json`` of the labelled images: a file for each channel.

    Raises
    ------
    LabelError
        The masks have no pixel of another class than the first, without which nnU-Net cannot plan.
    """
    spec, base, number, channels, found = labelled.spec, folder / "raw" / DATASET, 0, 1, False
    images_folder, labels_folder = base / "imagesTr", base / "labelsTr"
    for made in (images_folder, labels_folder):
        made.mkdir(parents=True, exist_ok=True)
    for images, masks in batches(labelled):
        channels = images.shape[1]
        for image, mask in zip(images, masks, strict=True):
            for channel, plane in enumerate(image):
                tifffile.imwrite(images_folder / f"{case(number)}_{channel:04}.tif", np.float32(plane))
            found |= bool(((mask > 0) & (mask < len(spec.classes))).any())
            values = np.where(mask == spec.ignore, len(spec.classes), mask) if spec.ignore is not None else mask
            tifffile.imwrite(labels_folder / f"{case(number)}.tif", values.astype(np.uint8))
            number += 1
    if not found:
        raise LabelError(
            f"nnU-Net needs masks with at least one pixel of another class than {spec.classes[0]!r}",
            got=f"{number} mask{'' if number == 1 else 's'} without one",
            hint="label more images",
        )
    (base / "dataset.json").write_text(json.dumps(dataset_json(spec, channels, number)), "utf-8")


def case(number: int) -> str:
    """Return the name of an image for nnU-Net, by its number: ids may hold any characters."""
    return f"case_{number:06}"


def splits(count: int, folds: int, stream: Stream) -> list[dict[str, list[str]]]:
    """Return the cases that each fold trains on, and those it watches the Dice of.

    With one fold, or one image, all images have both parts. With fewer images than folds, splits occur several times.

    >>> [len(split["val"]) for split in splits(7, 3, Stream(0))]
    [3, 2, 2]
    >>> splits(1, 2, Stream(0))
    [{'train': ['case_000000'], 'val': ['case_000000']}, {'train': ['case_000000'], 'val': ['case_000000']}]
    """
    names = [case(number) for number in range(count)]
    if folds == 1 or count == 1:
        return [{"train": names, "val": names} for _ in range(folds)]
    parts = np.array_split(stream.numpy().permutation(count), min(folds, count))
    held = [{names[row] for row in parts[fold % len(parts)]} for fold in range(folds)]
    return [{"train": [name for name in names if name not in val], "val": sorted(val)} for val in held]
