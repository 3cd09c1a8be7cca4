"""``alkit new-strategy``: write a package with a new strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli.printing import echo


def new_strategy(
    name: Annotated[str, typer.Argument(help="Name of the strategy, such as nearest-mean.")],
    out: Annotated[Path | None, typer.Option(help="New folder; default: alkit-NAME.")] = None,
) -> None:
    """Write a package with a small working strategy and its tests, as a start for your own strategy.

    [dim]Example:[/dim]

    [cyan]alkit new-strategy nearest-mean[/cyan]
    """
    folder = out or Path(f"alkit-{name}")
    for path in write_package(name, folder):
        echo(path)
    echo(
        *f"""
Next:
  cd {folder}
  pip install -e ".[dev]"
  alkit strategies {name}
  pytest
Then replace the method `select`.""".splitlines()
    )


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of a new strategy and return its files.

    Parameters
    ----------
    name:
        Name of the strategy: lower-case letters and digits, in words joined by hyphens.
    folder:
        Folder of the package, which must not exist. Folders above it are created.

    Raises
    ------
    ConfigurationError
        The name has another form, or an installed strategy, a package or a part of alkit has it; or the folder exists
        or cannot be created.
    """
    import shutil
    from importlib.resources import files
    from string import Template

    from alkit.errors import ConfigurationError

    words = _words(name)
    module = "_".join(words)
    package = f"alkit_{module}"
    places = {
        "pyproject.toml.in": folder / "pyproject.toml",
        "README.md.in": folder / "README.md",
        "package.py.in": folder / package / "__init__.py",
        "test.py.in": folder / "tests" / f"test_{module}.py",
    }
    names = {
        "name": name,
        "distribution": f"alkit-{name}",
        "module": module,
        "package": package,
        "class_name": "".join(word.capitalize() for word in words),
    }
    skeleton = files("alkit.cli").joinpath("skeleton")
    try:
        folder.mkdir(parents=True)
        for source, path in places.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(Template(skeleton.joinpath(source).read_text("utf-8")).substitute(names), "utf-8")
        (folder / package / "py.typed").touch()
    except FileExistsError as reason:
        raise ConfigurationError(
            f"{folder} exists already, and nothing was written", hint="another --out, or another name"
        ) from reason
    except OSError as reason:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigurationError(f"{folder} cannot be written ({reason})", hint="another --out") from reason
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _words(name: str) -> list[str]:
    """Return the words of a name, after checks that it can be registered, imported and made the name of a class."""
    import keyword
    import re
    from importlib.util import find_spec

    from alkit.configuration.registry import RESERVED, distribution
    from alkit.errors import ConfigurationError
    from alkit.strategies.named import installed

    words = name.split("-")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name.capitalize()):
        raise ConfigurationError(
            "the name of the strategy must be lower-case letters and digits, in words joined by hyphens",
            got=repr(name),
            hint="a name such as nearest-mean",
        )
    if name in RESERVED:
        raise ConfigurationError(f"{name!r} is the name of a part of alkit", hint="another name")
    for point in installed().values():
        if point.name == name:
            raise ConfigurationError(
                f"{distribution(point)} has a strategy {name!r} already", hint="another name, or alkit strategies"
            )
    package = f"alkit_{'_'.join(words)}"
    if find_spec(package) is not None:
        raise ConfigurationError(f"a package {package} is installed already", hint="another name")
    return words
