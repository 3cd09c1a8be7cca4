"""Components of a variance, by hand and by simulation."""

import math

import numpy as np
import pytest

from alkit.errors import ConfigurationError
from alkit.statistics import (
    variance_parts,
)


def test_the_components_of_a_table_by_hand():
    # Rows 1, 3, 5 and columns -1, 1 about their mean of 3, and one residual pattern of +-0.5.
    table = {(i, c): 3 + (i - 1) * 2 + (2 * c - 1) for i in range(3) for c in range(2)}
    exact = variance_parts(table)
    assert (exact.initial, exact.choice, exact.residual) == pytest.approx((4, 2, 0), abs=1e-12)
    pattern = {(0, 0): 0.5, (0, 1): -0.5, (2, 0): -0.5, (2, 1): 0.5}
    noisy = variance_parts({pair: value + pattern.get(pair, 0) for pair, value in table.items()})
    residual = sum(value**2 for value in pattern.values()) / (2 * 1)
    assert (noisy.initial, noisy.choice, noisy.residual) == pytest.approx(
        (4 - residual / 2, 2 - residual / 3, residual)
    )


def test_the_components_of_simulated_tables_are_right_on_average():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        initial, choice, rest = (rng.normal(0, sd, size) for sd, size in ((0.3, (8, 1)), (0.2, (1, 6)), (0.1, (8, 6))))
        parts = variance_parts(dict(np.ndenumerate(initial + choice + rest)))
        found.append((parts.initial, parts.choice, parts.residual))
    assert np.mean(found, axis=0) == pytest.approx((0.09, 0.04, 0.01), rel=0.1)


def test_the_intervals_of_simulated_tables_have_their_confidence():
    rng = np.random.default_rng(2)
    true = {"initial": 0.3**2, "choice": 0.0, "residual": 0.1**2}
    held = dict.fromkeys(true, 0)
    for _ in range(400):
        table = rng.normal(0, 0.3, (5, 1)) + rng.normal(0, 0.1, (5, 4))
        for name, (low, high) in variance_parts(dict(np.ndenumerate(table)), confidence=0.9).intervals.items():
            held[name] += low <= true[name] <= high
    assert all(0.86 <= count / 400 <= 1 for count in held.values())
    assert held["initial"] / 400 < 0.94, "an interval that always holds says nothing"


def test_the_intervals_contain_the_estimates():
    rng = np.random.default_rng(3)
    for _ in range(50):
        parts = variance_parts(dict(np.ndenumerate(rng.normal(0, 1, (4, 3)))))
        for name, (low, high) in parts.intervals.items():
            assert 0 <= low <= getattr(parts, name)
            assert getattr(parts, name) <= high or name in parts.below_zero


def test_a_component_below_zero_is_set_to_zero_and_named():
    alternating = {(i, c): float((i + c) % 2) for i in range(2) for c in range(2)}
    parts = variance_parts(alternating)
    assert (parts.initial, parts.choice) == (0, 0)
    assert parts.residual == pytest.approx(1)
    assert parts.below_zero == ("initial", "choice")
    assert variance_parts({(i, c): value + 9 * i for (i, c), value in alternating.items()}).below_zero == ("choice",)
    assert variance_parts({(i, c): value + 9 * c for (i, c), value in alternating.items()}).below_zero == ("initial",)
    assert variance_parts({(i, c): value + 9 * (i + c) for (i, c), value in alternating.items()}).below_zero == ()


def test_a_table_without_residual_has_no_component_below_zero():
    assert variance_parts({(i, c): 0.1 * i for i in range(3) for c in range(4)}).below_zero == ()


@pytest.mark.parametrize(
    "table",
    [
        {},
        {(0, 0): 0.1, (1, 0): 0.2},
        {(0, 0): 0.1, (0, 1): 0.2},
        {(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.3},
        {(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.3, (1, 1): math.nan},
    ],
)
def test_an_incomplete_table_is_an_error(table):
    with pytest.raises(ConfigurationError):
        variance_parts(table)
