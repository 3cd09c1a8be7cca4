"""Measurements as rows of a CSV file, with the machine and the commit they come from."""

from __future__ import annotations

import csv
import io
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import torch

from alkit._files import write_atomically

R = TypeVar("R")


def append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a CSV file."""
    write(path, [*read(path), *rows])


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a CSV file in one step, so that a crash leaves the old file or the new one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, or an empty list if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_as(row_type: type[R], path: Path) -> list[R]:
    """Return the rows of a CSV file as instances of a dataclass with fields of type int, float and str."""
    types = {"int": int, "float": float, "str": str}
    return [row_type(**{f.name: types[str(f.type)](row[f.name]) for f in fields(row_type)}) for row in read(path)]


def machine(device: torch.device | str = "cpu") -> str:
    """Return the model of the GPU, or the operating system and the model of the processor."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.system()} {platform.machine()}, {models[0] if models else platform.processor()}"


def commit(folder: Path = Path(__file__).parent) -> str:
    """Return the commit of the code, with ``-dirty`` if files have changed since; empty outside a repository.

    A copy of the code without its history has the commit that the environment variable ``ALKIT_COMMIT`` names.

    Parameters
    ----------
    folder:
        The folder of the benchmarks. Changes in its subfolder ``results`` do not count.
    """
    if known := os.environ.get("ALKIT_COMMIT"):
        return known
    name = subprocess.run(
        ["git", "describe", "--always"], cwd=folder, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = ["git", "diff", "--quiet", "HEAD", "--", ":/", f":(exclude){folder / 'results'}"]
    changed = bool(name) and subprocess.run(command, cwd=folder, check=False).returncode
    return f"{name}-dirty" if changed else name
