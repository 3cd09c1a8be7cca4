import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import isic2017
import numpy as np
import pytest
from isic2017_report import tables_in

import alkit
from alkit.record import Store


def test_each_arm_and_seed_gives_its_rows_and_is_not_run_again(bench, tmp_path, monkeypatch, capsys):
    two = "--seeds", 0, 1, "--methods", "random", "ssl-cluster"
    rows = bench(*two)
    arms = {(row.method, row.weights, row.seed) for row in rows}
    assert arms == {(m, w, s) for m in ("random", "ssl-cluster") for w in ("scratch", "pretext") for s in (0, 1)}
    for arm in arms:
        own = [row for row in rows if (row.method, row.weights, row.seed) == arm]
        assert [(row.round, row.labels) for row in own] == [(0, 12), (1, 18), (2, 24)]
        assert len({row.configuration for row in own}) == 1
    assert len({row.configuration for row in rows}) == 8
    assert all(0 <= row.dice <= 1 for row in rows)
    monkeypatch.setattr(isic2017, "make", lambda *_: pytest.fail("nothing is left to run"))
    assert bench(*two) == rows
    assert "8 runs, 8 of them done" in capsys.readouterr().out
    assert {"figure2.png", "comparisons-pretext.md", "report.html"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


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
            runs.setdefault((row.variant, row.configuration), []).append(row.labels)
        for (variant, _), labels in runs.items():
            own = profile.variant(variant)
            assert labels == [(own.start or 1600) + own.batch * number for number in range(own.rounds + 1)]
        assert runs


@pytest.mark.parametrize("method", [*isic2017.METHODS[2:], isic2017.CONTROL])
def test_every_method_runs_with_the_members_and_heads_it_needs(bench, method):
    rows = bench("--seeds", 0, "--methods", method, "--weights", "scratch")
    assert [(row.method, row.round, row.labels) for row in rows] == [(method, n, 12 + 6 * n) for n in range(3)]
    alone = [row.dice == row.member_dice for row in rows]
    assert not all(alone) if method.startswith("ensemble") else all(alone)


def test_methods_of_a_seed_share_the_start_set_and_then_choose_for_themselves(bench, tmp_path):
    bench("--seeds", 0, "--methods", "random", "mc-dropout", "ceal", "dsal", "ensemble-random", "--weights", "scratch")
    rounds = [Store(record).rounds() for record in (tmp_path / "records").glob("*.db")]
    assert len({history[0].ids for history in rounds}) == 1
    assert len({history[1].ids for history in rounds}) == 4  # an ensemble on random labels has those of random


def test_rows_that_are_lost_come_back_from_the_records(bench, tmp_path):
    arm = "--seeds", 0, "--methods", "random", "--weights", "scratch", "--device", "cpu"
    rows = bench(*arm)
    (tmp_path / "out" / isic2017.ROWS).unlink()
    assert bench(*arm) == rows


def test_the_images_that_were_chosen_are_kept_round_by_round(bench, tmp_path):
    bench("--seeds", 0, "--methods", "random", "ssl-cluster", "--weights", "scratch")
    chosen = isic2017.rows.read_as(isic2017.Chosen, tmp_path / "out" / isic2017.CHOICES)
    assert [(c.method, c.round, len(c.ids.split())) for c in chosen] == [
        (method, round, n) for method in ("random", "ssl-cluster") for round, n in enumerate((12, 6, 6))
    ]
    for method in ("random", "ssl-cluster"):
        ids = [id for c in chosen if c.method == method for id in c.ids.split()]
        assert len(set(ids)) == 24
        assert set(ids) <= set(json.loads(isic2017.SPLIT.read_text())["pool"][:48])


def asked_for(*arguments):
    return set(isic2017.runs_of(isic2017.command_line([str(argument) for argument in arguments])))


def test_tables_and_figures_are_the_arms_that_the_paper_shows():
    one, two = asked_for("--table", 1, "--seeds", 0), asked_for("--table", 2, "--seeds", 0)
    assert {(run.method, run.weights) for run in one} == {
        (m, w) for m in ("random", "ssl-cluster") for w in isic2017.WEIGHTS
    }
    assert {(run.method, run.variant) for run in two} == {
        ("random", ""),
        *(("ssl-cluster", v) for v in ("", "k5-1x1", "k5-2x2", "k10-1x1")),
    }
    assert len(asked_for("--figure", 2, "--seeds", 0, 1)) == 7 * 2 * 2
    assert one | two | asked_for("--figure", 2, "--seeds", 0) < asked_for("--all", "--seeds", 0)
    assert {run.method for run in asked_for("--methods", "random", "power-bald")} == {"random", "power-bald"}


def test_a_variant_differs_from_the_protocol_in_what_it_is_named_for():
    small = isic2017.PROFILES["small"]
    one = small.variant("k5-1x1")
    assert (one.clusters, one.pooling) == (5, 1)
    assert small.variant("lr-1e-3").lr == 1e-3
    assert small.variant("epochs-x2").epochs == (20, 4)
    full, equal = small.variant("full"), small.variant("full-equal-steps")
    assert (full.start, full.rounds, full.epochs[0]) == (None, 0, 28)  # 10 + 9 x 2
    assert equal.epochs[0] == round((300 * 10 + sum(range(335, 616, 35)) * 2) / 1600) == 7
    assert len(json.loads(isic2017.SPLIT.read_text())["pool"]) == isic2017.POOL


def test_every_variant_and_composition_runs(bench):
    rows = bench("--ceiling", "--sensitivity", "--beyond", "--table", 2, "--weights", "scratch", "--seeds", 0)
    assert {(row.method, row.variant) for row in rows} == {
        (method, variant)
        for part in ("ceiling", "sensitivity", "beyond", "table 2")
        for method, weights, variant in isic2017.PARTS[part]
        if weights == "scratch"
    }
    assert [row.labels for row in rows if row.variant == "full"] == [48]
    assert len({row.configuration for row in rows}) == len({isic2017.run_of(row) for row in rows})


def test_a_dry_run_says_what_is_done_and_how_long_the_rest_may_take(bench, capsys, tmp_path):
    bench("--seeds", 0, "--methods", "random", "--weights", "scratch")
    before = sorted((tmp_path / "records").iterdir())
    capsys.readouterr()
    bench("--seeds", 0, 1, "--methods", "random", "dsal", "--weights", "scratch", "--dry-run")
    said = " ".join(capsys.readouterr().out.split())
    assert "random scratch seed 0 │ done" in said
    assert "random scratch seed 1 │ 0 of 3" in said
    assert "dsal scratch seed 0 │ 0 of 3 │ ?" in said
    assert "4 runs, 3 left" in said
    assert "and 2 that nothing is known of" in said
    assert sorted((tmp_path / "records").iterdir()) == before


def test_what_is_left_is_judged_by_the_runs_that_are_done():
    def row(method, variant, seed, seconds):
        return isic2017.Row("small", method, "scratch", variant, seed, 0, 300, 0, 0, 0, 0, seconds, f"{seed}", "", "")

    measured = [row("ceal", "", 0, 60), row("ceal", "", 0, 60), row("ceal", "", 1, 240), row("dsal", "lr", 7, 600)]
    assert isic2017.expected_minutes(isic2017.Run("ceal", "scratch", 5), measured) == 3
    assert isic2017.expected_minutes(isic2017.Run("dsal", "pretext", 5), measured) == 10
    assert isic2017.expected_minutes(isic2017.Run("random", "scratch", 5), measured) is None


def started(folder, *more):
    places = ["--data", folder, "--out", folder / "out", "--records", folder / "records"]
    command = [
        sys.executable,
        isic2017.HERE / "isic2017.py",
        *places,
        "--profile",
        "smoke",
        "--methods",
        "random",
        *more,
    ]
    return subprocess.Popen([str(part) for part in [*command, *more]], stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_with_two_runs_at_work_it_ends_with_the_same_rows(bench, data, tmp_path):
    two = "--seeds", "0", "1", "--weights", "scratch", "--jobs", "2"
    whole = bench(*two, "--methods", "random")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("images", "masks"):
        (elsewhere / name).symlink_to(data / name)
    process = started(elsewhere, *two)
    deadline = time.monotonic() + 120
    while not list((elsewhere / "records").glob("*.files/*")):  # the first labels are in
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()  # its workers are left behind, and stop by themselves
    process.wait()
    again = started(elsewhere, *two)
    assert again.wait(180) == 0
    ended = isic2017.read_rows(elsewhere / "out")
    assert [(row.seed, row.round, row.dice) for row in ended] == [(row.seed, row.round, row.dice) for row in whole]


@pytest.mark.slow
def test_on_a_local_ray_the_rows_are_the_same(bench, data, tmp_path):
    pytest.importorskip("ray")
    arm = "--seeds", 0, 1, "--methods", "random", "--weights", "scratch"
    whole = bench(*arm, "--jobs", 2)  # in processes of their own: this one may have loaded torch before the benchmark
    for name in ("out", "records"):
        (tmp_path / name).rename(tmp_path / f"first-{name}")
    on_ray = bench(*arm, "--backend", "ray", "--jobs", 2)
    assert [(row.seed, row.round, row.dice) for row in on_ray] == [(row.seed, row.round, row.dice) for row in whole]


def test_the_page_shows_the_tables_of_the_committed_rows():
    page = (isic2017.HERE.parent / "docs" / "explanation" / "reproduction.md").read_text()
    results = isic2017.HERE / "results" / "isic2017-small"
    tables = tables_in(results, "small")
    assert {path.stem for path in results.glob("*.md")} == set(tables)
    for name, table in tables.items():
        text = (results / f"{name}.md").read_text()
        assert text == f"{table.caption}\n\n{table.markdown()}\n"
        assert text in page


def test_every_number_of_the_verdict_is_in_the_tables():
    page = (isic2017.HERE.parent / "docs" / "explanation" / "reproduction.md").read_text()
    verdict = page.partition("## What it shows")[2].partition("## What it does not show")[0]
    shown = "\n".join(path.read_text() for path in (isic2017.HERE / "results" / "isic2017-small").glob("*.md"))
    number = re.compile(r"[+-]?\d\.\d+|\d+\.\d%")
    told, known = ([found.group() for found in number.finditer(text)] for text in (verdict, shown))
    assert len(told) > 50
    assert [value for value in told if value not in known] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--report", "--map"], "--map needs the images"),
        (["--dry-run", "--jobs", "0"], "0 is below 1"),
        (["--seeds", "0", "-1"], "-1 is below 0"),
        (["--methods", "ceal", "--table", "1"], "no arm of what is asked for"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_done(arguments, said, capsys):
    with pytest.raises(SystemExit):
        isic2017.main(arguments)
    assert said in capsys.readouterr().err


def test_a_dry_run_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isic2017, "fetch", lambda *_, **__: pytest.fail("it downloads"))
    with pytest.raises(alkit.errors.ConfigurationError, match="a dry run downloads nothing"):
        isic2017.main(["--dry-run"])


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--report"], "there are no rows"), (["--data", "nowhere", "--dry-run"], "nowhere")]
)
def test_an_error_ends_with_a_sentence(arguments, said, tmp_path):
    command = [sys.executable, isic2017.HERE / "isic2017.py", "--out", tmp_path, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_runs_were_computed_with_is_kept(bench, tmp_path):
    (commit,) = {row.commit for row in bench("--seeds", 0, "--methods", "random", "--weights", "scratch")}
    (known,) = isic2017.rows.read_as(isic2017.Environment, tmp_path / "out" / isic2017.ENVIRONMENTS)
    assert (known.commit, known.numpy, known.threads) == (commit, np.__version__, 1)
    assert "AVX" in known.instructions or "oneDNN not limited" in known.instructions
    assert len(known.pool) == len(known.test) == 64
    assert known.pool != known.test


def test_results_are_no_change_of_the_code(tmp_path, monkeypatch):
    def git(*words):
        who = "-c", "user.name=a", "-c", "user.email=a@b"
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    code, found = tmp_path / "benchmarks" / "rows.py", tmp_path / "benchmarks" / "results" / "rows.csv"
    found.parent.mkdir(parents=True)
    for path in (code, found):
        path.write_text("1")
    monkeypatch.setattr(isic2017.rows, "__file__", str(code))
    git("init")
    git("add", ".")
    git("commit", "-m", "a")
    clean = isic2017.rows.commit()
    assert clean
    assert "dirty" not in clean
    found.write_text("2")
    assert isic2017.rows.commit() == clean
    code.write_text("2")
    assert isic2017.rows.commit() == f"{clean}-dirty"


def test_runs_use_the_same_instructions_on_every_machine():
    asked = "import arithmetic, torch; print(arithmetic.instructions())"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=isic2017.HERE,
        capture_output=True,
        text=True,
        check=True,
        env=without_limits(),
    )
    if platform.machine() == "x86_64":
        assert done.stdout.strip() == "AVX2; oneDNN AVX2"


def without_limits():
    return {k: v for k, v in os.environ.items() if k not in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")}


def a_row(method, weights, seed, dice, round=0):
    return isic2017.Row("small", method, weights, "", seed, round, 300, 0, dice, dice, dice, 1.0, "c", "abc", "m")


def keep(folder, measured, chosen=()):
    isic2017.rows.write(folder / isic2017.ROWS, [vars(row) for row in measured])
    if chosen:
        isic2017.rows.write(folder / isic2017.CHOICES, [vars(choice) for choice in chosen])


def test_rows_that_contradict_each_other_are_named(tmp_path):
    others = [a_row("dsal", "pretext", 0, 0.9), a_row("random", "pretext", 1, 0.7), a_row("ceal", "scratch", 0, 0.5)]
    later = [a_row("random", "pretext", 0, 0.61, round=1), a_row("ceal", "pretext", 0, 0.62, round=1)]
    ensembles = [a_row(f"ensemble-{name}", "pretext", 0, 0.8) for name in ("s", "js", "random")]
    alike = [a_row("random", "pretext", 0, 0.6), a_row("ceal", "pretext", 0, 0.6), *ensembles]
    keep(tmp_path, [*alike, *others, *later])
    assert isic2017.disagreements(tmp_path) == []
    for strange in (a_row("ceal", "pretext", 0, 0.60001), a_row("ensemble-js", "pretext", 0, 0.80001)):
        keep(tmp_path, [strange if isic2017.run_of(row) == isic2017.run_of(strange) else row for row in alike])
        (said,) = isic2017.disagreements(tmp_path)
        assert said.startswith("pretext seed 0: the same networks, one start set, and unequal Dice")
        assert strange.method in said


def test_choices_that_contradict_each_other_are_named(tmp_path):
    def chosen(weights, variant, ids):
        return [isic2017.Chosen("ssl-cluster", weights, variant, 0, round, ids) for round in (0, 1)]

    alike = [*chosen("scratch", "", "a b"), *chosen("scratch", "lr-1e-3", "a b"), *chosen("scratch", "k5-1x1", "c d")]
    rows = [a_row("ssl-cluster", "scratch", 0, 0.6)]
    keep(tmp_path, rows, [*alike, *chosen("pretext", "", "a b")])
    assert isic2017.disagreements(tmp_path) == []
    keep(tmp_path, rows, [*alike, *chosen("pretext", "", "b a")])
    (said,) = isic2017.disagreements(tmp_path)
    assert said == "seed 0: SSL-cluster chose unequally from equal features: pretext, scratch, scratch lr-1e-3"


def test_committed_rows_do_not_contradict_each_other():
    for folder in Path(isic2017.HERE / "results").glob("isic2017-*"):
        assert isic2017.disagreements(folder) == []
