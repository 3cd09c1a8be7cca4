"""What tests of records do whose files are elsewhere, whatever server keeps them."""

from __future__ import annotations

import os
import shutil
import signal
import time

from alkit._files import cache_folder
from alkit.record import Store

SECONDS = 60
"""Time after which a forked process is killed."""


def forget_copies() -> None:
    """Delete the copies of files on this machine, so that they are read where they are kept."""
    shutil.rmtree(cache_folder() / "record-files", ignore_errors=True)


def reads_and_writes_in_a_fork(store: Store, name: str, content: bytes) -> bool:
    """Return whether a forked process reads this file, keeps another one, and ends."""
    child = os.fork()
    if not child:
        os._exit(0 if store.content(name) == content and store.keep(b"of the child", ".png") else 1)
    deadline = time.monotonic() + SECONDS
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
    return ended == (child, 0)
