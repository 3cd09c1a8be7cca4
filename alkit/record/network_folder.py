"""Whether a record lies in a network folder, where SQLite cannot keep two computers apart.

SQLite's write-ahead log needs memory that all processes with the database share, so these must run on one computer.
Many network file systems also grant a lock twice, or never.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from alkit._logs import logger

log = logger(__name__)

NETWORK = frozenset(
    "9p acfs afp afs beegfs ceph cifs coda davfs fuse.ceph-fuse fuse.davfs fuse.gcsfuse fuse.glusterfs fuse.juicefs "
    "fuse.mfs fuse.rclone fuse.s3fs fuse.sshfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs panfs "
    "pvfs2 smb2 smb3 smbfs virtiofs webdav wekafs".split()
)
"""Types of file systems that several computers use."""

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's list of all mounted file systems."""

_warned: set[Path] = set()


def warn_of_network_folder(record: Path) -> None:
    """Log a warning if a record's database lies in a network folder; once for each record and process."""
    if record in _warned or (kind := network_type(record.parent)) is None:
        return
    _warned.add(record)
    log.warning(
        "%s lies in a network folder (%s): only processes of one computer may use it at a time, because SQLite cannot "
        "lock it for several; for several computers, keep the record in a PostgreSQL database",
        record,
        kind,
    )


def network_type(folder: Path) -> str | None:
    """Return the type of the file system of a network folder; None for another folder, or if the system does not tell.

    Linux and Windows tell.
    """
    place = os.path.realpath(folder)
    if sys.platform == "win32":
        import ctypes

        root = os.path.splitdrive(place)[0] + "\\"
        remote = root.startswith("\\\\") or ctypes.windll.kernel32.GetDriveTypeW(root) == 4
        return "a network drive" if remote else None
    found = ""
    with suppress(OSError):
        for line in MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            if len(fields := before.split(" ")) < 5 or not after:
                continue
            point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
            if _contains(point, place) and len(point) >= len(found.partition("\n")[0]):  # a later one hides it
                found = f"{point}\n{after.split(' ')[0]}"
    kind = found.partition("\n")[2]
    return kind if kind in NETWORK else None


def _contains(point: str, place: str) -> bool:
    return place == point or place.startswith(point.rstrip("/") + "/")
