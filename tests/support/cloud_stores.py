"""Servers on loopback that take the place of Google Cloud Storage and Azure, behind a proxy with faults.

Google's is ``gcp-storage-emulator``, Azure's is Azurite. What they keep is gone when they end.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faulty_proxy import FaultyProxy, faulty_proxy

BUCKET = "records"
ACCOUNT, KEY = (  # of every Azurite, as its documentation has them
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
AZURITE = ".azurite"
"""Folder in which ``make test-services`` installs Azurite by npm, from the root of the project."""

GOOGLE_SAYS = {
    "403": (
        "application/json",
        '{"error": {"code": 403, "message": "robot@lab does not have storage.objects access to the object."}}',
    ),
    "500": ("application/json", '{"error": {"code": 500, "message": "Backend Error"}}'),
}
_AZURE = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}\nRequestId:1\nTime:2</Message></Error>'
AZURE_SAYS = {
    "403": ("application/xml", _AZURE.format("AuthorizationPermissionMismatch", "This request is not authorized.")),
    "500": ("application/xml", _AZURE.format("InternalError", "The server encountered an internal error.")),
}
"""What they say to who has no permission, and when they fail."""


@dataclass
class CloudStore:
    """A running server with one bucket."""

    protocol: str
    environment: dict[str, str]
    proxy: FaultyProxy = field(repr=False)

    @property
    def address(self) -> str:
        """An address in the bucket."""
        return f"{self.protocol}://{BUCKET}/campaigns"


def azurite() -> str | None:
    """Return the path of Azurite's program; None if it is not installed."""
    own = Path(__file__).parents[2] / AZURITE / "node_modules/.bin"
    return shutil.which("azurite-blob", path=own) or shutil.which("azurite-blob")


@contextmanager
def google_store() -> Iterator[CloudStore]:
    """Start a server of Google's protocol, in a process of its own."""
    with _process([sys.executable, "-W", "ignore", __file__]) as line, faulty_proxy(int(line), GOOGLE_SAYS) as proxy:
        yield CloudStore("gs", {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{proxy.server_port}"}, proxy)


@contextmanager
def azure_store(program: str) -> Iterator[CloudStore]:
    """Start a server of Azure's protocol."""
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", "0"]
    with ExitStack() as stack:
        line = stack.enter_context(_process([program, *options], "successfully listens on"))
        proxy = stack.enter_context(faulty_proxy(int(line.rpartition(":")[2]), AZURE_SAYS))
        endpoint = f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}"
        string = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}"
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(string) as client:
            client.create_container(BUCKET)
        yield CloudStore("az", {"AZURE_STORAGE_CONNECTION_STRING": string}, proxy)


@contextmanager
def _process(program: list[str], words: str = "") -> Iterator[str]:
    """Start a program, and return the line of its output that has some words."""
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = next((line for line in process.stdout if words in line), None)
            if line is None:
                raise RuntimeError(f"{program[0]} did not start")
            yield line.strip()
        finally:
            process.terminate()


def main() -> None:
    import threading

    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    print(server._api._httpd.server_port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
