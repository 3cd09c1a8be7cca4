"""A client of Label Studio's REST interface, on httpx2.

The token is read from the environment for each request. It is never part of an attribute, a message, a log or a pickle.
Two kinds of token work: a legacy token, which is sent as it is, and a personal access token, which is exchanged for an
access token that lives for a few minutes.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from alkit._logs import logger
from alkit.errors import ConfigurationError, OracleError
from alkit.oracles.labelstudio.address import check_url
from alkit.oracles.labelstudio.bounds import bound
from alkit.oracles.labelstudio.secrets import LOOPBACK, TOKEN, clean_logs, cleaned, remember_token, without_secrets

log = logger(__name__)

LIFETIME = 200.0
"""Seconds for which an access token is used; the server accepts it for 300."""

MOVED = 10_000
"""Number of entries that people may add to a list while it is read."""

MOST_PAGES = 100_000
"""Greatest number of pages of a list."""

REFRESH = "/api/token/refresh/"

Json = Any
"""A value that JSON can hold."""


@dataclass(frozen=True)
class Client:
    """A connection to a Label Studio server.

    A failed request is not repeated: the error says what failed. A redirect is an error, because it would carry the
    token to another address.

    Parameters
    ----------
    url:
        Address of the server, such as ``"http://localhost:8080"``.
    timeout:
        Seconds to wait for the server: to connect, and for each part of a request or an answer.

    Raises
    ------
    ConfigurationError
        The address is not an http or https address, or it contains a user name or a password.

    Examples
    --------
    >>> Client("http://localhost:8080/").url
    'http://localhost:8080'
    """

    url: str
    timeout: float = 60.0
    _login: _Login = field(init=False, repr=False, compare=False)
    _http: httpx2.Client = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        url, host = check_url(self.url)
        if url.startswith("http:") and host not in LOOPBACK:
            log.warning("%s is not encrypted: others on the network can read the token. Use https", url)
        clean_logs()
        login = _Login(url)
        try:
            http = httpx2.Client(
                base_url=url,
                auth=login,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                event_hooks={"response": [bound]},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # the token alone identifies us
                timeout=self.timeout,
                limits=httpx2.Limits(max_keepalive_connections=0),  # on a reused one, answers take 40 ms longer
                verify=httpx2.create_ssl_context(),
                trust_env=host not in LOOPBACK,  # the environment names proxies
                follow_redirects=False,
            )
        except httpx2.InvalidURL as reason:
            raise ConfigurationError("url is not an address", got=without_secrets(str(reason))) from None
        except (ImportError, ValueError) as reason:
            raise ConfigurationError(
                "the proxy named in the environment cannot be used",
                got=without_secrets(str(reason)),
                hint="set http_proxy, https_proxy and all_proxy to an http address, or unset them",
            ) from None
        vars(self).update(url=url, _login=login, _http=http)

    def __reduce__(self) -> tuple[Any, ...]:
        return Client, (self.url, self.timeout)

    def get(self, path: str, **query: str | int) -> Json:
        """Return what the server has at `path`.

        Raises
        ------
        OracleError
            The server cannot be reached, does not answer in time, refuses the request, fails, or does not send JSON.
        ConfigurationError
            The environment holds no token.
        """
        return self._request("GET", path, params=query)

    def post(self, path: str, body: Json, **query: str | int) -> Json:
        """Send `body` as JSON and return the answer; raises the errors of :meth:`get`."""
        return self._request("POST", path, json=body, params=query)

    def patch(self, path: str, body: Json) -> Json:
        """Change what is at `path` and return it; raises the errors of :meth:`get`."""
        return self._request("PATCH", path, json=body)

    def upload(self, path: str, name: str, content: bytes, **query: str | int) -> Json:
        """Send a file called `name` and return the answer; raises the errors of :meth:`get`."""
        files = {"file": (name, content, "application/octet-stream")}
        return self._request("POST", path, files=files, params=query)

    def pages(self, path: str, entries: str, *, size: int, **query: str | int) -> Iterator[Mapping[str, Json]]:
        """Yield the entries of a list that the server sends in pages; raises the errors of :meth:`get`.

        Parameters
        ----------
        path:
            Path of the list.
        entries:
            Key under which a page holds its entries: ``"tasks"`` or ``"results"``.
        size:
            Number of entries on one page.
        query:
            Further parameters of the request.
        """
        page, seen, most, known = 1, 0, None, set[int]()
        while True:
            answer = self.get(path, **query, page=page, page_size=size)
            found = _entry(answer, entries, list, path)
            ids = {entry["id"] for entry in found if isinstance(entry, dict) and type(entry.get("id")) is int}
            if ids and ids <= known:
                raise OracleError(
                    f"Label Studio at {self.url} sends a list without end, {path}", got="the same page twice"
                )
            known |= ids
            yield from found
            seen += len(found)
            total = answer.get("total", answer.get("count"))
            if type(total) is not int and len(found) >= size:
                raise OracleError(
                    f"Label Studio at {self.url} does not say how long a list is, {path}", got=self.quote(total)
                )
            if not found or type(total) is not int or seen >= total:
                return
            most = total + MOVED if most is None else most
            if seen > most or page > MOST_PAGES:
                raise OracleError(f"Label Studio at {self.url} sends a list without end, {path}", got=f"{seen} entries")
            page += 1

    def quote(self, answer: Json) -> str:
        """Return an answer as a message may show it: at most 200 characters, without tokens."""
        return self._login.without_tokens(repr(answer))[:200]

    def _request(self, method: str, path: str, **content: Any) -> Json:
        try:
            response = self._http.request(method, path, **content)
        except httpx2.TimeoutException:
            raise OracleError(
                f"Label Studio at {self.url} did not answer within {self.timeout:g} s", hint="check that it runs"
            ) from None
        except (httpx2.RequestError, UnicodeError) as failure:  # UnicodeError: a host name that cannot exist
            raise OracleError(
                f"Label Studio at {self.url} cannot be reached",
                got=self._login.without_tokens(str(failure) or type(failure).__name__).rstrip("."),
                hint="check that it runs, and check the address",
            ) from None
        return self._login.content(response, f"{method} {path}")


class _Login(httpx2.Auth):
    """Adds the token to each request, and keeps it out of messages.

    Parameters
    ----------
    url:
        Address of the server.
    """

    requires_response_body = True

    def __init__(self, url: str) -> None:
        self.url, self.access, self.expires = url, "", 0.0

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        token = _token()
        if token.count(".") != 2:  # a personal access token is a JSON web token, which has three parts
            request.headers["Authorization"] = f"Token {token}"
            yield request
            return
        if time.monotonic() >= self.expires:
            yield from self._exchange(token, request)
        request.headers["Authorization"] = f"Bearer {self.access}"
        response = yield request
        if response.status_code == 401:  # the access token was revoked, or this machine slept
            yield from self._exchange(token, request)
            request.headers["Authorization"] = f"Bearer {self.access}"
            yield request

    def _exchange(self, token: str, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Exchange a personal access token for an access token; `request` lends its time limits."""
        self.expires = 0.0
        response = yield httpx2.Request(
            "POST", self.url + REFRESH, json={"refresh": token}, extensions=request.extensions
        )
        access = _entry(self.answer(response, f"POST {REFRESH}"), "access", str, REFRESH)
        if not _is_token(access):
            raise OracleError(f"Label Studio sent an access token with characters that no token has, from {REFRESH}")
        self.access, self.expires = access, time.monotonic() + LIFETIME
        remember_token(access)

    def content(self, response: httpx2.Response, what: str) -> Json:
        """Return the JSON value of an answer without tokens; raises the errors of :meth:`answer`."""
        return cleaned(self.answer(response, what), self.access)

    def answer(self, response: httpx2.Response, what: str) -> Json:
        """Return the JSON value of an answer; raise an :class:`OracleError` that says what is wrong with it."""
        status = response.status_code
        if status == 204:
            return None
        if response.is_success:
            try:
                return response.json()
            except (ValueError, RecursionError):
                raise OracleError(
                    f"{self.url} did not answer {what} with JSON",
                    # Not response.text: some codecs that a server can name fail, or take long.
                    got=repr(self.without_tokens(response.content.decode("utf-8", "replace"))[:60]),
                    hint="check that this is the address of Label Studio",
                ) from None
        if response.is_redirect:
            raise OracleError(
                f"{self.url} redirects to another address",
                got=self.without_tokens(_place(response.headers.get("Location", ""))),
                hint="give the address of Label Studio itself",
            )
        problem, hint = _problem(status, what)
        got = f"{status} {self.without_tokens(_reason(response))[:500]}".rstrip(" .")
        raise OracleError(problem, got=got, hint=hint)

    def without_tokens(self, text: str) -> str:
        """Return a text with ``...`` in place of every token, should a server repeat one."""
        return without_secrets(text, self.access)


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigurationError(
            f"the environment variable {TOKEN} must hold a token of Label Studio",
            got="nothing",
            hint="copy one from Account & Settings in Label Studio",
        )
    if not _is_token(token):
        raise ConfigurationError(f"{TOKEN} must hold one token", expected="letters, digits and - . _ ~ + / = alone")
    return token


