"""Run pairs of steps in processes of their own, and add up what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def interleave(*arguments: object, processes: int = 1) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Return the counts and the faults of ``python -m interleaving ARGUMENTS`` in processes that share the work."""
    path = [str(ROOT / "tests" / "support"), *(os.environ.get("PYTHONPATH") or "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "OMP_NUM_THREADS": "1"}
    counts, wrong = Counter[str](), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="interleaving-") as folder:
        outs = [Path(folder) / f"{number}.json" for number in range(processes)]
        start = [sys.executable, "-m", "interleaving", *map(str, arguments)]
        children = [
            subprocess.Popen([*start, "--share", f"{number}/{processes}", "--out", str(out)], env=environment)
            for number, out in enumerate(outs)
        ]
        codes = [child.wait() for child in children]
        assert not any(codes), f"the processes ended with {codes}"
        for out in outs:
            found = json.loads(out.read_text())
            counts.update(found["counts"])
            wrong += found["wrong"]
    return counts, wrong
