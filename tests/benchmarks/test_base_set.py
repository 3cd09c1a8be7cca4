import numpy as np
import pytest
from PIL import Image
from scipy import stats

import alkit
from benchmarks.isic2017 import base_set, protocol, results, split
from benchmarks.isic2017.tables.base_sets import STOPPED_ON_TEST, base_set_tables


@pytest.fixture
def train(data, tmp_path):
    """Return a function that runs the benchmark in this process and returns its rows."""

    def train(*more):
        places = ["--data", data, "--out", tmp_path / "out", "--records", tmp_path / "records", "--profile", "smoke"]
        base_set.main([str(part) for part in [*places, "--jobs", 1, *more]])
        return results.read_base_sets(tmp_path / "out")

    return train


@pytest.mark.slow
def test_every_base_set_is_trained_once_from_all_initial_weights(train, monkeypatch, capsys):
    asked = "--initial", 0, 1, "--draws", 3, 4, "--pretexts", 5, 6
    found = train(*asked)
    eroded = {"random 3", "ssl-cluster 5", "first"}
    whole = {*eroded, "random 4", "ssl-cluster 6", "ssl-cluster 5, stopped on test"}
    assert {results.key_of(row) for row in found} == {
        *((choice, "whole", initial) for choice in whole for initial in (0, 1)),
        *((choice, "eroded", initial) for choice in eroded for initial in (0, 1)),
    }
    assert {row.labels for row in found} == {12}
    assert "| initial weights and order of training |" in capsys.readouterr().out
    monkeypatch.setattr(base_set, "train", lambda *_: pytest.fail("nothing is left to train"))
    assert train(*asked) == found


def test_base_sets_match_their_names(data):
    pools = protocol.read_pools(protocol.PROFILES["smoke"], data)
    ids = sorted(split.read()["pool"][:48])
    clustered = [f"ssl-cluster {n}{how}" for n in (0, 1) for how in ("", STOPPED_ON_TEST)]
    sets = {name: base_set.choose(name, *pools, "smoke") for name in ("first", "random 1", "random 2", *clustered)}
    assert sets["first"] == tuple(ids[:12])
    assert sets["random 1"] == base_set.choose("random 1", *pools, "smoke")
    assert len(set(map(frozenset, sets.values()))) == len(sets)
    for chosen in sets.values():
        assert len(set(chosen)) == 12
        assert set(chosen) <= set(ids)


def test_a_pretext_stopped_on_test_trains_on_the_pool_and_is_validated_on_the_test_images(data, monkeypatch):
    pool, test = protocol.read_pools(protocol.PROFILES["smoke"], data)
    fitted = []
    monkeypatch.setattr(alkit.Reconstruction, "fit", lambda self, *arguments: fitted.append((self, arguments)))
    pretext = base_set.StoppedOnTest(protocol.pretext_of(protocol.PROFILES["smoke"], "cpu"), pool.pool)
    pretext.fit(pool, np.random.default_rng(0))
    ((task, (images, *_)),) = fitted
    assert set(task.hold_out) == set(images.ids) - set(pool.ids) >= set(test.ids)
    assert task.epochs == pretext.pretext.epochs


def test_eroded_masks_lose_pixels_that_are_partly_lesion(tmp_path):
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :3] = 255  # the four pixels at half the size are lesion in full, in half, not, and not
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert base_set.erode(tmp_path / "mask.png", 2).tolist() == [[1, 0], [0, 0]]


def trained_set(choice, masks, initial, dice):
    return results.TrainedBaseSet("small", choice, masks, initial, 300, dice, 0, 0, "", "")