def _is_token(text: str) -> bool:
    """Whether a text has only the characters of RFC 6750, none of which any notation escapes."""
    return re.fullmatch(r"[A-Za-z0-9._~+/=-]+", text) is not None


def _place(address: str) -> str:
    """Return the scheme and the host of an address that a server sends."""
    try:
        to = urlsplit(address)
    except ValueError:
        return "an address that cannot exist"
    return f"{to.scheme}://{to.hostname}" if to.hostname else "another path"


def _problem(status: int, what: str) -> tuple[str, str | None]:
    """Return what an HTTP status other than success means, and what to try."""
    match status:
        case 401:
            hint = "create a personal access token under Account & Settings, or allow legacy tokens there"
            return f"Label Studio does not accept the token in {TOKEN}", hint
        case 403:
            return f"the owner of the token is not allowed to {what}", None
        case 404:
            return f"Label Studio found nothing for {what}", "check the project and the address"
        case _ if status >= 500:
            return f"Label Studio failed on {what}", "read its log, or try again later"
    return f"Label Studio refused {what}", None


def _reason(response: httpx2.Response) -> str:
    """Return the reason that an error answer gives, on one line; empty without one."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return ""
    said = [answer.get("detail"), answer.get("validation_errors")] if isinstance(answer, dict) else [answer]
    text = "; ".join(part if isinstance(part, str) else json.dumps(part) for part in said if part)
    return " ".join(text.split())


def _entry(answer: Json, name: str, kind: type, path: str) -> Any:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise OracleError(f"the answer of Label Studio to {path} must have a {kind.__name__} called {name!r}")
    return value
