"""Read the images of the next batch in a thread, while this thread computes the last one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import cast

from alkit.errors import AlkitError
from alkit.protocols import HasFrames, Pool
from alkit.values.frames import Frame
from alkit.values.label_spec import Images


class ReadAhead:
    """The images of one batch, which a thread reads. They are handed out once; after that, they are read again.

    If the thread fails, as with a database that only the thread that opened it may use, the caller reads.
    """

    def __init__(self, pool: Pool, ids: Sequence[str], thread: Executor) -> None:
        self.ids, self._pool, self._thread = ids, pool, thread
        self._coming: Future[Images] | None = thread.submit(pool.read, ids)

    def arrived(self) -> bool:
        """Wait until the thread has ended, and return whether it could read the images."""
        return self._coming is None or self._coming.exception() is None

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, which belong to the caller."""
        coming, self._coming = self._coming, None
        if coming is None or list(ids) != list(self.ids):
            coming = self._thread.submit(self._pool.read, ids)  # the next batch may be in work
        try:
            return coming.result()
        except AlkitError:
            raise
        except Exception:  # a pool of the user may fail in many ways
            return self._pool.read(ids)


class FramedReadAhead(ReadAhead):
    """The images of one batch of a pool that knows how they lie in the working size."""

    def frames(self, ids: Sequence[str]) -> Sequence[Frame]:
        """Return the frames of these images."""
        return cast(HasFrames, self._pool).frames(ids)


def read_ahead(pool: Pool, ids: Sequence[str], thread: Executor) -> ReadAhead:
    """Return a pool of some images, which a thread begins to read.

    Examples
    --------
    >>> import numpy as np
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from alkit import ArrayPool
    >>> with ThreadPoolExecutor(1) as thread:
    ...     read_ahead(ArrayPool(np.zeros((3, 8, 9), np.uint8)), ["0001", "0002"], thread).read(["0001", "0002"]).shape
    (2, 1, 8, 9)
    """
    kind = FramedReadAhead if isinstance(pool, HasFrames) else ReadAhead
    return kind(pool, ids, thread)
