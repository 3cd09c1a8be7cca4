"""Read files that others put into a folder, such as the folder of an exchange."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from alkit._reading.limits import BYTES, limit, too_large


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a path leads, by symbolic links or ``..``, to a place outside `folder`, or cannot exist."""
    try:
        place, real = os.path.realpath(folder), os.path.realpath(path)
    except ValueError:  # it has a character that no name can have
        return True
    return real != place and not real.startswith(place.rstrip(os.sep) + os.sep)


def read_inside(path: Path, folder: Path, most: int | None = None) -> bytes:
    """Return the content of a file that somebody else may have put into `folder`.

    Symbolic links that lead out of the folder are not followed, also if a link is put in the place of the file or of a
    folder meanwhile. Only regular files are read: a pipe or a device would block, or never end.

    Parameters
    ----------
    path:
        The file. Symbolic links to other files in the folder are followed.
    folder:
        The folder. It may itself be a symbolic link.
    most:
        Greatest number of bytes. None: the limit of :func:`~alkit._reading.limits.read_file`.

    Raises
    ------
    DataError
        The file has more bytes than the limit allows, and `most` is None.
    OSError
        The file cannot be read, or is not such a file; `strerror` says why.
    """
    place, real = os.path.realpath(folder), os.path.realpath(path)
    if leads_out(Path(real), Path(place)):
        raise OSError(errno.ELOOP, f"it is a symbolic link that leads out of {folder}", str(path))
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if os.open in os.supports_dir_fd:
        *folders, name = os.path.relpath(real, place).split(os.sep)
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe is opened without waiting for its writer
        handle = os.open(place, flags | os.O_DIRECTORY)
        for part in [*folders, name]:
            try:
                inner = os.open(part, flags | (0 if part is name else os.O_DIRECTORY), dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
    else:
        handle = os.open(real, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        if most is None and size > limit(BYTES):
            raise too_large(path, size)
        content = file.read(size + 1) if most is None or size <= most else b""
    if most is not None and max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return content
