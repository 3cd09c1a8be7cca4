"""An oracle of people who label in Label Studio."""

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
from alkit.exchange.pictures import picture
from alkit.exchange.regions import label_values
from alkit.imagecache import decode
from alkit.labelstudio.client import Client
from alkit.labelstudio.interface import Tags, interface, tags_of
from alkit.labelstudio.regions import KINDS, Kind, mask_of, regions_of
from alkit.pools import scaled
from alkit.protocols import Pool
from alkit.types import Answer, Invalid, LabelSpec, Query, Skip

log = logging.getLogger(__name__)

BATCH = 20
"""Tasks made by one request."""

PAGE = 50
"""Tasks read by one request: each comes with its masks."""

SHOWN = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats every browser shows, and what their files are called; other images are sent as PNG."""

ABOUT = "Images chosen by alkit. What is submitted here becomes the truth a model is trained on."


WITHDRAWN = "No longer asked for: nobody needs to answer. What is answered all the same is taken."


@dataclass(frozen=True)
class LabelStudioOracle:
    """People who label in a project of Label Studio.

    Each query becomes a task, which carries the query's key as ``alkit_query`` and the image's id as ``alkit_id``. By
    these it is known again, also after a crash; tasks without them are somebody else's and left alone. A project
    serves one campaign, whose name is in ``alkit_campaign``. Images are uploaded as they are; those that a browser
    cannot show, TIFF and 16 bits, as an 8-bit PNG of the same size, in which the image's least value is black and its
    greatest white.

    What counts is what somebody submitted: drafts and predictions do not. A skip is :class:`~alkit.Skip`, without a
    reason, for which Label Studio does not ask; what cannot be read faithfully is :class:`~alkit.Invalid`, with the
    reason; an empty annotation is a mask of class 0. How regions become a mask is said in
    :mod:`alkit.labelstudio.regions`. An annotation that was submitted in the editor counts as confirmed; one that was
    copied from a prediction in bulk does not. The annotator is the one whose annotation it is, as ``user-<number>``,
    whoever asks: not everybody sees addresses, and people change them. Who it was at the screen nobody can know. An
    annotation that is deleted there is not withdrawn here.

    Parameters
    ----------
    url:
        Of the server, such as ``"http://localhost:8080"``. The token comes from the environment variable
        ``ALKIT_LABEL_STUDIO_TOKEN`` alone: a personal access token, or a legacy token.
    project:
        The title of the project, 3 to 50 characters; made at the first :meth:`ask` where there is none of that title.
        Or the number of one that exists.
    classes:
        Names of the classes, whose ids are their positions, or a :class:`LabelSpec`. They are the names of the labels;
        class 0 is the background, which nobody draws. Where the spec has an ignore value, there is also a label
        ``ignored``.
    images:
        The pool; not needed by who only fetches answers.
    control:
        How people draw: ``"bitmask"`` (BitmaskLabels), ``"brush"`` or ``"polygon"``. Answers are read whichever it was.
    prelabels:
        From an image's id to a mask ``(h, w)`` at its original size, to be corrected. Outlines of polygons follow every
        pixel: they have many corners.
    campaign:
        Name of the campaign, :attr:`alkit.Experiment.campaign`; tasks of another are refused. Empty for no such look.
    model_version:
        By what name the pre-labels go. The editor shows those of one name only: the one of the last :meth:`ask`.
    since:
        :meth:`poll` passes over tasks that have not changed since then; with a time zone. None reads all.
    timeout:
        Seconds to wait for an answer of the server.

    Raises
    ------
    ConfigurationError
        An address, project, control or class that cannot be.

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
    _given: dict[tuple[str, str, int | None], _Task] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(self.classes)  # type: ignore[arg-type]
        label_values(spec)
        if self.control not in KINDS:
            raise ConfigurationError("no such control", got=repr(self.control), expected=" or ".join(KINDS))
        if isinstance(self.project, bool) or not isinstance(self.project, str | int):
            raise ConfigurationError("a project is named by its title or number", got=repr(self.project))
        if isinstance(self.project, str) and not 3 <= len(self.project) <= 50:
            raise ConfigurationError(
                "this can be no project's title", got=repr(self.project), expected="3 to 50 characters"
            )
        if self.since is not None and self.since.tzinfo is None:
            raise ConfigurationError("since is without a time zone", got=self.since, hint="datetime.now(UTC)")
        client = Client(self.url, self.timeout)
        vars(self).update(spec=spec, classes=spec.classes, url=client.url, _client=client)

    def ask(self, queries: Sequence[Query]) -> None:
        """Make a task of each query that has none yet, the most wanted first, with its pre-label if there is one.

        Raises
        ------
        OracleError
            The server cannot be reached or does not do as it should, or the project is another campaign's. What was
            made until then stays; asking again goes on from there.
        ConfigurationError
            There is no token; or the project cannot be used: its interface does not offer these classes.
        DataError
            An image cannot be read, or a pre-label is no mask of its size.
        """
        if not queries:
            return
        if self.images is None:
            raise ConfigurationError(
                "there is no pool to take the images from", hint="LabelStudioOracle(..., images=pool)"
            )
        project, tags = self._prepared(max(query.wanted for query in queries))
        there = {}
        for task in self._tasks(project, fields="task_only"):
            there[task["data"]["alkit_query"]] = task["data"]["alkit_id"]
        missing = []
        for query in sorted(queries, key=lambda query: (query.round, query.rank)):
            if query.key not in there:
                missing.append(query)
            elif there[query.key] != query.id:
                raise OracleError(
                    f"project {self.project!r} belongs to another campaign",
                    got=f"{query.key} of image {there[query.key]!r}",
                    expected=repr(query.id),
                    hint="a project of its own",
                )
        if not missing:
            return
        uploads = self._uploads(project)
        for start in range(0, len(missing), BATCH):
            tasks = [self._task(query, self.images, project, tags, uploads) for query in missing[start : start + BATCH]]
            self._client.post(f"/api/projects/{project}/import", tasks, return_task_ids="true")

    def poll(self) -> Iterator[Answer]:
        """Yield every answer there is now: each annotation, submitted or skipped, of each of our tasks.

        Before a task's answers are yielded, what its note says of answers that have changed since is removed.

        Raises
        ------
        OracleError
            The server cannot be reached or does not answer as it should, or there is no such project.
        ConfigurationError
            There is no token.
        """
        project = self._found()
        if project is None:
            raise OracleError(f"there is no project {self.project!r} at {self.url}", hint="ask makes it")
        for task in self._tasks(project["id"], fields="all", **self._changed()):
            answers = [self._answer(task, annotation) for annotation in task.get("annotations") or ()]
            kept = _Task(task["id"], task["data"])
            current = tuple(map(_about, answers))
            self._note(kept, [line for line in kept.notes if line == WITHDRAWN or line.startswith(current)])
            for answer in answers:
                self._given[answer.id, answer.annotator, answer.revision] = kept
                yield answer

    def refused(self, answer: Answer, reason: str) -> None:
        """Write why an answer was not taken over its task's image, and into the column ``alkit_note``.

        It stays there, with the time of the answer it speaks of, until that has been corrected. Where it cannot be
        written it is logged.
        """
        task = self._given.get((answer.id, answer.annotator, answer.revision))
        if task is None:
            return  # it came from elsewhere
        about = _about(answer)
        others = [line for line in task.notes if not line.startswith(about)]
        line = f"{about}{' '.join(reason.split())}"
        self._note(task, task.notes if line in task.notes else [*others, line])

    def cancelled(self, queries: Sequence[Query]) -> None:
        """Write over the images of these queries that they were withdrawn; raises as :meth:`poll`."""
        keys, project = {query.key for query in queries}, self._found()
        for task in [] if project is None else list(self._tasks(project["id"], fields="task_only")):
            if task["data"]["alkit_query"] in keys:
                kept = _Task(task["id"], task["data"])
                self._note(kept, [WITHDRAWN, *(line for line in kept.notes if line != WITHDRAWN)])

    def _note(self, task: _Task, lines: Sequence[str]) -> None:
        """Let a task's note be these lines."""
        note = "\n".join(lines)
        if task.data.get("alkit_note", "") == note:
            return
        try:
            self._client.patch(f"/api/tasks/{task.id}/", {"data": {**task.data, "alkit_note": note}})
            task.data["alkit_note"] = note
        except OracleError as failure:
            log.warning("what follows cannot be written into Label Studio (%s) %s", failure, note)

    def _found(self) -> Mapping[str, Any] | None:
        """Return the project; None where there is none of that title."""
        if isinstance(self.project, int):
            return _checked(self._client.get(f"/api/projects/{self.project}/"))
        listed = self._client.pages("/api/projects/", "results", size=100, title=self.project)
        same = [project for project in listed if project.get("title") == self.project]
        if len(same) > 1:
            raise OracleError(
                f"there are {len(same)} projects called {self.project!r}",
                got=f"numbers {', '.join(str(project.get('id')) for project in same)}",
                hint="give the number of one",
            )
        return _checked(same[0]) if same else None

    def _prepared(self, wanted: int) -> tuple[int, Tags]:
        """Return the project's number, and where its regions belong, after making or adjusting it."""
        settings: dict[str, Any] = {"enable_empty_annotation": True}  # submitted, it says: no lesion
        if self.prelabels:
            settings |= {"show_collab_predictions": True, "model_version": self.model_version}
        project = self._found()
        if project is None:
            made: dict[str, Any] = {
                "title": self.project,
                "description": ABOUT,
                "label_config": interface(self.spec, self.control),
                "maximum_annotations": wanted,
                "skip_queue": "IGNORE_SKIPPED",  # a skip is an answer: nobody is asked again
                **settings,
            }
            project = _checked(self._client.post("/api/projects/", made))
            return project["id"], tags_of(made["label_config"], self.spec, self.control)
        if project.get("maximum_annotations", 1) < wanted:
            settings["maximum_annotations"] = wanted
        config = str(project.get("label_config"))
        try:
            tags = tags_of(config, self.spec, self.control)
        except ConfigurationError:
            if project.get("task_number"):
                raise
            config = settings["label_config"] = interface(self.spec, self.control)  # nobody has worked with it yet
            tags = tags_of(config, self.spec, self.control)
        if changed := {name: value for name, value in settings.items() if project.get(name) != value}:
            self._client.patch(f"/api/projects/{project['id']}/", changed)
        return project["id"], tags

    def _tasks(self, project: int, **query: str) -> Iterator[Mapping[str, Any]]:
        """Yield the tasks that are ours; raise where one is another campaign's."""
        listed = self._client.pages("/api/tasks", "tasks", size=PAGE, project=project, resolve_uri="false", **query)
        for task in listed:
            data = task.get("data")
            if isinstance(data, dict) and all(isinstance(data.get(key), str) for key in ("alkit_query", "alkit_id")):
                if self.campaign and data.get("alkit_campaign") not in (None, "", self.campaign):
                    raise OracleError(
                        f"project {self.project!r} belongs to another campaign",
                        got=f"task {task['id']} of campaign {data['alkit_campaign']!r}",
                        expected=repr(self.campaign),
                        hint="a project of its own",
                    )
                yield task

    def _changed(self) -> dict[str, str]:
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
        """Return the files that were uploaded before, by the name we gave them: that of their content."""
        listed = self._client.get(f"/api/projects/{project}/file-uploads", all="true")
        files = [str(entry.get("file")) for entry in _list(listed)]
        return {file.rpartition("-")[2]: file for file in files}

    def _task(self, query: Query, images: Pool, project: int, tags: Tags, uploads: dict[str, str]) -> dict[str, Any]:
        content, suffix = _shown(images, query.id)
        name = hashlib.sha256(content).hexdigest()[:32] + suffix
        if name not in uploads:
            said = self._client.upload(f"/api/projects/{project}/import", name, content, commit_to_project="false")
            ids = said.get("file_upload_ids") if isinstance(said, dict) else None
            if not isinstance(ids, list) or len(ids) != 1:
                raise OracleError("Label Studio did not keep an image", got=repr(said)[:200])
            uploads[name] = str(_checked(self._client.get(f"/api/import/file-upload/{ids[0]}")).get("file"))
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
        if isinstance(by, dict):  # some versions say more than the number
            by = by.get("id")
        annotator = f"user-{by}" if isinstance(by, int) else ""
        try:
            revision = _revision(str(annotation["updated_at"]))
        except (KeyError, ValueError) as reason:
            raise OracleError("an annotation does not say when it was made", got=reason) from None
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
        # Only the editor measures a time; copies of predictions, made in bulk, have none.
        confirmed = seconds is not None and not annotation.get("bulk_created")
        return Answer(data["alkit_id"], label, annotator, revision, seconds, confirmed)


