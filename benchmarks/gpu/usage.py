"""How busy a GPU is: its utilisation, asked of ``nvidia-smi`` several times per second."""

from __future__ import annotations

import shutil
import subprocess
from statistics import mean


class Usage:
    """Watches the first GPU inside a ``with`` block. Without ``nvidia-smi`` it reports nothing.

    ``utilisation`` is the mean share of the time in which a kernel ran, in percent, and ``memory_mib`` the largest
    memory that all processes used.
    """

    def __init__(self, every: float = 0.1) -> None:
        self._every = every
        self._process: subprocess.Popen[str] | None = None
        self.utilisation: float | None = None
        self.memory_mib: float | None = None

    def __enter__(self) -> Usage:
        if shutil.which("nvidia-smi"):
            fields = "--query-gpu=utilization.gpu,memory.used"
            command = ["nvidia-smi", fields, "--format=csv,noheader,nounits", "--id=0"]
            self._process = subprocess.Popen(
                [*command, f"--loop-ms={round(1000 * self._every)}"], stdout=subprocess.PIPE, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        text, _ = self._process.communicate()
        samples = [parse(line) for line in text.splitlines()]
        known = [sample for sample in samples if sample is not None]
        if known:
            self.utilisation = round(mean(busy for busy, _ in known), 1)
            self.memory_mib = max(memory for _, memory in known)


def parse(line: str) -> tuple[float, float] | None:
    """Return utilisation and memory of a line; None for a line that was cut off.

    >>> parse("97, 1024")
    (97.0, 1024.0)
    >>> parse("97,") is None
    True
    """
    try:
        busy, memory = map(float, line.split(","))
    except ValueError:
        return None
    return busy, memory
