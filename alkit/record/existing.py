"""Whether there is a record at an address."""

from __future__ import annotations

import os
from pathlib import Path

from alkit.record.address import locate
from alkit.record.postgresql import PostgreSQL


def is_there(store: str | os.PathLike[str], wait: float = 30.0) -> bool:
    """Whether a record, or a file that may be one, is at an address.

    Raises
    ------
    ConfigurationError
        The URL cannot be that of a record.
    StoreError
        The server cannot be reached.
    """
    found = locate(store).database
    if isinstance(found, Path):
        return found.is_file()
    backend = PostgreSQL(found, wait)
    try:
        return backend.exists()
    finally:
        backend.close()
