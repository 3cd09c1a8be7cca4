"""An S3 server on loopback, in a process of its own, with the faults of real servers and connections.

It is moto's. What it keeps is gone when the process ends. Run as a program, it prints its port.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "records"
CONTROL = "/-/faults"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Faulty:
    """Requests with the faults that were asked for, each for one request of a method and a part of a path.

    ``500``: the server fails before it does anything; ``403``: it refuses; ``late``: it fails after it has done
    everything; ``slow``: it waits a second; ``cut``: it sends half of the body; ``drop``: it reads half of what is sent
    and closes the connection; ``stop``: it does so and ends.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self.faults: list[tuple[str, str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == CONTROL:
            return self._control(environ, start)
        with self.lock:
            self.requests.append((method, path))
            found = next((one for one in self.faults if one[1] == method and one[2] in path), None)
            if found:
                self.faults.remove(found)
        match found and found[0]:
            case "500":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            case "403":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                refusal = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                start("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(refusal)))])
                return [refusal]
            case "slow":
                time.sleep(1)
            case "drop":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionError
            case "stop":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
                os._exit(1)
            case "late":
                list(self.app(environ, lambda *_: lambda _: None))
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionError
            case "cut":
                body = b"".join(self.app(environ, start))
                return [body[: len(body) // 2]]
        return self.app(environ, start)

    def _control(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self.lock:
            if environ["REQUEST_METHOD"] == "POST":
                self.faults = [tuple(one) for one in json.loads(sent)]
                self.requests = []
            answer = json.dumps({"faults": self.faults, "requests": self.requests}).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


@dataclass
class ObjectStore:
    """A running server."""

    port: int
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    @property
    def address(self) -> str:
        """An address in the server's bucket."""
        return f"s3://{BUCKET}/campaigns"

    def fail(self, *faults: tuple[str, str, str]) -> None:
        """Set the faults: the kind, the method and a part of the path of each; and forget earlier requests."""
        self._call(json.dumps(faults).encode())

    def requests(self) -> list[tuple[str, str]]:
        """Return the methods and paths of all requests since the faults were set."""
        return [tuple(one) for one in self._call(None)["requests"]]

    def left(self) -> list[tuple[str, str, str]]:
        """Return the faults that no request has met."""
        return [tuple(one) for one in self._call(None)["faults"]]

    def _call(self, content: bytes | None) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{CONTROL}", content, timeout=30) as response:
            return json.load(response)


@contextmanager
def object_store(port: int = 0) -> Iterator[ObjectStore]:
    """Start a server with one bucket, and stop it at the end."""
    environment = {**os.environ, **ENVIRONMENT}
    program = [sys.executable, "-W", "ignore", __file__, str(port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            if not (line := process.stdout.readline()):
                raise RuntimeError("the S3 server did not start")
            yield ObjectStore(int(line), process)
        finally:
            process.kill()


def main() -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    app = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
    server.RequestHandlerClass.protocol_version = "HTTP/1.1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/{BUCKET}", method="PUT")
    urllib.request.urlopen(made, timeout=30).close()
    print(server.server_port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
