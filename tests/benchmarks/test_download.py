"""Downloads from a real server on loopback, with the faults of real servers and connections."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from alkit.errors import StoreError
from alkit.values import Progress
from benchmarks.isic2017.download import DownloadError, download


@pytest.fixture
def big(server, monkeypatch) -> bytes:
    """Serve ten and a half chunks as ``x.zip``, and return them."""
    monkeypatch.setattr("benchmarks.isic2017.download.CHUNK", 1000)
    server.files["x.zip"] = np.random.default_rng(0).bytes(10_500)
    return server.files["x.zip"]


def test_a_cut_download_resumes_and_no_byte_is_sent_twice(server, big, tmp_path):
    server.cuts = [5_250]
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.asked == [None, "bytes=5250-"]
    assert server.sent == [5_250, 5_250]
    assert not (tmp_path / "x.zip.part").exists()


def test_the_part_of_a_killed_process_is_continued(server, big, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(big[:7_000])
    steps: list[Progress] = []
    download(server.base + "x.zip", tmp_path / "x.zip", steps.append)
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.asked == ["bytes=7000-"]
    assert server.sent == [3_500]
    assert [(step.stage, step.done, step.total) for step in steps] == [
        ("download", done, 10_500) for done in (7_000, 8_000, 9_000, 10_000, 10_500)
    ]


def test_a_complete_part_is_used_as_it_is(server, big, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(big)
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=())
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.sent == []


def test_a_part_longer_than_the_file_is_downloaded_again(server, big, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(big + b"more")
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.asked == ["bytes=10504-", None]


def test_a_server_without_ranges_sends_the_whole_file_again(server, big, tmp_path):
    server.ranges = False
    server.cuts = [5_250]
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.sent == [5_250, 10_500]


def test_an_answer_with_wrong_bytes_is_not_used(server, big, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(big[:7_000])
    server.lies_about_start = True
    with pytest.raises(DownloadError, match="other bytes, bytes 7001-"):
        download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip.part").read_bytes() == big[:7_000]


def test_a_connection_that_keeps_failing_is_an_error_and_received_bytes_are_kept(server, big, tmp_path):
    server.cuts = [4_000]
    server.always_cut = 0
    with pytest.raises(DownloadError, match=r"kept failing: got the connection was cut after 4000 bytes.*resumes"):
        download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0, 0))
    assert server.asked == [None] + ["bytes=4000-"] * 2  # one attempt after each pause
    assert (tmp_path / "x.zip.part").read_bytes() == big[:4_000]


def test_attempts_are_not_counted_while_each_brings_data(server, big, tmp_path):
    server.always_cut = 1_500
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip").read_bytes() == big
    assert server.sent == [1_500] * 7


def test_a_server_without_ranges_that_always_cuts_ends_in_an_error(server, big, tmp_path):
    server.ranges, server.always_cut = False, 1_500
    with pytest.raises(DownloadError, match="after 1500 bytes"):
        download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0, 0))
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_failing_server_is_asked_again(server, big, tmp_path, status):
    server.refusals = [status]
    download(server.base + "x.zip", tmp_path / "x.zip", pauses=(0,))
    assert (tmp_path / "x.zip").read_bytes() == big


def test_a_missing_file_is_asked_for_once(server, tmp_path):
    with pytest.raises(DownloadError, match=r"nowhere\.zip cannot be downloaded: got HTTP 404 Not Found. Try: check"):
        download(server.base + "nowhere.zip", tmp_path / "nowhere.zip", pauses=(0, 0))
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_connection_is_a_clear_error(server, tmp_path):
    base = server.base
    server.server_close()
    with pytest.raises(DownloadError, match=r"kept failing.*refused"):
        download(base + "x.zip", tmp_path / "x.zip", pauses=(0,))


def test_an_answer_without_a_length_is_refused(server, big, tmp_path):
    server.tells_length = False
    with pytest.raises(DownloadError, match="without a Content-Length"):
        download(server.base + "x.zip", tmp_path / "x.zip", pauses=())


def test_a_full_disk_is_reported_before_any_byte_is_received(server, big, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_499))
    (tmp_path / "x.zip.part").write_bytes(big[:7_000])
    with pytest.raises(StoreError, match=r"no room for .*got 3499 bytes free, expected 3500"):
        download(server.base + "x.zip", tmp_path / "x.zip")
    assert (tmp_path / "x.zip.part").read_bytes() == big[:7_000]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_500))
    download(server.base + "x.zip", tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == big


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_up_during_the_download_is_a_store_error(server, big, tmp_path):
    (tmp_path / "x.zip.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="No space left"):
        download(server.base + "x.zip", tmp_path / "x.zip")
