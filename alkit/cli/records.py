"""The record that a command works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alkit._files import without_tilde
from alkit.errors import ConfigurationError, DataError, StoreError

if TYPE_CHECKING:
    from alkit.configuration.forms import Written
    from alkit.experiment.loop import Experiment
    from alkit.protocols import Learner
    from alkit.record.store import Store
    from alkit.values.progress import Report


@contextmanager
def record_at(store: str | os.PathLike[str], *, read_only: bool = False) -> Iterator[Store]:
    """Open the record in a file or on a server, and close it after the block. Nothing is written if it is `read_only`.

    Raises
    ------
    StoreError
        The record does not exist, or is damaged.
    """
    from alkit.record.address import locate
    from alkit.record.existing import is_there
    from alkit.record.guard import check_lost
    from alkit.record.store import Store

    address = locate(store)
    path = address.database
    if isinstance(path, Path) and path.is_dir():
        raise StoreError(
            f"the record {store} must be a file", got="a folder", hint="the file that alkit start or alkit run created"
        )
    if not is_there(address):
        if isinstance(path, Path):
            check_lost(path)
        raise StoreError(f"the record {store} does not exist", hint="create it with alkit start or alkit run")
    record = Store(address, read_only=read_only)
    try:
        yield record
    finally:
        record.close()


def open_campaign(record: Store, images: Path | None, report: Report, learner: str | None = None) -> Experiment:
    """Return the experiment of an open record, ready to resume.

    Parameters
    ----------
    images:
        The folder that contains the images now; None for the folder in the record.
    learner:
        What makes the learner, as :func:`alkit.trained.typed.typed_learner` takes it; None for a learner that is
        installed.

    Raises
    ------
    DataError
        The folder in the record does not exist any more.
    ConfigurationError
        `images` was given, but the record's pool is not a folder; or nothing was asked yet, and the folder was not
        named on this machine.
    """
    import alkit
    from alkit.cli.named_places import check_images
    from alkit.configuration.construct import build
    from alkit.record.settings import Settings

    own = _own_learner(learner, record)
    form = Settings(record).declared.get("pool")
    if images is not None:
        elsewhere = moved(form, str(without_tilde(images).absolute()))
        if elsewhere is None:
            raise ConfigurationError(
                "--images can be used only if the pool of the record is a folder of images", got=f"--images {images}"
            )
        check_images(record, str(images), named=True)
        return alkit.Experiment.open(record, pool=build(elsewhere, "pool"), learner=own, report=report)
    if (folder := folder_of(form)) is not None and not Path(folder).is_dir():
        raise DataError(
            f"the folder of images {folder} does not exist any more", hint="--images FOLDER; the record stores it"
        )
    if folder is not None:
        check_images(record, folder, named=False, described=lambda: is_as_recorded(record, own))
    return alkit.Experiment.open(record, learner=own, report=report)


def is_as_recorded(record: Store, learner: Learner | None) -> bool:
    """Return whether a record is resumed with its images, as it describes them, and not begun again with others.

    A record without answers takes other settings, and then other images. A stranger can write a record whose parts
    differ from its settings.
    """
    from alkit.configuration.construct import build
    from alkit.configuration.forms import written_form
    from alkit.experiment.opening import build_parts
    from alkit.pools.checks import image_shape
    from alkit.record.described import can_be_guessed, describes_images, has_far_more_files
    from alkit.record.settings import Settings

    settings, recorded = Settings(record), record.fact("configuration")
    if recorded is None or not describes_images(record):
        return False
    if has_far_more_files(settings.declared["pool"], record.fact("images")):
        return False
    pool = build(settings.declared["pool"], "pool")
    if can_be_guessed(record, pool):
        return False
    if record.has_answers():
        return True
    parts, terms = build_parts(record, {"pool": pool, "learner": learner, "strategy": None, "initial": None}, None)
    shape = dict(zip(("channels", "height", "width"), image_shape(pool), strict=True))
    now = {name: written_form(parts[name]) for name in ("learner", "strategy", "initial")}
    now |= {"terms": written_form(terms), "seed": settings.seed, "pool": {**recorded["pool"], **shape}}
    return settings.schedule is None and now == recorded


def _own_learner(learner: str | None, record: Store) -> Learner | None:
    """Return the learner that a user names, with the parameters of a record; None if none is named."""
    from alkit.trained.typed import typed_learner

    return None if learner is None else typed_learner(learner, record.path)


def folder_of(form: Written | None) -> str | None:
    """Return the folder in the written form of a pool; None for any other pool."""
    match form:
        case {"is": "alkit:ImagePool" | "alkit:VolumePool" | "alkit:TilePool", "with": {"path": str(path)}}:
            return path
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            return folder_of(pool)
    return None


def is_volumes(form: Written | None) -> bool:
    """Return whether the written form of a pool is one of volumes."""
    match form:
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            return is_volumes(pool)
        case {"is": "alkit:VolumePool"}:
            return True
    return False


def moved(form: Written, path: str) -> Written | None:
    """Return the written form of the same pool in another folder; None for any other pool."""
    match form:
        case {"is": "alkit:ImagePool" | "alkit:VolumePool" | "alkit:TilePool", "with": {"path": str()}}:
            return {**form, "with": {**form["with"], "path": path}}
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            inner = moved(pool, path)
            return None if inner is None else {**form, "with": {**form["with"], "pool": inner}}
    return None
