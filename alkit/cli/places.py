"""Where a campaign's queries go and its answers come from; the record remembers where they went last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.oracles.folder.oracle import FolderOracle
    from alkit.oracles.formats.annotations import Empty
    from alkit.oracles.labelstudio.oracle import LabelStudioOracle
    from alkit.oracles.labelstudio.regions import Kind
    from alkit.protocols import Pool
    from alkit.record.store import Store
    from alkit.values.label_spec import LabelSpec
    from alkit.values.queries import Query

PLACE = "place"
"""Under this name the record remembers where queries went last."""

LABEL_STUDIO = "label-studio"

FILES = "files"
"""The form in which a folder holds images and masks alone."""


@dataclass(frozen=True, slots=True)
class Handing:
    """What is handed to a place: to any oracle alike.

    Parameters
    ----------
    spec:
        What labels look like.
    campaign:
        Name of the campaign.
    queries:
        All that may be answered.
    images:
        The pool, where queries are to be written.
    prelabels:
        By image id.
    """

    spec: LabelSpec
    campaign: str
    queries: Sequence[Query] = ()
    images: Pool | None = None
    prelabels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder that queries are written to and answers are read from; besides, perhaps, in a tool's own format."""

    folder: str
    form: str = FILES

    def oracle(self, handing: Handing, empty: Empty = "unanswered") -> FolderOracle:
        """Return what hands queries over there, and reads answers."""
        from alkit.oracles.folder.oracle import FolderOracle

        return FolderOracle(
            self.folder,
            classes=handing.spec,
            images=handing.images,
            prelabels=handing.prelabels,
            queries=handing.queries,
            campaign=handing.campaign,
            also=[] if self.form == FILES else [self.form],
            empty=empty,
        )

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True, slots=True)
class LabelStudioPlace:
    """A project of Label Studio."""

    url: str
    project: str
    control: str = "bitmask"

    def oracle(self, handing: Handing, empty: Empty = "unanswered") -> LabelStudioOracle:
        """Return what hands queries over there, and reads answers; an empty annotation is background in any case."""
        from alkit.oracles.labelstudio.oracle import LabelStudioOracle

        return LabelStudioOracle(
            self.url,
            int(self.project) if self.project.isdecimal() else self.project,
            classes=handing.spec,
            images=handing.images,
            control=cast("Kind", self.control),
            prelabels=handing.prelabels,
            campaign=handing.campaign,
        )

    def __str__(self) -> str:
        return f"project {self.project!r} of {self.url}"


Place = FolderPlace | LabelStudioPlace


def place_of(
    store: Path,
    last: Place | None,
    *,
    folder: str | None = None,
    form: str | None = None,
    service: str | None = None,
    url: str | None = None,
    project: str | None = None,
    control: str | None = None,
) -> Place | None:
    """Return the place that was typed; what was left out is as in `last`, and None where there is no place.

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
        Both, an unknown service, one that nobody has said the address of, or an option of the other kind of place.
    """
    if folder is not None and service is not None:
        raise ConfigurationError("a folder or a service, not both", got=f"{folder} and {service}")
    if service not in (None, LABEL_STUDIO):
        raise ConfigurationError("there is no such service", got=service, expected=LABEL_STUDIO)
    if folder is not None or (service is None and not isinstance(last, LabelStudioPlace)):
        refuse({"--url": url, "--project": project, "--control": control}, f"they are for {LABEL_STUDIO}")
        if folder is not None:
            before = last.form if isinstance(last, FolderPlace) else FILES
            return FolderPlace(str(Path(folder).expanduser().absolute()), form or before)
        if isinstance(last, FolderPlace):
            return FolderPlace(last.folder, form or last.form)
        refuse({"--as": form}, "it is for --out FOLDER")
        return None
    refuse({"--as": form}, "it is for a folder")
    known = last if isinstance(last, LabelStudioPlace) else None
    if url is None and known is None:
        raise ConfigurationError("where is Label Studio?", hint="--url http://localhost:8080")
    title = project or (known.project if known else store.stem)
    if not project and not known and not 3 <= len(title) <= 50:
        raise ConfigurationError(
            "the record's name can be no project's title",
            got=repr(title),
            expected="3 to 50 characters",
            hint='--project "A title"',
        )
    return LabelStudioPlace(
        url or (known.url if known else ""), title, control or (known.control if known else "bitmask")
    )


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raise a :class:`ConfigurationError` where one of these options was given."""
    if given := [name for name, value in options.items() if value]:
        raise ConfigurationError(f"{' and '.join(given)} cannot be used here", hint=why)


def remembered(record: Store) -> Place | None:
    """Return where queries went last; None where they never went anywhere."""
    fact = record.fact(PLACE)
    if fact is None:
        return None
    return FolderPlace(**fact) if "folder" in fact else LabelStudioPlace(**fact)


def remember(record: Store, place: Place) -> None:
    """Write down where queries go."""
    if remembered(record) != place:
        with record.exclusive():
            record.forget(PLACE)
            record.declare({PLACE: asdict(place)})
