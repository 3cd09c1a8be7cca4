"""Pools read groups from a file, a pattern or a mapping, and keep each group on one side of a split."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pools import IDS, IMAGES, dataset_pool, image_pool

from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, DataError
from alkit.pools import ArrayPool, DatasetPool, ImagePool, groups_of, metadata_of, parents_of
from alkit.rng import Stream

OF_IDS = {"a": "p1", "b": "p1", "c": "p2", "d": "p2", "e": "p3", "f": "p3", "g": "p3"}
TABLE = "id,patient,site\n" + "".join(f"{id},{group},{'AB'[id > 'c']}\n" for id, group in OF_IDS.items())


def table(tmp_path, text, name="groups.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def array_pool(groups, ids=IDS):
    return ArrayPool(np.zeros((len(ids), 2, 2), np.uint8), ids, groups=groups)


# The three forms.


def test_every_pool_takes_groups_and_its_subsets_keep_them(tmp_path):
    file = table(tmp_path, TABLE)
    plain = dataset_pool(tmp_path)
    folder = image_pool(tmp_path)
    pools = [
        array_pool(file),
        ArrayPool(dict(zip(IDS, IMAGES[:, 0], strict=True)), groups=OF_IDS),
        DatasetPool(plain.dataset, IDS, groups=str(file)),
        ImagePool(folder.path, grayscale=True, scale="full", cache=folder.cache, groups=file),
    ]
    for pool in pools:
        assert pool.groups_of(["g", "a", "b", "a"]) == ["p3", "p1", "p1", "p1"]
        part = pool.subset(["d", "a", "g"]).subset(["g", "d"])
        assert groups_of(part, part.ids) == ["p3", "p2"]
        with pytest.raises(DataError, match="the pool has no image with this id"):
            part.groups_of(["a"])
    assert metadata_of(pools[0], ["g", "a"]) == [{"patient": "p3", "site": "B"}, {"patient": "p1", "site": "A"}]
    assert metadata_of(pools[1], ["g"]) == [{}]


def test_an_image_without_a_group_is_its_own_group():
    for pool in (array_pool(None), array_pool(None).subset(["b", "a"])):
        assert groups_of(pool, ["b", "a"]) == parents_of(pool, ["b", "a"]) == ["b", "a"]
        assert metadata_of(pool, ["b"]) == [{}]


def test_groups_are_not_part_of_the_written_form(tmp_path):
    """A record keeps the groups themselves, so that it opens without the file."""
    assert written_form(array_pool("{group}1", ["a1", "b1"])) == written_form(array_pool(None, ["a1", "b1"]))
    given = DatasetPool(dataset_pool(tmp_path).dataset, IDS, groups=OF_IDS)
    assert written_form(given) == written_form(dataset_pool(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "ids", "expected"),
    [
        ("{group}/*", ["p1/0001", "p2/x"], ["p1", "p2"]),
        ("{group}/**", ["p1/left/0001", "p2/x"], ["p1", "p2"]),
        ("*/{group}/*", ["site/p1/0001", "other/p1/2"], ["p1", "p1"]),
        ("{group}_slice*", ["p_1_slice003", "p_2_slice1"], ["p_1", "p_2"]),
        ("case[{group}]*", ["case[3]a", "case[3]b"], ["3", "3"]),
        ("{group}", ["a", "b"], ["a", "b"]),
    ],
)
def test_a_pattern_names_the_group(pattern, ids, expected):
    assert array_pool(pattern, ids).groups_of(ids) == expected


def test_a_pattern_that_fits_in_several_ways_is_an_error():
    with pytest.raises(DataError, match=r"groups='\{group\}_\*' fits 'p1_left_003' in several ways: got the groups"):
        array_pool("{group}_*", ["p1_left_003"])


def test_a_pattern_that_does_not_fit_every_id_is_an_error_that_lists_the_others():
    with pytest.raises(DataError, match=r"must fit each of the 3 ids, and does not fit 2: got 'b', 'p1/x/c'"):
        array_pool("{group}/*", ["p1/a", "b", "p1/x/c"])


def test_a_pattern_that_puts_all_images_in_one_group_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        array_pool("{group}_*", ["scan_1", "scan_2"])
    assert "puts all 2 images in one group, 'scan'" in caplog.text


# Files as people have them.


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,patient\r\na,p1\r\nb,p2\r\n",
        "id;patient\na;p1\nb;p2\n",
        "id\tpatient\na\tp1\nb\tp2",
        ' "id" , patient\n'.replace(' "id" ', '"id"') + "a , p1\n\n b,p2\n,\n",
        "id,patient\na,p1\na,p1\nb,p2\n",
    ],
    ids=["byte-order mark", "semicolons", "tabs", "spaces and empty lines", "repeated row"],
)
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path, text):
    assert array_pool(table(tmp_path, text), ["a", "b"]).groups_of(["a", "b"]) == ["p1", "p2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a line of column names: id, then the group, such as patient: got an empty file"),
        ("id\na\nb\n", "must begin with a line of column names"),
        ("a,p1\nb,p2\n", "must begin with a line of column names: .* got 'a', 'p1'"),
        ("patient,id\np1,a\n", "must begin with a line of column names: .* got 'patient', 'id'"),
        ("id,patient,patient\na,1,2\n", "must have a different name for each column: got 'patient'"),
        ("id,patient\n", "must have a row for each image: got only column names"),
        ("id,patient\na,p1\nb,\n", r"line 3 of .*groups.csv has no patient"),
        ("id,patient\na,p1\n,p2\n", r"line 3 of .* has no id"),
        ("id,patient\na,p1,x\n", r"line 2 of .* must have 2 columns: got 3"),
        ("id,patient\na,p1\nb,p2\na,p2\n", r"line 4 of .* contradicts line 2 about 'a': got patient 'p2' and 'p1'"),
        ("id,patient,site\na,p1,A\na,p1,B\nb,p1,A\n", r"line 3 of .* contradicts line 2 about 'a': got site 'B'"),
        (b"id,patient\na,M\xfcller\nb,x\n", "groups must be a CSV file in UTF-8"),
        ('id,patient\na,"p1\nb,p2\n', "groups must be a CSV file that can be read"),
        ("id,patient\na,p1\n", r"for each of the 2 images, and 1 have none: got none for 'b'"),
        ("id,patient\na,p1\nB,p2\n", r"got none for 'b'; .*groups.csv has 'B', which are not in the pool"),
    ],
)
def test_a_wrong_table_is_an_error_that_says_what_to_change(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        array_pool(table(tmp_path, text), ["a", "b"])


def test_rows_of_other_images_are_listed(tmp_path, caplog):
    """The table of a study has more images than the folder of a pool."""
    with caplog.at_level(logging.WARNING):
        pool = array_pool(table(tmp_path, TABLE), ["a", "c"])
    assert pool.groups_of(["c"]) == ["p2"]
    assert "groups name 5 images that are not in the pool: 'b', 'd', 'e', 'f', 'g'" in caplog.text


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": ""}, "groups must have a group for 'a'"),
        ({"a": {}}, "groups must have a group for 'a'"),
        ({"a": None}, "groups must be text or integers; the group of 'a' is not: got None"),
        ({"a": 1.5}, "groups must be text or integers"),
        ({1: "p"}, "the ids in groups must be text: got 1"),
        (["a"], "groups must be a CSV file, a pattern with {group}, or a mapping: got an object of type list"),
        ("p*", "groups must be a CSV file, a pattern with {group}, or a mapping: got 'p\\*'"),
        ("{group}{group}", "groups must contain {group} once if it is a pattern"),
        ("nowhere.csv", "groups must be a CSV file that can be read: got nowhere.csv .*No such file"),
    ],
)
def test_wrong_groups_are_an_error(groups, message):
    with pytest.raises((DataError, ConfigurationError), match=message):
        array_pool(groups, ["a"])


def test_numbers_are_groups():
    assert array_pool({"a": 7, "b": np.int64(7)}, ["a", "b"]).groups_of(["b", "a"]) == ["7", "7"]


# Parents.


class Slices(ArrayPool):
    """A pool of slices: the parent of "v1/3" is "v1"."""

    def _parent(self, row):
        return self.ids[row].rpartition("/")[0]


SLICES = ["v1/0", "v1/1", "v2/0", "v2/1"]


def slices(groups=None):
    return Slices(np.zeros((4, 2, 2), np.uint8), SLICES, groups=groups)


def test_parts_of_one_parent_are_a_group_unless_groups_are_given():
    assert slices().groups_of(SLICES) == slices().parents_of(SLICES) == ["v1", "v1", "v2", "v2"]
    assert slices({"v1": "p", "v2": "p"}).groups_of(SLICES) == ["p"] * 4
    assert slices("v{group}").subset(["v2/1"]).groups_of(["v2/1"]) == ["2"]
    assert slices().subset(["v2/1"]).parents_of(["v2/1"]) == ["v2"]


def test_parts_of_one_parent_in_two_groups_are_an_error():
    groups = {"v1/0": "p1", "v1/1": "p2", "v2": "p3"}
    with pytest.raises(DataError, match="groups must have one group for all images of 'v1': got 'p1' and 'p2'"):
        slices(groups)


# Splits.


@given(sizes=st.lists(st.integers(1, 6), min_size=2, max_size=9), data=st.data(), seed=st.integers(0, 99))
def test_a_split_keeps_groups_whole_and_is_as_close_as_possible(sizes, data, seed):
    groups = {f"{unit}-{place}": str(unit) for unit, size in enumerate(sizes) for place in range(size)}
    ids = data.draw(st.permutations(sorted(groups)))
    wanted = data.draw(st.integers(1, len(ids) - 1))
    pool, test = array_pool(groups, ids).split(wanted, seed)
    assert sorted([*pool.ids, *test.ids]) == sorted(ids)
    assert not set(pool.groups_of(pool.ids)) & set(test.groups_of(test.ids))
    possible = {0}
    for size in sizes:
        possible |= {size + other for other in possible}
    possible -= {0, len(ids)}
    assert abs(len(test) - wanted) == min(abs(size - wanted) for size in possible)
    # The order of the ids and the names of the groups do not matter.
    renamed = {id: f"patient {9 - int(group)}" for id, group in groups.items()}
    assert array_pool(renamed, sorted(ids)).split(wanted, seed)[1].ids == test.ids


@given(n=st.integers(2, 40), data=st.data(), seed=st.integers(0, 99))
def test_a_split_without_groups_is_the_permutation_that_it_always_was(n, data, seed):
    wanted = data.draw(st.integers(1, n - 1))
    ids = [f"{row:04}" for row in range(n)]
    before = [ids[row] for row in Stream(seed).child("split").numpy().permutation(n)][:wanted]
    assert list(array_pool(None, ids).split(wanted, seed)[1].ids) == sorted(before)


def test_a_split_of_groups_depends_on_its_seed():
    ids = [f"{unit}-{place}" for unit in range(8) for place in range(3)]
    tests = {array_pool("{group}-*", ids).split(6, seed)[1].ids for seed in range(40)}
    assert len(tests) > 15  # of 28


def test_a_split_of_one_group_is_an_error_and_one_far_from_the_wanted_size_a_warning(caplog):
    with pytest.raises(
        ConfigurationError, match="the pool cannot be split, because a group stays whole: got one group"
    ):
        array_pool(dict.fromkeys(IDS, "p")).split(2, 0)
    with caplog.at_level(logging.WARNING):
        array_pool(dict.fromkeys(IDS, "p") | {"a": "q", "b": "q", "c": "q"}).split(1, 0)
    assert "the test set has 3 images in place of 1, because groups stay whole" in caplog.text
