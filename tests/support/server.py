"""A real Label Studio server on this machine, in a temporary folder."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2


@dataclass(frozen=True)
class Server:
    """Address of the server, and the account that may log in."""

    url: str
    email: str = "anna@example.org"
    password: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


@contextmanager
def run_server(program: Path, folder: Path, patience: float = 300.0) -> Iterator[Server]:
    """Start the server, wait until it answers, and stop it at the end.

    Starting takes about a minute and 400 MB of memory. The log is ``server.log`` in `folder`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}")
    environment = {
        **os.environ,
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", port]
    command += ["--username", server.email, "--password", server.password]
    command += ["--user-token", server.token, "--enable-legacy-api-token"]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(server, process, log, patience)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)


def _wait(server: Server, process: subprocess.Popen, log: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"Label Studio stopped while it started:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            if httpx2.get(f"{server.url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx2.RequestError:
            pass
        time.sleep(1)
    raise RuntimeError(f"Label Studio did not answer within {patience:g} s:\n{log.read_text(errors='replace')[-2000:]}")
