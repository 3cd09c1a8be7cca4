import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError
from alkit.record import Store
from alkit.report import compare, compare_runs
from alkit.report.grouping import check_alike
from alkit.report.methods import name_forms
from alkit.report.records import read_runs
from tests.support import commandline
from tests.support.parts import CLASSES, Blind

IMAGES, MASKS = alkit.synthetic.lesions(24, size=16)
LABELS = {f"{row:04}": mask for row, mask in enumerate(MASKS)}
ORACLE = alkit.MaskOracle(LABELS, CLASSES)


def record(
    folder,
    name,
    strategy,
    seed,
    *,
    learner=None,
    test=6,
    split=None,
    rounds=2,
    start=4,
    oracle=ORACLE,
    held=None,
    **terms,
):
    """Run a small experiment with a learner that needs no training, and return the path of its record."""
    pool, drawn = alkit.ArrayPool(IMAGES).split(test=6, seed=seed if split is None else split)
    held = held or drawn
    path = folder / f"{name}-{seed}.db"
    experiment = alkit.Experiment(pool, learner or alkit.testing.Brightness(), strategy, store=path, seed=seed, **terms)
    experiment.run(oracle, test=held.subset(held.ids[:test]) if test else None, start=start, batch=2, rounds=rounds)
    return path


