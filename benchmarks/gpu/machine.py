"""The machine of a row: the device, its driver, and the versions of the libraries."""

from __future__ import annotations

import os
import platform
import subprocess

import numpy as np
import torch

import alkit
from benchmarks import rows


def facts(device: str) -> dict[str, object]:
    """Return what every row says about its machine and its code."""
    return {
        "machine": rows.machine(device),
        "driver": _query("driver_version") if torch.device(device).type == "cuda" else "",
        "cuda": torch.version.cuda or "",
        "torch": str(torch.__version__),
        "commit": rows.commit(),
    }


def description(device: str) -> dict[str, object]:
    """Return more facts, for the file that describes the machine."""
    gpu: dict[str, object] = {}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gpu = {"memory_mib": properties.total_memory // 2**20, "processors": properties.multi_processor_count}
    return {
        **facts(device),
        **gpu,
        "cudnn": torch.backends.cudnn.version() or "",
        "cores": os.cpu_count(),
        "cpu": rows.machine("cpu"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "alkit": alkit.__version__,
    }


def _query(field: str) -> str:
    """Return a field of ``nvidia-smi``; empty if it cannot be asked."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
