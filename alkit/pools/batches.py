"""Batches of images that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alkit.protocols import Pool


def batches(ids: Sequence[str], pool: Pool, at_once: int | None = None) -> Iterator[Sequence[str]]:
    """Yield `ids` in batches of about a million pixels and at most `at_once` images (default: 64)."""
    height, width = pool.read(ids[:1]).shape[-2:] if ids else (1, 1)
    size = max(1, min(2**20 // (height * width), at_once or 64))
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]
