"""Places that the user has named on this machine.

A record remembers where its queries are sent, and may come from a stranger. Its place is used only if the user has
named it on this machine: by an option, by an environment variable, or by a confirmation. Each campaign has a small file
with these places in the user's folder of states. A folder beside the record that already contains queries of the
campaign need not be named: it came with the record.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from alkit._files import state_folder
from alkit._logs import logger
from alkit.cli.places import URL, FolderPlace, LabelStudioPlace, Place
from alkit.cli.printing import quote
from alkit.errors import ConfigurationError, DataError, StoreError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from alkit.record.store import Store

log = logger(__name__)

WAIT = 10.0
"""Seconds to wait for another process that remembers a place."""


def check_place(record: Store, place: Place, *, named: bool, option: str) -> None:
    """Check that a place was named on this machine, and that a remembered folder still exists.

    Parameters
    ----------
    record:
        The record.
    place:
        The place.
    named:
        Whether an option of this command names the place. Then later commands may use it.
    option:
        Name of the option that names a folder: ``--out`` or ``--from``.

    Raises
    ------
    ConfigurationError
        The place was not named, and nobody could or did confirm it.
    DataError
        The folder does not exist any more.
    """
    if not named:
        if isinstance(place, FolderPlace) and not Path(place.folder).exists():
            raise DataError(
                f"the exchange folder {place.folder} does not exist any more",
                hint=f"{option} FOLDER, the place where it is now, or another one",
            )
        if is_named(record, place):
            return
        if isinstance(place, LabelStudioPlace):
            plain = " WITHOUT ENCRYPTION" if _is_readable_by_others(place.url) else ""
            hint = f"--url {quote(place.url)}, or the variable {URL}, if you trust it"
            _confirm(record, str(place), f"the token is sent to this address{plain}", hint)
        else:
            _confirm(record, str(place), "files are written there", f"{option} {quote(place.folder)}, if it is yours")
    _remember(record, _identity(place))


def check_images(
    record: Store,
    folder: str,
    *,
    named: bool,
    what: str | None = None,
    described: Callable[[], bool] = lambda: True,
    option: str = "",
) -> None:
    """Check that the folder of images was named on this machine, as long as nothing was asked.

    Later the images must equal those that the record describes by digests, which only somebody who has them knows.

    Parameters
    ----------
    record:
        The record.
    folder:
        The folder of images.
    named:
        Whether an option of this command names the folder.
    what:
        What it is, if it belongs to the test set: ``alkit start`` names it.
    described:
        Returns whether the command uses only images that the record describes by digests.
    option:
        What names the folder, if it is not an option ``--images`` of this command.

    Raises
    ------
    ConfigurationError
        The folder was not named, and nobody could or did confirm it.
    """
    images = ["images", os.path.realpath(folder)]
    if named or is_named_folder(record, folder):
        _remember(record, images)
    elif not (record.has_queries() and described()):
        if what is None:
            hint = f"{option or f'--images {quote(folder)}'}, if it is yours"
            _confirm(record, f"the folder of images {folder}", "its images are sent to annotators", hint)
        else:
            hint = "alkit start again with the same options, if it is yours"
            _confirm(record, f"{what} {folder}", "the model is measured on it", hint)
        _remember(record, images)


def is_named_folder(record: Store, folder: str) -> bool:
    """Return whether a folder of images was named on this machine."""
    return ["images", os.path.realpath(folder)] in _named(record)


def is_named(record: Store, place: Place) -> bool:
    """Return whether a place was named on this machine, or is a folder of the campaign beside the record."""
    if _identity(place) in _named(record):
        return True
    if isinstance(place, LabelStudioPlace):
        from alkit.oracles.labelstudio.address import same_address

        return same_address(os.environ.get(URL, ""), place.url)
    return _came_with(record, place)


def _is_readable_by_others(url: str) -> bool:
    """Return whether an address is not encrypted and leads to another machine."""
    from alkit.oracles.labelstudio.secrets import LOOPBACK

    try:
        return not url.lower().startswith("https:") and urlsplit(url).hostname not in LOOPBACK
    except ValueError:
        return True


def _came_with(record: Store, place: FolderPlace) -> bool:
    """Return whether a folder lies below the folder of the record, is not hidden, and has queries of the campaign."""
    from alkit.oracles.folder.outbox import has_queries

    if not isinstance(record.path, Path):
        return False
    real, beside = (Path(os.path.realpath(path)) for path in (place.folder, record.path.parent))
    if not real.is_relative_to(beside) or any(part.startswith(".") for part in real.relative_to(beside).parts):
        return False
    campaign = str(record.fact("campaign") or "")
    return bool(campaign) and has_queries(real, campaign)


def _confirm(record: Store, place: str, what: str, hint: str) -> None:
    """Ask on a terminal whether a place may be used; raise a :class:`ConfigurationError` unless somebody agrees."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        said = f"{record.path} uses {place}, which was not named on this machine. If you agree, {what}. Agree?"
        if typer.confirm(one_line(said), default=False, err=True):
            return
    raise ConfigurationError(
        f"{place} comes from the record {record.path}, and was not named on this machine",
        expected=f"a confirmation, because {what}",
        hint=hint,
    )


def _named(record: Store) -> list[list[str]]:
    key = _key(record)  # an error of the record is not a lack of names
    try:
        return _read(key)
    except (OSError, StoreError):
        return []


def _remember(record: Store, new: list[str]) -> None:
    from filelock import FileLock

    from alkit._files import make_folder, write_atomically

    key = _key(record)
    try:
        if new in _read(key):
            return
        with FileLock(make_folder(state_folder()) / "places.lock", timeout=WAIT):  # another process may do the same
            if new not in (named := _read(key)):
                write_atomically(_file(key), json.dumps([*named, new], indent=1).encode())
    except (OSError, StoreError, NotImplementedError) as reason:  # what is remembered already stays
        log.warning("%s must be named again next time, because it cannot be remembered: %s", new[1], reason)


def _read(key: str) -> list[list[str]]:
    """Return what was named; an :class:`OSError` if there is a file that cannot be read."""
    try:
        found = json.loads(_file(key).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _identity(place: Place) -> list[str]:
    if isinstance(place, LabelStudioPlace):
        from alkit.oracles.labelstudio.address import plain_address

        return ["label-studio", plain_address(place.url)]
    return ["folder", os.path.realpath(place.folder)]


def _key(record: Store) -> str:
    campaign = record.fact("campaign")
    return campaign if isinstance(campaign, str) and campaign else str(record.path)


def _file(key: str) -> Path:
    return state_folder() / "places" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
