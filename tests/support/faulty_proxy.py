"""A proxy on loopback between a client and an object store, with the faults of real servers and connections."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from replay import serve

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a port, each with the fault that was set for its method and a part of its path.

    ``500``: the server fails before it does anything; ``403``: it refuses; ``late``: it fails after it has done
    everything; ``slow``: it waits a second; ``cut``: it sends half of the body; ``drop``: it reads half of what is sent
    and closes the connection; ``stop``: it does so, and so with all later requests. `words` has the type and the body
    of the first two.
    """

    daemon_threads = True

    def __init__(self, port: int, words: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.words = words
        self.lock = threading.Lock()
        self.fail()

    def fail(self, *faults: tuple[str, str, str]) -> None:
        """Set the faults: the kind, the method and a part of the path of each; and forget earlier requests."""
        with self.lock:
            self.left = list(faults)
            self.requests: list[tuple[str, str]] = []
            self.stopped = False

    def fault_of(self, method: str, path: str) -> str | None:
        """Return the fault of a request."""
        with self.lock:
            self.requests.append((method, path))
            found = next((one for one in self.left if one[1] == method and one[2] in path), None)
            if found:
                self.left.remove(found)
            self.stopped |= bool(found) and found[0] == "stop"
            return "drop" if self.stopped else found and found[0]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients close connections, and so do faults."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultyProxy
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        fault, length = self.server.fault_of(self.command, unquote(self.path)), int(self.headers["Content-Length"] or 0)
        content = self.rfile.read(length // 2 if fault == "drop" else length)
        if fault in ("500", "403"):
            kind, words = self.server.words[fault]
            self.answer(int(fault), [("Content-Type", kind)], words.encode())
        elif fault == "drop":
            self.close()
        else:
            if fault == "slow":
                time.sleep(1)
            answer, body = self.answer_behind(content)
            if fault != "late":
                length = int(answer.headers["Content-Length"] or 0) if self.command == "HEAD" else len(body)
                sent = body[: length // 2] if fault == "cut" else body
                self.answer(answer.status, answer.getheaders(), sent, length)
            if fault in ("late", "cut"):
                self.close()

    def answer_behind(self, content: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                behind.putheader(name, value)
            behind.endheaders(content)
            answer = behind.getresponse()
            return answer, answer.read()
        finally:
            behind.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def close(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def faulty_proxy(port: int, words: Mapping[str, tuple[str, str]]) -> Iterator[FaultyProxy]:
    """Start a proxy to a port, and stop it at the end."""
    with serve(FaultyProxy(port, words)) as proxy:
        yield proxy
