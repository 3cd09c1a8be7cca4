"""Where a record is: a file, or a schema in a PostgreSQL database, and the place of its files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

DRIVERS = ("postgresql+psycopg", "postgresql")
"""Beginnings of URLs of databases; both mean the same."""

FORM = "postgresql+psycopg://HOST/DATABASE?campaign=NAME"

FILE = "sqlite:///"
"""Beginning of a URL of a file, which may also have ``?files=``."""

DEFAULT = "alkit"
"""Name of the campaign if the URL does not name one."""

VARIABLE = "ALKIT_FILES"
"""Environment variable with the address of the files of records that have them elsewhere."""

SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key", "dbname", "passwd")
"""Parameters of libpq, in small letters, that are or may contain a secret: ``dbname`` may be a whole URL."""

_URL = re.compile(r"([A-Za-z][\w+.-]*)://")
_MANGLED = re.compile(rf"({'|'.join(map(re.escape, DRIVERS))}):/[^/]")
_CAMPAIGN = re.compile(r"(?!pg_)(?!information_schema$)[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Server:
    """A campaign in a PostgreSQL database.

    Parameters
    ----------
    url:
        The database, without a password.
    campaign:
        Name of the schema that holds the record.

    Examples
    --------
    >>> str(locate("postgresql://lab.example/polyps?campaign=first").database)
    'postgresql+psycopg://lab.example/polyps?campaign=first'
    """

    url: sa.URL
    campaign: str

    def __str__(self) -> str:
        return self.url.update_query_dict({"campaign": self.campaign}).render_as_string(hide_password=True)

    def __fspath__(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        """The name of the campaign."""
        return self.campaign

    @property
    def stem(self) -> str:
        """The name of the campaign."""
        return self.campaign

    def exists(self) -> bool:
        """Return False, as a path does: no such file."""
        return False


@dataclass(frozen=True)
class Address:
    """Where a record is.

    Parameters
    ----------
    database:
        The record's file, or its campaign on a server.
    files:
        Folder or URL of its files; None for the folder beside the file, or what the environment says.
    """

    database: Path | Server
    files: str | None = None

    def __str__(self) -> str:
        return str(self.database)

    def __fspath__(self) -> str:
        """Return the address as one text, from which :func:`locate` makes it again."""
        if self.files is None:
            return str(self.database)
        if isinstance(self.database, Server):
            url = self.database.url.update_query_dict({"campaign": self.database.campaign, "files": self.files})
            return url.render_as_string(hide_password=True)
        return f"{FILE}{self.database}?{urlencode({'files': self.files})}"


def locate(store: str | os.PathLike[str], files: str | os.PathLike[str] | None = None) -> Address:
    """Return the address of a record.

    Parameters
    ----------
    store:
        A path, also as ``sqlite:///PATH?files=FILES``, or a URL
        ``postgresql+psycopg://[USER@]HOST[:PORT]/DATABASE?campaign=NAME``. The query may also have ``files`` and
        parameters of libpq, such as ``sslmode`` or ``service``.
    files:
        Folder or URL of the files.

    Raises
    ------
    ConfigurationError
        It is a URL of something else, or one with a password.
    """
    if not isinstance(files, str | os.PathLike | None):
        raise ConfigurationError(
            "files must be a folder or an address", got=f"an object of type {type(files).__name__}"
        )
    given = None if files is None else os.fspath(files)
    if isinstance(store, Address):
        return store if given is None else Address(store.database, given)
    if isinstance(store, Server):
        return Address(store, given)
    text = os.fspath(store)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text.startswith(FILE):
        path, mark, query = text.removeprefix(FILE).rpartition("?files=")  # a path may have ? in it, too
        inside = dict(parse_qsl(f"files={query}")).get("files") if mark else None
        return Address(Path(path if mark else query).absolute(), given if given is not None else inside)
    if _MANGLED.match(text):
        raise ConfigurationError("the URL of a record must be text", got="a path", hint="store=URL, without Path(...)")
    if not (url := _URL.match(text)):
        return Address(Path(text).absolute(), given)
    if url[1] not in DRIVERS:
        raise ConfigurationError(
            "store must be a file or the URL of a PostgreSQL database", got=f"a URL with {url[1]}://", expected=FORM
        )
    return _parse(text, given)


def _parse(text: str, given: str | None) -> Address:
    import sqlalchemy as sa  # which commands on files do not need at once

    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):  # their messages have the URL, which may contain a password
        raise ConfigurationError("the URL of the record cannot be read", expected=FORM) from None
    query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    if url.password is not None or any(key.lower() in SECRETS for key in query):
        raise ConfigurationError(
            "the URL of the record must not contain a password, which would be seen by others",
            hint="the environment variable PGPASSWORD, the file ~/.pgpass, or a service file with ?service=NAME",
        )
    campaign, inside = query.pop("campaign", DEFAULT), query.pop("files", None)
    if not _CAMPAIGN.fullmatch(campaign):
        raise ConfigurationError(
            "campaign must be a name of at most 63 small letters, digits and _, which begins with a letter or _",
            got=repr(campaign),
        )
    database = url.set(drivername=DRIVERS[0], query=query)
    return Address(Server(database, campaign), given if given is not None else inside)
