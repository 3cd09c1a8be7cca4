"""Exchanges with a Label Studio server: written down from a real one, and played back by a small server on loopback."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Exchange = dict[str, Any]
"""One request and its answer: scene, method, path, query, status, answer."""

EXCHANGES = Path(__file__).parent / "exchanges.json"


def recorded(scene: str) -> list[Exchange]:
    """Return the exchanges of one scene, as the live test wrote them down."""
    return [exchange for exchange in json.loads(EXCHANGES.read_text()) if exchange["scene"] == scene]


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
            "authorization": self.headers.get("Authorization", ""),
        }
        status, kind, answer = self.server.answer(asked, self, content)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = _handle


class Serving(ThreadingHTTPServer):
    """A server on a free port of loopback, which keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, asked: dict[str, Any], handler: _Handler, content: bytes) -> tuple[int, str, bytes]:
        raise NotImplementedError


class Playing(Serving):
    """Gives the recorded answers, in their order, to the requests that got them; to any other, 599."""

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
        return 599, "application/json", json.dumps({"detail": f"nobody recorded {wanted}"}).encode()


class Recording(Serving):
    """Passes requests on to a real server, and writes down what comes back while a scene has a name."""

    def __init__(self, real: str) -> None:
        super().__init__()
        self.real, self.exchanges, self.scene = real, list[Exchange](), ""

    def answer(self, asked: dict[str, Any], handler: _Handler, content: bytes) -> tuple[int, str, bytes]:
        self.asked.append(asked)
        kept = {name: handler.headers[name] for name in ("Authorization", "Content-Type") if name in handler.headers}
        request = urllib.request.Request(self.real + handler.path, content or None, kept, method=asked["method"])
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, kind, answer = response.status, response.headers["Content-Type"], response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                status, kind, answer = refusal.code, refusal.headers["Content-Type"], refusal.read()
        if self.scene:
            entry = {key: asked[key] for key in ("method", "path", "query")}
            self.exchanges.append({"scene": self.scene, **entry, "status": status, "answer": json.loads(answer)})
        return status, kind, answer

    def save(self, secrets: Sequence[str]) -> None:
        """Write down what was said, one exchange a line, without tokens and hosts."""
        text = "[\n" + ",\n".join(json.dumps(exchange, separators=(",", ":")) for exchange in self.exchanges) + "\n]\n"
        for secret in [*secrets, self.real, self.url]:
            text = text.replace(secret, "...")
        assert not re.search(r"eyJ[\w-]+\.[\w-]+\.", text), "a web token was about to be kept"
        EXCHANGES.write_text(text)


@contextmanager
def serving(server: Serving) -> Iterator[Serving]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
