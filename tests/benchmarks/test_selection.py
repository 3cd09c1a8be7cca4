"""The committed rows of the selection benchmark keep the bars."""

from pathlib import Path

import pytest

from benchmarks.cost.selection import SIZES, case_of, is_done, rows_of
from benchmarks.rows import read

OUT = Path(__file__).parents[2] / "benchmarks/results/selection.csv"
ROWS = read(OUT)


@pytest.mark.parametrize(("strategy", "mib"), [("k-centre", 60), ("typiclust", 100)])
def test_alkit_needs_at_most_two_fifths_of_the_peers_time_and_little_memory(strategy, mib):
    ours, peer = (
        next(
            row
            for row in reversed(ROWS)
            if (row["strategy"], row["library"], row["n"], row["d"]) == (strategy, library, "100000", "128")
        )
        for library in ("alkit", "scikit-activeml")
    )
    assert float(ours["cpu_ratio"]) <= 0.4
    assert float(ours["anon_mib"]) <= mib
    assert ours["different"] == peer["different"] == "1000"
    if strategy == "k-centre":
        assert float(ours["radius"]) <= float(peer["radius"])


@pytest.mark.parametrize("strategy", ["badge", "maxherding", "probcover"])
def test_strategies_that_need_pairs_or_a_model_cost_less_than_the_peers_too(strategy):
    rows = [row for row in ROWS if row["strategy"] == strategy and row["mapped"] == "no"]
    ours, peer = (next(row for row in reversed(rows) if row["library"] == own) for own in ("alkit", "scikit-activeml"))
    assert (ours["n"], ours["b"]) == (peer["n"], peer["b"]) == tuple(map(str, SIZES[strategy]))
    assert ours["repeats"] == peer["repeats"] == "3"
    assert float(ours["cpu_ratio"]) <= 0.4
    assert float(ours["anon_mib"]) < float(peer["anon_mib"]) / 2


def test_a_million_images_need_little_memory_above_the_map():
    rows = [row for row in ROWS if row["n"] == "1000000"]
    assert rows
    assert all(float(row["anon_mib"]) <= 300 for row in rows)


def test_rows_have_medians_extremes_and_the_ratio_to_the_peer():
    line = {"strategy": "k-centre", "wall_s": 9, "rss_mib": 7, "radius": 2, "mean_distance": 1, "different": 3}
    ours = [{"lines": [{**line, "cpu_s": cpu, "anon_mib": cpu}], "version": "1", "numpy": "2"} for cpu in (1, 2, 6)]
    theirs = [{"lines": [{**line, "cpu_s": 8, "anon_mib": 5}], "version": "1", "numpy": "2"}] * 3
    first, second = rows_of(case_of("k-centre", 9, 2, 3, 0, False), {"alkit": ours, "scikit-activeml": theirs})
    assert (first["cpu_s"], first["cpu_least"], first["cpu_most"], first["anon_mib"]) == (2, 1, 6, 6)
    assert (first["cpu_ratio"], second["cpu_ratio"]) == (0.25, 1)


def test_work_with_a_row_is_done():
    row = next(row for row in ROWS if row["strategy"] == "k-centre" and row["mapped"] == "no")
    case = case_of("k-centre", int(row["n"]), int(row["d"]), int(row["b"]), int(row["labelled"]), False)
    assert is_done(case, OUT)
    assert not is_done({**case, "n": 7}, OUT)
    assert not is_done(case, None)
