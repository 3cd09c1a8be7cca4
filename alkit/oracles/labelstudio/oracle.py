"""The oracle for people who label in Label Studio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy.typing as npt

from alkit.arguments.checked import checked, checked_except
from alkit.errors import ConfigurationError, OracleError
from alkit.oracles.label_names import label_values
from alkit.oracles.labelstudio.annotations import answer_of, time_of
from alkit.oracles.labelstudio.client import Client
from alkit.oracles.labelstudio.interface import Tags, tags_of
from alkit.oracles.labelstudio.project import Project, Task
from alkit.oracles.labelstudio.regions import KINDS, Kind, choices_of, regions_of
from alkit.oracles.notes import REVIEWED, WITHDRAWN
from alkit.pictures.files import browser_file
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query

BATCH = 20
"""Number of tasks created by one request."""


@checked_except("control", "project", "classes")
@dataclass(frozen=True)
class LabelStudioOracle:
    """People who label in a project of Label Studio.

    Each query becomes a task. The task stores the query's key as ``alkit_query`` and the image's id as ``alkit_id``,
    so the oracle recognises it after a crash; tasks without these keys are ignored. A new project shows the image's
    name and why it was chosen above the image, and instructions, which can be changed in the project's settings. A
    project serves one campaign, whose name is stored as ``alkit_campaign``. Images are uploaded unchanged, except those
    that a browser cannot show (TIFF and 16 bits): these are converted to an 8-bit PNG of the same size, scaled from the
    image's lowest value (black) to its highest (white).

    Submitted annotations are answers; drafts and predictions are not. A skip becomes :class:`~alkit.values.Skip`,
    without a reason, because Label Studio asks for none. An empty annotation is a mask of class 0. An annotation that
    cannot be read without loss becomes :class:`~alkit.values.Invalid`, with the reason. The module
    :mod:`alkit.oracles.labelstudio.regions` describes how regions become a mask. An annotation that was submitted in
    the editor is confirmed; one that was copied from a prediction in bulk is not.

    The community edition of Label Studio cannot assign tasks to people. So a task of a query that is assigned has the
    names in its data, as ``alkit_for``, and in the line above the image, and its deadline as ``alkit_due``. A filter of
    the data manager on ``alkit_for``, kept as a tab, shows a person their tasks; the label stream shows all.

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
        Classes of images are chosen: one, or several if the spec says so. Then an annotation without a choice says that
        the image has none of them.
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
    instructions:
        What the lead of the campaign tells the annotators. The project shows it before the first image, and gets it
        again if it does not contain it any more; other changes in the project's settings stay.
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
    instructions: str = field(default="", repr=False)
    model_version: str = field(default="alkit", repr=False)
    since: datetime | None = field(default=None, repr=False)
    timeout: float = field(default=60.0, repr=False)
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _project: Project = field(init=False, repr=False, compare=False)
    _tasks: dict[tuple[str, str, int | None], Task] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(self.classes)  # type: ignore[arg-type]
        if spec.per == "pixel":
            label_values(spec)
        if not isinstance(self.control, str) or self.control not in KINDS:
            raise ConfigurationError(f"control must be {' or '.join(KINDS)}", got=repr(self.control))
        if isinstance(self.project, bool) or not isinstance(self.project, str | int):
            raise ConfigurationError("project must be a title or a number", got=repr(self.project))
        if isinstance(self.project, str) and not 3 <= len(self.project) <= 50:
            raise ConfigurationError("the title of a project must have 3 to 50 characters", got=repr(self.project))
        if self.since is not None and self.since.tzinfo is None:
            raise ConfigurationError("since must have a time zone", got=self.since, hint="datetime.now(UTC)")
        client = Client(self.url, self.timeout)
        project = Project(client, self.project, self.campaign)
        vars(self).update(spec=spec, classes=spec.classes, url=client.url, _project=project)

    @checked
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
        prelabels = self.model_version if self.prelabels else None
        wanted = max(query.wanted for query in queries)
        number, tags = self._project.prepare(self.spec, self.control, wanted, prelabels, self.instructions)
        existing = {task.data["alkit_query"]: task for task in self._project.tasks(number)}
        missing = []
        for query in sorted(queries, key=lambda query: (query.round, query.rank)):
            key = next((key for key in query.keys if key in existing), None)
            if key is None:
                missing.append(query)
            elif (known := existing[key].data["alkit_id"]) != query.id:
                raise self._project.conflict(f"{key} of image {known!r}", query.id)
            else:
                self._project.update(existing[key], _changed_terms(query, existing[key].data))
        if not missing:
            return
        files = self._project.files(number)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            images = [self._project.upload(number, *browser_file(self.images, query.id), files) for query in batch]
            self._project.add(number, [self._task(*both, tags) for both in zip(batch, images, strict=True)])

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
        project = self._project.find()
        if project is None:
            raise OracleError(f"{self.url} has no project {self.project!r}", hint="ask creates it")
        tags = self._tags(str(project.get("label_config")))
        for task in self._project.tasks(project["id"], annotations=True, since=self.since):
            answers = [answer_of(annotation, task.data, self.spec, tags) for annotation in task.annotations]
            current = tuple(map(_start_of_line, answers))
            self._project.write_note(
                task, [line for line in task.notes if line == WITHDRAWN or line.startswith((REVIEWED, *current))]
            )
            for answer in answers:
                self._tasks[answer.id, answer.annotator, answer.revision] = replace(task, annotations=())
                yield answer

    @checked
    def refused(self, answer: Answer, reason: str) -> None:
        """Write above the task's image, and in its column ``alkit_note``, why an answer was not accepted.

        The line states the time of the answer and stays until the answer is corrected. A line that cannot be written
        is logged.
        """
        task = self._tasks.get((answer.id, answer.annotator, answer.revision))
        if task is None:
            return  # the answer came from another oracle
        start = _start_of_line(answer)
        others = [line for line in task.notes if not line.startswith(start)]
        line = f"{start}{' '.join(reason.split())}"
        self._project.write_note(task, task.notes if line in task.notes else [*others, line])

    @checked
    def reviewed(self, query: Query, annotator: str, text: str) -> None:
        """Write above the image of a query what a review found about somebody's label."""
        tasks = (task for task in self._tasks.values() if task.data["alkit_query"] in query.keys)
        if (task := next(tasks, None)) is None:
            return  # it belongs to another oracle
        line = f"{REVIEWED}the label of {annotator or 'somebody'}. {' '.join(text.split())}"
        self._project.write_note(task, task.notes if line in task.notes else [*task.notes, line])

    @checked
    def cancelled(self, queries: Sequence[Query]) -> None:
        """Write above the images of these queries that they were withdrawn; raises the errors of :meth:`poll`."""
        keys, project = {key for query in queries for key in query.keys}, self._project.find()
        for task in [] if project is None else list(self._project.tasks(project["id"])):
            if task.data["alkit_query"] in keys:
                self._project.write_note(task, [WITHDRAWN, *(line for line in task.notes if line != WITHDRAWN)])

    def _tags(self, config: str) -> Tags | None:
        """Return the names of the tags that offer the classes and show the image; None if no kind of tag does."""
        for kind in dict.fromkeys((self.control, *KINDS)):
            with suppress(ConfigurationError):
                return tags_of(config, self.spec, kind)
        return None

    def _task(self, query: Query, image: str, tags: Tags) -> dict[str, Any]:
        """Return a new task for a query whose image lies at the path `image` of the server."""
        size = query.sizes[0]
        task: dict[str, Any] = {
            "data": {
                tags.data: image,
                "alkit_query": query.key,
                "alkit_id": query.id,
                "alkit_campaign": self.campaign,
                "alkit_size": list(size),
                "alkit_title": _title(query),
                "alkit_why": query.stands_for,
                "alkit_note": "",
                **_terms(query),
            }
        }
        if query.id in self.prelabels:
            label = self.spec.check(self.prelabels[query.id], id=query.id, sizes=[size])
            names = {"control": tags.control, "image": tags.image}
            if self.spec.per == "image":
                regions = choices_of(label, self.spec, **names)
            else:
                regions = regions_of(label, self.spec, self.control, **names)
            if regions:
                task["predictions"] = [{"model_version": self.model_version, "result": regions}]
        return task


def _title(query: Query) -> str:
    """Return the line above an image: its id, why it was chosen, and whom it is assigned to."""
    title = f"{query.id}: {query.stands_for}" if query.stands_for else query.id
    return f"{title} (for {' and '.join(query.assigned)})" if query.assigned else title


def _terms(query: Query) -> dict[str, str]:
    """Return the data of a task that say whom it is assigned to and until when; none for the usual terms."""
    people, due = ", ".join(query.assigned), query.due or ""
    return {"alkit_for": people, "alkit_due": due} if people or due else {}


def _changed_terms(query: Query, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what must change in the data of a task whose query may have been assigned to others since."""
    terms = _terms(query)
    now = {name: terms.get(name, "") for name in ("alkit_for", "alkit_due")}
    changed = {name: value for name, value in now.items() if (data.get(name) or "") != value}
    return {**changed, **({"alkit_title": _title(query)} if "alkit_for" in changed else {})}


def _start_of_line(answer: Answer) -> str:
    """Return the start of the line in a note that states why an answer was not accepted."""
    when = "" if answer.revision is None else f" of {time_of(answer.revision):%Y-%m-%d %H:%M:%S} UTC"
    return f"The answer{when} by {answer.annotator or 'somebody'} was not accepted: "
