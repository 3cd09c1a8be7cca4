"""Decode the images of a folder in a process of its own, while this process imports what it needs.

The process puts images into the cache as :class:`alkit.ImagePool` does. This process reads what is there, and decodes
the rest. So it makes no difference to the pool how far the other one gets, or whether it fails. Threads would not do:
while Python imports, they wait for its global lock.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from alkit._reading.apart import start_apart
from alkit.pools.folder import ImagePool
from alkit.values.progress import Progress


@contextmanager
def decoded_ahead(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Decode images in another process until the end of the block.

    Parameters
    ----------
    arguments:
        Arguments of :class:`alkit.ImagePool`, as values of JSON.
    """
    worker = start_apart("alkit.pools.ahead")
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        with suppress(OSError):  # the process has ended
            worker.stdin.write(json.dumps(arguments).encode() + b"\n")
            worker.stdin.flush()
        yield
    finally:
        with suppress(OSError):
            worker.stdin.close()  # which tells it to stop after the image that it is at
        worker.wait()
        worker.stdout.close()


class _Stopped(Exception):
    """The process that started this one has closed its end of the pipe."""


def _main() -> None:
    logging.disable()  # the process that opens the pool says what is wrong with the images
    arguments = json.loads(sys.stdin.buffer.readline())
    stopped = threading.Event()

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):  # not by the file object, whose lock would be held at the end
            pass
        stopped.set()

    def report(progress: Progress) -> None:
        if stopped.is_set():
            raise _Stopped

    threading.Thread(target=wait, daemon=True).start()
    with suppress(Exception, KeyboardInterrupt):
        ImagePool(**arguments, report=report)


if __name__ == "__main__":
    _main()
