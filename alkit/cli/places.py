"""The place that a campaign sends queries to and reads answers from. The record stores the last place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit._files import without_tilde
from alkit._reading.limits import MOST_DIGITS
from alkit.cli.printing import quote
from alkit.errors import ConfigurationError
from alkit.record.changing import PLACE

if TYPE_CHECKING:
    from alkit.cli.stores import Typed
    from alkit.oracles.annotations import Empty
    from alkit.oracles.folder.oracle import FolderOracle
    from alkit.oracles.labelstudio.oracle import LabelStudioOracle
    from alkit.oracles.labelstudio.regions import Kind
    from alkit.protocols import Pool
    from alkit.record.store import Store
    from alkit.values.label_spec import LabelSpec
    from alkit.values.queries import Query

LABEL_STUDIO = "label-studio"

URL = "ALKIT_LABEL_STUDIO_URL"
"""Name of the environment variable that names the address of Label Studio."""

FILES = "files"
"""Form of a folder that holds only images and masks, without a file for an annotation tool."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The data of a campaign that an oracle needs, in any place.

    Parameters
    ----------
    spec:
        Label specification.
    campaign:
        Name of the campaign.
    queries:
        Queries that may be answered.
    images:
        The pool; None if no query is to be sent.
    prelabels:
        Pre-labels by id of the image.
    instructions:
        What the lead of the campaign tells the annotators, or empty.
    """

    spec: LabelSpec
    campaign: str
    queries: Sequence[Query] = ()
    images: Pool | None = None
    prelabels: Mapping[str, Any] = field(default_factory=dict)
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder that queries are written to and answers are read from.

    Parameters
    ----------
    folder:
        Absolute path of the folder.
    form:
        ``files``; or ``coco``, ``cvat``, ``csv`` or ``nifti`` to write files in this format too.
    """

    folder: str
    form: str = FILES

    def oracle(self, delivery: Delivery, empty: Empty = "unanswered") -> FolderOracle:
        """Return the oracle of this folder."""
        from alkit.oracles.folder.oracle import FolderOracle

        return FolderOracle(
            self.folder,
            classes=delivery.spec,
            images=delivery.images,
            prelabels=delivery.prelabels,
            queries=delivery.queries,
            campaign=delivery.campaign,
            instructions=delivery.instructions,
            also=[] if self.form == FILES else [self.form],
            empty=empty,
        )

    def is_same(self, other: Place) -> bool:
        """Return whether answers in another place are answers in this one."""
        return isinstance(other, FolderPlace) and os.path.realpath(self.folder) == os.path.realpath(other.folder)

    def reading(self, store: str) -> str:
        """Return the command that reads answers here, for a record as a shell takes its name."""
        return f"alkit tell {store} --from {quote(self.folder)}"

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True, slots=True)
class LabelStudioPlace:
    """A project in Label Studio.

    Parameters
    ----------
    url:
        Address of Label Studio.
    project:
        Title or number of the project.
    control:
        Drawing tool: ``bitmask``, ``brush`` or ``polygon``.
    """

    url: str
    project: str
    control: str = "bitmask"

    def oracle(self, delivery: Delivery, empty: Empty = "unanswered") -> LabelStudioOracle:
        """Return the oracle of this project. An empty annotation is always background; `empty` is not used."""
        from alkit.oracles.labelstudio.oracle import LabelStudioOracle

        return LabelStudioOracle(
            self.url,
            int(self.project) if self.project.isdecimal() and len(self.project) <= MOST_DIGITS else self.project,
            classes=delivery.spec,
            images=delivery.images,
            control=cast("Kind", self.control),
            prelabels=delivery.prelabels,
            campaign=delivery.campaign,
            instructions=delivery.instructions,
        )

    def is_same(self, other: Place) -> bool:
        """Return whether answers in another place are answers in this one."""
        from alkit.oracles.labelstudio.address import same_address

        return (
            isinstance(other, LabelStudioPlace) and same_address(self.url, other.url) and self.project == other.project
        )

    def reading(self, store: str) -> str:
        """Return the command that reads answers here, for a record as a shell takes its name."""
        return f"alkit tell {store} --from {LABEL_STUDIO} --url {quote(self.url)} --project {quote(self.project)}"

    def __str__(self) -> str:
        return f"project {self.project!r} of {self.url}"


Place = FolderPlace | LabelStudioPlace


