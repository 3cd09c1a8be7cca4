"""What needs no server; for the rest see ``tests/services/test_postgresql.py``."""

from __future__ import annotations

import time

import pytest

from alkit.record.postgresql import PostgreSQL


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="a clock of Linux")
def test_the_time_of_the_server_goes_on_while_the_computer_sleeps(monkeypatch):
    backend = object.__new__(PostgreSQL)
    backend._ahead = 100
    slept = {time.CLOCK_BOOTTIME: 3600, time.CLOCK_MONOTONIC: 1}
    monkeypatch.setattr(time, "clock_gettime_ns", slept.get)
    assert backend.time_ns() == 3700
