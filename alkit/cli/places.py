"""Where a campaign's queries go and its answers come from; the record remembers where they went last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.labelstudio.regions import Kind
    from alkit.oracles.folder import FolderOracle
    from alkit.oracles.labelstudio import Files, LabelStudioOracle
    from alkit.protocols import Pool
    from alkit.types import LabelSpec, Query

PLACE = "place"
"""Under this name the record remembers where queries went last."""

LABEL_STUDIO = "label-studio"

FILES = "files"
"""The form in which a folder holds images and masks alone."""


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder that queries are written to and answers are read from; besides, perhaps, in a tool's own format."""

    folder: str
    form: str = FILES

    def oracle(
        self, spec: LabelSpec, queries: Sequence[Query], pool: Pool, prelabels: Mapping[str, Any]
    ) -> FolderOracle:
        """Return what hands queries over there, and reads answers to any of `queries`."""
        from alkit.oracles.folder import FolderOracle

        also = [] if self.form == FILES else [self.form]
        return FolderOracle(self.folder, classes=spec, images=pool, prelabels=prelabels, queries=queries, also=also)

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True, slots=True)
class LabelStudioPlace:
    """A project of Label Studio."""

    url: str
    project: str
    control: str = "bitmask"

    def oracle(
        self, spec: LabelSpec, queries: Sequence[Query], pool: Pool, prelabels: Mapping[str, Any]
    ) -> LabelStudioOracle:
        """Return what hands queries over there, and reads answers."""
        from alkit.oracles.labelstudio import LabelStudioOracle

        project = int(self.project) if self.project.isdecimal() else self.project
        return LabelStudioOracle(
            self.url,
            project,
            classes=spec,
            images=cast("Files", pool),
            control=cast("Kind", self.control),
            prelabels=prelabels,
        )

    def __str__(self) -> str:
        return f"project {self.project!r} of {self.url}"


Place = FolderPlace | LabelStudioPlace


def place_of(
    store: Path,
    *,
    folder: str | None = None,
    form: str = FILES,
    service: str | None = None,
    url: str | None = None,
    project: str | None = None,
    control: str = "bitmask",
) -> Place | None:
    """Return the place that was typed; what was left out is as it was the last time, and None where there was none.

    Parameters
    ----------
    folder, service:
        One of the two, or neither for the last place.
    form:
        What is written to the folder besides: ``coco`` or ``cvat``.
    project:
        Default: the name of the record.

    Raises
    ------
    ConfigurationError
        Both, an unknown service, or one that nobody has said the address of.
    """
    last = remembered(store)
    if folder is not None and service is not None:
        raise ConfigurationError("a folder or a service, not both", got=f"{folder} and {service}")
    if folder is not None:
        return FolderPlace(str(Path(folder).expanduser().absolute()), form)
    if service is None:
        return last
    if service != LABEL_STUDIO:
        raise ConfigurationError("there is no such service", got=service, expected=LABEL_STUDIO)
    if isinstance(last, LabelStudioPlace):
        return LabelStudioPlace(url or last.url, project or last.project, control)
    if url is None:
        raise ConfigurationError("where is Label Studio?", hint="--url http://localhost:8080")
    return LabelStudioPlace(url, project or store.stem, control)


def remembered(store: Path) -> Place | None:
    """Return where queries went last; None where they never went anywhere."""
    from alkit.store import Store

    record = Store(store)
    try:
        fact = record.fact(PLACE)
    finally:
        record.close()
    if fact is None:
        return None
    return FolderPlace(**fact) if "folder" in fact else LabelStudioPlace(**fact)


def remember(store: Path, place: Place) -> None:
    """Write down where queries go."""
    from alkit.store import Store

    if remembered(store) == place:
        return
    record = Store(store)
    try:
        with record.exclusive():
            record.forget(PLACE)
            record.declare({PLACE: asdict(place)})
    finally:
        record.close()
