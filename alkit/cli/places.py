"""Where a campaign's queries go and its answers come from; the record remembers where they went last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit.errors import ConfigurationError, UnknownNameError, nearest

if TYPE_CHECKING:
    from alkit.exchange.regions import Empty
    from alkit.labelstudio.regions import Kind
    from alkit.oracles.folder import FolderOracle
    from alkit.oracles.labelstudio import Files, LabelStudioOracle
    from alkit.protocols import Pool
    from alkit.types import Answer, LabelSpec, Query

PLACE = "place"
"""Under this name the record remembers where queries went last."""

LABEL_STUDIO = "label-studio"


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder that queries are written to and answers are read from."""

    folder: str

    def oracle(
        self, spec: LabelSpec, queries: Sequence[Query], pool: Pool, prelabels: Mapping[str, Any]
    ) -> FolderOracle:
        """Return what hands queries over there, and reads answers to any of `queries`."""
        from alkit.oracles.folder import FolderOracle

        return FolderOracle(self.folder, classes=spec, images=pool, prelabels=prelabels, queries=queries)

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A folder that queries are written to as files for an annotation tool, and a file that it has written."""

    folder: str
    form: str

    def oracle(
        self, spec: LabelSpec, queries: Sequence[Query], pool: Pool, prelabels: Mapping[str, Any]
    ) -> AnnotationFiles:
        """Return what writes such files."""
        return AnnotationFiles(self.form, spec, folder=Path(self.folder), images=pool, prelabels=prelabels)

    def __str__(self) -> str:
        return f"{self.folder}, as {self.form.upper()}"


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """An oracle of files in one of :data:`FORMATS`: queries are written to a folder, answers are read from a file."""

    form: str
    spec: LabelSpec
    folder: Path | None = None
    images: Pool | None = None
    prelabels: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    queries: Sequence[Query] = ()
    annotator: str = ""
    empty: Empty = "unanswered"
    confirmed: bool = False

    def ask(self, queries: Sequence[Query]) -> None:
        """Write what no file in the folder lists yet."""
        assert self.folder is not None
        assert self.images is not None
        _codec(self.form).write(self.folder, queries, self.images, self.spec, self.prelabels)

    def poll(self) -> Iterator[Answer]:
        """Yield what the file says of images that were asked for."""
        assert self.file is not None
        codec = _codec(self.form)
        for answer in codec.read(self.file, self.queries, self.spec, annotator=self.annotator, empty=self.empty):
            yield replace(answer, confirmed=self.confirmed)


FORMATS = {"coco": ".json", "cvat": ".xml"}
"""What files of annotations are called."""


def _codec(form: str) -> Any:
    from alkit.exchange import coco, cvat

    return {"coco": coco, "cvat": cvat}[form]


def form_of(path: str) -> str | None:
    """Return the format of a file by its ending, None where it has none of these."""
    return next((form for form, ending in FORMATS.items() if path.lower().endswith(ending)), None)


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


Place = FolderPlace | FilePlace | LabelStudioPlace


def place_of(
    store: Path,
    *,
    folder: str | None = None,
    form: str = "files",
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
        What is written to the folder: ``files``, or one of :data:`FORMATS`.
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
    if form != "files" and form not in FORMATS:
        raise UnknownNameError(f"there is no format {form!r}", hint=nearest(form, ["files", *FORMATS]))
    if folder is not None:
        path = str(Path(folder).expanduser().absolute())
        return FolderPlace(path) if form == "files" else FilePlace(path, form)
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
    kind = FilePlace if "form" in fact else FolderPlace if "folder" in fact else LabelStudioPlace
    return kind(**fact)


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