def choose_place(
    store: Path | Typed,
    last: Place | None,
    *,
    folder: str | None = None,
    form: str | None = None,
    service: str | None = None,
    url: str | None = None,
    project: str | None = None,
    control: str | None = None,
) -> Place | None:
    """Return the place given by options of the command line. Options that are left out are taken from `last`.

    Parameters
    ----------
    store:
        The record.
    last:
        Place of the last time.
    folder, service:
        Folder, or ``label-studio``. If both are None, the place is `last`.
    form:
        Format of files to write too: ``coco``, ``cvat``, ``csv`` or ``nifti``; ``files`` for none. For a folder only.
    url, project, control:
        See :class:`LabelStudioPlace`. The default project is the name of the record.

    Returns
    -------
    Place or None
        None if neither the options nor `last` give a place.

    Raises
    ------
    ConfigurationError
        Both a folder and a service are given, the service is unknown, the address of Label Studio is missing, or an
        option does not fit the place.
    """
    if folder is not None and service is not None:
        raise ConfigurationError("--out and --to cannot be used together", got=f"{folder} and {service}")
    if service not in (None, LABEL_STUDIO):
        raise ConfigurationError(f"--to must be {LABEL_STUDIO}", got=service)
    if folder is not None or (service is None and not isinstance(last, LabelStudioPlace)):
        refuse_options({"--url": url, "--project": project, "--control": control}, f"with {LABEL_STUDIO}")
        if folder is not None:
            before = last.form if isinstance(last, FolderPlace) else FILES
            return FolderPlace(str(without_tilde(folder).absolute()), form or before)
        if isinstance(last, FolderPlace):
            return FolderPlace(last.folder, form or last.form)
        refuse_options({"--as": form}, "with --out FOLDER")
        return None
    refuse_options({"--as": form}, "with --out FOLDER")
    known = last if isinstance(last, LabelStudioPlace) else None
    if url is None and known is None and not (url := os.environ.get(URL)):
        raise ConfigurationError(
            "the address of Label Studio is missing", hint=f"--url http://localhost:8080, or the variable {URL}"
        )
    if url is not None:
        from alkit.oracles.labelstudio.address import check_url

        url, _ = check_url(url)
    title = project or (known.project if known else store.stem)
    if not project and not known and not 3 <= len(title) <= 50:
        raise ConfigurationError(
            "the title of a project in Label Studio must have 3 to 50 characters, unlike the name of this record",
            got=repr(title),
            hint='--project "A title"',
        )
    return LabelStudioPlace(
        url or (known.url if known else ""), title, control or (known.control if known else "bitmask")
    )


def refuse_options(options: Mapping[str, object], only: str) -> None:
    """Check that none of these options is given.

    Parameters
    ----------
    options:
        Values by name of the option.
    only:
        Case in which they may be used, for the message, for example ``"with --out FOLDER"``.

    Raises
    ------
    ConfigurationError
        An option is given.
    """
    if given := [name for name, value in options.items() if value]:
        raise ConfigurationError(f"{' and '.join(given)} can be used only {only}")


def last_place(record: Store) -> Place | None:
    """Return the place that queries were sent to last, or None.

    A folder is looked for where it lies relative to the record, because both may have been moved together. If it is not
    there, and lay outside the folder of the record, its absolute path counts.

    Raises
    ------
    StoreError
        The fact is damaged.
    """
    from alkit.errors import StoreError

    fact = record.fact(PLACE)
    if fact is None:
        return None
    if not isinstance(fact, dict) or not all(isinstance(value, str) for value in fact.values()):
        raise StoreError(f"the place in {record.path} is damaged", got=repr(fact)[:200])
    relative = fact.pop("relative", None)
    try:
        place = FolderPlace(**fact) if "folder" in fact else LabelStudioPlace(**fact)
    except TypeError as reason:
        raise StoreError(f"the place in {record.path} is damaged", got=reason) from reason
    if relative is None or not isinstance(place, FolderPlace) or not isinstance(record.path, Path):
        return place
    there = os.path.normpath(os.path.join(os.path.realpath(record.path.parent), relative))
    outside = relative.split("/")[0] == ".."
    if os.path.realpath(place.folder) == os.path.realpath(there) or (outside and not os.path.exists(there)):
        return place
    return replace(place, folder=there)


def save_place(record: Store, place: Place) -> None:
    """Store the place in the record; a folder also by its path relative to the record, if that is a file."""
    fact = asdict(place)
    if isinstance(place, FolderPlace) and isinstance(record.path, Path):
        with suppress(ValueError):  # they are on different drives
            beside = os.path.realpath(record.path.parent)
            fact["relative"] = Path(os.path.relpath(os.path.realpath(place.folder), beside)).as_posix()
    record.revise(PLACE, lambda last: fact)
