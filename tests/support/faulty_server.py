"""A server of files on loopback, with the faults of real servers and connections."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer(ThreadingHTTPServer):
    """Server of `files` that records the Range and the size of every answer, with faults on demand."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str | None] = []
        self.sent: list[int] = []
        self.cuts: list[int] = []  # for one answer each: number of bytes after which to close the connection
        self.always_cut: int | None = None
        self.refusals: list[int] = []  # for one answer each: its status
        self.ranges = True
        self.tells_length = True
        self.lies_about_start = False

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/2017/"


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        body = server.files.get(self.path.removeprefix("/2017/"))
        if server.refusals or body is None:
            self.send_response(server.refusals.pop(0) if server.refusals else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
        if start >= len(body) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            said = start + server.lies_about_start
            self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
        if server.tells_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        rest = rest[: server.cuts.pop(0) if server.cuts else server.always_cut]
        server.sent.append(len(rest))
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass
