"""The JSON that Label Studio exports: a list of tasks with their annotations.

A task is one image with one annotation. An annotation without regions that was submitted is an answer: the image is all
background. A skipped one is a skip, and so is a choice ``unusable``. Later regions lie on top. Tasks that alkit did not
send are known by the names of their images, before which Label Studio puts eight letters.

An export does not say what a project shows, so nobody can tell which image of a task with several was labelled. Such
tasks are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from alkit.errors import LabelError
from alkit.oracles.annotations import AnnotatedImage, Content, Region
from alkit.oracles.formats.close_names import plain_name
from alkit.oracles.label_names import SKIPPED
from alkit.oracles.labelstudio.regions import drawn_in, label_of, pixels_of, size_of, tags_and_labels, written
from alkit.oracles.times import seconds_of
from alkit.pools.decoding import SUFFIXES
from alkit.values.label_spec import Size


def is_export(found: object) -> bool:
    """Return whether the content of a JSON file is an export of Label Studio."""
    return isinstance(found, list) and bool(found) and all(isinstance(one, dict) and "data" in one for one in found)


def decode(found: Sequence[Mapping[str, Any]]) -> Content:
    """Return the images in an export; an image that several people have annotated occurs several times."""
    images: list[AnnotatedImage] = []
    strays: list[str] = []
    for number, task in enumerate(found, start=1):
        names, also = _names(task)
        annotations = task.get("annotations")
        if len({plain_name(name) for name in names}) > 1:
            strays.append(f"task {number} with several images, {' and '.join(map(repr, names))}")
            continue
        if not names or not isinstance(annotations, list):
            strays.append(f"task {number} without {'annotations' if names else 'an image'}")
            continue
        own = [_image(annotation, names[0], also) for annotation in annotations]
        images.extend(own or [AnnotatedImage(names[0], (0, 0), also=also)])
    return Content(tuple(images), tuple(strays))


def _names(task: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the names of a task's images: the key of its query, or the paths of files; and the name of its upload."""
    data, upload = task["data"], str(task.get("file_upload") or "")
    if not isinstance(data, dict):
        return [], upload
    if data.get("alkit_query"):
        return [str(data["alkit_query"])], upload
    texts = [str(value).rpartition("?d=")[2] for value in data.values() if isinstance(value, str)]
    paths = [text for text in texts if any(text.lower().endswith(suffix) for suffix in SUFFIXES)]
    return paths or ([upload] if upload else []), upload


def _image(annotation: Any, name: str, also: str) -> AnnotatedImage:
    result = annotation.get("result") if isinstance(annotation, Mapping) else None
    if not isinstance(result, list) or not all(isinstance(entry, Mapping) for entry in result):
        return AnnotatedImage(name, (0, 0), fault="an annotation without a result", also=also)
    spent = annotation.get("lead_time")
    seconds = seconds_of(spent)
    if annotation.get("was_cancelled"):
        return AnnotatedImage(name, (0, 0), tags=(SKIPPED,), reason=written(result), also=also, seconds=seconds)
    tags, _ = tags_and_labels(result)
    try:
        regions, size = _regions(result)
    except LabelError as reason:
        return AnnotatedImage(name, (0, 0), fault=str(reason).partition(". Try: ")[0], also=also)
    return AnnotatedImage(
        name, size, regions, tuple(tags), also=also, reason=written(result), seconds=seconds, is_answered=True
    )


def _regions(result: Sequence[Mapping[str, Any]]) -> tuple[tuple[Region, ...], Size]:
    drawn = list(drawn_in(result))
    sizes = {size_of(entry) for entry in drawn}
    if len(sizes) > 1:
        raise LabelError("all regions must have the size of one image", got=sorted(sizes))
    regions = (Region(label_of(entry), partial(pixels_of, entry), order) for order, entry in enumerate(drawn))
    return tuple(regions), next(iter(sizes), (0, 0))
