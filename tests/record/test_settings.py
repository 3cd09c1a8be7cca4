"""Settings of a record are checked. The folder of the images may change, and everything until the first answer."""

from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image

import alkit
from alkit import Experiment
from alkit.errors import ResumeError, StoreError
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


def begun(place, classes=("skin", "lesion"), folder="images", change=False, seed=0, **more):
    pool, strategy = alkit.ImagePool(place / folder, grayscale=True, **more), alkit.strategy("random")
    return Experiment(pool, LEARNER, strategy, place / "c.db", seed, classes=classes, change=change)


def answer(experiment, n=1):
    ids = experiment.ask(n)
    experiment.tell({id: np.eye(8, dtype=np.uint8) for id in ids})
    return ids


def test_classes_may_change_until_the_first_answer(place):
    begun(place, ("skin", "leison"))
    experiment = begun(place, ("skin", "lesion"))
    assert experiment.spec.classes == ("skin", "lesion")
    experiment.ask(1)
    assert begun(place, ("skin", "nevus")).spec.classes == ("skin", "nevus")
    answer(begun(place, ("skin", "lesion")))
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
    answer(begun(place))
    with pytest.raises(ResumeError, match=r"pool\.height: recorded 8, now 4.*change=True, which keeps the labels"):
        begun(place, size=4)


def test_a_record_without_answers_takes_new_settings(place):
    begun(place).ask(2)
    experiment = begun(place, size=4)
    assert experiment.pool.shape == (1, 4, 4)
    assert experiment.open_ids == (), "the selection may be another at another size"
    experiment.ask(2)
    assert len(begun(place, ("skin", "mole"), size=4).open_ids) == 2, "the selection is the same"
    other = Experiment(experiment.pool, LEARNER, alkit.strategy("mc-dropout"), store=place / "c.db", seed=5)
    assert (other.seed, Experiment.open(place / "c.db").seed) == (5, 5)
    assert other.open_ids == ()
    assert len(other.candidates) == 6


def test_queries_that_were_sent_stay_open_when_settings_change(place, caplog):
    experiment = begun(place)
    asked = experiment.ask(2)
    experiment.send(alkit.oracles.FolderOracle(place / "exchange", classes=("skin", "lesion"), images=experiment.pool))
    other = Experiment(experiment.pool, LEARNER, alkit.strategy("mc-dropout"), store=place / "c.db", annotators=2)
    assert "2 queries of the former settings stay open, because they were sent already" in caplog.text
    assert other.open_ids == asked
    assert [query.wanted for query in other.queries()] == [2, 2]
    assert other.campaign == experiment.campaign


@pytest.mark.parametrize("start", [3, 4])
def sent(place, **more):
    """Return the ids of images that people have, without an answer."""
    experiment = begun(place, **more)
    asked = experiment.ask(2)
    experiment.send(alkit.oracles.FolderOracle(place / "exchange", classes=experiment.spec, images=experiment.pool))
    return asked


MOVED = [
    ("lesion", "skin"),
    ("background", "skin", "lesion"),
    alkit.LabelSpec(("skin", "lesion", "nevus", "mole"), ignore=255),  # 2 was ignored
]


@pytest.mark.parametrize("classes", MOVED, ids=str)
@pytest.mark.parametrize("more", [{}, {"seed": 1}], ids=str)
def test_a_mask_that_people_save_now_keeps_its_meaning_when_classes_change(place, classes, more):
    sent(place, classes=alkit.LabelSpec(("skin", "lesion"), ignore=2))
    with pytest.raises(ResumeError, match=r"classes must keep their ids.*the former ids, or another store"):
        begun(place, classes, **more)
    assert begun(place, ("skin", "leison")).spec.classes == ("skin", "leison"), "another name for the same class"
    assert begun(place, ("skin", "lesion", "nevus")).spec.ignore is None


def save_others(place, folder):
    """Write other images with the same names."""
    (place / folder).mkdir(exist_ok=True)
    for number, name in enumerate("abcdef"):
        save(place / folder / f"{name}.png", 50 + number)


OTHERS = ({"seed": 1}, {"size": 4, "folder": "others"}, {"seed": 1, "folder": "others"})


@pytest.mark.parametrize("more", OTHERS, ids=str)
def test_answers_to_images_that_people_have_do_not_count_for_others_of_the_same_names(place, more):
    begun(place).ask(2)  # in Python, nothing says whether somebody is labelling them
    save_others(place, more.get("folder", "images"))
    with pytest.raises(ResumeError, match=r"have or have labelled.*such as '[a-f]'.*another store"):
        begun(place, **more)


def test_images_that_were_moved_and_are_read_at_another_size_are_compared_first(place):
    asked = sent(place)
    (place / "images").rename(place / "moved")
    with pytest.raises(ResumeError, match="the former settings"):
        begun(place, folder="moved", size=4)
    begun(place, folder="moved")
    assert begun(place, folder="moved", size=4).open_ids == asked


def test_labels_are_not_taken_for_other_images_of_another_size(place):
    answer(begun(place))
    save_others(place, "others")
    with pytest.raises(ResumeError, match=r"such as '[a-f]'"):
        begun(place, folder="others", size=4, change=True)
    assert begun(place, size=4, change=True).fit().n_labels == 1


