"""Images that are added to a pool: they can be selected, everything else stays, and their drift is measured."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from commandline import alkit as run
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, DataError, QueryError
from alkit.statistics.drift import drift

CLASSES = ("skin", "lesion")
LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=(1, 1))
MASK = np.zeros((16, 16), np.uint8)
MASK[4:9, 5:12] = 1


def draw(folder, names, low=0, high=256):
    folder.mkdir(exist_ok=True)
    for name in names:
        rng = np.random.default_rng(ord(name))
        Image.fromarray(rng.integers(low, high, size=(16, 16), dtype=np.uint8)).save(folder / f"{name}.png")


@pytest.fixture
def place(tmp_path, monkeypatch):
    draw(tmp_path / "images", "abcdefghij")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pool():
    return alkit.ImagePool("images", size=16, grayscale=True)


def campaign(strategy="random", **more):
    chosen = alkit.strategy(strategy, **more)
    return alkit.Experiment(pool(), LEARNER, chosen, store="c.db", classes=CLASSES)


def test_new_images_can_be_selected_and_everything_else_stays(place):
    experiment = campaign()
    asked = experiment.ask(3)
    experiment.tell(dict.fromkeys(asked, MASK))
    first = experiment.fit()
    open_ids = experiment.ask(2)
    draw(place / "images", "klm")
    found = experiment.grow(pool())
    assert found.ids == ("k", "l", "m")
    assert experiment.open_ids == open_ids
    assert set(experiment.candidates) == set("abcdefghijklm") - {*asked, *open_ids}
    assert experiment.history == (first,)
    experiment.tell({"k": MASK}, unasked=True)
    again = campaign()  # it goes on with all of them
    assert again.candidates == experiment.candidates
    assert "k" not in again.candidates
    again.tell(dict.fromkeys(open_ids, MASK))
    assert again.fit().n_labels == 6
    assert experiment.grow(pool()).ids == ()  # the same again


@pytest.mark.parametrize("clusters", ["keep", "update"])
def test_clusters_are_kept_or_updated_by_choice(place, clusters):
    features = alkit.testing.RowMeans()
    experiment = campaign("ssl-cluster", features=features, clusters=3)
    experiment.ask(3)
    before = experiment._parts.representations.clusters(features, 3)
    draw(place / "images", "klm")
    found = experiment.grow(pool(), clusters=clusters)
    assert found.features == "RowMeans"
    now = experiment._parts.representations.clusters(features, 3)
    assert now.ids == tuple("abcdefghijklm")
    strategy = alkit.strategy("ssl-cluster", features=features, clusters=3)
    other = alkit.Experiment(pool(), LEARNER, strategy, classes=CLASSES)
    fresh = other._parts.representations.clusters(features, 3)
    if clusters == "keep":
        assert list(now.labels[:10]) == list(before.labels)
        rows = experiment._parts.representations.features(features)
        centres = [rows[:10][before.labels == cluster].mean(axis=0) for cluster in range(3)]
        for row in range(10, 13):
            apart = [float(np.linalg.norm(rows[row] - centre)) for centre in centres]
            assert now.labels[row] == int(np.argmin(apart))
            assert now.distances[row] == pytest.approx(min(apart), rel=1e-5)
    else:
        assert list(now.labels) == list(fresh.labels)
    again = campaign("ssl-cluster", features=features, clusters=3)
    assert list(again._parts.representations.clusters(features, 3).labels) == list(now.labels)
    draw(place / "images", "n")
    again.grow(pool(), clusters=clusters)  # and once more
    assert len(again._parts.representations.clusters(features, 3).labels) == 14


def test_scheduled_rounds_and_changed_pools_refuse(place):
    experiment = campaign()
    ids = experiment.ask(2)
    experiment.tell(dict.fromkeys(ids, MASK))
    draw(place / "images", "k")
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(place / "images/a.png")
    (place / "images/b.png").unlink()
    with pytest.raises(DataError, match=r"got 'a' is changed, 'b' is missing"):
        experiment.grow(pool())
    draw(place / "images", "ab")
    with pytest.raises(ConfigurationError, match="clusters must be 'keep' or 'update': got 'new'"):
        experiment.grow(pool(), clusters="new")
    other = alkit.Experiment(pool(), LEARNER, alkit.strategy("random"), store="r.db")
    oracle = alkit.MaskOracle(dict.fromkeys("abcdefghijkl", MASK), CLASSES)
    other.run(oracle, start=2, batch=1, rounds=0)
    draw(place / "images", "l")
    with pytest.raises(QueryError, match="have a schedule, so its pool cannot change"):
        other.grow(pool())


def test_the_drift_is_that_of_a_slow_description():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(12, 3)).astype(np.float32), rng.normal(1, size=(7, 3)).astype(np.float32)
    rows = np.concatenate([a, b]).astype(float)
    rows /= rows.std(axis=0)
    pairs = [(x, y) for x in range(19) for y in range(19) if x != y]
    squares = {(x, y): float(np.sum((rows[x] - rows[y]) ** 2)) for x, y in pairs}
    width = float(np.median(list(squares.values())))
    kernel = {pair: np.exp(-square / width) for pair, square in squares.items()}
    first, second = range(12), range(12, 19)
    expected = np.mean([kernel[x, y] for x in first for y in first if x != y])
    expected += np.mean([kernel[x, y] for x in second for y in second if x != y])
    expected -= 2 * np.mean([kernel[x, y] for x in first for y in second])
    assert drift(a, b, np.random.default_rng(0)).mmd2 == pytest.approx(expected)


def test_volumes_of_the_same_kind_are_not_said_to_differ_because_their_slices_are_alike():
    alike, other = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        volumes = [rng.normal(size=(1, 3)) + 0.2 * rng.normal(size=(rng.integers(1, 9), 3)) for _ in range(30)]
        names = [(number, f"v{number}") for number, rows in enumerate(volumes) for _ in rows]
        groups = [name for number, name in names if number < 25], [name for number, name in names if number >= 25]
        before, new = (np.concatenate(part).astype(np.float32) for part in (volumes[:25], volumes[25:]))
        alike.append(drift(before, new, rng, groups).p)
        other.append(drift(before, new + 3, rng, groups).p)
    assert np.mean(np.array(alike) < 0.05) <= 0.2
    assert max(other) < 0.05


def test_new_images_of_a_group_are_compared_as_one(place, monkeypatch):
    given = []
    monkeypatch.setattr("alkit.experiment.growing.drift", lambda before, new, rng, groups: given.append(groups))
    groups = {id: "one" if id in "rs" else id for id in "abcdefghijrstu"}

    def grouped():
        return alkit.ImagePool("images", size=16, grayscale=True, groups={id: groups[id] for id in there})

    there = "abcdefghij"
    experiment = alkit.Experiment(grouped(), LEARNER, alkit.strategy("random"), store="g.db", classes=CLASSES)
    draw(place / "images", "rstu")
    there = "abcdefghijrstu"
    experiment.grow(grouped())
    assert given == [(list("abcdefghij"), ["one", "one", "t", "u"])]


def test_images_of_another_kind_are_told_from_images_of_the_same_kind(place):
    experiment = campaign()
    experiment.ask(1)
    draw(place / "images", "rstuvwx")
    assert experiment.grow(pool()).drift.p > 0.05
    for name in "ABCDEFG":
        Image.fromarray(np.tile(np.arange(16, dtype=np.uint8) * 16, (16, 1))).save(place / f"images/{name}.png")
    found = experiment.grow(pool())
    assert found.drift.p < 0.02
    assert found.features == "thumbnails"


def test_the_command_copies_images_of_another_folder_and_says_what_it_did(place, capfd):
    small = "--size 16 --widths 2,4 --steps 1,1 --recipe paper --grayscale --strategy random --hold-out 0".split()
    assert run("start", "c.db", "--images", "images", "--classes", "skin,lesion", *small) == 0
    assert run("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    draw(place / "week", "xyz")
    (place / "week/notes.txt").write_text("not an image")
    (place / "week/copy.png").write_bytes((place / "images/a.png").read_bytes())
    capfd.readouterr()
    assert run("add", "c.db", "--images", "week", "--clusters", "update") == 0
    said = capfd.readouterr().out
    assert "Added 4 images: week/copy, week/x, week/y, week/z. 12 can be selected." in said
    assert "1 of them are identical to images of the pool: week/copy to a." in said
    assert "Drift: MMD2 " in said
    assert sorted(path.name for path in (place / "images/week").iterdir()) == ["copy.png", "x.png", "y.png", "z.png"]
    assert run("add", "c.db", "--images", "week", "--json") == 0
    assert json.loads(capfd.readouterr().out)["ids"] == []
    assert run("status", "c.db") == 0
    assert "pool: 4 images added, clusters updated." in " ".join(capfd.readouterr().out.split())
    (place / "week/x.png").write_bytes((place / "images/a.png").read_bytes())
    assert run("add", "c.db", "--images", "week") == 1
    assert "exists with other content" in capfd.readouterr().err


def test_new_images_need_groups_if_the_others_have_them(place, capfd):
    def table(ids):
        return {id: {"patient": f"p{ord(id[-1]) // 2}", "site": "A" if id < "e" else "B"} for id in ids}

    def grouped(ids):
        return alkit.ImagePool("images", size=16, grayscale=True, groups=table(ids))

    rules = alkit.SelectionRules(only="site=B")
    strategy = alkit.strategy("random")
    experiment = alkit.Experiment(grouped("abcdefghij"), LEARNER, strategy, "c.db", classes=CLASSES, rules=rules)
    experiment.ask(2)
    draw(place / "images", "kl")
    with pytest.raises(ConfigurationError, match=r"groups must name the new images, .*: got none for 'k'"):
        experiment.grow(pool())
    assert experiment.grow(grouped("abcdefghijkl")).ids == ("k", "l")
    assert {"k", "l"} <= set(experiment.candidates)
    again = alkit.Experiment.open("c.db")  # without the table
    assert again.pool.groups_of(["k", "j"]) == ["p53", "p53"]
    assert again.candidates == experiment.candidates


def test_the_command_takes_groups_of_new_images(place, capfd):
    (place / "old.csv").write_text("id,patient\n" + "".join(f"{id},p{id}\n" for id in "abcdefghij"))
    small = "--size 16 --widths 2,4 --steps 1,1 --recipe paper --grayscale --strategy random --groups old.csv".split()
    assert run("start", "c.db", "--images", "images", "--classes", "skin,lesion", *small) == 0
    draw(place / "week", "xy")
    (place / "new.csv").write_text("id,patient\nweek/x,pa\nweek/y,py\n")
    assert run("add", "c.db", "--images", "week") == 1
    assert "--groups must name the new images" in " ".join(capfd.readouterr().err.split())
    assert run("add", "c.db", "--images", "week", "--groups", "new.csv") == 0
    assert alkit.Experiment.open("c.db").pool.groups_of(["week/x", "a", "week/y"]) == ["pa", "pa", "py"]


def test_settings_cannot_be_replaced_after_an_import_although_nothing_was_asked(place):
    experiment = campaign()
    experiment.tell({"a": MASK, "b": MASK}, unasked=True)
    experiment.fit()
    with pytest.raises(alkit.errors.ResumeError, match="other settings"):
        alkit.Experiment(pool(), LEARNER, alkit.strategy("random"), store="c.db", classes=CLASSES, hold_out=0.5)
    assert campaign().history == experiment.history


def test_a_change_of_the_size_takes_no_image_and_loses_none(place, caplog):
    experiment = campaign()
    experiment.tell({"a": MASK, "b": MASK, "c": MASK}, unasked=True)
    experiment.remove("c", "consent withdrawn")
    (place / "images/c.png").rename(place / "images/renamed.png")
    draw(place / "images", "n")
    given = {"store": "c.db", "classes": CLASSES}
    wide = partial(alkit.ImagePool, "images", size=32, grayscale=True)
    (place / "images/b.png").rename(place / "b.png")
    with pytest.raises(alkit.errors.ResumeError, match="cannot be read in another way while some are missing: got 'b'"):
        alkit.Experiment(wide(), LEARNER, alkit.strategy("random"), change=True, **given)
    (place / "b.png").rename(place / "images/b.png")
    after = alkit.Experiment(wide(), LEARNER, alkit.strategy("random"), change=True, **given)
    assert set(after.pool.ids) == set(experiment.pool.ids)
    assert "these images were added later and are not used: 'n'" in caplog.text
    assert after.grow(wide()).ids == ("n",)  # not the removed one
    assert alkit.Experiment.open("c.db").fit().n_labels == 2
