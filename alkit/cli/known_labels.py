"""The labels of a simulation, from the options of ``alkit run``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit.cli import options
from alkit.cli.naming import naming
from alkit.errors import AlkitError, ConfigurationError, ResumeError

if TYPE_CHECKING:
    from alkit.oracles.simulated import LabelOracle, MaskOracle
    from alkit.oracles.tile_masks import TileMasks
    from alkit.pools.volumes.masks import VolumeMasks
    from alkit.protocols import Pool
    from alkit.record.store import Store

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

    def patterns(self) -> tuple[str, ...]:
        """Return the patterns of ``--mask-pattern``, which commas separate."""
        return tuple(part.strip() for part in self.mask_pattern.split(","))

    def oracle(
        self,
        masks: Path | str | Mapping[str, Any],
        classes: tuple[str, ...],
        ignore: int | None = None,
        option: str = "--masks",
    ) -> MaskOracle:
        """Return the oracle of the masks in a folder, or of others by id.

        Parameters
        ----------
        masks, classes, ignore:
            See :class:`alkit.MaskOracle`.
        option:
            The option that names the folder.

        Raises
        ------
        AlkitError
            An option does not fit the masks or the classes; the message names it.
        """
        from alkit.oracles.simulated import MaskOracle

        by_id = isinstance(masks, Mapping)
        with naming({**OPTIONS, "masks": option}):
            return MaskOracle(
                masks if isinstance(masks, Mapping) else str(masks),
                classes=classes,
                ignore=ignore,
                pattern=ANY_MASK if by_id else self.patterns(),
                threshold=self.threshold,
                values=None if self.values is None else read_values(self.values, classes, ignore),
                instances=self.instances,
            )


MASK_FORM = "mask_form"
"""Name of the record's fact that holds what `alkit run` said about the form of masks."""


def settle_form(record: Store, form: MaskForm, oracle: MaskOracle) -> None:
    """Record the form of the masks of a run, or check that it is the recorded one.

    Another form may give other labels of the same images. A record of an earlier version has none: then that of the
    first command that resumes it is recorded.

    Raises
    ------
    ResumeError
        The record has answers, and was created with another form.
    """
    values = None if oracle.values is None else cast(Mapping[int, int], oracle.values)
    now = {
        "--mask-pattern": form.mask_pattern,
        "--threshold": oracle.threshold,
        "--values": None if values is None else ",".join(f"{value}={values[value]}" for value in sorted(values)),
        "--instances": oracle.instances,
    }
    before = record.fact(MASK_FORM)
    if before == now:
        return
    if before is None or not record.has_answers():
        record.revise(MASK_FORM, lambda _: now)
        return
    lines = [f"{name}: recorded {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    raise ResumeError(
        f"{record.path} was created with other settings: {'; '.join(lines)}",
        hint="the recorded settings, or another store",
    )


def masks_in(pool: Pool, folder: str, pattern: str, option: str) -> str | TileMasks | VolumeMasks:
    """Return the masks of tiles or of slices by id, cut out of those in a folder; for other pools, the folder itself.

    Parameters
    ----------
    pool:
        The images.
    folder:
        The masks of large images, or the volumes of labels.
    pattern:
        File names of masks, as ``--mask-pattern`` states it. One of whole images counts as none.
    option:
        The option that names the folder.

    Raises
    ------
    LabelError
        An image or a volume has no labels, or they do not fit.
    """
    from alkit.oracles.tile_masks import FIELD, TileMasks
    from alkit.pools.base import whole_pool
    from alkit.pools.tiles.pool import TilePool
    from alkit.pools.volumes.masks import VolumeMasks
    from alkit.pools.volumes.pool import VolumePool

    own = None if pattern == ANY_MASK else pattern
    with naming({"folder": option, "pattern": "--mask-pattern"}):
        match whole_pool(pool):
            case TilePool():
                return TileMasks(cast("TilePool", pool), folder, None if own is None else own.replace("{id}", FIELD))
            case VolumePool():
                return VolumeMasks(cast("VolumePool", pool), folder, own)
    return folder


FOLDERS = "folders"
"""Value of ``--labels`` if each image lies in a folder with the name of its class."""


def label_oracle(
    labels: str,
    classes: tuple[str, ...] | None,
    ids: Iterable[str],
    option: str = "--labels",
    *,
    multiple: bool = False,
    ignore: int | None = None,
) -> LabelOracle:
    """Return the oracle of one class per image, or of several.

    Parameters
    ----------
    labels:
        Path of a table, or :data:`FOLDERS`.
    classes:
        Names of the classes; None for those that occur, sorted.
    ids:
        Ids of the images.
    option:
        The option that names the table.
    multiple, ignore:
        Whether an image can have several classes, and the value of those that are unknown.
    """
    from alkit.errors import LabelError
    from alkit.oracles.class_files import folder_classes, read_classes
    from alkit.oracles.class_sets import read_set_table
    from alkit.oracles.simulated import LabelOracle

    if multiple and labels == FOLDERS:
        raise ConfigurationError(
            "folders give each image one class, but --multiple says that it can have several",
            got=f"{option} folders",
            hint=f"{option} FILE, a table with a column class such as cat|dog, or with a column for each class",
        )
    if multiple:
        named = read_set_table(labels).classes if classes is None else classes
        if not named:
            raise LabelError(f"{option} must give the images at least one class", got="none", hint="--classes NAMES")
        return LabelOracle(labels, classes=named, multiple=True, ignore=ignore)
    known = folder_classes(ids) if labels == FOLDERS else read_classes(labels)
    used = sorted({known[id] for id in ids if id in known})
    if classes is None and len(used) < 2:
        raise LabelError(
            f"{option} must give the images two or more classes",
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
