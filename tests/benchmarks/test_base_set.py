import json

import base_set
import isic2017
import numpy as np
import pytest
from isic2017 import rows
from PIL import Image
from scipy import stats


@pytest.fixture
def trained(data, tmp_path):
    """Run the benchmark in this process and return its rows."""

    def trained(*more):
        places = ["--data", data, "--out", tmp_path / "out", "--records", tmp_path / "records", "--profile", "smoke"]
        base_set.main([str(part) for part in [*places, "--jobs", 1, *more]])
        return rows.read_as(base_set.Trained, tmp_path / "out" / base_set.FILE)

    return trained


def test_every_base_set_is_trained_from_every_initial_weights_and_not_again(trained, monkeypatch, capsys):
    found = trained("--initial", 0, 1, "--draws", 3, 4)
    whole = {"random 3", "random 4", "ssl-cluster", "first"}
    assert {base_set.key_of(row) for row in found} == {
        *((choice, "whole", initial) for choice in whole for initial in (0, 1)),
        *((choice, "eroded", initial) for choice in whole - {"random 4"} for initial in (0, 1)),
    }
    assert {row.labels for row in found} == {12}
    assert "| initial weights and order of training |" in capsys.readouterr().out
    monkeypatch.setattr(base_set, "train", lambda *_: pytest.fail("nothing is left to train"))
    assert trained("--initial", 0, 1, "--draws", 3, 4) == found


def test_base_sets_are_what_their_names_say(data):
    pool, _ = isic2017.pools(isic2017.PROFILES["smoke"], data)
    ids = sorted(json.loads(isic2017.SPLIT.read_text())["pool"][:48])
    assert base_set.base_set("first", pool, "smoke") == tuple(ids[:12])
    one, two, again = (base_set.base_set(f"random {seed}", pool, "smoke") for seed in (1, 2, 1))
    assert one == again != two
    assert len(set(one)) == 12
    assert set(one) <= set(ids)
    assert len(set(base_set.base_set("ssl-cluster", pool, "smoke"))) == 12


def test_eroded_masks_lose_the_pixels_that_are_lesion_in_part(tmp_path):
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :3] = 255  # of the four pixels at half the size: whole, half, none, none
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert base_set.eroded(tmp_path / "mask.png", 2).tolist() == [[1, 0], [0, 0]]


def test_the_parts_of_the_variance_are_those_of_the_random_base_sets():
    found = [
        base_set.Trained("small", f"random {draw}", "whole", initial, 300, round(0.5 + initial / 10, 5), 0, 0, "", "")
        for draw in range(3)
        for initial in range(3)
    ]
    found += [base_set.Trained("small", "first", "whole", initial, 300, 0.1, 0, 0, "", "") for initial in range(3)]
    tables = base_set.tables_of(found)
    assert list(tables["variance"].rows) == [
        ["initial weights and order of training", "0.100", "0.052 to 0.628"],
        ["which images, drawn at random", "0.000", "0.000 to 0.000"],
        ["both together, and rounding", "0.000", "0.000 to 0.000"],
    ]
    assert ["first", "whole", "0.100", "0.100", "0.100", "0.100"] in tables["base-sets"].rows
    assert list(base_set.tables_of(found[1:])) == ["base-sets"]
    assert base_set.tables_of([]) == {}


def test_a_base_set_is_set_against_the_mean_of_the_random_ones_under_the_same_weights():
    rng = np.random.default_rng(0)
    names = [*(f"random {draw}" for draw in range(4)), "ssl-cluster", "first"]
    dice = {(name, i): round(float(0.5 + i / 10 + rng.normal(0, 0.01)), 5) for name in names for i in range(5)}
    found = [base_set.Trained("small", name, "whole", i, 300, value, 0, 0, "", "") for (name, i), value in dice.items()]
    found += [base_set.Trained("small", "first", "eroded", i, 300, 0.4, 0, 0, "", "") for i in range(5)]
    table = base_set.tables_of(found)["base-set-differences"]
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert set(rows) == {
        "ssl-cluster - mean of 4 random sets",
        "first - mean of 4 random sets",
        "first: eroded - whole masks",
    }
    row = rows["ssl-cluster - mean of 4 random sets"]
    means = [np.mean([dice[f"random {draw}", i] for draw in range(4)]) for i in range(5)]
    known = stats.ttest_rel([dice["ssl-cluster", i] for i in range(5)], means)
    low, high = known.confidence_interval()
    assert (row["95 % interval"], row["p"]) == (f"[{low:+.4f}, {high:+.4f}]", f"{known.pvalue:.3f}")
    sets = [np.mean([dice[f"random {draw}", i] for i in range(5)]) for draw in range(4)]
    own = np.mean([dice["ssl-cluster", i] for i in range(5)])
    t = (own - np.mean(sets)) / (np.std(sets, ddof=1) * np.sqrt(1 + 1 / 4))
    assert row["p beside the random sets' own spread"] == f"{2 * stats.t.sf(abs(t), 3):.3f}"
    assert rows["first: eroded - whole masks"]["weights 2"] == f"{0.4 - dice['first', 2]:+.3f}"
    assert "base-set-differences" not in base_set.tables_of([row for row in found if row.choice != "random 0"][:5])


def test_committed_base_sets_were_computed_as_the_rows_were():
    folder = isic2017.HERE / "results" / "isic2017-small"
    run = isic2017.Run("ssl-cluster", "scratch", 0)  # from the same weights, on the same images
    (dice,) = {row.dice for row in isic2017.read_rows(folder) if isic2017.run_of(row) == run and row.round == 0}
    trained = rows.read_as(base_set.Trained, folder / base_set.FILE)
    assert [row.dice for row in trained if base_set.key_of(row) == ("ssl-cluster", "whole", 0)] == [dice]
