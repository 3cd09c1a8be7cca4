"""Addresses of Label Studio, in the one form in which they are compared and recorded."""

from __future__ import annotations

from urllib.parse import urlsplit

from alkit.errors import ConfigurationError
from alkit.oracles.labelstudio.secrets import TOKEN, without_secrets

PORTS = {"http": 80, "https": 443}
"""The port of each scheme, which need not be written."""


def check_url(url: str) -> tuple[str, str]:
    """Return the address of a server, the same for all of its spellings, and its host.

    Raises
    ------
    ConfigurationError
        It is no http or https address, or has a user name, a password, a query or a fragment.

    Examples
    --------
    >>> check_url("HTTPS://Labels.example.org:443/Studio/")
    ('https://labels.example.org/Studio', 'labels.example.org')
    """
    if "@" in str(url):
        raise ConfigurationError("url must not contain a user name or a password", hint=f"leave it out and set {TOKEN}")
    try:
        parts = urlsplit(str(url).strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in PORTS or parts.query or parts.fragment:
        raise ConfigurationError(
            "url must be an http or https address",
            got=without_secrets(repr(url)),
            expected="one such as http://localhost:8080",
        )
    name = f"[{host}]" if ":" in host else host
    place = name if port in (None, PORTS[parts.scheme]) else f"{name}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}", host


def plain_address(url: str) -> str:
    """Return the address of a server as :func:`check_url` does; a text that is none stays as it is."""
    try:
        return check_url(url)[0]
    except ConfigurationError:
        return url


def same_address(one: str, other: str) -> bool:
    """Return whether two texts are the same address.

    >>> same_address("HTTP://localhost:80/", "http://localhost"), same_address("", "http://localhost:8080")
    (True, False)
    """
    return plain_address(one) == plain_address(other)
