"""Download a large file, and resume after a lost connection or a killed process."""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from alkit.errors import AlkitError, StoreError
from alkit.values import Progress, Report, quiet

CHUNK = 1 << 20
"""Bytes to read, write and report at a time."""

TIMEOUT = 60.0
"""Seconds without data after which a connection counts as lost."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further attempt, as long as no attempt brings new data."""


class DownloadError(AlkitError):
    """A file cannot be downloaded from its address."""


class _LostError(Exception):
    """The connection failed; another attempt may succeed."""


def download(url: str, path: Path, report: Report = quiet, pauses: Sequence[float] = PAUSES) -> None:
    """Download `url` to `path`, and continue ``<path>.part`` if the server supports it.

    A server that does not support it sends the whole file again. The content is not checked here.

    Parameters
    ----------
    url, path:
        Address and file.
    report:
        Called with stage ``download``, in bytes.
    pauses:
        Seconds before each further attempt. They start over after an attempt that brought new data.

    Raises
    ------
    DownloadError
        The server refuses, or no attempt brought new data.
    StoreError
        The disk is full, or the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    most, waits = _length(part), iter(pauses)
    while True:
        try:
            _receive(url, part, report)
            break
        except _LostError as lost:
            reason: object = lost
        if _length(part) > most:
            most, waits = _length(part), iter(pauses)
        pause = next(waits, None)
        if pause is None:
            raise DownloadError(
                f"the connection to {url} kept failing",
                got=f"{reason} after {_length(part)} bytes",
                hint=f"start again later, which resumes the download, or save the file as {path} yourself",
            )
        time.sleep(pause)
    with store_errors(path):
        part.replace(path)


def _receive(url: str, part: Path, report: Report) -> None:
    """Receive the missing bytes of `part` over one connection; return when the file is complete."""
    start = _length(part)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == 416:  # the server has no bytes after `start`
                if refusal.headers.get("Content-Range") == f"bytes */{start}":
                    return
                part.unlink()
                raise _LostError("a part longer than the file") from refusal
            if refusal.code >= 500 or refusal.code in (408, 429):
                raise _LostError(f"HTTP {refusal.code} {refusal.reason}") from refusal
            raise DownloadError(
                f"{url} cannot be downloaded",
                got=f"HTTP {refusal.code} {refusal.reason}",
                hint=f"check the address, or save the file as {part.with_suffix('')} yourself",
            ) from refusal
    except URLError as error:
        raise _LostError(error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(error) from error

    with response:
        if response.status != 206:  # the whole file, from its beginning
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _LostError(f"an answer with other bytes, {response.headers.get('Content-Range')}")
        length = response.headers.get("Content-Length")
        if length is None:
            raise DownloadError(
                f"{url} was answered without a Content-Length",
                expected="a Content-Length, because without it a lost connection looks like the end of the file",
                hint=f"save the file as {part.with_suffix('')} yourself",
            )
        total = start + int(length)
        with store_errors(part):
            free = shutil.disk_usage(part.parent).free
            if total - start > free:
                raise StoreError(
                    f"the disk has no room for {url}",
                    got=f"{free} bytes free",
                    expected=f"{total - start}",
                    hint="free some space, or choose another folder",
                )
            if not start:
                part.write_bytes(b"")
        report(Progress("download", start, total))
        for done in range(start, total, CHUNK):
            due = min(CHUNK, total - done)
            try:
                chunk = response.read(due)
            except (OSError, http.client.HTTPException) as error:
                raise _LostError(error) from error
            with store_errors(part), part.open("ab") as file:
                file.write(chunk)
            if len(chunk) < due:
                raise _LostError("the connection was cut")
            report(Progress("download", done + due, total))


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Raise errors of the operating system while writing `path` as StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path} ({error.strerror or error})",
            hint="check that the folder exists, is writable and has room",
        ) from error


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
