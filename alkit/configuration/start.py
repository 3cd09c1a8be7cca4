"""When this program began: ``import alkit`` is one of the first things that it does."""

import time

STARTED = time.time()
"""Seconds since 1970."""
