"""A project of Label Studio: its settings, its tasks, their notes, and its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alkit._logs import logger
from alkit.errors import ConfigurationError, OracleError
from alkit.oracles.labelstudio.client import Client, Json
from alkit.oracles.labelstudio.interface import Tags, contains, instructions, interface, tags_of
from alkit.oracles.labelstudio.regions import Kind
from alkit.values.label_spec import LabelSpec

log = logger(__name__)

PAGE = 50
"""Number of tasks read by one request; each contains its masks."""

ABOUT = "Images chosen by alkit. A model is trained on the labels that are submitted here."
"""Description of a new project."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a campaign.

    Parameters
    ----------
    id:
        Number of the task.
    data:
        The data of the task, which hold the image, the query's key, the image's id and a note.
    annotations:
        The annotations, as the server sends them.
    """

    id: int
    data: dict[str, Any]
    annotations: Sequence[Mapping[str, Any]] = ()

    @property
    def notes(self) -> list[str]:
        """Lines of the note that is shown above the image."""
        return str(self.data.get("alkit_note") or "").splitlines()


@dataclass(frozen=True, slots=True)
class Project:
    """A project, which may not exist yet.

    Parameters
    ----------
    client:
        The connection to the server.
    name:
        Title or number of the project.
    campaign:
        Name of the campaign whose tasks the project holds. Empty accepts the tasks of all campaigns.
    """

    client: Client
    name: str | int
    campaign: str = ""

    def find(self) -> Mapping[str, Any] | None:
        """Return the project's facts, or None if no project has the title."""
        if isinstance(self.name, int):
            return self._with_id(self.client.get(f"/api/projects/{self.name}/"))
        listed = self.client.pages("/api/projects/", "results", size=100, title=self.name)
        same = [project for project in listed if self._with_id(project).get("title") == self.name]
        if len(same) > 1:
            raise OracleError(
                f"{len(same)} projects have the title {self.name!r}",
                got=f"the numbers {', '.join(str(project.get('id')) for project in same)}",
                hint="give the number of one",
            )
        return self._with_id(same[0]) if same else None

    def prepare(
        self, spec: LabelSpec, control: Kind, wanted: int, model_version: str | None = None, told: str = ""
    ) -> tuple[int, Tags]:
        """Create or adjust the project; return its number and the names that regions refer to.

        Parameters
        ----------
        spec, control:
            The classes, and how annotators draw them.
        wanted:
            Number of annotators wanted for each task. A project that wants more keeps its number.
        model_version:
            Name of the pre-labels to show. None for no pre-labels.
        told:
            What the lead of the campaign tells the annotators.
        """
        settings: dict[str, Any] = {"enable_empty_annotation": True}  # an empty one means: background alone
        if model_version is not None:
            settings |= {"show_collab_predictions": True, "model_version": model_version}
        project = self.find()
        if project is None:
            config = interface(spec, control)
            created = {
                "title": self.name,
                "description": ABOUT,
                "label_config": config,
                "expert_instruction": instructions(spec, told),
                "show_instruction": True,
                "maximum_annotations": wanted,
                "skip_queue": "IGNORE_SKIPPED",  # a skip is an answer, so nobody is asked again
                **settings,
            }
            project = self._with_id(self.client.post("/api/projects/", created))
            return project["id"], tags_of(config, spec, control)
        if not isinstance(most := project.get("maximum_annotations", 1), int) or most < wanted:
            settings["maximum_annotations"] = wanted
        if not contains(str(project.get("expert_instruction") or ""), told):
            settings |= {"expert_instruction": instructions(spec, told), "show_instruction": True}
        config = str(project.get("label_config"))
        try:
            tags = tags_of(config, spec, control)
        except ConfigurationError:
            if project.get("task_number"):
                raise
            config = settings["label_config"] = interface(spec, control)  # no task uses the old one
            tags = tags_of(config, spec, control)
        if changed := {name: value for name, value in settings.items() if project.get(name) != value}:
            self.client.patch(f"/api/projects/{project['id']}/", changed)
        return project["id"], tags

    def tasks(self, number: int, *, annotations: bool = False, since: datetime | None = None) -> Iterator[Task]:
        """Yield the tasks of the campaign; raise an :class:`OracleError` at one of another campaign.

        Parameters
        ----------
        number:
            Number of the project.
        annotations:
            Whether to read the annotations too.
        since:
            Time after which a task must have changed. None for all tasks.
        """
        fields = "all" if annotations else "task_only"
        query: dict[str, str | int] = {"project": number, "resolve_uri": "false", "fields": fields}
        if since is not None:
            query["query"] = _changed_since(since)
        for task in self.client.pages("/api/tasks", "tasks", size=PAGE, **query):
            id, data = self._with_id(task)["id"], task.get("data")
            if isinstance(data, dict) and all(isinstance(data.get(key), str) for key in ("alkit_query", "alkit_id")):
                if self.campaign and data.get("alkit_campaign") not in (None, "", self.campaign):
                    raise self.conflict(f"task {id} of campaign {data['alkit_campaign']!r}", self.campaign)
                annotations_of_task = task.get("annotations") or []
                if not isinstance(annotations_of_task, list):
                    raise OracleError("the annotations of a task must be a list", got=self.client.quote(task))
                yield Task(id, data, annotations_of_task)

    def conflict(self, got: str, expected: str) -> OracleError:
        """Return the error for a project that belongs to another campaign."""
        return OracleError(
            f"project {self.name!r} belongs to another campaign",
            got=got,
            expected=repr(expected),
            hint="use a project of its own for each campaign",
        )

    def write_note(self, task: Task, lines: Sequence[str]) -> None:
        """Replace the note of a task; log a note that cannot be written."""
        note = "\n".join(lines)
        if task.data.get("alkit_note", "") == note:
            return
        try:
            self.client.patch(f"/api/tasks/{task.id}/", {"data": {**task.data, "alkit_note": note}})
            task.data["alkit_note"] = note
        except OracleError as failure:
            log.warning("a note cannot be written to Label Studio (%s): %s", failure, note)

    def update(self, task: Task, changed: Mapping[str, str]) -> None:
        """Change some of a task's data; nothing to do if there is nothing to change."""
        if changed:
            self.client.patch(f"/api/tasks/{task.id}/", {"data": {**task.data, **changed}})
            task.data.update(changed)

    def add(self, number: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks to the project, in one request; raise an :class:`OracleError` if they are not there afterwards."""
        answer = self.client.post(f"/api/projects/{number}/import", tasks, return_task_ids="true")
        if isinstance(answer, dict) and answer.get("task_count") == len(tasks):
            return
        there = {task.data["alkit_query"] for task in self.tasks(number)}
        missing = [task for task in tasks if task["data"]["alkit_query"] not in there]
        if missing:
            raise OracleError(
                f"Label Studio did not create {len(missing)} of {len(tasks)} tasks",
                got=self.client.quote(answer),
                hint="read its log, then ask again: that creates the missing tasks",
            )

    def files(self, number: int) -> dict[str, str]:
        """Return the uploaded files by the name that :meth:`upload` gave them."""
        answer = self.client.get(f"/api/projects/{number}/file-uploads", all="true")
        entries = answer.get("results") if isinstance(answer, dict) else answer
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise OracleError("an answer of Label Studio must be a list", got=self.client.quote(answer))
        files = [str(entry.get("file")) for entry in entries]
        return {file.rpartition("-")[2]: file for file in files}

    def upload(self, number: int, content: bytes, suffix: str, files: dict[str, str]) -> str:
        """Return the path of an image on the server; upload it unless `files` has it, and add it there."""
        name = hashlib.sha256(content).hexdigest()[:32] + suffix
        if name not in files:
            answer = self.client.upload(f"/api/projects/{number}/import", name, content, commit_to_project="false")
            ids = answer.get("file_upload_ids") if isinstance(answer, dict) else None
            if not isinstance(ids, list) or len(ids) != 1:
                raise OracleError("Label Studio did not store an image", got=self.client.quote(answer))
            files[name] = str(self._with_id(self.client.get(f"/api/import/file-upload/{ids[0]}")).get("file"))
        return f"/data/{files[name]}"

    def _with_id(self, answer: Json) -> Mapping[str, Any]:
        if not isinstance(answer, dict) or type(answer.get("id")) is not int:
            raise OracleError("an answer of Label Studio must have an id", got=self.client.quote(answer))
        return answer


def _changed_since(time: datetime) -> str:
    """Return the filter that selects tasks which changed after a time, in the notation of the server."""
    rule = {
        "filter": "filter:tasks:updated_at",
        "operator": "greater",
        "type": "Datetime",
        "value": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return json.dumps({"filters": {"conjunction": "and", "items": [rule]}})
