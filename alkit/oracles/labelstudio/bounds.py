"""Bounds on the answers of a server: how many bytes they may have, and how long they may take."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2

from alkit._reading.limits import BYTES, limit
from alkit.errors import OracleError

PATIENCE = 20
"""Number of timeouts within which a whole answer must arrive."""

LONGEST_REASON = 2**20
"""Greatest number of bytes of an answer that states an error."""


def bound(response: httpx2.Response) -> None:
    """Bound the content of an answer before it is read.

    Raises
    ------
    OracleError
        The answer is packed. alkit asks for answers that are not, because a few bytes can unpack to any size.
    """
    if (packed := response.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
        raise OracleError(
            f"Label Studio packed its answer to {_asked(response)}, which nobody asked for",
            got=repr(packed[:20]),
            hint="turn the compression of its web server off for requests that do not accept it",
        )
    response.stream = _Bounded(response)


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._stream, self._asked = response.stream, _asked(response)
        self._most = limit(BYTES) if response.is_success else min(limit(BYTES), LONGEST_REASON)
        self._end = time.monotonic() + PATIENCE * (response.request.extensions["timeout"]["read"] or 60.0)

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:  # type: ignore[union-attr]
            size += len(part)
            if size > self._most:
                raise OracleError(
                    f"the answer of Label Studio to {self._asked} is too large",
                    expected=f"at most {self._most} bytes",
                    hint=f"the environment variable {BYTES} raises the limit",
                )
            if time.monotonic() > self._end:
                raise OracleError(f"the answer of Label Studio to {self._asked} takes too long")
            yield part

    def close(self) -> None:
        self._stream.close()  # type: ignore[union-attr]


def _asked(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"
