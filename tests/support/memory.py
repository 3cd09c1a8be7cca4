"""A folder in memory for files that do not outlast a test: a disk takes most of the time of a test of records."""

import os
import shutil
from contextlib import suppress

FOLDER = "/dev/shm"


def memory_folder():
    """Return a folder in memory with space for a test; None if there is none."""
    with suppress(OSError):
        if shutil.disk_usage(FOLDER).free >= 2**31 and os.access(FOLDER, os.W_OK):
            return FOLDER
    return None
