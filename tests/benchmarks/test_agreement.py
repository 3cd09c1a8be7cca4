from benchmarks import rows
from benchmarks.isic2017 import results
from benchmarks.isic2017.agreement import disagreements


def a_row(method, weights, seed, dice, round=0):
    return results.Row("small", method, weights, "", seed, round, 300, 0, dice, dice, dice, 1.0, "c", "abc", "m")


def keep(folder, measured, chosen=()):
    rows.write(folder / results.ROWS, [vars(row) for row in measured])
    if chosen:
        rows.write(folder / results.CHOICES, [vars(choice) for choice in chosen])


def test_contradicting_rows_are_reported(tmp_path):
    others = [a_row("dsal", "pretext", 0, 0.9), a_row("random", "pretext", 1, 0.7), a_row("ceal", "scratch", 0, 0.5)]
    later = [a_row("random", "pretext", 0, 0.61, round=1), a_row("ceal", "pretext", 0, 0.62, round=1)]
    ensembles = [a_row(f"ensemble-{name}", "pretext", 0, 0.8) for name in ("s", "js", "random")]
    alike = [a_row("random", "pretext", 0, 0.6), a_row("ceal", "pretext", 0, 0.6), *ensembles]
    keep(tmp_path, [*alike, *others, *later])
    assert disagreements(tmp_path) == []
    for strange in (a_row("ceal", "pretext", 0, 0.60001), a_row("ensemble-js", "pretext", 0, 0.80001)):
        keep(tmp_path, [strange if results.run_of(row) == results.run_of(strange) else row for row in alike])
        (said,) = disagreements(tmp_path)
        assert said.startswith("pretext seed 0: same networks and same start set, but different Dice")
        assert strange.method in said


def test_contradicting_choices_are_reported(tmp_path):
    def chosen(weights, variant, ids):
        return [results.Chosen("ssl-cluster", weights, variant, 0, round, ids) for round in (0, 1)]

    alike = [*chosen("scratch", "", "a b"), *chosen("scratch", "lr-1e-3", "a b"), *chosen("scratch", "k5-1x1", "c d")]
    rows = [a_row("ssl-cluster", "scratch", 0, 0.6)]
    keep(tmp_path, rows, [*alike, *chosen("pretext", "", "a b")])
    assert disagreements(tmp_path) == []
    keep(tmp_path, rows, [*alike, *chosen("pretext", "", "b a")])
    (said,) = disagreements(tmp_path)
    assert (
        said == "seed 0: SSL-cluster chose different images from the same features: pretext, scratch, scratch lr-1e-3"
    )


def test_committed_rows_do_not_contradict_each_other():
    for folder in results.FOLDER.glob("isic2017-*"):
        assert disagreements(folder) == []
