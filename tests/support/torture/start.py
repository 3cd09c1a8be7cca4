"""Start the torture in processes of its own, which have the library preloaded, and add up what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import shim

ROOT = Path(__file__).parents[3]


def torture(*arguments: object, processes: int = 1) -> dict[str, Any]:
    """Return the added results of ``python -m torture ARGUMENTS`` in some processes that share the work."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        library = shim.build(Path(folder))
        path = [str(ROOT / "tests" / "support"), *(os.environ.get("PYTHONPATH") or "").split(os.pathsep)]
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "OMP_NUM_THREADS": "1",
        }
        outs = [Path(folder) / f"{number}.json" for number in range(processes)]
        children = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "torture",
                    *map(str, arguments),
                    "--share",
                    f"{number}/{processes}",
                    "--out",
                    out,
                ],
                env=environment,
            )
            for number, out in enumerate(outs)
        ]
        codes = [child.wait() for child in children]
        assert not any(codes), f"the torture ended with {codes}"
        return add([json.loads(out.read_text()) for out in outs])


def add(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up results: counts and times are added, and faults listed one after the other."""
    total: dict[str, Any] = {}
    for result in results:
        for name, value in result.items():
            if name in ("calls", "seconds"):  # about the same in all processes
                total.setdefault(name, value)
            elif isinstance(value, dict):
                total[name] = add([total.get(name, {}), value])
            else:
                total[name] = total.get(name, type(value)()) + value
    return total
