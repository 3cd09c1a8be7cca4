"""The benchmarks use alkit's public names, as a package outside the project would."""

import ast
import importlib
from pathlib import Path

import alkit

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

WITHOUT_A_PUBLIC_NAME = {"alkit._files:cache_folder", "alkit._files:write_atomically", "alkit.cli:main"}
"""Helpers for files, and the command line itself, which is measured in this process. Add nothing here."""


def test_the_benchmarks_import_only_public_names():
    used = set()
    for path in BENCHMARKS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "alkit":
                namespace = node.module.removeprefix("alkit.")
                public = namespace in {"alkit", *alkit.__all__}
                names = getattr(importlib.import_module(node.module), "__all__", None) if public else ()
                used |= {f"{node.module}:{a.name}" for a in node.names if names is not None and a.name not in names}
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("alkit.") for alias in node.names), path
    assert used == WITHOUT_A_PUBLIC_NAME


def test_nothing_outside_the_benchmarks_imports_them():
    root = BENCHMARKS.parent
    for folder in ("alkit", "plugins", "tests"):
        for path in (root / folder).rglob("*.py"):
            if not path.is_relative_to(Path(__file__).parent):
                imported = [
                    name
                    for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.Import | ast.ImportFrom)
                    for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                ]
                assert not any(name.partition(".")[0] == "benchmarks" for name in imported), path
