import importlib.util
import re
import sys
import types

import pytest

from alkit.errors import ConfigurationError, MissingDependencyError
from alkit.report import table
from alkit.values import RoundResult

HISTORY = (
    RoundResult(0, ("b", "a"), 2, {"dice": 0.5, "iou": 0.25}, {"fit": 1.5}),
    RoundResult(1, ("c",), 3, {"dice": 0.7}, {"fit": 2.0, "select": 0.1}, warnings=("too few",), agreement=0.9),
    RoundResult(2, ("d",), 4, n_pseudo=5, n_held_out=1),
)


def test_a_row_is_a_round_with_a_column_for_each_metric():
    rows = table(HISTORY)
    assert rows.columns == (
        *("round", "labels", "pseudo_labels", "held_out", "dice", "iou"),
        *("agreement", "seconds_fit", "seconds_select", "ids", "warnings"),
    )
    assert rows[0] == {
        "round": 0,
        "labels": 2,
        "pseudo_labels": 0,
        "held_out": 0,
        "dice": 0.5,
        "iou": 0.25,
        "agreement": None,
        "seconds_fit": 1.5,
        "seconds_select": None,
        "ids": ("b", "a"),
        "warnings": (),
    }
    assert [row["warnings"] for row in rows] == [(), ("too few",), ()]
    assert [(row["pseudo_labels"], row["held_out"], row["dice"]) for row in rows[2:]] == [(5, 1, None)]
    assert all(tuple(row) == rows.columns for row in rows)


def test_a_row_can_be_a_metric_or_an_image():
    assert [tuple(row.values()) for row in table(HISTORY, per="metric")] == [
        (0, 2, "dice", 0.5),
        (0, 2, "iou", 0.25),
        (1, 3, "dice", 0.7),
    ]
    assert [tuple(row.values()) for row in table(HISTORY, per="image")] == [
        (0, 2, 0, "b"),
        (0, 2, 1, "a"),
        (1, 3, 0, "c"),
        (2, 4, 0, "d"),
    ]


def test_several_runs_are_told_apart_by_name_and_number():
    rows = table({"random": [HISTORY[:1], HISTORY[:2]], "other": []}, per="metric")
    assert rows.columns[:2] == ("name", "run")
    assert [(row["name"], row["run"], row["metric"]) for row in rows] == [
        ("random", 0, "dice"),
        ("random", 0, "iou"),
        ("random", 1, "dice"),
        ("random", 1, "iou"),
        ("random", 1, "dice"),
    ]


def test_a_metric_with_the_name_of_a_column_keeps_both():
    row = table([RoundResult(0, ("a",), 7, {"labels": 0.5, "ids": 0.25})])[0]
    assert (row["labels"], row["metric_labels"], row["ids"], row["metric_ids"]) == (7, 0.5, ("a",), 0.25)


def test_nothing_is_a_table_without_rows():
    assert len(table([])) == len(table({})) == 0
    assert str(table([], per="metric")) == "round  labels  metric  value"


@pytest.mark.parametrize("wrong", ["r.db", 3, {"random": HISTORY}, {"random": 3}, [3]], ids=str)
def test_what_is_not_a_history_is_refused_by_name(wrong):
    with pytest.raises(ConfigurationError, match=r"^history"):
        table(wrong)


def test_an_unknown_kind_of_row_is_refused():
    with pytest.raises(ConfigurationError, match="per must be 'round' or 'metric' or 'image': got 'seed'"):
        table(HISTORY, per="seed")


def test_a_table_prints_in_columns_and_a_notebook_shows_it_escaped():
    rows = table([RoundResult(number, (f"<b>{number}",), number) for number in range(200)])
    assert len(str(rows).splitlines()) == 32
    assert str(rows).endswith("and 170 more rows")
    assert repr(rows) == "Rows(200 rows of round, labels, pseudo_labels, held_out, agreement, ids, warnings)"
    page = rows._repr_html_()
    assert "<b>0" not in page
    assert "&lt;b&gt;0" in page
    assert page.count("<tr>") == 21
    assert "and 180 more" in page
    assert rows[:2].columns == rows.columns


def fake(monkeypatch, **made):
    """Make data frame libraries look installed, or not."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: made.get(name) if name in ("pandas", "polars") else found(name, *rest),
    )
    for name in made:
        module = types.ModuleType(name)
        module.DataFrame = lambda columns, name=name, **rest: (name, columns)
        monkeypatch.setitem(sys.modules, name, module)


def test_a_frame_is_made_by_the_library_that_is_installed(monkeypatch):
    rows = table(HISTORY)
    fake(monkeypatch, polars=True)
    assert rows.to_frame()[0] == "polars"
    with pytest.raises(MissingDependencyError, match=re.escape('needs pandas. Try: pip install "alkit[pandas]"')):
        rows.to_frame("pandas")
    fake(monkeypatch, pandas=True, polars=True)
    name, columns = rows.to_frame()
    assert name == "pandas"
    assert columns["dice"] == [0.5, 0.7, None]
    assert columns["ids"] == [["b", "a"], ["c"], ["d"]]


def test_without_a_library_the_error_names_the_extra(monkeypatch):
    fake(monkeypatch)
    with pytest.raises(MissingDependencyError, match=re.escape('pip install "alkit[pandas]"')):
        table(HISTORY).to_frame()
    with pytest.raises(ConfigurationError, match="library"):
        table(HISTORY).to_frame("arrow")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_real_frame_has_the_types_of_its_columns(library):
    pytest.importorskip(library)
    frame = table({"a": [HISTORY]}).to_frame(library)
    assert list(frame.columns)[:4] == ["name", "run", "round", "labels"]
    assert frame["labels"].to_list() == [2, 3, 4]
    assert str(frame["dice"].dtype).lower() == "float64"
    assert frame["ids"].to_list() == [["b", "a"], ["c"], ["d"]]
    assert len(table([]).to_frame(library)) == 0


def test_a_printed_table_cannot_steer_the_terminal():
    history = [RoundResult(0, ("a\x1b[2J\nb",), 1, {"dice\x1b[31m": 0.5})]
    for per in ("round", "image", "metric"):
        assert "\x1b" not in str(table(history, per=per))
        assert len(str(table(history, per=per)).splitlines()) == 2
