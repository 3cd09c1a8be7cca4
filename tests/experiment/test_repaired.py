"""Images that could not be read when a campaign was started come in when they are repaired."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from commandline import alkit as run
from PIL import Image

import alkit
from alkit.errors import DataError
from alkit.testing import Brightness

CLASSES = ("skin", "lesion")
MASK = np.zeros((16, 16), np.uint8)
MASK[4:9, 5:12] = 1


def picture(name):
    return Image.fromarray(np.random.default_rng(ord(name)).integers(256, size=(16, 16), dtype=np.uint8))


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for name in "abcdefghij":
        picture(name).save(tmp_path / f"images/{name}.png")
    (tmp_path / "images/c.png").write_bytes(b"damaged")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(place, **more):
    pool = alkit.ImagePool(place / "images", grayscale=True)
    return alkit.Experiment(
        pool, Brightness(), alkit.strategy("random"), store=place / "c.db", classes=CLASSES, hold_out=0.0, **more
    )


def test_a_repaired_image_is_noticed_and_taken_in_while_others_that_are_new_stay_out(place):
    experiment = begun(place)
    experiment.tell(dict.fromkeys(experiment.ask(3), MASK))
    assert experiment.repaired == ()
    picture("c").save(place / "images/c.png")
    picture("x").save(place / "images/x.png")  # nobody has added it
    experiment = begun(place)
    assert experiment.repaired == ("c",)
    assert "c" not in experiment.pool.ids
    (warning,) = experiment.fit().warnings[-1:]
    assert "'c' (it can be read again, and is not in the pool yet)" in warning
    found = experiment.take_repaired()
    assert (found.ids, found.features) == (("c",), "thumbnails")
    assert sorted(experiment.pool.ids) == list("abcdefghij")
    assert experiment.repaired == ()
    assert "c" in experiment.candidates
    again = begun(place)
    assert sorted(again.pool.ids) == list("abcdefghij")
    assert len(again.answers()) == 3
    assert again.take_repaired().ids == ()


def test_before_the_first_query_it_comes_in_as_any_other_image(place):
    begun(place)
    picture("c").save(place / "images/c.png")
    assert sorted(begun(place).pool.ids) == list("abcdefghij")


def test_an_image_of_the_test_set_stays_out(place):
    experiment = begun(place)
    experiment.tell(dict.fromkeys(experiment.ask(3), MASK))
    picture("c").save(place / "images/c.png")
    test = alkit.ArrayPool(np.asarray(picture("c"))[None, None], ids=["t"])
    experiment = begun(place)
    with pytest.raises(DataError, match="test contains 1 image of the pool: got 't', which is identical to 'c'"):
        experiment.take_repaired(test=test)
    assert experiment.repaired == ("c",)


def test_a_removed_image_does_not_come_back(place):
    experiment = begun(place)
    experiment.ask(2)
    picture("c").save(place / "images/c.png")
    experiment = begun(place)
    experiment.take_repaired()
    experiment.remove("c", "consent withdrawn")
    assert begun(place).repaired == ()


def test_the_slices_of_a_repaired_volume_come_in(tmp_path):
    for number in range(3):
        array = np.random.default_rng(number).integers(1, 100, (8, 8, 4)).astype(np.int16)
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"p{number}.nii.gz")
    whole = (tmp_path / "p1.nii.gz").read_bytes()
    (tmp_path / "p1.nii.gz").write_bytes(whole[:-20])

    def opened():
        pool = alkit.VolumePool(tmp_path, cache=tmp_path / ".cache")
        return alkit.Experiment(pool, Brightness(), alkit.strategy("random"), tmp_path / ".c.db", classes=CLASSES)

    opened().ask(2)
    (tmp_path / "p1.nii.gz").write_bytes(whole)
    experiment = opened()
    assert experiment.take_repaired().ids == tuple(f"p1/axial-000{index}" for index in range(4))
    assert len(experiment.pool) == 12
    assert opened().repaired == ()


FAST = "--grayscale --recipe paper --widths 2,4 --steps 1,1 --strategy random --stop-set 0 --hold-out 0".split()


def test_ask_takes_it_in_and_says_so(place, capfd):
    assert run("start", "c.db", "--images", "images", "--classes", "skin,lesion", *FAST) == 0
    assert run("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    experiment = alkit.Experiment.open("c.db")
    experiment.tell(dict.fromkeys(experiment.open_ids, MASK))
    picture("c").save(place / "images/c.png")
    assert run("check", "c.db") == 0
    assert "left out: image 'c'" in capfd.readouterr().out
    alkit.Experiment.open("c.db")  # as any command that opens the images
    assert run("check", "c.db") == 0
    assert "it can be read again, and is not in the pool yet; the next alkit ask takes it in" in capfd.readouterr().out
    assert run("ask", "c.db", "-n", "8") == 0
    said = capfd.readouterr().out
    assert "Taken into the pool, because they can be read now: c." in said
    assert run("status", "c.db", "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert "c" in facts["open"]
    assert facts["unusable"] == {}
    assert any("1 image added, clusters kept" in text for change in facts["changes"] for text in change["changed"])


@pytest.mark.slow
def test_an_image_without_a_group_stays_out_and_stops_nothing(place, capfd):
    (place / "groups.csv").write_text("id,patient\n" + "".join(f"{id},p{id}\n" for id in "abdefghij"))
    own = "--images", "images", "--classes", "skin,lesion", "--groups", "groups.csv"
    assert run("start", "c.db", *own, *FAST) == 0
    assert run("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    experiment = alkit.Experiment.open("c.db")
    experiment.tell(dict.fromkeys(experiment.open_ids, MASK))
    picture("c").save(place / "images/c.png")
    assert run("ask", "c.db", "-n", "2") == 0
    said = capfd.readouterr()
    assert "images that can be read now stay out of the pool" in said.err
    assert "Selected and sent: 2 images" in said.out