@dataclass(frozen=True, slots=True)
class _Task:
    """A task of ours."""

    id: int
    data: dict[str, Any]

    @property
    def notes(self) -> list[str]:
        """The lines of its note."""
        return str(self.data.get("alkit_note") or "").splitlines()


def _about(answer: Answer) -> str:
    """Return how the line of a note begins that says why this answer was not taken."""
    when = "" if answer.revision is None else f" of {_time(answer.revision):%Y-%m-%d %H:%M:%S} UTC"
    return f"The answer{when} by {answer.annotator or 'somebody'} was not taken: "


def _size(data: Mapping[str, Any]) -> tuple[int, int]:
    match data.get("alkit_size"):
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    raise LabelError("the task does not say its image's size any more", got=repr(data.get("alkit_size")))


def _revision(updated_at: str) -> int:
    """Return a time of the server's as nanoseconds since 1970, UTC, as the times of files are counted.

    >>> _revision("1970-01-01T00:00:01.000002Z")
    1000002000
    """
    time = datetime.fromisoformat(updated_at)
    if time.tzinfo is None:
        raise ValueError(f"{updated_at!r} is without a time zone")
    since = time - datetime.fromtimestamp(0, UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _time(revision: int) -> datetime:
    return datetime.fromtimestamp(revision // 1_000_000_000, UTC)


def _shown(images: Pool, id: str) -> tuple[bytes, str]:
    """Return an image as a browser can show it, at its original size, and the suffix that says the format."""
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
    except Exception as reason:  # damaged files raise OSError, SyntaxError, struct.error and what not
        raise ImageError(f"{path} cannot be read", got=reason) from reason
    pixels, _ = decode(path, None, False)
    if pixels.dtype != np.uint8:
        pixels = np.rint(255 * scaled(pixels[None], "minmax")[0]).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze())).save(file, "PNG")
    return file.getvalue(), ".png"


def _checked(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
        raise OracleError("Label Studio answers in a way that is not known", got=repr(answer)[:200], expected="an id")
    return answer


def _list(answer: Any) -> Iterable[Mapping[str, Any]]:
    entries = answer.get("results") if isinstance(answer, dict) else answer
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise OracleError("Label Studio answers in a way that is not known", got=repr(answer)[:200], expected="a list")
    return entries
