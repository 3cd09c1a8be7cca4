"""Run the tests of a device, and keep the outcome of each as a row as soon as it is known.

This module is a plugin of pytest: ``pytest -p benchmarks.gpu.tests tests/gpu``, with the file of the rows in the
environment variable ``ALKIT_TEST_ROWS``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import rows
from benchmarks.gpu.machine import facts

ROOT = Path(__file__).parents[2]


def command(device: str, file: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs the tests on a device, and what it needs in its environment."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "benchmarks.gpu.tests"]
    # Another version of a library may warn of something that is not about the device.
    more = ["-W", "default", "--tb=short", "-o", "addopts=--import-mode=importlib -ra", str(ROOT / "tests" / "gpu")]
    # The tests are small, so more threads would only wait for each other.
    return [*pytest, *more], {"ALKIT_TEST_DEVICE": device, "ALKIT_TEST_ROWS": str(file), "OMP_NUM_THREADS": "1"}


def pytest_runtest_logreport(report) -> None:  # type: ignore[no-untyped-def]
    """Append a row for a test that is over."""
    if report.when == "call" or report.outcome != "passed":
        text = str(report.longrepr[2]) if report.skipped else str(report.longrepr or "").strip().rpartition("\nE")[2]
        properties = [f"{name}: {value}." for name, value in report.user_properties]
        row = {
            "test": report.nodeid.rpartition("/")[2],
            "outcome": report.outcome if report.when == "call" or report.skipped else "error",
            "seconds": round(report.duration, 2),
            "detail": " ".join([*properties, *text.split()])[:400],
            "device": os.environ["ALKIT_TEST_DEVICE"],
            **facts(os.environ["ALKIT_TEST_DEVICE"]),
        }
        file = Path(os.environ["ALKIT_TEST_ROWS"])
        earlier = [old for old in rows.read(file) if (old["test"], old["device"]) != (row["test"], row["device"])]
        rows.write(file, [*earlier, row])
