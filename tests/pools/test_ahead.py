"""Images that another process decodes while this one does something else."""

from __future__ import annotations

import time

import numpy as np
from PIL import Image

import alkit
from alkit.pools.ahead import decoded_ahead


def write_images(folder, n):
    folder.mkdir()
    for number in range(n):
        pixels = np.random.default_rng(number).integers(256, size=(40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    (folder / "bad.png").write_bytes(b"no image")


def test_a_pool_finds_what_another_process_has_decoded_and_reports_what_is_left_out(tmp_path, capfd):
    write_images(tmp_path / "images", 12)
    arguments = {"path": str(tmp_path / "images"), "size": 16, "fit": "pad", "exclude": ["00?*"]}
    with decoded_ahead({**arguments, "cache": str(tmp_path / "ahead")}):
        until = time.monotonic() + 120
        while not list(tmp_path.glob("ahead/images/*/index.json")) and time.monotonic() < until:
            time.sleep(0.02)
    decoded = []
    pool = alkit.ImagePool(**arguments, cache=tmp_path / "ahead", report=decoded.append)
    plain = alkit.ImagePool(**arguments, cache=tmp_path / "plain")
    assert not decoded
    assert pool.digests() == plain.digests()
    assert pool.unusable == plain.unusable
    assert list(pool.unusable) == ["bad"]
    assert capfd.readouterr().err == ""


def test_a_pool_decodes_what_another_process_had_no_time_for(tmp_path, capfd):
    write_images(tmp_path / "images", 3)
    arguments = {"path": str(tmp_path / "images"), "cache": str(tmp_path / "cache")}
    with decoded_ahead(arguments):
        pass
    assert len(alkit.ImagePool(**arguments)) == 3
    with decoded_ahead({**arguments, "path": str(tmp_path / "nothing")}):
        pass
    assert capfd.readouterr().err == ""
