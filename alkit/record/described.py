"""Images that a record describes by digests of their content, which only somebody who has them knows."""

from __future__ import annotations

import re

from alkit.protocols import HasDigests, Pool
from alkit.record.store import Store

DIGEST = re.compile("[0-9a-f]{16}")
"""The beginning of a SHA-256, in hexadecimal, which a record keeps of each image."""


def describes_images(record: Store) -> bool:
    """Return whether a record has a digest of each of its images; a stranger can write one without any."""
    recorded = record.fact("images")
    return bool(recorded) and all(map(DIGEST.fullmatch, recorded.values()))


def described_images(record: Store, pool: Pool) -> tuple[str, ...]:
    """Return the sorted ids of the images of a pool that have the content that a record describes."""
    recorded = record.fact("images")
    if not recorded or not isinstance(pool, HasDigests):
        return ()
    there = {id: digest[:16] for id, digest in pool.digests().items()}
    return tuple(id for id in sorted(recorded) if DIGEST.fullmatch(recorded[id]) and there.get(id) == recorded[id])
