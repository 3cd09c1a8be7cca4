"""The record that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alkit.errors import ConfigurationError, DataError, StoreError

if TYPE_CHECKING:
    from alkit.configuration.forms import Written
    from alkit.experiment.loop import Experiment
    from alkit.record.store import Store
    from alkit.values.progress import Report


@contextmanager
def record_at(path: Path) -> Iterator[Store]:
    """Keep the record of that file open inside the block.

    Raises
    ------
    StoreError
        There is none; or it is damaged.
    """
    from alkit.record.store import Store

    if not path.is_file():
        raise StoreError(f"there is no record at {path}", hint="alkit start makes one, and so does alkit run")
    record = Store(path)
    try:
        yield record
    finally:
        record.close()


def open_campaign(record: Store, images: Path | None, report: Report) -> Experiment:
    """Return the experiment of an open record, ready to resume.

    Parameters
    ----------
    images:
        The folder that contains the images now; None for the folder in the record.

    Raises
    ------
    DataError
        The folder in the record does not exist any more.
    ConfigurationError
        `images` was given, but the record's pool is not a folder.
    """
    import alkit
    from alkit.configuration.forms import build
    from alkit.record.settings import Settings

    form = Settings(record).declared.get("pool")
    if images is not None:
        moved = _moved(form, str(images.expanduser().absolute()))
        if moved is None:
            raise ConfigurationError("the images of this record came from no folder", got=f"--images {images}")
        return alkit.Experiment.open(record, pool=build(moved), report=report)
    if (folder := _folder(form)) is not None and not Path(folder).is_dir():
        raise DataError(
            f"the images are no longer in {folder}", hint="--images FOLDER says where they are; it is remembered"
        )
    return alkit.Experiment.open(record, report=report)


def _folder(form: Written) -> str | None:
    """Return the folder in the written form of a pool; None where it is none."""
    match form:
        case {"is": "alkit:ImagePool", "with": {"path": str(path)}}:
            return path
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            return _folder(pool)
    return None


def _moved(form: Written, path: str) -> Written | None:
    """Return the written form of the same pool in another folder; None where it is in none."""
    match form:
        case {"is": "alkit:ImagePool", "with": {"path": str()}}:
            return {**form, "with": {**form["with"], "path": path}}
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            inner = _moved(pool, path)
            return None if inner is None else {**form, "with": {**form["with"], "pool": inner}}
    return None