def test_variance_parts_come_from_the_random_base_sets():
    found = [
        results.TrainedBaseSet(
            "small", f"random {draw}", "whole", initial, 300, round(0.5 + initial / 10, 5), 0, 0, "", ""
        )
        for draw in range(3)
        for initial in range(3)
    ]
    found += [
        results.TrainedBaseSet("small", "first", "whole", initial, 300, 0.1, 0, 0, "", "") for initial in range(3)
    ]
    tables = base_set_tables(found)
    assert list(tables["variance"].rows) == [
        ["initial weights and order of training", "0.100", "0.052 to 0.628"],
        ["images, drawn at random", "0.000", "0.000 to 0.000"],
        ["interaction of both, and rounding", "0.000", "0.000 to 0.000"],
    ]
    assert ["first", "whole", "0.100", "0.100", "0.100", "0.100"] in tables["base-sets"].rows
    part = base_set_tables(found[1:])
    assert list(part) == ["base-sets", "base-set-differences"]
    assert [row[0] for row in part["base-set-differences"].rows] == ["first - mean of 2 random sets"]
    assert base_set_tables([]) == {}


def test_a_base_set_is_compared_with_the_mean_of_random_ones_under_the_same_weights():
    rng = np.random.default_rng(0)
    names = [*(f"random {draw}" for draw in range(4)), *(f"ssl-cluster {n}" for n in range(3)), "first"]
    names.append(f"ssl-cluster 0{STOPPED_ON_TEST}")
    dice = {(name, i): round(float(0.5 + i / 10 + rng.normal(0, 0.01)), 5) for name in names for i in range(5)}
    found = [
        results.TrainedBaseSet("small", name, "whole", i, 300, value, 0, 0, "", "") for (name, i), value in dice.items()
    ]
    found += [trained_set("first", "eroded", i, 0.4) for i in range(5)]
    table = base_set_tables(found)["base-set-differences"]
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert set(rows) == {
        *(f"ssl-cluster {n} - mean of 4 random sets" for n in range(3)),
        "mean of 3 ssl-cluster sets - mean of 4 random sets",
        "first - mean of 4 random sets",
        "ssl-cluster 0, stopped on test - mean of 4 random sets",
        "ssl-cluster 0, stopped on test - ssl-cluster 0",
        "first: eroded - whole masks",
    }
    row = rows["ssl-cluster 1 - mean of 4 random sets"]
    means = [np.mean([dice[f"random {draw}", i] for draw in range(4)]) for i in range(5)]
    known = stats.ttest_rel([dice["ssl-cluster 1", i] for i in range(5)], means)
    low, high = known.confidence_interval()
    assert (row["95 % interval"], row["p"]) == (f"[{low:+.4f}, {high:+.4f}]", f"{known.pvalue:.3f}")
    sets = [np.mean([dice[f"random {draw}", i] for i in range(5)]) for draw in range(4)]
    own = np.mean([dice["ssl-cluster 1", i] for i in range(5)])
    t = (own - np.mean(sets)) / (np.std(sets, ddof=1) * np.sqrt(1 + 1 / 4))
    assert row["its p"] == f"{2 * stats.t.sf(abs(t), 3):.3f}"
    row = rows["mean of 3 ssl-cluster sets - mean of 4 random sets"]
    ours = [np.mean([dice[f"ssl-cluster {n}", i] for n in range(3)]) for i in range(5)]
    assert row["p"] == f"{stats.ttest_rel(ours, means).pvalue:.3f}"
    own = [np.mean([dice[f"ssl-cluster {n}", i] for i in range(5)]) for n in range(3)]
    assert row["its p"] == f"{stats.ttest_ind(own, sets).pvalue:.3f}"
    low, high = stats.ttest_ind(own, sets).confidence_interval()
    assert row["interval by the spread of the sets"] == f"[{low:+.4f}, {high:+.4f}]"
    row = rows["ssl-cluster 0, stopped on test - ssl-cluster 0"]
    assert row["weights 3"] == f"{dice[f'ssl-cluster 0{STOPPED_ON_TEST}', 3] - dice['ssl-cluster 0', 3]:+.3f}"
    assert row["its p"] == ""
    assert rows["first: eroded - whole masks"]["weights 2"] == f"{0.4 - dice['first', 2]:+.3f}"
    assert "base-set-differences" not in base_set_tables([row for row in found if row.choice != "random 0"][:5])
