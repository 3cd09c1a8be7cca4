"""Measure a GPU within a time limit: tests, then speed, then as much of the ISIC 2017 protocol as fits.

    python -m benchmarks.gpu --data DIR                      # at most 9 minutes
    python -m benchmarks.gpu --data DIR --parts protocol     # continues the protocol
    python -m benchmarks.gpu --device cpu --tiny             # a rehearsal without a GPU, in tiny sizes

Each part is a process of its own that is stopped when its time is up. Rows are written as soon as they are known, and a
later call continues: it does not repeat measurements of the same commit and machine, or finished runs of the protocol.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.isic2017.protocol import METHODS, PROFILES
from benchmarks.terminal import integer_from

PARTS = ("tests", "speed", "protocol")
OUT = Path(__file__).parents[1] / "results" / "gpu"
WORK = Path(__file__).parents[2] / ".gpu" / "work"
LIMIT = 540
"""Seconds of all parts together."""

GRACE = 5
"""Seconds between the request to stop and the end of a part."""

SUMMARY = 5
"""Seconds for the summary of the protocol."""


@dataclass(frozen=True)
class Clock:
    """A time limit that began at `start` and lasts `limit` seconds."""

    start: float
    limit: float

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.start + self.limit - time.monotonic()


def main(arguments: Sequence[str] | None = None, started: float | None = None) -> None:
    """Run the command. Its limit begins at the monotonic time `started`, by default now."""
    started = time.monotonic() if started is None else started
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that this process ends its own processes first
    if options.only:
        run_part(options, Clock(started, options.limit))
        return
    clock = Clock(started, options.limit)
    describe(options)
    limits = {"tests": options.tests_limit, "speed": options.speed_limit, "protocol": options.limit}
    for part in options.parts:
        seconds = min(limits[part], clock.left() - GRACE - (SUMMARY if part == "protocol" else 0))
        if seconds > 0:
            status = start_part(part, [*arguments, "--only", part, "--limit", str(round(seconds))], options, seconds)
            print(f"{part}: {status}; {clock.left():.0f} s left", flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/, or the archive of gpu-bundle")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the rows")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of records, caches and unpacked images")
    parser.add_argument("--limit", type=integer_from(1), default=LIMIT, help="seconds of all parts together")
    parser.add_argument("--tests-limit", type=integer_from(1), default=120, help="seconds of the tests")
    parser.add_argument("--speed-limit", type=integer_from(1), default=90, help="seconds of the measurements of speed")
    parser.add_argument("--processes", type=integer_from(1), default=3, help="runs of the protocol at once")
    parser.add_argument("--profile", choices=PROFILES, default="paper")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="methods of the protocol (default: all)")
    parser.add_argument("--seeds", nargs="+", type=integer_from(0), default=[0, 1, 2, 3, 4])
    parser.add_argument("--tiny", action="store_true", help="tiny sizes in the measurements of speed")
    parser.add_argument("--only", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if "protocol" in options.parts and options.data is None:
        parser.error("the protocol needs the images: --data DIR, or --parts tests speed")
    return options


def describe(options: argparse.Namespace) -> None:
    """Write the file that describes the machine."""
    from benchmarks.gpu.machine import description

    (options.out / "machine.json").write_text(json.dumps(description(options.device), indent=1) + "\n")


def start_part(part: str, arguments: Sequence[str], options: argparse.Namespace, seconds: float) -> str:
    """Run one part in a process group of its own, stop it when its time is up, and say how it ended."""
    from benchmarks.gpu.usage import Usage

    environment = {**os.environ, "ALKIT_CACHE": str(options.work / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    begun = time.monotonic()
    with Usage(0.5) as usage:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            status = f"ended with {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            status = "stopped, its time is up"
        finally:
            stop(process)
    if part == "protocol":
        from benchmarks.gpu.protocol import add_summary

        add_summary(options, time.monotonic() - begun, usage)
    return status


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a part to end its processes and itself, then end those that are left."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_part(options: argparse.Namespace, clock: Clock) -> None:
    """Run one part in this process."""
    if options.only == "tests":
        from benchmarks.gpu.tests import command

        tests, environment = command(options.device, options.out / "tests.csv")
        sys.exit(subprocess.run(tests, env={**os.environ, **environment}, check=False).returncode)
    if options.only == "speed":
        from benchmarks.gpu import speed

        sizes = speed.TINY if options.tiny else speed.Sizes()
        speed.measure(options.out / "speed.csv", options.device, sizes, clock.left)
    if options.only == "protocol":
        from benchmarks.gpu.protocol import run_protocol

        run_protocol(options)
