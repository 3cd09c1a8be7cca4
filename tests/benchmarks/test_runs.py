import numpy as np
import pytest

import alkit
from alkit.record import Store
from benchmarks.isic2017 import protocol, results, runs, split


def test_each_run_writes_its_rows_and_is_not_run_again(bench, tmp_path, monkeypatch, capsys):
    two = "--seeds", 0, "--methods", "random", "ssl-cluster"
    rows = bench(*two)
    arms = {(row.method, row.weights, row.seed) for row in rows}
    assert arms == {(m, w, 0) for m in ("random", "ssl-cluster") for w in ("scratch", "pretext")}
    for arm in arms:
        own = [row for row in rows if (row.method, row.weights, row.seed) == arm]
        assert [(row.round, row.labels) for row in own] == [(0, 12), (1, 18), (2, 24)]
        assert len({row.configuration for row in own}) == 1
    assert len({row.configuration for row in rows}) == 4
    assert all(0 <= row.dice <= 1 for row in rows)
    monkeypatch.setattr(runs, "play_run", lambda *_: pytest.fail("nothing is left to run"))
    assert bench(*two) == rows
    assert "4 runs, 4 of them done" in capsys.readouterr().out
    assert {"figure2.png", "comparisons-pretext.md", "report.html"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_a_stopped_run_resumes_at_its_unfinished_round(bench, monkeypatch):
    fit, fits = alkit.SegmentationLearner.fit, []

    def stop_at_the_third(self, *arguments):
        fits.append(1)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(self, *arguments)

    monkeypatch.setattr(alkit.SegmentationLearner, "fit", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        bench("--seeds", 1, "--methods", "random", "--weights", "scratch")
    rows = bench("--seeds", 1, "--methods", "random", "--weights", "scratch")
    assert len(fits) == 4  # only the third round was done again
    assert [row.labels for row in rows] == [12, 18, 24]


ENSEMBLES = [pytest.param(name, marks=pytest.mark.slow) for name in ("ensemble-s", "ensemble-js", protocol.CONTROL)]


@pytest.mark.parametrize("method", ["mc-dropout", "ceal", "dsal", *ENSEMBLES])
def test_every_method_runs_with_the_members_and_heads_it_needs(bench, method):
    rows = bench("--seeds", 0, "--methods", method, "--weights", "scratch")
    assert [(row.method, row.round, row.labels) for row in rows] == [(method, n, 12 + 6 * n) for n in range(3)]
    alone = [row.dice == row.member_dice for row in rows]
    assert not all(alone) if method.startswith("ensemble") else all(alone)


@pytest.mark.slow
def test_methods_of_a_seed_share_the_start_set_and_then_choose_different_images(bench, tmp_path):
    bench("--seeds", 0, "--methods", "random", "mc-dropout", "ceal", "dsal", "ensemble-random", "--weights", "scratch")
    rounds = [Store(record).rounds() for record in (tmp_path / "records").glob("*.db")]
    assert len({history[0].ids for history in rounds}) == 1
    assert len({history[1].ids for history in rounds}) == 4  # an ensemble on random labels takes the images of random


def test_lost_rows_are_written_again_from_the_records(bench_again, tmp_path, monkeypatch):
    arms = "--seeds", 0, "--methods", "random", "ssl-cluster", "--weights", "scratch", "--device", "cpu"
    rows = results.read_rows(tmp_path / "out")
    (tmp_path / "out" / results.ROWS).unlink()
    monkeypatch.setattr(alkit.SegmentationLearner, "fit", lambda *_: pytest.fail("nothing is left to train"))
    assert bench_again(*arms) == rows


def test_chosen_images_are_recorded_round_by_round(finished_runs):
    chosen = results.read_choices(finished_runs / "out")
    assert [(c.method, c.round, len(c.ids.split())) for c in chosen] == [
        (method, round, n) for method in ("random", "ssl-cluster") for round, n in enumerate((12, 6, 6))
    ]
    for method in ("random", "ssl-cluster"):
        ids = [id for c in chosen if c.method == method for id in c.ids.split()]
        assert len(set(ids)) == 24
        assert set(ids) <= set(split.read()["pool"][:48])


@pytest.mark.slow
def test_every_variant_and_composition_runs(bench):
    rows = bench("--ceiling", "--sensitivity", "--beyond", "--table", 2, "--weights", "scratch", "--seeds", 0)
    assert {(row.method, row.variant) for row in rows} == {
        (method, variant)
        for part in ("ceiling", "sensitivity", "beyond", "table 2")
        for method, weights, variant in protocol.PARTS[part]
        if weights == "scratch"
    }
    assert [row.labels for row in rows if row.variant == "full"] == [48]
    assert len({row.configuration for row in rows}) == len({results.run_of(row) for row in rows})


def test_a_dry_run_shows_finished_runs_and_the_time_left(bench_again, capsys, tmp_path):
    before = sorted((tmp_path / "records").iterdir())
    bench_again("--seeds", 0, 1, "--methods", "random", "dsal", "--weights", "scratch", "--dry-run")
    text = " ".join(capsys.readouterr().out.split())
    assert "random scratch seed 0 │ done" in text
    assert "random scratch seed 1 │ 0 of 3" in text
    assert "dsal scratch seed 0 │ 0 of 3 │ ?" in text
    assert "4 runs, 3 left" in text
    assert "no estimate for 2 of them" in text
    assert sorted((tmp_path / "records").iterdir()) == before


def test_the_time_left_is_estimated_from_finished_runs():
    def row(method, variant, seed, seconds):
        return results.Row("small", method, "scratch", variant, seed, 0, 300, 0, 0, 0, 0, seconds, f"{seed}", "", "")

    measured = [row("ceal", "", 0, 60), row("ceal", "", 0, 60), row("ceal", "", 1, 240), row("dsal", "lr", 7, 600)]
    assert runs.expected_minutes(protocol.Run("ceal", "scratch", 5), measured) == 3
    assert runs.expected_minutes(protocol.Run("dsal", "pretext", 5), measured) == 10
    assert runs.expected_minutes(protocol.Run("random", "scratch", 5), measured) is None


def test_versions_and_settings_of_runs_are_recorded(finished_runs):
    (commit,) = {row.commit for row in results.read_rows(finished_runs / "out")}
    (known,) = results.read_environments(finished_runs / "out")
    assert (known.commit, known.numpy, known.threads) == (commit, np.__version__, 1)
    assert "AVX" in known.instructions or "oneDNN not limited" in known.instructions
    assert len(known.pool) == len(known.test) == 64
    assert known.pool != known.test
