"""The page of a campaign as a small web application. It only answers GET, and only with that page.

- It answers only under names that are meant: a web page elsewhere cannot reach it by a name that leads here ("DNS
  rebinding"). An address in digits is no such name.
- With a token, it answers only those who have it: in the address once, then in a cookie that no script reads.
- The browser is told to run nothing, to load nothing, and to be framed by nobody.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING

from alkit.errors import AlkitError, MissingDependencyError, one_line
from alkit.pages.live import LivePage
from alkit.report.page import style_digest

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE = "alkit-token"
NAME = re.compile(r"(?:(?P<name>[\w.-]+)|\[(?P<six>[0-9A-Fa-f:.]+)\])(?::[0-9]+)?", re.ASCII)
"""The header ``Host``: a name or an address, and a port."""

REFRESH = 60
"""Seconds after which a browser asks again."""


def check_installed() -> None:
    """Raise a :class:`MissingDependencyError` unless the web library is installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as reason:
        raise MissingDependencyError(
            f"serving a page needs {reason.name}", hint="pip install 'alkit[serve]', or alkit page, which needs nothing"
        ) from reason


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.7", "box.lan")]
    [True, True, True, False, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def may_be_called(name: str, names: Collection[str], *, only_loopback: bool) -> bool:
    """Return whether the page may be asked for under a name: an address in digits, or one of some names.

    >>> [may_be_called(name, (), only_loopback=True) for name in ("localhost", "127.0.0.1", "10.0.0.7", "evil.example")]
    [True, True, False, False]
    >>> [may_be_called(name, ("Box.lan",), only_loopback=False) for name in ("box.lan", "10.0.0.7", "evil.example", "")]
    [True, True, False, False]
    """
    if is_loopback(name) or name.lower() in {own.lower() for own in names}:
        return True
    try:
        return not only_loopback and bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def asked_name(host: str) -> str:
    """Return the name in the header ``Host`` without its port; empty if it is none.

    Not that in the URL of the request: in place of a header that it cannot read, starlette puts the server's address.

    >>> [asked_name(host) for host in ("localhost:8011", "[::1]:80", "127.0.0.1", "a{b.evil.example", "[::1", "")]
    ['localhost', '::1', '127.0.0.1', '', '', '']
    """
    found = NAME.fullmatch(host)
    return "" if found is None else found["name"] or found["six"]


def application(
    page: LivePage, *, token: str | None = None, names: Collection[str] = (), only_loopback: bool = True
) -> Starlette:
    """Return the web application of a page.

    Parameters
    ----------
    page:
        The page.
    token:
        What those who may see it have to show; None if everybody who reaches it may.
    names:
        Names of this machine under which the page may be asked for, beside addresses in digits.
    only_loopback:
        Whether only this machine can reach the application.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    async def show(request: Request) -> Response:
        if not may_be_called(asked_name(request.headers.get("host", "")), names, only_loopback=only_loopback):
            return PlainTextResponse("This name is not one of this page.\n", 421)
        if token is not None and not _same(request.cookies.get(COOKIE, ""), token):
            if not _same(request.query_params.get("token", ""), token):
                return PlainTextResponse("This page needs the token that alkit serve has printed.\n", 401)
            found = RedirectResponse(request.url.path, 303)
            # "strict" would ask again for the token if a link on another page, such as a mail, led here.
            found.set_cookie(COOKIE, token, httponly=True, samesite="lax")
            return found
        try:
            html = await run_in_threadpool(page.html)
        except AlkitError as reason:
            return PlainTextResponse(f"The record cannot be read now: {one_line(reason)}\n", 503)
        return Response(html, media_type="text/html", headers={"refresh": str(REFRESH)})

    app = Starlette(routes=[Route("/", show, methods=["GET"])])
    app.add_middleware(_Headers)
    return app


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


POLICY = (
    "default-src 'none'; img-src data:; style-src '{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Headers:
    """Adds headers to every answer, those of errors included."""

    def __init__(self, app: object) -> None:
        self._app = app
        said = {
            "content-security-policy": POLICY.format(style_digest()),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=()",
        }
        self._said = [(name.encode(), value.encode()) for name, value in said.items()]

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        async def send_with_headers(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._said]  # type: ignore[misc]
            await send(message)  # type: ignore[operator]

        await self._app(scope, receive, send_with_headers)  # type: ignore[operator]
