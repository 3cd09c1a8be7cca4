"""The part of Label Studio that the oracle uses, in memory, for cases that a real server cannot produce on demand."""

from __future__ import annotations

import json
import re
from typing import Any

from replay import Serving


class Fake(Serving):
    """Stores projects, files, tasks and annotations, and fails on demand.

    ``failing`` maps a method and a part of a path to the number of requests that are answered with 500. The request
    has no effect, unless ``late`` is set: then it is carried out before it fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[int, dict[str, Any]] = {}
        self.files: dict[int, str] = {}
        self.tasks: list[dict[str, Any]] = []
        self.failing: dict[tuple[str, str], int] = {}
        self.late = False

    def answer(self, asked, handler, content):
        self.asked.append(asked)
        fails = next((key for key in self.failing if key[0] == asked["method"] and key[1] in handler.path), None)
        if fails is not None and self.failing[fails] > 0:
            self.failing[fails] -= 1
            if self.late:
                self.do(asked, content)
            return 500, "application/json", b'{"detail": "out of order"}'
        status, said = self.do(asked, content)
        return status, "application/json", json.dumps(said).encode()

    def do(self, asked, content):
        path, query, body = asked["path"], asked["query"], asked["body"]
        number = next((int(part) for part in path.split("/") if part.isdecimal()), 0)
        match asked["method"], re.sub(r"\d+", "N", path):
            case "GET", "/api/projects/":
                same = [project for project in self.projects.values() if query.get("title", "") in project["title"]]
                return 200, self.page(same, query, "results", "count")
            case "POST", "/api/projects/":
                return 201, self.project(**body)
            case "GET", "/api/projects/N/" if number in self.projects:
                return 200, self.with_task_number(self.projects[number])
            case "PATCH", "/api/projects/N/":
                self.projects[number] |= body
                return 200, self.projects[number]
            case "GET", "/api/projects/N/file-uploads":
                return 200, [{"id": id, "file": file} for id, file in self.files.items()]
            case "POST", "/api/projects/N/import" if body is None:
                name = re.search(rb'filename="([^"]+)"', content)[1].decode()
                self.files[len(self.files) + 1] = f"upload/{number}/0123abcd-{name}"
                return 201, {"file_upload_ids": [len(self.files)]}
            case "GET", "/api/import/file-upload/N":
                return 200, {"id": number, "file": self.files[number]}
            case "POST", "/api/projects/N/import":
                for task in body:
                    self.task(number, **task)
                return 201, {"task_count": len(body)}
            case "GET", "/api/tasks":
                own = [task for task in self.tasks if task["project"] == int(query["project"])]
                return 200, self.page(own, query, "tasks", "total")
            case "PATCH", "/api/tasks/N/":
                (task,) = [task for task in self.tasks if task["id"] == number]
                task |= body
                return 200, task
        return 404, {"detail": f"nothing at {path}"}

    def project(self, **facts):
        id = len(self.projects) + 1
        self.projects[id] = {"id": id, "maximum_annotations": 1, **facts}
        return self.projects[id]

    def with_task_number(self, project):
        return {**project, "task_number": sum(task["project"] == project["id"] for task in self.tasks)}

    def task(self, project, **facts):
        task = {
            "id": len(self.tasks) + 1,
            "project": project,
            "annotations": [],
            "predictions": [],
            "drafts": [],
            **facts,
        }
        self.tasks.append(task)
        return task

    def annotate(self, task, result, **facts):
        """Add an annotation to the task of that number."""
        annotation = {
            "id": 1,
            "result": result,
            "completed_by": 1,
            "was_cancelled": False,
            "updated_at": "2026-01-02T03:04:05.000006Z",
            "lead_time": 7.5,
            "bulk_created": False,
        }
        self.tasks[task - 1]["annotations"].append({**annotation, **facts})

    def page(self, entries, query, key, total):
        size, page = int(query["page_size"]), int(query["page"])
        entries = [self.with_task_number(entry) if key == "results" else entry for entry in entries]
        return {total: len(entries), key: entries[size * (page - 1) : size * page]}
