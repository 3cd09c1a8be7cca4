"""Files in the current folder that libraries would run or obey, although a stranger may have put them there."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from alkit.cli.printing import echo
from alkit.errors import ConfigurationError

LIBRARIES = (
    "libcuda.so.1", "libcuda.so", "libnvrtc.so", "libnvrtc.so.11.2", "libnvrtc.so.12", "libnvrtc.so.13",
    "libcask_profile_interface.so", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0",
    "librt.so.1", "ld-linux-x86-64.so.2",
)  # fmt: skip
"""What cuSPARSELt, a library of CUDA, looks for in the current folder: its list of folders has an empty entry."""

FOLDERS = ("glibc-hwcaps", "tls", "x86_64", "haswell", "avx512_1")
"""Folders in which the loader of Linux looks besides."""

STYLE = "matplotlibrc"
"""Settings of matplotlib, which it reads in the current folder. They can run LaTeX with a text of their own."""


def shield() -> None:
    """Keep libraries from running or obeying files in the current folder, before they are imported.

    Raises
    ------
    ConfigurationError
        The current folder has a library that would be loaded.
    """
    found = [name for name in LIBRARIES if os.path.lexists(name)]
    found += [str(path) for folder in FOLDERS if os.path.isdir(folder) for path in Path(folder).rglob("lib*.so*")]
    if found and sys.platform == "linux":
        raise ConfigurationError(
            f"the current folder has {found[0]}, which would run as a part of this program",
            hint="another current folder, with full paths",
        )
    if os.path.exists(STYLE) and "matplotlib" not in sys.modules:
        _import_elsewhere("matplotlib")
        echo(f"alkit: {STYLE} in the current folder is ignored", err=True)


def _import_elsewhere(name: str) -> None:
    """Import a package in its own folder."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return
    here = os.getcwd()
    os.chdir(os.path.dirname(spec.origin))
    try:
        importlib.import_module(name)
    finally:
        os.chdir(here)
