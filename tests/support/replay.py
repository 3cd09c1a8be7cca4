"""Exchanges with a Label Studio server: recorded from a real one, and played back by a small server on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx2

Exchange = dict[str, Any]
"""One request and its answer: scene, method, path, query, status, answer."""

EXCHANGES = Path(__file__).parent / "exchanges.json"


def exchanges_of(scene: str) -> list[Exchange]:
    """Return the exchanges of one scene, as the live test recorded them."""
    return [exchange for exchange in json.loads(EXCHANGES.read_text()) if exchange["scene"] == scene]


S = TypeVar("S", bound=ThreadingHTTPServer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        asked = {
            "method": self.command,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query)),
            "body": json.loads(content) if "json" in (self.headers.get("Content-Type") or "") else None,
            "content": content,
            "authorization": self.headers.get("Authorization", ""),
            "cookie": self.headers.get("Cookie", ""),
        }
        status, kind, answer = self.server.answer(asked, self, content)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = _handle


class Serving(ThreadingHTTPServer):
    """A server on a free port of loopback, which records its requests and counts its connections.

    ``headers`` are sent with every answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.connections = 0

    def process_request(self, *arguments: Any) -> None:
        self.connections += 1
        super().process_request(*arguments)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, asked: dict[str, Any], handler: _Handler, content: bytes) -> tuple[int, str, bytes]:
        raise NotImplementedError


class Playing(Serving):
    """Gives each request the answer recorded for it, in the recorded order; answers any other request with 599."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        super().__init__()
        self.left = list(exchanges)

    def answer(self, asked: dict[str, Any], handler: _Handler, content: bytes) -> tuple[int, str, bytes]:
        self.asked.append(asked)
        wanted = [asked[key] for key in ("method", "path", "query")]
        for exchange in self.left:
            if [exchange[key] for key in ("method", "path", "query")] == wanted:
                self.left.remove(exchange)
                return exchange["status"], "application/json", json.dumps(exchange["answer"]).encode()
        return 599, "application/json", json.dumps({"detail": f"not recorded: {wanted}"}).encode()


class Recording(Serving):
    """Forwards requests to a real server, and records the answers while a scene has a name."""

    def __init__(self, real: str) -> None:
        super().__init__()
        self.real, self.exchanges, self.scene = real, list[Exchange](), ""

    def answer(self, asked: dict[str, Any], handler: _Handler, content: bytes) -> tuple[int, str, bytes]:
        self.asked.append(asked)
        kept = {name: handler.headers[name] for name in ("Authorization", "Content-Type") if name in handler.headers}
        url = self.real + handler.path
        response = httpx2.request(asked["method"], url, content=content, headers=kept, timeout=60, trust_env=False)
        status, kind, answer = response.status_code, response.headers["Content-Type"], response.content
        if self.scene:
            entry = {key: asked[key] for key in ("method", "path", "query")}
            self.exchanges.append({"scene": self.scene, **entry, "status": status, "answer": json.loads(answer)})
        return status, kind, answer

    def save(self, secrets: Sequence[str]) -> None:
        """Write the exchanges to the file, one per line, without tokens and hosts."""
        text = "[\n" + ",\n".join(json.dumps(exchange, separators=(",", ":")) for exchange in self.exchanges) + "\n]\n"
        for secret in [*secrets, self.real, self.url]:
            text = text.replace(secret, "...")
        assert not re.search(r"eyJ[\w-]+\.[\w-]+\.", text), "an exchange contains a web token"
        EXCHANGES.write_text(text)


@contextmanager
def serve(server: S) -> Iterator[S]:
    """Serve in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
