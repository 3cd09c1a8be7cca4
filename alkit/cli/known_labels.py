"""The labels of a simulation, from the options of ``alkit run``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alkit.cli import options
from alkit.cli.naming import naming
from alkit.errors import AlkitError, ConfigurationError

if TYPE_CHECKING:
    from alkit.oracles.simulated import LabelOracle, MaskOracle

OPTIONS = {
    "pattern": "--mask-pattern",
    "values": "--values",
    "threshold": "--threshold",
    "instances": "--instances",
    "ignore": "--ignore",
    "masks": "--masks",
}
"""Options for parameters of :class:`alkit.MaskOracle`."""

IGNORED = "ignored"

ANY_MASK = "{id}.png"
"""Pattern of the names of masks if none is given."""


@dataclass(frozen=True)
class MaskForm:
    """Options for the form of masks; see :class:`alkit.MaskOracle`."""

    mask_pattern: options.MaskPattern = ANY_MASK
    threshold: options.Threshold = None
    values: options.Values = None
    instances: options.Instances = False

    def given(self, *, pattern: bool = True) -> dict[str, bool]:
        """Return, by its name, whether each option is given; that of the pattern only if `pattern` is true."""
        values = {"--threshold": self.threshold, "--values": self.values}
        found = {**{name: value is not None for name, value in values.items()}, "--instances": self.instances}
        return {**found, "--mask-pattern": pattern and self.mask_pattern != ANY_MASK}

    def oracle(
        self, masks: Path | Mapping[str, Any], classes: tuple[str, ...], ignore: int | None = None
    ) -> MaskOracle:
        """Return the oracle of the masks in a folder, or of others by id.

        Raises
        ------
        AlkitError
            An option does not fit the masks or the classes; the message names it.
        """
        from alkit.oracles.simulated import MaskOracle

        by_id = isinstance(masks, Mapping)
        with naming(OPTIONS):
            return MaskOracle(
                masks if isinstance(masks, Mapping) else str(masks),
                classes=classes,
                ignore=ignore,
                pattern=ANY_MASK if by_id else tuple(part.strip() for part in self.mask_pattern.split(",")),
                threshold=self.threshold,
                values=None if self.values is None else read_values(self.values, classes, ignore),
                instances=self.instances,
            )


FOLDERS = "folders"
"""Value of ``--labels`` if each image lies in a folder with the name of its class."""


def label_oracle(labels: str, classes: tuple[str, ...] | None, ids: Iterable[str]) -> LabelOracle:
    """Return the oracle of one class per image.

    Parameters
    ----------
    labels:
        Path of a table, or :data:`FOLDERS`.
    classes:
        Names of the classes; None for those that occur, sorted.
    ids:
        Ids of the images.
    """
    from alkit.errors import LabelError
    from alkit.oracles.class_files import folder_classes, read_classes
    from alkit.oracles.simulated import LabelOracle

    known = folder_classes(ids) if labels == FOLDERS else read_classes(labels)
    used = sorted({known[id] for id in ids if id in known})
    if classes is None and len(used) < 2:
        raise LabelError(
            "--labels must give the images two or more classes",
            got=", ".join(map(repr, used)) or "none of their ids",
            expected=f"ids such as {next(iter(ids), '')!r} in the first column" if labels != FOLDERS else None,
        )
    return LabelOracle(known, classes=tuple(used) if classes is None else classes)


def read_values(text: str, classes: tuple[str, ...], ignore: int | None) -> dict[int, int] | list[int]:
    """Return the values of masks that an option names: one for each class, or pairs of a value and a class.

    Raises
    ------
    ConfigurationError
        The text has another form, or names an unknown class.

    Examples
    --------
    >>> read_values("0,60,120", ("background", "liver", "spleen"), None)
    [0, 60, 120]
    >>> read_values("0=background, 60=liver, 61=1, 255=ignored", ("background", "liver"), 9)
    {0: 0, 60: 1, 61: 1, 255: 9}
    """
    parts = [part.strip() for part in text.split(",")]
    names = {name: number for number, name in enumerate(classes)}
    if ignore is not None:
        names.setdefault(IGNORED, ignore)
    wrong = ConfigurationError(
        "--values must be the value of each class, or pairs of a value and a class, with commas between them",
        got=repr(text),
        hint=f"--values {','.join(str(255 * number // (len(classes) - 1)) for number in range(len(classes)))}, or "
        f"--values 0={classes[0]},255={classes[1]}",
    )
    try:
        if all("=" not in part for part in parts):
            return [int(part) for part in parts]
        values: dict[int, int] = {}
        for part in parts:
            value, equals, name = (piece.strip() for piece in part.partition("="))
            if not equals or int(value) in values:
                raise wrong
            if name not in names and not name.isdecimal():
                raise ConfigurationError(
                    "--values must name classes", got=repr(name), expected=", ".join(names), hint="--ignore for ignored"
                )
            values[int(value)] = names[name] if name in names else int(name)
    except ValueError as reason:
        if isinstance(reason, AlkitError):
            raise
        raise wrong from reason
    return values
