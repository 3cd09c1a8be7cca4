"""Connections to what fsspec reaches, and errors without credentials."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from alkit.errors import MissingDependencyError, StoreError, one_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

S3, GCS, AZURE = ("s3", "s3a"), ("gs", "gcs"), ("az", "abfs", "abfss")
"""Protocols of object stores."""

OBJECT_STORES = frozenset({*S3, *GCS, *AZURE})
"""Protocols of stores in which an object is either complete or not there."""

PACKAGES = {
    **dict.fromkeys(S3, "s3fs"),
    **dict.fromkeys(GCS, "gcsfs"),
    **dict.fromkeys(AZURE, "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "smb": "smbprotocol",
}
"""The package by which fsspec reaches a protocol."""

EXTRAS = {
    **dict.fromkeys(S3, "s3"),
    **dict.fromkeys(GCS, "gcs"),
    **dict.fromkeys(AZURE, "azure"),
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
_MAC = re.compile(r"(?<=found in the HTTP request )'[^']+'")  # of a refused request, in Azure's answer
_INSIDE = re.compile(r"(?i)(?:AccountKey|SharedAccessSignature)=([^;]{6,})")  # of a connection string
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
    for name in ("url_fragment", "version_aware"):  # a # is a character of the path, and begins no number of a version
        options.pop(name, None)
    own = {name: value for one in _protocols(kind) for name, value in conf.get(one, {}).items()}
    usual: dict[str, Any] = {}  # if the user's configuration says nothing else
    if protocol in OBJECT_STORES:
        options["use_listings_cache"] = False  # other processes write, too
    if protocol in S3:
        wait = {"connect_timeout": CONNECT, "read_timeout": READ, "retries": {"max_attempts": 0}}
        options["config_kwargs"] = {**wait, **own.get("config_kwargs", {})}
    elif protocol in GCS:
        from alkit.record.gcs import gcs_class, gcs_options

        kind, usual = gcs_class(), gcs_options(CONNECT, READ)
    elif protocol in AZURE:
        from alkit.record.azure import check_account

        check_account(root, options.get("account_name"), own)
        # one part at a time: if it fails, no others go on in the background and fail with a trace on the screen
        usual = {"connection_timeout": CONNECT, "read_timeout": READ, "max_concurrency": 1}
    elif protocol in ("sftp", "ssh"):
        from alkit.record.ssh import known_hosts_only

        options.setdefault("host_key_policy", known_hosts_only())
    options = {name: value for name, value in usual.items() if name not in own} | options
    try:
        system: AbstractFileSystem = kind(**options, skip_instance_cache=True)
    except ValueError as reason:  # what the environment says has no meaning
        raise StoreError(
            f"cannot connect to {root} ({scrubbed(reason)})",
            hint="check the address, and the credentials in the environment",
        ) from None
    if protocol in S3:
        system.retries = 1  # alkit tries again by itself
    if protocol in AZURE:
        from alkit.record.azure import try_once

        try_once(system)
    return system


def _protocols(kind: type[AbstractFileSystem]) -> tuple[str, ...]:
    return (kind.protocol,) if isinstance(kind.protocol, str) else tuple(kind.protocol)


def plain(failure: Exception) -> Exception:
    """Return an error of Python for one that means the same, or the error itself.

    Google's and Azure's libraries have errors of their own, and gcsfs tells a missing permission in words.

    >>> plain(OSError("Forbidden: b/lab/o")), plain(OSError("Broken pipe"))
    (PermissionError('Forbidden: b/lab/o'), OSError('Broken pipe'))
    """
    if isinstance(failure, FileNotFoundError | PermissionError):
        return failure
    names = ("status_code", "code", "status")
    status = next((str(value) for name in names if (value := getattr(failure, name, None))), "")
    text = str(failure).partition("\nRequestId:")[0]  # behind it, Azure tells the same again
    if status == "404":
        return FileNotFoundError(text)
    if "ClientAuthenticationError" in [kind.__name__ for kind in type(failure).__mro__]:  # Azure's, without a status
        status = "403"
    if status == "403" or (type(failure) is OSError and text.startswith("Forbidden")):
        return PermissionError(text)
    return failure


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
            for secret in (value, *_INSIDE.findall(value)):
                for form in (secret, quote(secret), quote(secret, safe="")):  # as it is, and as URLs have it
                    text = text.replace(form, "***")
    text = _MAC.sub("'***'", _BEARER.sub(r"\1 ***", _QUERY.sub(r"\1***", _USER.sub("://***@", text))))
    return one_line(text, 300)
