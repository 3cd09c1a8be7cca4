"""Files of one annotator that have one time and disagree."""

import os

import pytest

import alkit
from alkit.oracles import FolderOracle
from alkit.values import Query
from alkit.values.answers import Invalid

SPEC = alkit.LabelSpec(("cat", "dog"), per="image")
QUERIES = [Query(f"i{row}", 0, row, ()) for row in range(2)]


def answers(folder, tables, times=(10**9, 10**9)):
    (folder / "ann").mkdir(exist_ok=True)
    for (name, classes), at in zip(tables.items(), times, strict=True):
        rows = [f"{query.key},{given}" for query, given in zip(QUERIES, classes, strict=True)]
        (folder / "ann" / name).write_text("\n".join(["image,class", *rows]))
        os.utime(folder / "ann" / name, (at, at))
    return list(FolderOracle(folder, classes=SPEC, queries=QUERIES, settle=0).poll())


def test_the_first_counts_and_the_other_is_refused(tmp_path):
    found = answers(tmp_path, {"a.csv": ["cat", "dog"], "b.csv": ["cat", "cat"]})
    assert [one.label if isinstance(one.label, Invalid) else int(one.label) for one in found[:3]] == [0, 1, 0]
    assert isinstance(found[3].label, Invalid)
    assert "b.csv says something else than a.csv, and both have one time" in found[3].label.reason


@pytest.mark.parametrize(
    ("tables", "times"),
    [
        ({"a.csv": ["cat", "dog"], "b.csv": ["cat", "cat"]}, (10**9, 10**9 + 1)),
        ({"a.csv": ["cat", "dog"], "b.csv": ["cat", ""]}, (10**9, 10**9)),
    ],
    ids=["later", "other images"],
)
def test_files_of_other_times_and_files_that_agree_are_read(tmp_path, tables, times):
    assert not any(isinstance(one.label, Invalid) for one in answers(tmp_path, tables, times))


def test_a_skip_beside_a_table_is_another_answer(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / f"{QUERIES[0].key}.skip").touch()
    os.utime(tmp_path / "ann" / f"{QUERIES[0].key}.skip", (10**9, 10**9))
    first, second, _ = answers(tmp_path, {"a.csv": ["cat", "dog"]}, (10**9,))
    assert not isinstance(first.label, Invalid)
    assert isinstance(second.label, Invalid)
