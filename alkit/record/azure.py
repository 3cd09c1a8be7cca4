"""Azure Blob Storage, as a record needs it.

Its library tries each request four times by itself, and waits 15 seconds and more between them. Here it does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"


def check_account(root: str, account: str | None, own: Mapping[str, object]) -> None:
    """Raise an error if an address does not tell the account, or another one than the environment does.

    adlfs would use the account of the connection string, whatever the address says.

    Parameters
    ----------
    root:
        The address.
    account:
        The account in it.
    own:
        What the user's configuration of fsspec says.
    """
    given = os.environ.get(CONNECTION, "")
    parts = (part.strip().partition("=") for part in given.split(";"))
    known = next((value for name, _, value in parts if name.lower() == "accountname"), None)
    if account and known and account != known:
        raise ConfigurationError(
            f"{root} is in another account than {CONNECTION}",
            got=f"the accounts {account} and {known}",
            hint=f"the address of a container in {known}, or another connection string",
        )
    if not (account or given or os.environ.get(ACCOUNT) or own.keys() & {"account_name", "connection_string"}):
        raise ConfigurationError(
            f"{root} does not name a storage account",
            hint=f"abfs://container@account.dfs.core.windows.net/prefix, or {CONNECTION} in the environment",
        )


def try_once(system: AbstractFileSystem) -> None:
    """Make a connection of adlfs send each request once."""
    client: Any = system
    with suppress(AttributeError):  # if a later version has another way, it only takes longer to fail
        client.service_client._config.retry_policy.total_retries = 0
