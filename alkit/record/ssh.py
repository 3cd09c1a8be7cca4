"""The keys of servers that are reached over SSH."""

from __future__ import annotations

from typing import Any

from alkit._files import home_folder
from alkit.errors import StoreError


def known_hosts_only() -> Any:
    """Return a policy of paramiko that connects only to servers whose key is in the user's ``known_hosts``.

    fsspec takes any key by default. Then anybody on the way could pretend to be the server.
    """
    import paramiko

    class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc, unused-ignore]
        def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
            path = home_folder("HOME") / ".ssh" / "known_hosts"
            known = paramiko.HostKeys()
            if path.is_file():
                known.load(str(path))
            if not known.check(hostname, key):
                raise StoreError(
                    f"the key of {hostname} is not in {path}",
                    got=f"{key.get_name()} {key.fingerprint}",
                    hint=f"ssh {hostname}, which shows the key and adds it",
                )

    return KnownHosts()
