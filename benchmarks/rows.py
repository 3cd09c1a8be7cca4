"""Measurements as rows of a CSV file, with where and from which commit they come."""

from __future__ import annotations

import csv
import io
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import torch

from alkit._files import write_atomically

Kind = TypeVar("Kind")


def append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a CSV file."""
    write(path, [*read(path), *rows])


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV file anew, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_as(kind: type[Kind], path: Path) -> list[Kind]:
    """Return the rows of a CSV file as dataclasses with fields of int, float and str."""
    kinds = {"int": int, "float": float, "str": str}
    return [kind(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(kind)}) for row in read(path)]


def machine(device: torch.device | str = "cpu") -> str:
    """Return the kind of machine: the GPU's name, or the system and the processor's."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.system()} {platform.machine()}, {models[0] if models else platform.processor()}"


def commit() -> str:
    """Return the commit this code is of, with ``-dirty`` where it was changed since; empty outside a repository.

    Results are no code: that rows were added to them since changes nothing.
    """
    here = Path(__file__).parent
    name = subprocess.run(
        ["git", "describe", "--always"], cwd=here, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = ["git", "diff", "--quiet", "HEAD", "--", ":/", f":(exclude){here / 'results'}"]
    changed = bool(name) and subprocess.run(command, cwd=here, check=False).returncode
    return f"{name}-dirty" if changed else name
