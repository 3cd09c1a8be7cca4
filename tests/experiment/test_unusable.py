"""Images that vanish, are damaged or come back during a campaign."""

from __future__ import annotations

import json
import os
import time
from functools import partial

import numpy as np
import pytest
from commandline import alkit as run
from PIL import Image

import alkit
from alkit.errors import ResumeError
from tests.support.warnings_of import warnings_of

CLASSES = ("skin", "lesion")
LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
MASK = np.zeros((16, 16), np.uint8)
MASK[4:9, 5:12] = 1


@pytest.fixture
def place(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in "abcdefghij":
        Image.fromarray(rng.integers(256, size=(16, 16), dtype=np.uint8)).save(tmp_path / f"images/{name}.png")
    return tmp_path


def begun(place, strategy="random", **more):
    pool = alkit.ImagePool(place / "images", grayscale=True)
    chosen = strategy if not isinstance(strategy, str) else alkit.strategy(strategy)
    return alkit.Experiment(pool, LEARNER, chosen, store=place / "c.db", classes=CLASSES, **more)


def file(place, id):
    return place / "images" / f"{id}.png"


def test_the_next_fit_trains_on_a_label_whose_image_is_back(place):
    experiment = begun(place)
    ids = experiment.ask(3)
    experiment.tell(dict.fromkeys(ids, MASK))
    kept = file(place, ids[0]).read_bytes()
    file(place, ids[0]).unlink()
    assert begun(place).fit().n_labels == 2
    assert begun(place).fit().round == 0
    file(place, ids[0]).write_bytes(kept)
    assert begun(place).fit().n_labels == 3
    assert begun(place).fit().round == 1
    file(place, ids[1]).unlink()
    assert begun(place).fit().round == 1  # it was trained on


def test_a_campaign_goes_on_without_images_that_are_gone_and_lists_them(place, caplog):
    ids = begun(place, stop_set=10).ask(4)
    begun(place, stop_set=10).tell(dict.fromkeys(ids[:3], MASK))
    kept = {id: file(place, id).read_bytes() for id in (ids[0], ids[3])}
    file(place, ids[0]).unlink()  # labelled
    file(place, ids[3]).write_bytes(b"damaged")  # asked
    experiment = begun(place, stop_set=10)
    assert f"these images are missing and not used: '{min(ids[0], ids[3])}'" in caplog.text
    assert experiment.open_ids == ()
    assert experiment.prelabels() == {}
    assert len(experiment.candidates) == 6
    result = experiment.fit()
    assert result.n_labels == 2
    first, second = warnings_of(result)
    assert first.startswith("2 images cannot be used and are left out: ")
    assert f"{ids[0]!r} (it is missing)" in first
    assert f"{ids[3]}.png cannot be decoded" in first
    assert second == f"The labels of 1 of these images are recorded and not trained on: {ids[0]!r}."
    assert experiment.fit() == result  # nothing new
    assert len(experiment.answers()) == 3
    experiment.tell({ids[3]: MASK})  # it was labelled before the image was damaged
    assert len(experiment.answers()) == 4
    assert len(experiment.ask(2)) == 2

    for id, content in kept.items():
        file(place, id).write_bytes(content)
    experiment = begun(place, stop_set=10)
    experiment.tell(dict.fromkeys(experiment.open_ids, MASK))
    result = experiment.fit()
    assert (result.n_labels, warnings_of(result)) == (6, ())


def test_images_that_are_damaged_from_the_beginning_are_listed(place):
    file(place, "c").write_bytes(b"damaged")
    experiment = begun(place)
    ids = experiment.ask(2)
    assert "c" not in experiment.pool.ids
    experiment.tell(dict.fromkeys(ids, MASK))
    (warning,) = warnings_of(experiment.fit())
    assert warning.startswith("1 image cannot be used and is left out: 'c' (")


def test_images_that_have_changed_are_refused(place):
    begun(place).ask(2)
    file(place, "a").write_bytes(file(place, "b").read_bytes())
    with pytest.raises(ResumeError, match="changed: 'a'"):
        begun(place)


def test_a_schedule_needs_all_images(place):
    oracle = alkit.MaskOracle(dict.fromkeys("abcdefghij", MASK), classes=CLASSES)
    next(begun(place).rounds(oracle, start=2, batch=1, rounds=1))
    file(place, "a").unlink()
    with pytest.raises(ResumeError, match="missing: 'a'"):
        begun(place)


def test_more_than_half_of_the_images_must_be_there(place):
    begun(place).ask(2)
    for id in "abcde":
        file(place, id).unlink()
    assert len(begun(place).pool) == 5
    file(place, "f").unlink()
    with pytest.raises(ResumeError, match="missing: 'a', 'b', 'c', 'd', 'e' and 1 more"):
        begun(place)


def test_clusters_stay_the_same_without_the_images_that_are_gone(place):
    def by_cluster(view, n, rng):
        seen.append(view.clusters(feature, 3))
        return sorted(view.candidates)[:n]

    seen, feature = [], alkit.Reconstruction(epochs=1)
    experiment = begun(place, by_cluster)
    experiment.ask(1)
    file(place, "d").unlink()
    again = begun(place, by_cluster)
    again.withdraw()
    again.ask(1)
    before, after = seen
    assert after.ids == tuple("abcefghij")
    where = dict(zip(before.ids, before.labels, strict=True))
    assert [where[id] for id in after.ids] == after.labels.tolist()


def test_clusters_that_lack_an_image_are_computed_again_when_it_is_back(place):
    def by_cluster(view, n, rng):
        if clustering:
            seen.append(view.clusters(feature, 3))
        return sorted(view.candidates)[:n]

    seen, clustering, feature = [], [], alkit.Reconstruction(epochs=1)
    begun(place, by_cluster).ask(1)
    content = file(place, "d").read_bytes()
    file(place, "d").unlink()
    clustering.append(True)
    for _ in range(3):
        again = begun(place, by_cluster)
        again.withdraw()
        again.ask(1)
        if len(seen) == 2:
            file(place, "d").write_bytes(content)
    assert [len(clusters.ids) for clusters in seen] == [9, 9, 10]
    assert seen[0].labels.tolist() == seen[1].labels.tolist()


def test_the_commands_go_on_and_status_lists_the_images(place, capfd, caplog):
    store, images, out = place / "r.db", place / "images", place / "exchange"
    start = "--classes", "skin,lesion", "--strategy", "random", "--grayscale", "--widths", "2,4", "--epochs", "1,1"
    file(place, "b").write_bytes(b"damaged")
    assert run("start", store, "--images", images, *start) == 0
    assert "1 image cannot be used" in caplog.text
    assert run("ask", store, "-n", 3, "--out", out) == 0
    capfd.readouterr()
    assert run("status", store, "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert list(facts["unusable"]) == ["b"]
    asked = {query["id"]: query["key"] for query in facts["open_queries"]}
    (out / "ann").mkdir()
    for id in sorted(asked)[:2]:
        Image.fromarray(MASK).save(out / "ann" / f"{asked[id]}.png")
        os.utime(out / "ann" / f"{asked[id]}.png", (time.time() - 60,) * 2)
    gone = sorted(asked)[2]
    file(place, gone).unlink()
    assert run("tell", store, "--from", out) == 0
    assert run("fit", store) == 0
    assert f"{gone!r} (it is missing)" in capfd.readouterr().out
    assert run("status", store, "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["unusable"].keys() == {"b", gone}
    assert facts["open"] == []
    assert facts["left"] == 6
    assert run("status", store) == 0
    assert "Images that cannot be used" in capfd.readouterr().out
    assert run("ask", store, "-n", 2) == 0
