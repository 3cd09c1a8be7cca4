"""Talking to a Label Studio server: REST with the standard library alone.

The token is read from the environment at each request and kept nowhere: it is in no attribute, no message, no log and
no pickle. Both kinds are understood: a legacy token, which is sent as it is, and a personal access token, which is
exchanged for one that lives for minutes.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alkit.errors import ConfigurationError, OracleError

log = logging.getLogger(__name__)

TOKEN = "ALKIT_LABEL_STUDIO_TOKEN"
"""The environment variable that holds the token."""

LIFE = 200.0
"""Seconds for which an exchanged token is used; the server lets it live for 300."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Written = Any
"""What JSON can hold."""


class _Access:
    """The exchanged token, in memory only: neither pickled nor printed."""

    def __init__(self) -> None:
        self.token, self.until = "", 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return _Access, ()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it leads; it is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Client:
    """A Label Studio server.

    Parameters
    ----------
    url:
        Where it is, such as ``"http://localhost:8080"``.
    timeout:
        Seconds to wait for an answer.

    Raises
    ------
    ConfigurationError
        This is no such address, or it has a password in it.

    Examples
    --------
    >>> Client("http://localhost:8080/").url
    'http://localhost:8080'
    """

    url: str
    timeout: float = 60.0
    _access: _Access = field(init=False, repr=False, compare=False, default_factory=_Access)

    def __post_init__(self) -> None:
        try:
            parts = urllib.parse.urlsplit(str(self.url).strip())
            host, _ = parts.hostname, parts.port
        except ValueError as reason:
            raise ConfigurationError("this is no address of a server", got=reason) from reason
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(
                "the address of Label Studio holds a name or a password", hint=f"leave it out, and set {TOKEN}"
            )
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise ConfigurationError(
                "this is no address of a server", got=repr(self.url), expected="such as http://localhost:8080"
            )
        vars(self).update(url=f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")
        if parts.scheme == "http" and host not in LOOPBACK:
            log.warning("%s is not encrypted: whoever is on the way can read the token; https is better", self.url)

    def get(self, path: str, **query: str | int) -> Written:
        """Return what the server has at `path`.

        Raises
        ------
        OracleError
            It cannot be reached, does not answer in time, refuses, fails, or does not answer in JSON.
        ConfigurationError
            There is no token in the environment.
        """
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Written, **query: str | int) -> Written:
        """Send `body` as JSON and return the answer; raises as :meth:`get`."""
        return self._ask("POST", path, json.dumps(body).encode(), "application/json", query)

    def patch(self, path: str, body: Written) -> Written:
        """Change what is at `path` and return it; raises as :meth:`get`."""
        return self._ask("PATCH", path, json.dumps(body).encode(), "application/json")

    def upload(self, path: str, name: str, content: bytes, **query: str | int) -> Written:
        """Send a file and return the answer; raises as :meth:`get`.

        `name` is what it is called there: ASCII letters, digits, dots, dashes and underscores.
        """
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        kind = "Content-Type: application/octet-stream\r\n\r\n"
        body = (head + kind).encode("ascii") + content + f"\r\n--{boundary}--\r\n".encode()
        return self._ask("POST", path, body, f"multipart/form-data; boundary={boundary}", query)

    def pages(self, path: str, entries: str, *, size: int, **query: str | int) -> Iterator[Mapping[str, Written]]:
        """Yield what lies on the pages of a list, page by page; raises as :meth:`get`.

        Parameters
        ----------
        path:
            Of the list.
        entries:
            The key under which a page has its entries: ``"tasks"`` or ``"results"``.
        size:
            Entries of one page.
        query:
            Further parameters.
        """
        page, seen = 1, 0
        while True:
            answer = self.get(path, **query, page=page, page_size=size)
            found = _field(answer, entries, list, path)
            yield from found
            seen += len(found)
            total = answer.get("total", answer.get("count"))
            if not found or not isinstance(total, int) or seen >= total:
                return
            page += 1

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "",
        query: Mapping[str, str | int] | None = None,
    ) -> Written:
        return self._read(*self._sent(method, path, body, kind, query), f"{method} {path}")

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "",
        query: Mapping[str, str | int] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request with the token; return the status and the body of the answer, whatever they are."""
        where = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(where, body, {"Accept": "application/json"}, method=method)
        if kind:
            request.add_header("Content-Type", kind)
        exchanged = self._authorize(request)
        status, content = self._answer(request)
        if status == 401 and exchanged:  # it may have been revoked, or this machine slept
            self._access.until = 0.0
            self._authorize(request)
            status, content = self._answer(request)
        return status, content

    def _authorize(self, request: urllib.request.Request) -> bool:
        """Put the token into a request; return whether it was exchanged for another."""
        if _kind_of_token() == "legacy":
            request.add_header("Authorization", f"Token {_token()}")
            return False
        if time.monotonic() >= self._access.until:
            self._exchange()
        request.add_header("Authorization", f"Bearer {self._access.token}")
        return True

    def _exchange(self) -> None:
        path = "/api/token/refresh/"
        body = json.dumps({"refresh": _token()}).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}, method="POST")
        answer = self._read(*self._answer(request), f"POST {path}")
        self._access.token = _field(answer, "access", str, path)
        self._access.until = time.monotonic() + LIFE

    def _answer(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """Send a request; return the status and the body, whatever they are."""
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if request.host.rpartition(":")[0].strip("[]") in LOOPBACK or request.host in LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))  # no proxy leads to this machine
        opener = urllib.request.build_opener(*handlers)
        try:
            with opener.open(request, timeout=self.timeout) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                if refusal.code in (301, 302, 303, 307, 308):
                    to = urllib.parse.urlsplit(refusal.headers.get("Location", ""))
                    raise OracleError(
                        f"{self.url} sends its callers elsewhere",
                        got=f"{to.scheme}://{to.hostname}" if to.hostname else "another path",
                        hint="give the address where Label Studio is",
                    ) from None
                return refusal.code, _body(refusal)
        except (OSError, http.client.HTTPException) as failure:  # URLError and TimeoutError are OSErrors
            reason = getattr(failure, "reason", None) or failure
            if isinstance(reason, TimeoutError):
                raise OracleError(
                    f"Label Studio at {self.url} does not answer", got=f"nothing for {self.timeout:g} s"
                ) from None
            raise OracleError(
                f"Label Studio at {self.url} cannot be reached",
                got=_clean(str(reason) or type(reason).__name__),
                hint="check that it runs, and the address",
            ) from None

    def _read(self, status: int, content: bytes, what: str) -> Written:
        """Return what an answer holds, or raise what is wrong with it."""
        if status == 204:
            return None
        if 200 <= status < 300:
            try:
                return json.loads(content)
            except ValueError:
                raise OracleError(
                    f"{self.url} does not answer as Label Studio",
                    got=f"no JSON to {what}, but {_clean(repr(content[:60]), self._access.token)}",
                    hint="check the address",
                ) from None
        told = _clean(_detail(content), self._access.token)
        if status == 401:
            raise OracleError(
                f"Label Studio does not accept the token in {TOKEN}",
                got=f"401 {told}",
                hint="a personal access token from Account & Settings; legacy tokens must be switched on there",
            )
        if status == 403:
            raise OracleError(f"the owner of the token may not {what}", got=f"403 {told}")
        if status == 404:
            raise OracleError(
                f"Label Studio has nothing there: {what}", got=f"404 {told}", hint="check the project and the address"
            )
        if status >= 500:
            raise OracleError(
                f"Label Studio failed on {what}", got=f"{status} {told}", hint="its log says why; do it again later"
            )
        raise OracleError(f"Label Studio refused {what}", got=f"{status} {told}")


def _token() -> str:
    """Return the token, after a look at whether it can be one."""
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigurationError(
            "there is no token for Label Studio",
            expected=f"it in the environment variable {TOKEN}",
            hint="Account & Settings in Label Studio shows one",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(f"what is in {TOKEN} is no token", expected="one word of ASCII letters")
    return token


def _kind_of_token() -> str:
    """Say which kind it is: a personal access token is a JSON web token, of three parts."""
    return "personal" if _token().count(".") == 2 else "legacy"


def _body(refusal: urllib.error.HTTPError) -> bytes:
    try:
        return refusal.read()
    except (OSError, http.client.HTTPException):
        return b""


def _detail(content: bytes) -> str:
    """Return what an error says of itself, on one line."""
    try:
        answer = json.loads(content)
    except ValueError:
        return ""
    said = [answer.get("detail"), answer.get("validation_errors")] if isinstance(answer, dict) else [answer]
    text = "; ".join(part if isinstance(part, str) else json.dumps(part) for part in said if part)
    return " ".join(text.split())[:500].rstrip(".")


def _clean(text: str, access: str = "") -> str:
    """Leave out of `text` whatever is a token, should a server repeat it."""
    for token in (os.environ.get(TOKEN, "").strip(), access):
        text = text.replace(token, "...") if token else text
    return text


def _field(answer: Written, name: str, kind: type, path: str) -> Any:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise OracleError(f"Label Studio answers {path} in a way that is not known", expected=f"{name!r} in it")
    return value
