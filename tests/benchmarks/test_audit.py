"""The figures of the page on audit sets are those of the committed rows."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import audit, intervals, rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/audit.md").read_text()


def test_the_page_has_the_coverage_of_the_simulated_campaigns():
    found = rows.read_as(audit.Row, ROOT / "benchmarks/results/audit.csv")
    assert len({row.seed for row in found}) == 100
    last = [row for row in found if row.round == audit.ROUNDS]
    whole = sum(row.low <= row.whole_pool <= row.high for row in last)
    rest = sum(row.low <= row.not_trained_on <= row.high for row in last)
    first = sum(row.low <= row.whole_pool <= row.high for row in found if row.round == 0)
    assert whole >= 90
    text = " ".join(PAGE.split())
    assert f"in {whole} of 100 campaigns, and in {rest} of 100" in text
    assert f"it was {first} of 100" in text


def test_the_page_has_the_least_coverage_of_each_interval():
    found = rows.read_as(intervals.Row, ROOT / "benchmarks/results/intervals.csv")
    for method, name in {"alkit": "alkit", "percentile": "percentile bootstrap", "bca": "BCa bootstrap"}.items():
        cells = []
        for n in (12, 20, 40):
            own = [row for row in found if (row.method, row.n) == (method, n)]
            least, width = min(row.coverage for row in own), np.mean([row.width for row in own])
            cells.append(f"{100 * least:.1f} %, {width:.3f}")
        assert f"| {name} | {' | '.join(cells)} |" in PAGE


@pytest.mark.slow
def test_a_campaign_gives_a_row_for_each_round():
    found = list(audit.campaign("skips", 3))
    assert [row.round for row in found] == [0, 1, 2]
    assert all(row.low <= row.dice <= row.high for row in found)
