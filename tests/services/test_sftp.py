"""Files of a record on an SFTP server on loopback."""

import asyncio
import gc
import threading

import pytest

from alkit._files import cache_folder
from alkit.errors import StoreError
from alkit.record import Store, connections
from alkit.record.check import check
from alkit.record.elsewhere import ids_at

pytestmark = [
    pytest.mark.services,
    pytest.mark.sqlite,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # of the server
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def sftp(tmp_path, monkeypatch):
    """Start a server of SFTP with a key of its own; return its address, and the folder that it shows."""
    asyncssh = pytest.importorskip("asyncssh")
    pytest.importorskip("paramiko")
    home, shown = tmp_path / "home", tmp_path / "shown"
    (home / ".ssh").mkdir(parents=True)
    shown.mkdir()
    own, of_user = (asyncssh.generate_private_key("ssh-rsa", key_size=2048) for _ in range(2))
    of_user.write_private_key(home / ".ssh" / "id_rsa", "pkcs1-pem")
    (home / ".ssh" / "id_rsa").chmod(0o600)
    allowed = asyncssh.import_authorized_keys(of_user.export_public_key().decode())
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=allowed,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(shown)),
        )
        ports.append(server.get_port())
        started.set()
        await ended.wait()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.2)  # until its connections have ended

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(30)
    key = own.export_public_key().decode().split()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{ports[0]} {key[0]} {key[1]}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(connections, "_systems", {})
    yield f"sftp://me@127.0.0.1:{ports[0]}/records", shown
    for system in connections._systems.values():
        system.client.close()
    loop.call_soon_threadsafe(ended.set)
    thread.join(30)
    loop.close()
    gc.collect()


def test_files_are_kept_on_an_sftp_server(tmp_path, sftp):
    address, shown = sftp
    store = Store(tmp_path / "r.db", files=address)
    names = [store.keep(content, ".png") for content in (b"a label", b"another", b"a label")]
    (cache_folder() / "record-files" / names[0]).unlink()
    assert store.content(names[0]) == b"a label"
    assert store.contents.names(".png") == sorted(set(names))
    assert ids_at(address) == [store.fact("elsewhere")]
    folder = shown / "records" / store.fact("elsewhere") / "png"
    assert sorted(path.name for path in folder.iterdir()) == sorted(set(names))
    connections.system_at(store.contents.place.place.root).client.close()  # the connection is lost
    assert not check(store.path, files=store.contents).damage
    store.delete_files([names[1]])
    assert not store.contents.exists(names[1])


def test_a_server_whose_key_is_not_known_is_refused(tmp_path, sftp):
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(StoreError, match=r"the key of \[127.0.0.1\]:\d+ is not in .*known_hosts"):
        Store(tmp_path / "r.db", files=sftp[0])


def test_a_path_may_have_special_characters(tmp_path, sftp):
    address, shown = f"{sftp[0]}/a b/ä#1/50%41+(1)'s;~", sftp[1]
    store = Store(tmp_path / "r.db", files=address)
    name = store.keep(b"a label", ".png")
    (cache_folder() / "record-files" / name).unlink()
    assert Store(tmp_path / "r.db", files=address).content(name) == b"a label"
    assert (shown / "records/a b/ä#1/50%41+(1)'s;~" / store.fact("elsewhere") / "png" / name).exists()
    assert ids_at(address) == [store.fact("elsewhere")]
