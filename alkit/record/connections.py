"""Connections to what fsspec reaches, and errors without credentials."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from alkit.errors import MissingDependencyError, one_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Protocols of stores in which an object is either complete or not there."""

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "smb": "smbprotocol",
}
"""The package by which fsspec reaches a protocol."""

EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "azure"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
"""The extra of alkit that installs it."""

CONNECT, READ = 10, 30
"""Seconds to wait for an object store to accept a connection, and to answer."""

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|CONNECTION|SIGNATURE|\bSAS", re.I)
_QUERY = re.compile(
    r"(?i)((?:\b|_)(?:sig|signature|x-amz-[\w-]+|x-goog-[\w-]+|token|password|secret|accountkey)[\"']?\s*[=:]\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)"
)
_BEARER = re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{6,}")
_USER = re.compile(r"://[^/@\s]*@")

_systems: dict[tuple[int, str], Any] = {}  # by process, because connections are not those of another, and root


def protocol_of(root: str) -> str:
    """Return the protocol of an address."""
    return root.partition("://")[0].lower()


def system_at(root: str) -> AbstractFileSystem:
    """Return the file system of an address, one for each process."""
    key = os.getpid(), root
    if key not in _systems:
        _systems[key] = connect(root)
    return _systems[key]


def forget(root: str) -> None:
    """Make the next call of :func:`system_at` connect again."""
    _systems.pop((os.getpid(), root), None)


def connect(root: str) -> AbstractFileSystem:
    """Return a new connection to the file system of an address.

    Raises
    ------
    MissingDependencyError
        The package by which fsspec reaches it is not installed.
    """
    protocol = protocol_of(root)
    try:
        import fsspec
        from fsspec.config import conf

        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as reason:
        package = PACKAGES.get(protocol, "fsspec")
        raise MissingDependencyError(
            f"{protocol}:// needs a package that is not installed ({reason.name or package})",
            hint=f"pip install 'alkit[{EXTRAS[protocol]}]'" if protocol in EXTRAS else f"pip install {package}",
        ) from None
    options = kind._get_kwargs_from_urls(root)
    if protocol in ("s3", "s3a"):
        own = conf.get("s3", {}).get("config_kwargs", {})
        wait = {"connect_timeout": CONNECT, "read_timeout": READ, "retries": {"max_attempts": 0}}
        options["config_kwargs"] = {**wait, **own}
    if protocol in ("sftp", "ssh"):
        from alkit.record.ssh import known_hosts_only

        options.setdefault("host_key_policy", known_hosts_only())
    system: AbstractFileSystem = kind(**options, skip_instance_cache=True)
    if protocol in ("s3", "s3a"):
        system.retries = 1  # alkit tries again by itself
    return system


def scrubbed(reason: BaseException | str) -> str:
    """Return the message of an error without credentials: not those of the environment, and not those of an address.

    >>> scrubbed("PUT https://me:pw@host/a?sig=x1y2&sv=3 failed")
    'PUT https://***@host/a?sig=***&sv=3 failed'
    >>> scrubbed("Authorization: Bearer ya29.abc, access_token='a b', {'token': 'x'}")
    "Authorization: Bearer ***, access_token=***, {'token': ***}"
    """
    text = str(reason) or type(reason).__name__
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name):
            for form in (value, quote(value), quote(value, safe="")):  # as it is, and as URLs have it
                text = text.replace(form, "***")
    text = _BEARER.sub(r"\1 ***", _QUERY.sub(r"\1***", _USER.sub("://***@", text)))
    return one_line(text, 300)
