"""The page on classification, run as it is written, but for fewer images, seeds, rounds and trees."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "digits.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
FEWER = {
    "load_digits()\n": "load_digits()\ndigits.images, digits.target = digits.images[:600], digits.target[:600]\n",
    "test=600": "test=200",
    "seeds, rounds = range(5), 9": "seeds, rounds = range(2), 1",
    "epochs=(60, 60)": "epochs=(30, 30)",
    "n_estimators=20": "n_estimators=4",
    "members=5": "members=2",
}


@pytest.fixture(scope="module")
def said():
    """Return the lines that each block of the page prints."""
    names: dict[str, object] = {}
    lines: list[list[str]] = []
    for block in BLOCKS:
        for as_written, smaller in FEWER.items():
            block = block.replace(as_written, smaller)
        lines.append([])
        names["print"] = lambda *values, sep=" ", to=lines[-1]: to.append(sep.join(map(str, values)))
        exec(block, names)
    return lines


def test_what_is_run_with_less_is_what_the_page_says():
    page = "".join(BLOCKS)
    for as_written in FEWER:
        assert as_written in page, as_written


def test_each_round_of_the_first_run_has_its_labels_and_learns(said):
    rounds = [[float(word) for word in line.split()] for line in said[1]]
    assert [labels for labels, _, _ in rounds] == [20, 40, 60]
    assert all(0.3 < figure <= 1 for row in rounds for figure in row[1:])
    assert rounds[2][1] > rounds[0][1]


def test_the_strategy_asks_for_images_by_id(said):
    (line,) = said[2]
    assert len(re.findall(r"digit-\d{4}", line)) == 3


def test_ensembles_and_dropout_predict_better_than_guessing(said):
    for block in (3, 4):
        (line,) = said[block]
        assert 0.2 < float(line) <= 1


def test_the_comparison_has_the_rows_of_the_page_s_table(said):
    printed = [line.split(" | ")[0] for line in said[5]]
    shown = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if "±" in line and line[0] == "|"]
    assert printed == shown
    for line in said[5]:
        assert re.fullmatch(r"[^|]+ \| 0\.\d{3} ± 0\.\d{3}", line)  # one round: one figure
