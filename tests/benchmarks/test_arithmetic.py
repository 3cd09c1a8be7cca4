import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_runs_use_the_same_instructions_on_every_machine():
    asked = "from benchmarks import arithmetic; import torch; print(arithmetic.instructions())"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=without_limits(),
    )
    if platform.machine() == "x86_64":
        assert done.stdout.strip() == "AVX2; oneDNN AVX2"


def without_limits():
    return {k: v for k, v in os.environ.items() if k not in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")}
