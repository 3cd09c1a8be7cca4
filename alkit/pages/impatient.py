"""Connections of a web server that do not wait for a request without end: each takes one of the few places."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0
"""Seconds within which a request must have arrived."""


class ImpatientProtocol(H11Protocol):
    """HTTP by h11. A connection without a whole request is closed after :data:`PATIENCE` seconds."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        if self._due is not None:
            self._due.cancel()

    def _wait(self) -> None:
        if self._due is None and self._is_idle():
            self._due = self.loop.call_later(PATIENCE, self._end)

    def _end(self) -> None:
        self._due = None
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
