"""Google Cloud Storage, as a record needs it.

gcsfs tries each request six times by itself, within a minute, and waits for an answer without a limit. Here it does
neither. Its newest class asks before each upload whether the bucket is zonal, for which not everybody has the right. In
such a bucket an object can be read while it is written, so that a record must not be in one.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

EMULATOR = "STORAGE_EMULATOR_HOST"
"""Environment variable with the address of a server that takes the place of Google's."""

KEY = "GOOGLE_APPLICATION_CREDENTIALS"
"""Environment variable with the path of a file that has the credentials."""


@lru_cache(maxsize=1)
def gcs_class() -> Any:
    """Return a class of gcsfs whose requests are made once."""
    from gcsfs.core import GCSFileSystem

    class Once(GCSFileSystem):  # type: ignore[misc, unused-ignore]
        _request = getattr(GCSFileSystem._request, "__wrapped__", GCSFileSystem._request)

        def __init__(self, **options: Any) -> None:
            from google.auth.exceptions import GoogleAuthError

            try:
                super().__init__(**options)
            except GoogleAuthError as reason:
                named = f"{KEY} cannot be used: " if os.environ.get(KEY) else ""
                raise ValueError(f"{named}{reason}") from None

    return Once


def gcs_options(connect: float, read: float) -> dict[str, Any]:
    """Return options of the class.

    Parameters
    ----------
    connect, read:
        Seconds to wait for a connection, and for the next bytes of an answer.
    """
    from aiohttp import ClientTimeout

    elsewhere = os.environ.get(EMULATOR, "default") not in ("", "default")
    return {
        "requests_timeout": ClientTimeout(sock_connect=connect, sock_read=read),
        # gcsfs would go on without credentials if there are none, and look for them a long time. Other servers do not
        # get any, as with Google's own library.
        "token": "anon" if elsewhere else "google_default",
    }
