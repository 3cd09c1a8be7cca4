"""Where alkit keeps something of an image besides its record, and what stays when the image is removed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from alkit._files import cache_folder
from alkit.experiment.parts import Parts
from alkit.pools.base import whole_pool
from alkit.pools.groups import groups_of
from alkit.protocols import FeatureExtractor, HasDigests, HasFiles, Pool
from alkit.record.elsewhere import ELSEWHERE
from alkit.strategies.functions import FromFunction
from alkit.values.shown import count

PRETEXT = "pretext"
"""Folder in a cache that has the weights of extractors, which were trained on all images."""


def feature_folders(parts: Parts) -> list[Path]:
    """Return the folders that have tables of features: that of the cache, and those of the experiment's extractors."""
    return [folder / "features" for folder in _caches(parts)]


def training_folders(parts: Parts) -> list[Path]:
    """Return the folders in which nnU-Net keeps trainings that are not finished, with their images."""
    return [folder / "nnunet" for folder in _caches(parts)]


def what_remains(parts: Parts, id: str, last: bool, in_use: Sequence[Path] = ()) -> Iterator[str]:
    """Yield what alkit does not delete of an image, in sentences.

    Parameters
    ----------
    parts:
        The parts of the experiment, which still has the image.
    id:
        Its id.
    last:
        Whether the model of the last round was trained on its label.
    in_use:
        Folders with images on their way to workers that a process is using now.
    """
    if id in parts.representations.known_ids:
        yield from _in_files(parts.pool, id)
        yield from _others_of_group(parts.pool, id)
    if last:
        yield (
            f"The model of round {parts.store.rounds()[-1].round}, which was trained on its label. The next fit() "
            "trains without the label, and begins with the weights of this model if the learner goes on with them."
        )
    images = parts.store.fact("images") or {}
    same = sorted(other for other, digest in images.items() if other != id and digest == images.get(id))
    if same:
        yield f"{count(len(same), 'image')} with the same content, such as {same[0]!r}: remove them, too."
    if parts.store.fact(ELSEWHERE) is not None:
        yield (
            "Earlier versions of its files, if the place of the files keeps versions; and copies in the caches of "
            "others who used the record, which are deleted 30 days after their last use."
        )
    if in_use:
        yield (
            f"Images and results of a run that is computing now, in {_listed(list(in_use))}: they are deleted at its "
            "end; if it is killed, delete them."
        )
    caches = _caches(parts)
    if trained := [folder / PRETEXT for folder in caches if (folder / PRETEXT).is_dir()]:
        yield f"Weights of feature extractors that were trained on all images, in {_listed(trained)}: delete them."
    yield (
        f"Pixels and features in caches other than {_listed(caches)}, such as those of another user, or of a pool or "
        "an extractor that had another cache= in an earlier session."
    )
    kept = "digests of its content and its file, its" if isinstance(parts.pool, HasDigests) else "its"
    yield f"In the record: its id, {kept} rounds and ranks, the times and number of its answers, and the reason."
    yield "Copies in exchange folders, Label Studio, exported labels and models, and backups that alkit did not make."


def _in_files(pool: Pool, id: str) -> Iterator[str]:
    whole = whole_pool(pool)
    source, kept = getattr(whole, "_source", None), getattr(whole, "_kept", None)
    if source is None or kept is None:
        if isinstance(pool, HasFiles) and (own := pool.file(id)) is not None:
            yield f"The file {own}: delete it."
        return
    (row,) = whole._rows_of([id])
    file, alone = source.path(kept.names[row]).absolute(), whole.parents_of([id]) == [id]
    what = f"The file {file}" if alone else f"The file {file}, of which it is a part"
    yield f"{what}: delete it; while it is there, alkit decodes it into its cache."


def _others_of_group(pool: Pool, id: str) -> Iterator[str]:
    ids = list(pool.ids)
    groups = dict(zip(ids, groups_of(pool, ids), strict=True))
    if others := [other for other in ids if other != id and groups[other] == groups[id]]:
        yield (
            f"{count(len(others), 'other image')} of its group {groups[id]!r}, such as {others[0]!r}: remove them, "
            "too, if the consent was for all of them."
        )


def _caches(parts: Parts) -> list[Path]:
    """Return alkit's cache, and those that the pool and the extractors and learners of the experiment have."""
    given = [getattr(whole_pool(parts.pool), "cache", None)]
    given += [getattr(part, "cache", None) for part in _parts_in((parts.strategy, parts.initial, parts.learner))]
    return list(dict.fromkeys([cache_folder(), *(cache_folder(one) for one in given if one is not None)]))


def _parts_in(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the extractors and other parts with parameters inside a value, and the value itself if it is one."""
    if depth > 10:
        return
    inner: list[Any] = []
    if isinstance(value, FromFunction):
        inner = [value.function]
    elif isinstance(value, functools.partial):
        inner = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    elif isinstance(value, type):
        return
    elif is_dataclass(value) or isinstance(value, FeatureExtractor):
        yield value
        inner = [getattr(value, entry.name, None) for entry in fields(value)] if is_dataclass(value) else []
    for one in inner:
        yield from _parts_in(one, depth + 1)


def _listed(folders: list[Path]) -> str:
    return " and ".join(map(str, folders))
