"""The process of nnU-Net: start it in a clean environment, talk to it, and turn its failure into an error of alkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from alkit.errors import ConfigurationError, MissingDependencyError, one_line

DRIVER = Path(__file__).with_name("driver.py")

LEFT_OUT = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTHONHOME")
"""Variables that the process does not get, besides those of nnU-Net and of alkit."""

TAIL = 600
"""Most characters of the log in an error."""


def clean_environment(folder: Path, threads: int, same: bool) -> dict[str, str]:
    """Return the environment of the process: that of this one without other settings of nnU-Net, and without secrets.

    Parameters
    ----------
    folder:
        Folder of the data set, the preprocessed images and the results.
    threads:
        Number of threads of torch.
    same:
        Whether the interpreter is that of this process, which may find its packages by PYTHONPATH.
    """
    prefixes = ("nnunet_", "alkit_", "torchelastic_", "wandb_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().startswith(prefixes) and name not in LEFT_OUT and (same or name != "PYTHONPATH")
    }
    return kept | {
        "nnUNet_raw": str(folder / "raw"),
        "nnUNet_preprocessed": str(folder / "preprocessed"),
        "nnUNet_results": str(folder / "results"),
        "nnUNet_n_proc_DA": "1",  # the planner needs one thread or more
        "nnUNet_def_n_proc": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


class Process:
    """A process that does a job.

    Parameters
    ----------
    job:
        The job, see :mod:`alkit.learners.nnunet.driver`.
    folder:
        Folder to work in; its log is ``log.txt``.
    python:
        Interpreter that has nnunetv2; None for that of this process.
    """

    def __init__(self, job: Mapping[str, Any], folder: Path, python: str | None) -> None:
        self.log = folder / "log.txt"
        path = folder / "job.json"
        path.write_text(json.dumps(job), "utf-8")
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [python or sys.executable, str(DRIVER), str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=clean_environment(folder, job["threads"], python in (None, sys.executable)),
                    cwd=folder,
                    text=True,
                )
            except OSError as reason:
                raise ConfigurationError(
                    "python must be an interpreter of Python that has nnunetv2",
                    got=f"{python} ({reason.strerror})",
                ) from reason

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the process tells until its job is done.

        Raises
        ------
        MissingDependencyError
            The interpreter does not have nnunetv2.
        ConfigurationError
            The process ends before its job is done; the message contains the end of its log.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "missing" in message:
                self.close()
                raise MissingDependencyError(
                    f"NNUNetLearner needs nnU-Net ({message['missing']})",
                    hint='pip install "alkit[nnunet]", or python= an interpreter that has nnunetv2',
                )
            yield message
            if "done" in message or "ready" in message:
                return
        code = self._process.wait()
        raise ConfigurationError(
            f"nnU-Net ended with code {code}: {self.tail()}", hint=f"its log, {self.log}, says more"
        )

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request, and wait until it is done."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, and its log says why
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        for _ in self.messages():
            pass

    def tail(self) -> str:
        """Return the end of the log in one line."""
        lines = [line.strip() for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return one_line(" | ".join(lines[-4:]))[-TAIL:] or "its log is empty"

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End the process. It ends by itself, too, if this process is killed."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(OSError):  # it has ended
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
