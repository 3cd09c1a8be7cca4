"""Settings of a record are checked. The folder of the images may change, and everything until the first query."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit import Experiment
from alkit.errors import ResumeError
from alkit.record import Store

LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))


@pytest.fixture
def place(tmp_path):
    """Return a folder with images a to f; a record is beside it."""
    (tmp_path / "images").mkdir()
    for row, name in enumerate("abcdef"):
        save(tmp_path / f"images/{name}.png", row)
    return tmp_path


def save(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(8, 8), dtype=np.uint8)).save(path)


def begun(place, classes=("skin", "lesion"), folder="images", **more):
    pool = alkit.ImagePool(place / folder, grayscale=True, **more)
    return Experiment(pool, LEARNER, alkit.strategy("random"), store=place / "c.db", classes=classes)


def test_classes_may_change_until_the_first_query(place):
    begun(place, ("skin", "leison"))
    experiment = begun(place, ("skin", "lesion"))
    assert experiment.spec.classes == ("skin", "lesion")
    experiment.ask(1)
    with pytest.raises(ResumeError, match=r"classes.*'lesion'.*'mole'"):
        begun(place, ("skin", "mole"))


def test_an_oracle_with_other_classes_is_refused_before_the_first_query(place):
    experiment = begun(place)
    with pytest.raises(ResumeError, match="classes"):
        experiment.send(alkit.MaskOracle({}, classes=("skin", "mole")))


def test_a_new_folder_of_the_images_is_recorded(place):
    asked = begun(place).ask(2)
    (place / "images").rename(place / "pictures")
    assert begun(place, folder="pictures").open_ids == asked
    assert Experiment.open(place / "c.db").open_ids == asked, "it is remembered"
    (place / "pictures").rename(place / "again")
    assert begun(place, folder="again").open_ids == asked
    assert str(Experiment.open(place / "c.db").pool.path) == str(place / "again")


def test_images_that_were_added_later_are_named_and_not_used(place, caplog):
    begun(place).ask(2)
    save(place / "images/aa.png", 99)
    save(place / "images/z.png", 98)
    experiment = Experiment.open(place / "c.db")
    assert "these images were added later and are not used: 'aa', 'z'" in caplog.text
    assert experiment.pool.ids == tuple("abcdef")
    assert len(experiment.candidates) == 4


def test_missing_and_changed_images_are_named(place):
    begun(place).ask(2)
    (place / "images/b.png").unlink()
    save(place / "images/d.png", 99)
    save(place / "images/e.png", 98)
    save(place / "images/new.png", 97)
    with pytest.raises(ResumeError, match=r"created with: got missing: 'b'; changed: 'd', 'e'\. Try: restore them"):
        Experiment.open(place / "c.db")


def test_many_missing_images_are_counted(place):
    begun(place).ask(1)
    for path in (place / "images").iterdir():
        path.unlink()
    save(place / "images/x.png", 1)
    with pytest.raises(ResumeError, match=r"missing: 'a', 'b', 'c', 'd', 'e' and 1 more"):
        Experiment.open(place / "c.db")


def test_another_working_size_is_another_setting(place):
    begun(place).ask(1)
    with pytest.raises(ResumeError, match=r"pool\.height: recorded 8, now 4"):
        begun(place, size=4)


def test_each_record_has_a_unique_campaign_name(place, tmp_path):
    first = begun(place)
    first.ask(1)
    assert begun(place).campaign == first.campaign == Experiment.open(place / "c.db").campaign
    other = Experiment(first.pool, LEARNER, alkit.strategy("random"), store=place / "other.db")
    assert len(other.campaign) == 16
    assert other.campaign != first.campaign


def test_a_process_that_looked_too_early_keeps_the_settings_of_another(place, monkeypatch):
    first = begun(place)
    campaign, looked = first.campaign, []
    fact = Store.fact

    def looks_too_early(store, name):
        if name == "configuration" and not looked:
            looked.append(name)
            return None
        return fact(store, name)

    monkeypatch.setattr(Store, "fact", looks_too_early)
    again = begun(place, classes=None)
    assert looked
    assert (again.campaign, again.spec.classes) == (campaign, ("skin", "lesion"))
