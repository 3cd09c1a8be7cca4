"""Collect what a machine with a GPU and without a network lacks: wheels, and the images.

    python -m benchmarks.gpu.bundle --data DIR --out .gpu        # or: make gpu-bundle DATA=DIR

The machine has PyTorch of its own and the packages that ``present.txt`` lists. What alkit needs beyond them is found in
the metadata of this environment, and downloaded in the versions of this environment, as wheels for the Python of the
machine. A wheel of alkit itself is among them, because strategies and learners are found through its entry points.
The images travel in one archive.

On the machine, in a copy of this repository with the bundle::

    python -m pip install --no-index --no-deps --target SITE .gpu/wheels/*.whl
    PYTHONPATH=$PWD:$PWD/plugins/baselines:SITE python -m benchmarks.gpu --data .gpu/data.tar
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PRESENT = Path(__file__).with_name("present.txt")
GLIBC = (17, 24, 26, 27, 28, 31, 34)
"""Minor versions of the manylinux platforms whose wheels run on the machine."""


def read_present(path: Path = PRESENT) -> set[str]:
    """Return the names of the packages that the machine has, from a file with one name per line."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {canonicalize_name(line) for line in lines if line}


def missing(present: Collection[str], python: str, extras: Iterable[str] = ("cpu",)) -> dict[str, str]:
    """Return what alkit needs beyond `present`: the names of packages, and their versions in this environment.

    Parameters
    ----------
    present:
        Canonical names of packages. Their own requirements count as present, too.
    python:
        Version of the machine's Python, such as ``3.12``.
    extras:
        Extras of alkit to include.
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found: dict[str, str] = {}
    waiting = list(_requirements("alkit", environment, extras))
    while waiting:
        name = waiting.pop()
        if name not in present and name not in found:
            found[name] = importlib.metadata.version(name)
            waiting += _requirements(name, environment)
    return dict(sorted(found.items()))


def _requirements(package: str, environment: Mapping[str, str], extras: Iterable[str] = ()) -> Iterator[str]:
    """Yield the canonical names of what an installed package requires."""
    for text in importlib.metadata.requires(package) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name)


def download_wheels(packages: Mapping[str, str], folder: Path, python: str) -> None:
    """Download the wheels of `packages`, and build alkit's own."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary=:all:", f"--python-version={python}", "--implementation=cp",
         *platforms, f"--dest={folder}", *(f"{name}=={version}" for name, version in packages.items())],
        check=True,
    )  # fmt: skip
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)], check=True)


def pack_images(data: Path, file: Path) -> None:
    """Pack the folders ``images`` and ``masks`` of `data` into an archive."""
    with tarfile.open(file, "w") as archive:
        for folder in ("images", "masks"):
            for path in sorted((data / folder).iterdir()):
                archive.add(path, f"{folder}/{path.name}")


def unpack_images(file: Path, folder: Path) -> Path:
    """Unpack an archive of :func:`pack_images` into `folder`, unless it is there, and return `folder`."""
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(file) as archive:
            archive.extractall(draft, filter="data")
        draft.rename(folder)
    return folder


def size_of(folder: Path) -> int:
    """Return the number of bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Collect the bundle, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--out", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--present", type=Path, default=PRESENT, help="packages of the machine, one name per line")
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    options = parser.parse_args()
    packages = missing(read_present(options.present), options.python)
    shutil.rmtree(options.out, ignore_errors=True)
    (options.out / "wheels").mkdir(parents=True)
    download_wheels(packages, options.out / "wheels", options.python)
    pack_images(options.data, options.out / "data.tar")
    for part in ("wheels", ""):
        print(f"{options.out / part}: {size_of(options.out / part) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