@pytest.mark.parametrize("more", [{"tile": 8}, {"level": 1, "margin": 2}], ids=str)
def test_answers_to_tiles_do_not_count_for_tiles_of_other_places(place, more):
    with tifffile.TiffWriter(place / "a.tif") as file:
        file.write(np.full((32, 32), 90, np.uint8), tile=(16, 16), subifds=1)
        file.write(np.full((16, 16), 90, np.uint8), tile=(16, 16), subfiletype=1)

    def experiment(**given):
        pool = alkit.TilePool(place, pattern="*.tif", grayscale=True, cache=place / "cache", **{"tile": 4, **given})
        return Experiment(pool, LEARNER, alkit.strategy("random"), place / "t.db", classes=("a", "b"))

    first = experiment()
    first.ask(60)
    first.send(alkit.oracles.FolderOracle(place / "exchange", classes=("a", "b"), images=first.pool))
    with pytest.raises(ResumeError, match="such as 'a/y"):
        experiment(**more)


@pytest.mark.parametrize("start", [3, 4])
def test_after_a_refused_run_the_same_run_with_other_settings_is_as_good_as_new(place, start):
    wrong = alkit.MaskOracle({name: np.full((8, 8), 7, np.uint8) for name in "abcdef"}, classes=("skin", "lesion"))
    right = alkit.MaskOracle({name: np.eye(8, dtype=np.uint8) for name in "abcdef"}, classes=("skin", "lesion"))
    pool = alkit.ImagePool(place / "images", grayscale=True)

    def run(oracle, store, start=start, lr=0.1):
        learner = alkit.SegmentationLearner(LEARNER.network, epochs=(1, 1), lr=lr)
        experiment = Experiment(pool, learner, alkit.strategy("random"), store=place / store)
        return [result.ids for result in experiment.run(oracle, start=start, batch=1, rounds=1)]

    with pytest.raises(alkit.errors.LabelError):
        run(wrong, "r.db", start=3, lr=1e-3)
    others = alkit.MaskOracle({name: np.eye(8, dtype=np.uint8) * 7 for name in "abcdef"}, classes=("skin", "mole"))
    with pytest.raises(alkit.errors.LabelError):
        run(others, "r.db")
    assert run(right, "r.db") == run(right, "fresh.db")
    assert Store(place / "r.db").answers()[0].kind == "label"


CHANGED = alkit.SegmentationLearner(partial(alkit.UNet, widths=(4, 8)), epochs=(2, 1))


def changed(place, **more):
    pool = alkit.ImagePool(place / "images", grayscale=True, size=4)
    arguments = {"learner": CHANGED, "strategy": alkit.strategy("mc-dropout"), "change": True, **more}
    return Experiment(pool, store=place / "c.db", **arguments)


def test_learner_strategy_and_size_may_change_until_a_round_is_committed(place):
    ids = answer(begun(place), 3)
    experiment = changed(place)
    assert [answer.id for answer in experiment.answers()] == list(ids)
    assert experiment.spec.classes == ("skin", "lesion")
    (entry,) = Store(place / "c.db").fact("changes")
    assert entry["at"].startswith("20")
    assert "strategy: recorded Random, now MCDropout" in " ".join(entry["changed"])
    assert "pool.height: recorded 8, now 4" in entry["changed"]
    result = experiment.fit()
    assert result.n_labels == 3
    assert experiment.ask(1) == Experiment.open(place / "c.db").open_ids
    assert Experiment.open(place / "c.db").learner.epochs == (2, 1)
    with pytest.raises(ResumeError, match="has a committed round, so its settings cannot change any more: learner"):
        begun(place, change=True)


def test_labels_are_resized_to_the_new_working_size(place):
    ids = answer(begun(place), 2)
    seen = []

    class Watching(alkit.SegmentationLearner):
        def fit(self, labelled, *rest):
            seen.append(labelled.labels(labelled.ids))
            return super().fit(labelled, *rest)

    changed(place, learner=Watching(partial(alkit.UNet, widths=(4, 8)), epochs=(1, 1))).fit()
    assert len(ids) == 2
    np.testing.assert_array_equal(seen[0], np.zeros((2, 4, 4)), "half of each 2 x 2 block is background, which wins")


@pytest.mark.parametrize("more", [{"seed": 1}, {"annotators": 2}, {"classes": ("skin", "mole")}], ids=str)
def test_other_settings_cannot_change_after_the_first_answer(place, more):
    answer(begun(place))
    with pytest.raises(ResumeError):
        changed(place, **more)


def test_a_change_to_other_images_is_refused(place):
    answer(begun(place), 6)
    (place / "images/b.png").unlink()
    with pytest.raises(ResumeError, match=r"cannot be read in another way while some are missing: got 'b'"):
        changed(place)


def test_a_change_that_changes_nothing_is_not_recorded(place):
    answer(begun(place))
    begun(place, change=True)
    assert Store(place / "c.db").fact("changes") is None


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


@pytest.mark.parametrize("name", ["declared", "configuration"])
def test_a_model_of_a_record_without_settings_is_refused(world, tmp_path, name):
    experiment = world.experiment(tmp_path / "r.db", classes=("skin", "lesion"))
    experiment.tell({id: world.masks[id] for id in experiment.ask(4)})
    experiment.fit()
    store = Store(tmp_path / "r.db")
    store.replace({}, keep=lambda known: known != name)
    store.close()
    with pytest.raises(StoreError, match="lacks settings that alkit records before anything else: got no"):
        alkit.trained_model(tmp_path / "r.db")
