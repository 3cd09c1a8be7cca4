"""A record in a network folder is named, because SQLite cannot lock it for several computers."""

import os
import subprocess
import sys

import pytest

from alkit.record import Store, network_folder
from alkit.record.network_folder import network_type

pytestmark = pytest.mark.sqlite

LINE = "36 25 0:31 / {point} rw,noatime shared:1 - {kind} server:/export rw\n"


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Return a function that says where which types of file systems are mounted."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(network_folder, "MOUNTS", path)
    monkeypatch.setattr(network_folder, "_warned", set())

    def mount(*pairs):
        text = "".join(LINE.format(point=point.replace(" ", r"\040"), kind=kind) for point, kind in pairs)
        path.write_text(f"25 1 0:22 / / rw - ext4 /dev/sda1 rw\nstrange\n{text}")

    mount()
    return mount


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has drives")
def test_the_innermost_and_last_mount_of_a_folder_counts(tmp_path, mounts):
    tmp_path = tmp_path.resolve()
    share, other = str(tmp_path / "share"), str(tmp_path / "a share")
    os.makedirs(f"{other}/deep")
    assert network_type(tmp_path) is None
    mounts((share, "nfs4"), (other, "fuse.sshfs"))
    assert network_type(tmp_path / "share" / "deep") == "nfs4"
    assert network_type(tmp_path / "a share" / "deep") == "fuse.sshfs"
    assert network_type(tmp_path / "shares") is None
    (tmp_path / "link").symlink_to(f"{other}/deep")
    assert network_type(tmp_path / "link") == "fuse.sshfs"
    mounts((share, "cifs"), (f"{share}/local", "xfs"), (other, "nfs"), (other, "tmpfs"))
    assert network_type(tmp_path / "share") == "cifs"
    assert network_type(tmp_path / "share" / "local" / "x") is None
    assert network_type(tmp_path / "a share") is None
    (tmp_path / "mountinfo").unlink()
    assert network_type(tmp_path / "share") is None


@pytest.mark.sqlite
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has drives")
def test_a_record_in_a_network_folder_is_named_once(tmp_path, mounts, caplog):
    Store(tmp_path / "local.db")
    assert caplog.messages == []
    mounts((str(tmp_path.resolve()), "nfs4"))
    for _ in range(2):
        Store(tmp_path / "r.db")
    (message,) = caplog.messages
    assert "r.db lies in a network folder (nfs4): only processes of one computer may use it" in message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_the_real_list_of_mounts_is_read(tmp_path):
    found = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True)
    assert network_type(tmp_path) is None or found.stdout.strip() not in ("ext2/ext3", "xfs", "tmpfs", "overlayfs")