RANDOM, ENTROPY = alkit.strategy("random"), alkit.strategies.Uncertainty("entropy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with three seeds of two strategies."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        record(folder, "random", RANDOM, seed)
        record(folder, "entropy", ENTROPY, seed)
    return folder


@pytest.fixture
def records(folder):
    return sorted(folder.glob("*.db"))


def test_a_comparison_notes_models_that_were_not_fit_to_choose_by(tmp_path):
    path = record(tmp_path, "blind", RANDOM, 0, learner=Blind(1.0), rounds=1)
    (note,) = compare([path]).notes
    assert note.startswith(
        f"random: in 2 of 2 rounds the model was not fit to choose by. Round 0 of {path}: The model pr"
    )
    assert "Try" not in note


def test_records_are_grouped_by_their_configuration_and_named(records):
    found = compare(records)
    assert [(method.name, sorted(method.runs)) for method in found.methods] == [
        ("Uncertainty", [0, 1, 2]),
        ("random", [0, 1, 2]),
    ]
    assert (found.metric, found.labels) == ("dice", (4, 6, 8))
    history = Store(records[0]).rounds()
    assert found.methods[0].runs[0] == {result.n_labels: result.metrics["dice"] for result in history}
    (gap,) = found.differences
    assert (gap.method, gap.baseline, gap.area.n) == ("Uncertainty", "random", 3)
    assert not found.skipped


def test_three_seeds_have_no_interval_and_no_test_and_everything_prints(records, tmp_path):
    found = compare(records)
    assert (found.differences[0].p, found.differences[0].area.low) == (None, None)
    assert "no test" in str(found)
    assert "fewer than 5 common seeds" in str(found)
    assert "Holm" not in str(found)
    found.write(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "no test" in page
    assert page.count("data:image/png") == 1
    assert "data:image/png" in found._repr_html_()
    assert json.loads(json.dumps(found.facts(), allow_nan=False))["differences"][0]["p"] is None


CURVES = {
    "random": {seed: {10: 0.5 + seed / 100, 20: 0.6, 30: 0.7} for seed in range(6)},
    "better": {seed: {10: 0.55 + seed / 100, 20: 0.7 + seed % 2 / 50, 30: 0.8} for seed in range(6)},
    "same": {seed: {10: 0.5 + seed / 100, 20: 0.6, 30: 0.7} for seed in range(6)},
}


def test_differences_have_the_p_values_of_holm_and_labels_are_counted():
    found = compare_runs(CURVES)
    better, same = found.differences
    assert (better.method, better.baseline, same.method) == ("better", "random", "same")
    single = alkit.statistics.paired_difference(CURVES["better"], CURVES["random"])
    assert better.area == single
    assert better.p == pytest.approx(2 * single.p)
    assert same.p == 1
    assert "by Holm's method: 2 tests." in str(found)
    assert found.level == pytest.approx(0.7)
    assert better.saved == alkit.statistics.labels_saved(CURVES["better"], CURVES["random"], found.level)
    assert (better.saved.reached_b, better.saved.saved.n) == (6, 6)  # although the mean of six .7 is above .7
    assert (found.scores["random"].labels, found.scores["random"].reached) == (pytest.approx(30), 6)
    assert found.scores["better"].labels == pytest.approx(20, abs=1)


def test_a_metric_with_dollar_signs_is_drawn_as_it_is(tmp_path):
    runs = {name: {0: {10: 0.5, 20: 0.6}} for name in ("random", "other")}
    compare_runs(runs, metric=r"a$\\bad$").write(tmp_path / "page.html")
    assert r"a$\\bad$" in (tmp_path / "page.html").read_text("utf-8")


def test_lower_can_be_better():
    turned = {
        name: {seed: {n: 1 - value for n, value in curve.items()} for seed, curve in runs.items()}
        for name, runs in CURVES.items()
    }
    up, down = compare_runs(CURVES), compare_runs(turned, metric="hd95", lower=True)
    assert down.level == pytest.approx(0.3)
    assert down.differences[0].area.mean == pytest.approx(-up.differences[0].area.mean)
    assert down.differences[0].saved.saved.mean == pytest.approx(up.differences[0].saved.saved.mean)
    assert down.scores["better"].labels == pytest.approx(up.scores["better"].labels)
    assert "a negative one speaks" in str(down)
    assert compare_runs(turned, metric="hd95").differences == down.differences  # a metric of alkit
    assert not compare_runs(turned, metric="hd95", lower=False).lower
    assert not compare_runs(turned, metric="of my own").lower


def test_the_direction_of_known_metrics_is_known():
    falling = {"a": {0: {10: 9.0, 20: 7.0}}, "b": {0: {10: 9.0, 20: 5.0}}}
    assert compare_runs(falling, metric="hd95").lower
    assert compare_runs(falling, metric="hd95").scores["a"].labels == pytest.approx(20)
    assert not compare_runs(falling, metric="mine").lower
    assert not compare_runs(falling, metric="hd95", lower=False).lower


def test_records_can_be_named(folder):
    named = {name: sorted(folder.glob(f"{kind}-*.db")) for name, kind in (("mine", "entropy"), ("base", "random"))}
    found = compare(named)
    assert [(gap.method, gap.baseline, gap.area.n) for gap in found.differences] == [("mine", "base", 3)]
    both = [*named["mine"], *named["base"]]
    with pytest.raises(ConfigurationError, match=r"records of 'all' must have one configuration: got .*, which differ"):
        compare({"all": both})
    with pytest.raises(ConfigurationError, match="same configuration, so they cannot be runs of 'a' and 'b'"):
        compare({"a": named["mine"][:1], "b": named["mine"][1:]})
    with pytest.raises(ConfigurationError, match=r"records\['a'\] must be a list of paths"):
        compare({"a": "r.db"})


def test_a_baseline_can_be_named_and_an_unknown_one_is_refused():
    found = compare_runs(CURVES, baseline="better", level=0.65)
    assert [(gap.method, gap.baseline) for gap in found.differences] == [("random", "better"), ("same", "better")]
    assert found.level == 0.65
    with pytest.raises(
        ConfigurationError, match=r"baseline must name one of the methods random, better, same: got 'beter'"
    ):
        compare_runs(CURVES, baseline="beter")


def test_without_a_baseline_each_method_is_compared_with_each_other_one():
    found = compare_runs({name: CURVES[name] for name in ("better", "same")})
    assert [(gap.method, gap.baseline) for gap in found.differences] == [("same", "better")]


def test_runs_of_different_length_are_compared_where_all_have_values():
    short = {**CURVES, "same": {seed: {10: 0.5, 20: 0.6} for seed in range(6)}}
    found = compare_runs(short)
    assert found.labels == (10, 20)
    assert found.notes == ("The comparison ends at 20 labels, the most that all runs have.",)
    one = compare_runs({"a": {0: {10: 0.5}}, "b": {0: {10: 0.7}}})
    assert (one.differences[0].area, one.scores["a"].area) == (None, None)
    assert one.differences[0].last.mean == pytest.approx(0.2)
    assert "+0.200" in str(one)
    with pytest.raises(ConfigurationError, match=r"a \(seed 0\) and b \(seed 1\) differ"):
        compare_runs({"a": {0: {10: 0.5}}, "b": {1: {20: 0.7}}})


def test_a_longer_run_does_not_reach_a_level_by_labels_that_the_others_had_not():
    short = {seed: {10: 0.5, 20: 0.55, 30: 0.6 + seed / 100} for seed in range(5)}
    long = {seed: {10: 0.5, 20: 0.55, 30: 0.58, 100: 0.8} for seed in range(5)}
    for runs in ({"random": short, "other": long}, {"random": long, "other": short}):
        found = compare_runs(runs, level=0.7)
        assert {name: (own.reached, own.labels) for name, own in found.scores.items()} == dict.fromkeys(runs, (0, None))
        assert found.differences[0].saved.reached_a == found.differences[0].saved.reached_b == 0
        assert "The comparison ends at 30 labels" in found.notes[0]
        assert found.methods[0].runs == runs["random"]  # the curves stay whole


def test_values_between_the_common_numbers_of_labels_are_named():
    curve = {10: 0.5, 20: 0.7, 30: 0.8, 40: 0.8}
    runs = {"random": dict.fromkeys(range(5), curve), "other": {**dict.fromkeys(range(5), curve), 0: {10: 0.5, 40: 1}}}
    assert compare_runs(runs).notes == (
        "The areas are computed at the 2 numbers of labels that all runs have (10, 40). Values at 20, 30 labels, which "
        "some lack, do not count.",
    )
    assert compare_runs({"random": runs["random"]}).notes == ()


def test_seeds_that_only_one_method_has_are_named():
    found = compare_runs({"random": CURVES["random"], "better": {5: CURVES["better"][5]}})
    assert found.differences[0].area.n == 1
    assert "better and random are compared without seeds 0, 1, 2, 3, 4, which one lacks." in found.notes


def test_methods_with_another_learner_are_compared_with_their_own_baseline(folder, tmp_path):
    network = partial(alkit.UNet, widths=(2, 4))
    for seed in range(2):
        record(tmp_path, "net", RANDOM, seed, learner=alkit.SegmentationLearner(network, epochs=(1, 1)))
        record(tmp_path, "net-entropy", ENTROPY, seed, learner=alkit.SegmentationLearner(network, epochs=(1, 1)))
    records = [*sorted(folder.glob("*-[01].db")), *sorted(tmp_path.glob("*.db"))]
    found = compare(records)
    assert {(gap.method, gap.baseline) for gap in found.differences} == {
        (f"Uncertainty, {name}", f"random, {name}") for name in ("Brightness", "SegmentationLearner")
    }
    assert not [note for note in found.notes if "fit to choose" not in note]
    found = compare(records, baseline="random, Brightness")
    assert len(found.differences) == 3
    words = (
        "Uncertainty, SegmentationLearner and random, Brightness differ in the learner too, not only in the strategy."
    )
    assert [note for note in found.notes if "fit to choose" not in note] == [words]
    with pytest.raises(ConfigurationError, match="baseline must name one"):
        compare(records, baseline="random")


def test_runs_with_other_rules_of_selection_are_other_methods(tmp_path):
    rules = alkit.SelectionRules(never="*1")
    plain, ruled = record(tmp_path, "a", RANDOM, 0, rounds=0), record(tmp_path, "b", RANDOM, 0, rounds=0, rules=rules)
    comparison = compare([plain, ruled])
    assert [method.name for method in comparison.methods] == ["random, no rules", "random, never *1"]


def test_records_that_were_made_by_different_code_under_one_name_are_named(folder, monkeypatch):
    records = [folder / f"entropy-{seed}.db" for seed in range(3)]
    code = {0: {"mine:choose": "a", "mine:helper": "b"}, 1: {"mine:choose": "a", "mine:helper": "c"}}
    code[2] = {"mine:choose": "a", "mine:helper": "b", "timm": "1.0"}

    def runs_with(codes):
        def read(paths):
            runs, skipped = read_runs(paths)
            return [replace(run, code={"strategy": own}) for run, own in zip(runs, codes, strict=True)], skipped

        monkeypatch.setattr("alkit.report.comparing.read_runs", read)
        return [note for note in compare(records).notes if "code" in note]

    assert runs_with([code[0], code[2], {}]) == []
    assert runs_with([code[0], code[1], code[2]]) == [
        f"{records[0]} and {records[1]} were made by different code of the strategy: mine:helper."
    ]
    assert runs_with([{"timm": "0.9"}, code[1], code[2]]) == [
        f"{records[1]} and {records[2]} were made by different code of the strategy: mine:helper, the package timm "
        "(0.9 and 1.0). The same holds for 1 more pair."
    ]


def test_runs_of_other_seeds_with_images_of_another_size_are_named(folder, monkeypatch):
    records = [folder / f"entropy-{seed}.db" for seed in range(2)]

    def read(paths):
        (one, other), skipped = read_runs(paths)
        return [one, replace(other, data={**other.data, "pool": {**other.data["pool"], "width": 99}})], skipped

    assert not [note for note in compare(records).notes if "alike" in note]
    monkeypatch.setattr("alkit.report.comparing.read_runs", read)
    (note,) = (note for note in compare(records).notes if "alike" in note)
    assert note.startswith("The images are not alike in all runs: ")
    assert f"99 x 16 pixels and 1 channel in {records[1]}" in note


def test_settings_that_were_changed_while_a_run_went_on_are_named(tmp_path):
    path = record(tmp_path, "random", RANDOM, 0, rounds=1)
    pool, _ = alkit.ArrayPool(IMAGES).split(test=6, seed=0)
    rules = alkit.SelectionRules(never=[pool.ids[0]])
    alkit.Experiment.open(path, pool=pool, learner=alkit.testing.Brightness(), rules=rules)
    (note,) = (note for note in compare([path]).notes if "changed" in note)
    assert note == (
        f"{path}: these settings were changed while it ran, so its early rounds had other ones: "
        f"never: recorded none, now {pool.ids[0]}."
    )


def test_broken_records_are_named_and_the_others_go_on(records, tmp_path):
    (tmp_path / "text.db").write_text("not a record")
    Store(tmp_path / "empty.db").close()
    pool = alkit.ArrayPool(IMAGES)
    alkit.Experiment(pool, alkit.testing.Brightness(), RANDOM, store=tmp_path / "begun.db", classes=CLASSES)
    unmeasured = record(tmp_path, "unmeasured", RANDOM, 0, test=0)
    bad = [
        tmp_path / "none.db",
        tmp_path,
        tmp_path / "text.db",
        tmp_path / "empty.db",
        tmp_path / "begun.db",
        unmeasured,
    ]
    found = compare([*bad, *records])
    assert len(found.methods) == 2
    assert [skipped.record for skipped in found.skipped] == list(map(str, bad))
    reasons = [skipped.reason for skipped in found.skipped]
    assert "does not exist" in reasons[0]
    assert "is not a file" in reasons[1]
    assert "no committed round" in reasons[4]
    assert "no metrics" in reasons[5]
    assert all(str(path) in reason for path, reason in zip(bad, reasons, strict=True))
    with pytest.raises(ConfigurationError, match=r"no record can be compared: got .*none.db does not exist"):
        compare(bad)
    assert not (tmp_path / "none.db").exists()


def test_records_that_cannot_be_compared_are_refused_by_name(records, folder, tmp_path):
    other_test = record(tmp_path, "test", ENTROPY, 0, test=5)
    with pytest.raises(ConfigurationError, match=r"of seed 0 must have the same test set.*test-0.db.*differ"):
        compare([folder / "random-0.db", other_test])
    other_pool = record(tmp_path, "pool", ENTROPY, 0, split=9)
    with pytest.raises(ConfigurationError, match=r"must have the same (pool|test set).*pool-0.db"):
        compare([folder / "random-0.db", other_pool])
    again = record(tmp_path, "again", RANDOM, 1)
    with pytest.raises(ConfigurationError, match=r"random-1.db and .*again-1.db have the same seed 1"):
        compare([*records, again])
    with pytest.raises(ConfigurationError, match=r"metric must be one that all records have: got 'jaccard', but"):
        compare(records, metric="jaccard")
    held = record(tmp_path, "held", RANDOM, 1, test=0, hold_out=0.4, start=6)
    with pytest.raises(ConfigurationError, match=r"held-1.db is measured on labels held out"):
        compare([records[0], held])
    assert compare([held]).methods[0].name == "random"


def test_records_that_were_measured_by_other_labels_or_on_other_kinds_of_images_are_refused(records, folder, tmp_path):
    shifted = {id: np.roll(mask, 3, axis=1) for id, mask in LABELS.items()}
    other = record(tmp_path, "corrected", ENTROPY, 0, oracle=alkit.MaskOracle(shifted, CLASSES))
    with pytest.raises(ConfigurationError, match="of seed 0 must have the same labels of the test set to be compared"):
        compare([folder / "random-0.db", other])
    pool, held = alkit.ArrayPool(IMAGES).split(test=6, seed=0)
    backwards = held.subset(held.ids[::-1])
    one = record(tmp_path, "order", ENTROPY, 0, held=backwards)
    assert compare([folder / "random-0.db", one]).differences

    def audited(name, strategy, audit, n=4):
        path = tmp_path / f"{name}.db"
        experiment = alkit.Experiment(pool, alkit.testing.Brightness(), strategy, path, classes=CLASSES, audit=audit)
        for _ in range(3):
            experiment.tell({id: LABELS[id] for id in experiment.ask(n)})
            experiment.fit()
        return path

    few, more = audited("few", RANDOM, 2), audited("more", ENTROPY, 3)
    with pytest.raises(ConfigurationError, match=r"on the test set, .*few\.db on the audit set"):
        compare([folder / "random-0.db", few])
    with pytest.raises(ConfigurationError, match="must have the same audit set"):
        compare([few, more])
    same = compare([few, audited("same", ENTROPY, 2)])
    assert same.differences
    assert not any("audit" in note or "test set" in note for note in same.notes)


@pytest.mark.parametrize("name", ["test", "truth"])
def test_records_after_one_that_does_not_say_what_it_was_measured_on_are_compared_with_each_other(folder, name):
    (one, *_), _ = read_runs([folder / "random-0.db"])
    unknown, other = (replace(one, data={**one.data, name: value}) for value in (None, "another"))
    with pytest.raises(ConfigurationError, match="of seed 0 must have the same"):
        check_alike([unknown, one, other])
    check_alike([one, unknown, one])


def test_a_record_that_does_not_say_by_which_labels_it_was_measured_is_noted(folder, monkeypatch):
    (one, *_), _ = read_runs([folder / "random-0.db"])
    unknown = replace(one, data={**one.data, "truth": None})
    monkeypatch.setattr("alkit.report.comparing.read_runs", lambda paths: ([unknown], []))
    assert any("by which labels of the test set" in note for note in compare([one.record]).notes)


def test_a_run_whose_test_labels_were_corrected_meanwhile_is_named(tmp_path):
    pool, held = alkit.ArrayPool(IMAGES).split(test=6, seed=0)
    path = tmp_path / "a.db"
    for shift in (0, 3):
        oracle = alkit.MaskOracle({id: np.roll(mask, shift, axis=1) for id, mask in LABELS.items()}, CLASSES)
        experiment = alkit.Experiment(pool, alkit.testing.Brightness(), RANDOM, path, classes=CLASSES)
        experiment.tell({id: LABELS[id] for id in experiment.ask(4)})
        experiment.fit(test=held, oracle=oracle)
    assert f"{path}: before round 1, the labels of the test set were other ones." in compare([path]).notes


def test_records_with_other_metrics_are_refused(folder, tmp_path, monkeypatch):
    runs, _ = read_runs([folder / "random-0.db", folder / "entropy-0.db"])
    changed = [alkit.RoundResult(0, ("a",), 4, {"auroc": 0.5})]
    runs[1] = type(runs[1])(**{**vars(runs[1]), "history": tuple(changed)})
    monkeypatch.setattr("alkit.report.comparing.read_runs", lambda records: (runs, []))
    with pytest.raises(ConfigurationError, match=r"must have a metric in common: got dice.*random-0.db, and auroc in"):
        compare(["a", "b"])


def test_values_that_are_not_finite_are_left_out_and_named(folder, monkeypatch):
    runs, _ = read_runs([folder / "random-0.db"])
    history = (alkit.RoundResult(0, ("a",), 4, {"x": math.nan}), alkit.RoundResult(1, ("b",), 6, {"x": 7.5}))
    runs = [type(runs[0])(**{**vars(runs[0]), "history": history})]
    monkeypatch.setattr("alkit.report.comparing.read_runs", lambda records: (runs, []))
    found = compare(["a"])
    assert found.methods[0].runs == {0: {6: 7.5}}
    assert "round 0 has nan of x and is left out" in found.notes[0]


def test_names_say_what_differs():
    forms = [
        {"is": "m:Then", "with": {"first": {"is": "m:A", "with": {"n": number}}, "after": 2, "x": number, "y": number}}
        for number in (1, 2)
    ]
    assert name_forms(forms)[0] == "Then (x=1, y=1, first.n=1)"
    assert name_forms([{"opaque": "m:make.<locals>.<lambda>"}, {"opaque": "n:make.<locals>.<lambda>"}]) == [
        "<lambda> 1",
        "<lambda> 2",
    ]


@pytest.mark.parametrize("wrong", ["r.db", 3, [3], {"a": "r.db"}, {"a": 3}, None], ids=str)
def test_what_is_not_a_list_of_records_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"^records"):
        compare(wrong)


def test_the_command_writes_a_page_and_prints_tables(records, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert commandline.alkit("compare", *records) == 0
    said = capsys.readouterr().out
    assert "Uncertainty" in said
    assert "comparison.html shows the learning curves." in said
    assert "random-0.db" in (tmp_path / "comparison.html").read_text()
    assert commandline.alkit("compare", *records) == 1
    assert capsys.readouterr().err == "alkit: comparison.html exists. Try: --overwrite, or another --out.\n"
    assert commandline.alkit("compare", *records, "gone.db", "--json", "--lower") == 1
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert (facts["lower"], len(facts["methods"])) == (True, 2)
    assert said.err == "alkit: gone.db does not exist\nalkit: 1 of 7 records are left out\n"
    assert commandline.alkit("compare", *records, "--metric", "dise", "--out", "x.html") == 1
    assert capsys.readouterr().err.startswith("alkit: --metric must be one that all records have: got 'dise'")
    assert not (tmp_path / "x.html").exists()
