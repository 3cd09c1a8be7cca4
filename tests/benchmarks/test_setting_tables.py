from dataclasses import replace

import numpy as np
import pytest
from benchmark_numbers import dice_of, gap_of, mean_of

from benchmarks import rows
from benchmarks.isic2017 import results
from benchmarks.isic2017.protocol import WEIGHTS
from benchmarks.isic2017.tables import tables_in
from benchmarks.isic2017.tables.curves import results_of
from benchmarks.isic2017.tables.settings import arithmetic, arithmetic_differences, ceilings, own_choices


def test_the_effect_of_other_instructions_is_measured_within_seeds():
    arm = ("random", "scratch", "")
    results = {arm: {seed: {300: 0.6, 335: 0.7} for seed in range(3)}}
    wide = {arm: {1: {300: 0.65, 335: 0.7}, 2: {300: 0.57, 335: 0.7}, 9: {300: 0.1}}, ("dsal", "scratch", ""): {}}
    (row,) = arithmetic(results, wide).rows
    assert row == ["random scratch", "1, 2", "+0.010 ± 0.057 (n=2)", "0.050", "+0.000 ± 0.000 (n=2)", "0.000", "0.050"]


def test_only_the_tables_of_the_arithmetic_use_runs_with_other_instructions(measured, out):
    before = tables_in(out, "small")
    wide = [replace(row, dice=row.dice / 2) for row in measured if row.method in ("random", "ssl-cluster")]
    rows.write(out / results.OTHER_ROWS, [vars(row) for row in wide])
    after = tables_in(out, "small")
    assert set(after) - set(before) == {"arithmetic", "arithmetic-differences"}
    assert all(after[name].rows == table.rows for name, table in before.items())
    ours, random = (dice_of(measured, method, "pretext", "", 615) for method in ("ssl-cluster", "random"))
    half = gap_of(np.divide(ours, 2), np.divide(random, 2))
    assert after["arithmetic-differences"].rows[3] == ["pretext", "615", gap_of(ours, random), half]


def test_a_comparison_with_other_instructions_uses_the_same_seeds(measured):
    results = results_of(measured)
    wide = {arm: {seed: curve for seed, curve in runs.items() if seed < 3} | {9: {300: 0.1, 615: 0.9}}
            for arm, runs in results.items()}  # fmt: skip
    for _, _, ours, theirs in arithmetic_differences(results, wide).rows:
        assert ours == theirs
        assert ours.endswith("(n=3)")


def test_ceilings_show_the_dice_of_their_arms(measured):
    dice = {
        (weights, variant): dice_of(measured, "random", weights, variant, 1600)
        for weights in WEIGHTS
        for variant in ("full", "full-equal-steps")
    }
    found = [row[2] for row in ceilings(results_of(measured)).rows]
    assert found[:4] == [mean_of(values) for values in dice.values()]
    assert found[4:6] == [gap_of(dice[weights, "full"], dice[weights, "full-equal-steps"]) for weights in WEIGHTS]
    variants = "full", "full-equal-steps"
    assert found[6:8] == [gap_of(dice["pretext", variant], dice["scratch", variant]) for variant in variants]
    ends = {weights: dice_of(measured, "random", weights, "", 615) for weights in WEIGHTS}
    assert found[8:] == [gap_of(values, ends[weights]) for (weights, _), values in dice.items()]


@pytest.mark.parametrize("kept", [3, 5])
def test_our_choices_are_compared_over_the_same_seeds(measured, kept):
    measured = [row for row in measured if row.variant != "lr-1e-3" or row.seed < kept]
    table = own_choices(results_of(measured))
    assert table.caption.endswith(f"(n={kept})")
    for row, variant in zip(table.rows, ("", "lr-1e-3", "epochs-x2"), strict=True):
        dice = {
            (labels, method): dice_of(measured, method, "scratch", variant, labels)[:kept]
            for labels in (300, 615)
            for method in ("random", "ssl-cluster")
        }
        assert row[1:5] == [mean_of(values) for values in dice.values()]
        if kept == 5:
            assert row[5:7] == [gap_of(dice[labels, "ssl-cluster"], dice[labels, "random"]) for labels in (300, 615)]
