import json
from pathlib import Path

import isic2017
import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.store import Store


@pytest.fixture
def data(tmp_path):
    """Return synthetic images under the ids the smoke profile takes from the committed split."""
    split, smoke = json.loads(isic2017.SPLIT.read_text()), isic2017.PROFILES["smoke"]
    ids = split["pool"][: smoke.pool] + split["test"][: smoke.test]
    images, masks = alkit.synthetic.lesions(len(ids), size=40)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for id, image, mask in zip(ids, images[:, 0], masks, strict=True):
        Image.fromarray(np.stack([image] * 3, -1)).save(tmp_path / "images" / f"{id}.jpg")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


@pytest.fixture
def bench(data, tmp_path):
    """Run the benchmark in this process and return its rows."""
    out = tmp_path / "out"

    def bench(*more):
        places = ["--data", data, "--out", out, "--records", tmp_path / "records"]
        isic2017.main([str(part) for part in [*places, "--profile", "smoke", "--jobs", 1, *more]])
        return isic2017.read_rows(out)

    return bench


def test_each_arm_and_seed_gives_its_rows_and_is_not_run_again(bench, tmp_path, monkeypatch, capsys):
    two = "--seeds", 0, 1, "--methods", "random", "ssl-cluster", "--resume"
    rows = bench(*two)
    arms = {(row.method, row.weights, row.seed) for row in rows}
    assert arms == {(m, w, s) for m in ("random", "ssl-cluster") for w in ("scratch", "pretext") for s in (0, 1)}
    for arm in arms:
        own = [row for row in rows if (row.method, row.weights, row.seed) == arm]
        assert [(row.round, row.labels) for row in own] == [(0, 12), (1, 18), (2, 24)]
        assert len({row.configuration for row in own}) == 1
    assert len({row.configuration for row in rows}) == 8
    assert all(0 <= row.dice <= 1 for row in rows)
    monkeypatch.setattr(isic2017, "one_run", None)  # nothing is left to run
    assert bench(*two) == rows
    assert "8 runs, 8 of them done" in capsys.readouterr().out
    out = tmp_path / "out"
    with Image.open(out / "curves.png") as picture:
        assert picture.size[0] > 500
    assert (out / "table.md").read_text().count("\n") == 5 * 6


def test_a_stopped_run_goes_on_at_its_unfinished_round(bench, monkeypatch):
    whole = bench("--seeds", 0, "--methods", "random", "--weights", "scratch")
    fit, fits = alkit.SegmentationLearner.fit, []

    def stopping(self, *arguments):
        fits.append(1)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(self, *arguments)

    monkeypatch.setattr(alkit.SegmentationLearner, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        bench("--seeds", 1, "--methods", "random", "--weights", "scratch")
    rows = bench("--seeds", 1, "--methods", "random", "--weights", "scratch")
    assert len(fits) == 4  # the third round alone was done again
    assert len(rows) == 2 * len(whole)


def test_the_configuration_changes_with_what_matters_and_not_with_the_device():
    images = np.zeros((4, 16, 16), np.uint8)
    pool, test = alkit.ArrayPool(images), alkit.ArrayPool(images, ids=list("abcd"))
    smoke, small = (isic2017.PROFILES[name] for name in ("smoke", "small"))

    def hashed(method="random", weights="scratch", seed=0, profile=smoke, pool=pool):
        return isic2017.configuration(isic2017.Run(method, weights, seed), profile, pool, test)

    others = [hashed("ssl-cluster"), hashed(weights="pretext"), hashed(seed=1), hashed(profile=small)]
    others.append(hashed(pool=alkit.ArrayPool(images + 1)))
    assert len({hashed(), *others}) == 6


def test_the_small_profile_is_the_paper_protocol_at_another_size():
    paper, small = isic2017.PROFILES["paper"], isic2017.PROFILES["small"]
    assert (paper.size, paper.start, paper.batch, paper.rounds, paper.epochs) == (256, 300, 35, 9, (10, 2))
    same = ("start", "batch", "rounds", "epochs", "pretext_epochs", "clusters", "pool", "test")
    assert all(getattr(paper, name) == getattr(small, name) for name in same)


def test_committed_rows_are_complete_runs():
    for folder in Path(isic2017.HERE / "results").glob("isic2017-*"):
        profile = isic2017.PROFILES[folder.name.removeprefix("isic2017-")]
        runs = {}
        for row in isic2017.read_rows(folder):
            runs.setdefault(row.configuration, []).append(row.labels)
        expected = [profile.start + profile.batch * number for number in range(profile.rounds + 1)]
        assert all(labels == expected for labels in runs.values())
        assert runs


@pytest.mark.parametrize("method", isic2017.METHODS[2:])
def test_every_method_runs_with_the_members_and_heads_it_needs(bench, method):
    rows = bench("--seeds", 0, "--methods", method, "--weights", "scratch")
    assert [(row.method, row.round, row.labels) for row in rows] == [(method, n, 12 + 6 * n) for n in range(3)]
    alone = [row.dice == row.member_dice for row in rows]
    assert not all(alone) if method.startswith("ensemble") else all(alone)


def test_methods_of_a_seed_share_the_start_set_and_then_choose_for_themselves(bench, tmp_path):
    bench("--seeds", 0, "--methods", "random", "mc-dropout", "ceal", "dsal", "--weights", "scratch")
    rounds = [Store(record).rounds() for record in (tmp_path / "records").glob("*.db")]
    assert len({history[0].ids for history in rounds}) == 1
    assert len({history[1].ids for history in rounds}) == 4


def test_running_again_without_resume_replaces_the_rows(bench):
    arm = "--seeds", 0, "--methods", "random", "--weights", "scratch"
    rows = bench(*arm)
    assert bench(*arm) == rows


def test_differences_are_taken_within_seeds_with_the_paired_t_interval():
    from scipy import stats

    gaps = [0.1, 0.3, 0.2, 0.0, 0.4]
    curves = {
        ("random", "scratch"): {seed: {300: seed / 10} for seed in range(5)},
        ("ssl-cluster", "scratch"): {seed: {300: seed / 10 + gap} for seed, gap in enumerate(gaps)},
    }
    interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    (pairs,) = isic2017.comparisons(curves)
    assert pairs == {"ssl-cluster - random, scratch": (("ssl-cluster", "scratch"), ("random", "scratch"))}
    *_, line = isic2017.differences(curves, pairs)
    assert line == f"| 300 | +0.200 [{interval.low:+.3f}, {interval.high:+.3f}] |"
    del curves["random", "scratch"][4]
    *_, line = isic2017.differences(curves, pairs)
    assert line == f"| 300 | +0.150 ± {np.std(gaps[:4], ddof=1):.3f} |"


def test_the_tables_of_the_page_are_those_of_the_committed_rows():
    page = (Path(isic2017.HERE).parent / "docs/explanation/reproduction.md").read_text()
    curves = isic2017.curves_of(isic2017.read_rows(isic2017.HERE / "results" / "isic2017-small"))
    assert "\n".join(isic2017.tables(curves)) in page
