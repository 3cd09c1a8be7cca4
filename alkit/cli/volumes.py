"""The options of volumes, which commands take in place of a folder of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alkit.cli.naming import naming
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.oracles.annotations import Empty
    from alkit.pools.volumes.pool import VolumePool
    from alkit.protocols import Pool
    from alkit.values.answers import Answer
    from alkit.values.progress import Report

PANEL = "Volumes"
"""Heading under which the help lists these options."""

OPTIONS = {
    "path": "--volumes",
    "folder": "--labels",
    "percentiles": "--window",
    **{name: f"--{name}" for name in ("axis", "window", "modalities", "spacing", "context", "size", "fit")},
}
"""Options for parameters of :class:`alkit.VolumePool` and :class:`alkit.pools.VolumeMasks`."""


def _option(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=PANEL)


@dataclass(frozen=True)
class Volumes:
    """Options that choose volumes and how they are cut; see :class:`alkit.VolumePool`."""

    volumes: Annotated[
        Path | None,
        _option("Folder of volumes (NIfTI, DICOM, NRRD, MetaImage), whose slices are labelled, in place of --images."),
    ] = None
    axis: Annotated[
        str, _option("Direction across the slices: axial, coronal or sagittal; or 0, 1 or 2, an axis of the array.")
    ] = "axial"
    window: Annotated[
        str | None,
        _option(
            "Values that become black and white, such as -160,240 (Hounsfield units); or percentiles of each volume, "
            "such as 1%,99%. Default: 0.5%,99.5%."
        ),
    ] = None
    context: Annotated[
        int, _option("Neighbouring slices on each side that the network sees, too, as further channels.")
    ] = 0
    modalities: Annotated[
        str | None,
        _option("Files that are the channels of a volume, such as {volume}_t1.nii.gz,{volume}_t2.nii.gz."),
    ] = None
    spacing: Annotated[
        float | None,
        _option("Millimetres of a pixel, so that all volumes have one scale; --size is then filled, not stretched."),
    ] = None

    def pool(self, size: int | None, report: Report, **others: Any) -> VolumePool:
        """Open the pool.

        Parameters
        ----------
        size, report, others:
            Parameters of :class:`alkit.VolumePool` that other options give.

        Raises
        ------
        ConfigurationError
            An option is wrong.
        """
        import alkit

        if self.spacing is not None and others.get("fit") == "squash":  # the default
            others = {**others, "fit": "pad"}
        with naming(OPTIONS):
            return alkit.VolumePool(
                str(self.volumes),
                axis=int(self.axis) if self.axis.isdecimal() and len(self.axis) == 1 else self.axis,  # type: ignore[arg-type]
                size=size,
                context=self.context,
                modalities=self.modalities,
                spacing=self.spacing,
                report=report,
                **{**others, **read_window(self.window)},
            )


def read_window(text: str | None) -> dict[str, tuple[float, float]]:
    """Return the window, or the percentiles, that an option states.

    Raises
    ------
    ConfigurationError
        The text has another form.

    Examples
    --------
    >>> read_window("-160, 240"), read_window("1%,99%"), read_window(None)
    ({'window': (-160.0, 240.0)}, {'percentiles': (1.0, 99.0)}, {})
    """
    if text is None:
        return {}
    ends = [end.strip() for end in text.split(",")]
    shares = [end.endswith("%") for end in ends]
    try:
        low, high = (float(end.removesuffix("%")) for end in ends)
        if len(set(shares)) > 1:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            "--window must be two values or two percentiles", got=repr(text), hint="--window -160,240 or 1%,99%"
        ) from None
    return {"percentiles" if shares[0] else "window": (low, high)}


def labels_of_volumes(
    pool: Pool, folder: Path, pattern: str | None, *, annotator: str, empty: Empty
) -> Iterator[Answer]:
    """Yield the labels of slices in a folder of volumes, see `alkit.oracles.existing_volumes.labels_in_volumes`."""
    from alkit.oracles.existing_volumes import labels_in_volumes

    with naming({**OPTIONS, **{"folder": "--nifti", "pattern": "--mask-pattern"}}):
        yield from labels_in_volumes(pool, folder, pattern=pattern, annotator=annotator, empty=empty)
