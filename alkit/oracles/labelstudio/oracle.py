"""The oracle for people who label in Label Studio."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, ImageError, LabelError, OracleError
from alkit.oracles.formats.regions import label_values
from alkit.oracles.labelstudio.client import Client
from alkit.oracles.labelstudio.interface import Tags, interface, tags_of
from alkit.oracles.labelstudio.regions import KINDS, Kind, mask_of, regions_of
from alkit.pictures.shown import picture
from alkit.pools.decoding import decode
from alkit.pools.scaling import scaled
from alkit.protocols import Pool
from alkit.values.answers import Answer, Invalid, Skip
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query

log = logging.getLogger(__name__)

BATCH = 20
"""Number of tasks created by one request."""

PAGE = 50
"""Number of tasks read by one request; each contains its masks."""

SHOWN = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats that every browser shows, with the suffix of their files; other images are sent as PNG."""

ABOUT = "Images chosen by alkit. A model is trained on the labels that are submitted here."
"""Description of a project."""

WITHDRAWN = "This query was withdrawn: nobody needs to answer it. An answer is still accepted."
"""Note above an image whose query was withdrawn."""


@dataclass(frozen=True)
class LabelStudioOracle:
    """People who label in a project of Label Studio.

    Each query becomes a task. The task stores the query's key as ``alkit_query`` and the image's id as ``alkit_id``,
    so the oracle recognises it after a crash; tasks without these keys are ignored. A project serves one campaign,
    whose name is stored as ``alkit_campaign``. Images are uploaded unchanged, except those that a browser cannot show
    (TIFF and 16 bits): these are converted to an 8-bit PNG of the same size, scaled from the image's lowest value
    (black) to its highest (white).

    Submitted annotations are answers; drafts and predictions are not. A skip becomes :class:`~alkit.values.Skip`,
    without a
    reason, because Label Studio asks for none. An empty annotation is a mask of class 0. An annotation that cannot be
    read without loss becomes :class:`~alkit.values.Invalid`, with the reason. :mod:`alkit.oracles.labelstudio.regions`
    describes how
    regions become a mask. An annotation that was submitted in the editor is confirmed; one that was copied from a
    prediction in bulk is not.

    The annotator is the owner of the annotation, written ``user-<number>``. Everybody sees this number, unlike e-mail
    addresses, and it does not change. Deleting an annotation in Label Studio does not withdraw the answer here.

    Parameters
    ----------
    url:
        Address of the server, such as ``"http://localhost:8080"``. The token is read from the environment variable
        ``ALKIT_LABEL_STUDIO_TOKEN``: a personal access token or a legacy token.
    project:
        Title of the project, 3 to 50 characters, or the number of an existing project. The first :meth:`ask` creates
        a project if none has the title.
    classes:
        Names of the classes, whose ids are their positions, or a :class:`LabelSpec`. Labels have the names of the
        classes. Class 0 is the background, which nobody draws. A spec with an ignore value adds a label ``ignored``.
    images:
        The pool; required by :meth:`ask` only.
    control:
        How annotators draw: ``"bitmask"`` (BitmaskLabels), ``"brush"`` or ``"polygon"``. :meth:`poll` reads all three.
    prelabels:
        Masks ``(h, w)`` at the original size, by image id, which annotators correct. As polygons they have many
        corners, because the outline follows every pixel.
    campaign:
        Name of the campaign, :attr:`alkit.Experiment.campaign`. Tasks of another campaign are refused. Empty accepts
        all.
    model_version:
        Name of the pre-labels. The editor shows the pre-labels of one name only: that of the last :meth:`ask`.
    since:
        Time, with a time zone, after which a task must have changed to be read by :meth:`poll`. None reads all tasks.
    timeout:
        Seconds to wait for an answer of the server.

    Raises
    ------
    ConfigurationError
        The address, project, control, classes or time cannot be used.

    Examples
    --------
    >>> oracle = LabelStudioOracle("http://localhost:8080", "skin", classes=("skin", "lesion"))
    >>> oracle
    LabelStudioOracle(url='http://localhost:8080', project='skin', classes=('skin', 'lesion'), control='bitmask')
    """

    url: str
    project: str | int
    classes: Sequence[str] | LabelSpec
    images: Pool | None = field(default=None, repr=False)
    control: Kind = "bitmask"
    prelabels: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)
    campaign: str = field(default="", repr=False)
    model_version: str = field(default="alkit", repr=False)
    since: datetime | None = field(default=None, repr=False)
    timeout: float = field(default=60.0, repr=False)
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _client: Client = field(init=False, repr=False, compare=False)
    _tasks_of_answers: dict[tuple[str, str, int | None], _Task] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(self.classes)  # type: ignore[arg-type]
        label_values(spec)
        if self.control not in KINDS:
            raise ConfigurationError(f"control must be {' or '.join(KINDS)}", got=repr(self.control))
        if isinstance(self.project, bool) or not isinstance(self.project, str | int):
            raise ConfigurationError("project must be a title or a number", got=repr(self.project))
        if isinstance(self.project, str) and not 3 <= len(self.project) <= 50:
            raise ConfigurationError("the title of a project must have 3 to 50 characters", got=repr(self.project))
        if self.since is not None and self.since.tzinfo is None:
            raise ConfigurationError("since must have a time zone", got=self.since, hint="datetime.now(UTC)")
        client = Client(self.url, self.timeout)
        vars(self).update(spec=spec, classes=spec.classes, url=client.url, _client=client)

    def ask(self, queries: Sequence[Query]) -> None:
        """Create a task, with its pre-label, for each query that has none yet, in the order of rounds and ranks.

        Raises
        ------
        OracleError
            The server cannot be reached, fails or sends an unexpected answer, or the project belongs to another
            campaign. Tasks that were created before the error remain; calling again creates the missing ones.
        ConfigurationError
            The environment holds no token, or the project's interface does not offer these classes.
        DataError
            An image cannot be read, or a pre-label does not have its size.
        """
        if not queries:
            return
        if self.images is None:
            raise ConfigurationError("images must be a pool", got="None", hint="LabelStudioOracle(..., images=pool)")
        project, tags = self._prepare(max(query.wanted for query in queries))
        existing = {}
        for task in self._tasks(project, fields="task_only"):
            existing[task["data"]["alkit_query"]] = task["data"]["alkit_id"]
        missing = []
        for query in sorted(queries, key=lambda query: (query.round, query.rank)):
            if query.key not in existing:
                missing.append(query)
            elif existing[query.key] != query.id:
                raise OracleError(
                    f"project {self.project!r} belongs to another campaign",
                    got=f"{query.key} of image {existing[query.key]!r}",
                    expected=repr(query.id),
                    hint="use a project of its own for each campaign",
                )
        if not missing:
            return
        uploads = self._uploads(project)
        for start in range(0, len(missing), BATCH):
            tasks = [self._task(query, self.images, project, tags, uploads) for query in missing[start : start + BATCH]]
            self._client.post(f"/api/projects/{project}/import", tasks, return_task_ids="true")

    def poll(self) -> Iterator[Answer]:
        """Yield all current answers: each submitted or skipped annotation of each task of this campaign.

        Remarks in a task's note about answers that have changed are removed before its answers are yielded.

        Raises
        ------
        OracleError
            The server cannot be reached, fails or sends an unexpected answer, or the project does not exist.
        ConfigurationError
            The environment holds no token.
        """
        project = self._find()
        if project is None:
            raise OracleError(f"{self.url} has no project {self.project!r}", hint="ask creates it")
        for task in self._tasks(project["id"], fields="all", **self._since()):
            answers = [self._answer(task, annotation) for annotation in task.get("annotations") or ()]
            own = _Task(task["id"], task["data"])
            current = tuple(map(_start_of_line, answers))
            self._write_note(own, [line for line in own.notes if line == WITHDRAWN or line.startswith(current)])
            for answer in answers:
                self._tasks_of_answers[answer.id, answer.annotator, answer.revision] = own
                yield answer

    def refused(self, answer: Answer, reason: str) -> None:
        """Write above the task's image, and in its column ``alkit_note``, why an answer was not accepted.

        The line states the time of the answer and stays until the answer is corrected. A line that cannot be written
        is logged.
        """
        task = self._tasks_of_answers.get((answer.id, answer.annotator, answer.revision))
        if task is None:
            return  # the answer came from another oracle
        start = _start_of_line(answer)
        others = [line for line in task.notes if not line.startswith(start)]
        line = f"{start}{' '.join(reason.split())}"
        self._write_note(task, task.notes if line in task.notes else [*others, line])

    def cancelled(self, queries: Sequence[Query]) -> None:
        """Write above the images of these queries that they were withdrawn; raises the errors of :meth:`poll`."""
        keys, project = {query.key for query in queries}, self._find()
        for task in [] if project is None else list(self._tasks(project["id"], fields="task_only")):
            if task["data"]["alkit_query"] in keys:
                own = _Task(task["id"], task["data"])
                self._write_note(own, [WITHDRAWN, *(line for line in own.notes if line != WITHDRAWN)])

    def _write_note(self, task: _Task, lines: Sequence[str]) -> None:
        """Replace a task's note by these lines."""
        note = "\n".join(lines)
        if task.data.get("alkit_note", "") == note:
            return
        try:
            self._client.patch(f"/api/tasks/{task.id}/", {"data": {**task.data, "alkit_note": note}})
            task.data["alkit_note"] = note
        except OracleError as failure:
            log.warning("a note cannot be written to Label Studio (%s): %s", failure, note)

    def _find(self) -> Mapping[str, Any] | None:
        """Return the project, or None if no project has the title."""
        if isinstance(self.project, int):
            return self._with_id(self._client.get(f"/api/projects/{self.project}/"))
        listed = self._client.pages("/api/projects/", "results", size=100, title=self.project)
        same = [project for project in listed if project.get("title") == self.project]
        if len(same) > 1:
            raise OracleError(
                f"{len(same)} projects have the title {self.project!r}",
                got=f"the numbers {', '.join(str(project.get('id')) for project in same)}",
                hint="give the number of one",
            )
        return self._with_id(same[0]) if same else None

    def _prepare(self, wanted: int) -> tuple[int, Tags]:
        """Create or adjust the project; return its number and the names that regions refer to."""
        settings: dict[str, Any] = {"enable_empty_annotation": True}  # an empty one means: background alone
        if self.prelabels:
            settings |= {"show_collab_predictions": True, "model_version": self.model_version}
        project = self._find()
        if project is None:
            created: dict[str, Any] = {
                "title": self.project,
                "description": ABOUT,
                "label_config": interface(self.spec, self.control),
                "maximum_annotations": wanted,
                "skip_queue": "IGNORE_SKIPPED",  # a skip is an answer, so nobody is asked again
                **settings,
            }
            project = self._with_id(self._client.post("/api/projects/", created))
            return project["id"], tags_of(created["label_config"], self.spec, self.control)
        if project.get("maximum_annotations", 1) < wanted:
            settings["maximum_annotations"] = wanted
        config = str(project.get("label_config"))
        try:
            tags = tags_of(config, self.spec, self.control)
        except ConfigurationError:
            if project.get("task_number"):
                raise
            config = settings["label_config"] = interface(self.spec, self.control)  # no task uses the old one
            tags = tags_of(config, self.spec, self.control)
        if changed := {name: value for name, value in settings.items() if project.get(name) != value}:
            self._client.patch(f"/api/projects/{project['id']}/", changed)
        return project["id"], tags

    def _tasks(self, project: int, **query: str) -> Iterator[Mapping[str, Any]]:
        """Yield the tasks of this campaign; raise an error if one belongs to another campaign."""
        listed = self._client.pages("/api/tasks", "tasks", size=PAGE, project=project, resolve_uri="false", **query)
        for task in listed:
            data = task.get("data")
            if isinstance(data, dict) and all(isinstance(data.get(key), str) for key in ("alkit_query", "alkit_id")):
                if self.campaign and data.get("alkit_campaign") not in (None, "", self.campaign):
                    raise OracleError(
                        f"project {self.project!r} belongs to another campaign",
                        got=f"task {task['id']} of campaign {data['alkit_campaign']!r}",
                        expected=repr(self.campaign),
                        hint="use a project of its own for each campaign",
                    )
                yield task

    def _since(self) -> dict[str, str]:
        """Return the query parameters that select tasks changed after ``since``."""
        if self.since is None:
            return {}
        rule = {
            "filter": "filter:tasks:updated_at",
            "operator": "greater",
            "type": "Datetime",
            "value": self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return {"query": json.dumps({"filters": {"conjunction": "and", "items": [rule]}})}

    def _uploads(self, project: int) -> dict[str, str]:
        """Return the uploaded files by the name that they were given: a hash of their content."""
        listed = self._client.get(f"/api/projects/{project}/file-uploads", all="true")
        files = [str(entry.get("file")) for entry in self._entries(listed)]
        return {file.rpartition("-")[2]: file for file in files}

    def _task(self, query: Query, images: Pool, project: int, tags: Tags, uploads: dict[str, str]) -> dict[str, Any]:
        content, suffix = _browser_image(images, query.id)
        name = hashlib.sha256(content).hexdigest()[:32] + suffix
        if name not in uploads:
            answer = self._client.upload(f"/api/projects/{project}/import", name, content, commit_to_project="false")
            ids = answer.get("file_upload_ids") if isinstance(answer, dict) else None
            if not isinstance(ids, list) or len(ids) != 1:
                raise OracleError("Label Studio did not store an image", got=self._client.quote(answer))
            uploads[name] = str(self._with_id(self._client.get(f"/api/import/file-upload/{ids[0]}")).get("file"))
        height, width = query.sizes[0]
        task: dict[str, Any] = {
            "data": {
                tags.data: f"/data/{uploads[name]}",
                "alkit_query": query.key,
                "alkit_id": query.id,
                "alkit_campaign": self.campaign,
                "alkit_size": [height, width],
                "alkit_why": query.stands_for,
                "alkit_note": "",
            }
        }
        if query.id in self.prelabels:
            mask = self.spec.check(self.prelabels[query.id], id=query.id, sizes=[(height, width)])
            regions = regions_of(mask, self.spec, self.control, control=tags.control, image=tags.image)
            if regions:
                task["predictions"] = [{"model_version": self.model_version, "result": regions}]
        return task

    def _answer(self, task: Mapping[str, Any], annotation: Mapping[str, Any]) -> Answer:
        data, by = task["data"], annotation.get("completed_by")
        if isinstance(by, dict):  # some versions send more than the number
            by = by.get("id")
        annotator = f"user-{by}" if isinstance(by, int) else ""
        try:
            revision = _revision(str(annotation["updated_at"]))
        except (KeyError, ValueError) as reason:
            raise OracleError("an annotation must state when it was last changed", got=reason) from None
        spent = annotation.get("lead_time")
        seconds = float(spent) if isinstance(spent, int | float) and math.isfinite(spent) and spent >= 0 else None
        label: Any
        if annotation.get("was_cancelled"):
            label = Skip()
        else:
            try:
                label = mask_of(annotation.get("result"), self.spec, _size(data))
            except LabelError as reason:
                label = Invalid(str(reason))
        # Only the editor measures a time; predictions that are copied in bulk have none.
        confirmed = seconds is not None and not annotation.get("bulk_created")
        return Answer(data["alkit_id"], label, annotator, revision, seconds, confirmed)

    def _with_id(self, answer: Any) -> Mapping[str, Any]:
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
            raise OracleError("an answer of Label Studio must have an id", got=self._client.quote(answer))
        return answer

    def _entries(self, answer: Any) -> Iterable[Mapping[str, Any]]:
        entries = answer.get("results") if isinstance(answer, dict) else answer
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise OracleError("an answer of Label Studio must be a list", got=self._client.quote(answer))
        return entries


@dataclass(frozen=True, slots=True)
class _Task:
    """A task of this campaign."""

    id: int
    data: dict[str, Any]

    @property
    def notes(self) -> list[str]:
        """Lines of the task's note."""
        return str(self.data.get("alkit_note") or "").splitlines()


def _start_of_line(answer: Answer) -> str:
    """Return the start of the line in a note that states why an answer was not accepted."""
    when = "" if answer.revision is None else f" of {_time(answer.revision):%Y-%m-%d %H:%M:%S} UTC"
    return f"The answer{when} by {answer.annotator or 'somebody'} was not accepted: "


def _size(data: Mapping[str, Any]) -> tuple[int, int]:
    match data.get("alkit_size"):
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    raise LabelError("the task must state the size of its image as alkit_size", got=repr(data.get("alkit_size")))


def _revision(updated_at: str) -> int:
    """Return a time of the server as nanoseconds since 1970 UTC, the unit of file times.

    >>> _revision("1970-01-01T00:00:01.000002Z")
    1000002000
    """
    time = datetime.fromisoformat(updated_at)
    if time.tzinfo is None:
        raise ValueError(f"{updated_at!r} has no time zone")
    since = time - datetime.fromtimestamp(0, UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _time(revision: int) -> datetime:
    return datetime.fromtimestamp(revision // 1_000_000_000, UTC)


def _browser_image(images: Pool, id: str) -> tuple[bytes, str]:
    """Return an image file that a browser can show, at its original size, and its suffix."""
    from PIL import Image

    own = getattr(images, "file", None)
    path: Path | None = own(id) if callable(own) else None
    if path is None:
        return picture(images, id)
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            if image.format in SHOWN and not image.mode.startswith("I;16"):
                return content, SHOWN[image.format]
    except Exception as reason:  # damaged files raise OSError, SyntaxError, struct.error and others
        raise ImageError(f"{path} cannot be read", got=reason) from reason
    pixels, _ = decode(path, None, False)
    if pixels.dtype != np.uint8:
        pixels = np.rint(255 * scaled(pixels[None], "minmax")[0]).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze())).save(file, "PNG")
    return file.getvalue(), ".png"
