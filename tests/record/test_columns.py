"""Every value of every column is read by the next process as it was written, or refused by the name of its column."""

import copy
import enum
import json
import math
import shutil
import sqlite3
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parts import CLASSES, MeanLearner
from records import damage_at, database_at

import alkit
from alkit import Query, RoundResult
from alkit.errors import DataError, StoreError
from alkit.record import Recorded, Store, tables
from alkit.record.database import _complete
from alkit.record.digests import digest_of_schema_3
from alkit.record.repairing import repair
from alkit.record.row_form import has_form
from alkit.values.ids import check_ids

OLD = Path(__file__).parents[1] / "fixtures/a395940"


class Word(str, enum.Enum):  # noqa: UP042  # whose str() is its name
    EQUAL = "e\u0301"


class Number(enum.IntEnum):
    SEVEN = 7


INTEGERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1).map(np.int32),
    st.integers(0, 255).map(np.uint8),
    st.sampled_from([Number.SEVEN, -(2**63), 2**63 - 1, np.int64(2**62)]),
)
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32),
    st.floats(width=16, allow_nan=False, allow_infinity=False).map(np.float16),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.sampled_from([-0.0, np.float32(-0.0), 5e-324, 1.7976931348623157e308, Fraction(1, 3), np.float64(0.1)]),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        [
            "", "\0", "a\0b", "é", "e\u0301", "\u212b", "ﬁ", "\ufeff", "3", "-0.0", "1e999", "NULL", "'", "\U0001f9e0",
            "2026-01-02T03:04:05.000001+05:30", np.str_("x"), Word.EQUAL,
        ]
    ),
)  # fmt: skip
COUNTS = INTEGERS.map(lambda value: value if value >= 0 else ~int(value))
NUMBERS = st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70))
SIDES = st.integers(1, 2**63 - 1)
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)).map(datetime.isoformat)

KINDS = {sa.Float: FLOATS, sa.Integer: INTEGERS, sa.String: TEXTS}

FORMS = {
    **dict.fromkeys(["round", "rank", "ask", "wanted", "withdrawn", "number", "used_from", "used_until"], COUNTS),
    **dict.fromkeys(["n_labels", "n_pseudo", "n_held_out", "rows", "lines", "length"], COUNTS),
    "sizes": st.lists(st.tuples(SIDES, SIDES), max_size=3).map(json.dumps),
    "kind": st.sampled_from(["label", "skip", "withdrawal", "invalid"]),
    **dict.fromkeys(["metrics", "rounds.seconds"], NUMBERS.map(json.dumps)),
    "round_figures.name": st.just("stability"),  # the others have forms of their own
    "round_figures.value": NUMBERS.map(json.dumps),
    "purpose": st.sampled_from(["train", "audit", "review"]),
    "assigned": st.lists(st.sampled_from(["ann", "Bén O", "\u738b"]), max_size=3).map(json.dumps),
    **dict.fromkeys(["due", "asked_at", "sent_at", "told_at", "committed_at"], TIMES),
    "warnings": st.lists(st.text(), max_size=3).map(json.dumps),
    "sum": st.integers(0, 2**64 - 1).map("{:016x}".format),
    "chain": st.sampled_from(["", "0" * 32, "0123456789abcdef" * 2]),
}
"""Values of columns that hold only some values of their type."""


def values_of(column):
    """Return values for a column by its type; a column of a new type needs values here."""
    values = next(KINDS[kind] for kind in type(column.type).__mro__ if kind in KINDS)
    values = FORMS.get(f"{column.table.name}.{column.name}", FORMS.get(column.name, values))
    return st.one_of(st.none(), values) if column.nullable else values


def rows_of(table):
    columns = [column for column in table.columns if column.name != "digest"]
    key = [column.name for column in table.primary_key]
    return st.lists(
        st.fixed_dictionaries({column.name: values_of(column) for column in columns}),
        min_size=1,
        max_size=1 if table is tables.answers else 4,  # two answers need different revisions
        unique_by=lambda row: tuple(as_read(table.c[name], row[name]) for name in key),
    )


def as_read(column, value):
    """Return what a value must be when it is read: the obvious conversion to a type of Python."""
    if value is None:
        return None
    if isinstance(column.type, sa.Float):
        return abs(float(value)) if value == 0 else float(value)
    if isinstance(column.type, sa.Integer):
        return int(value)
    return value.value if isinstance(value, enum.Enum) else str(value)


def same(found, expected):
    """Whether two rows have equal values of equal types, signs of zero included."""
    return [(type(value), repr(value)) for value in found] == [(type(value), repr(value)) for value in expected]


AUDIT = {"drawn": 2, "of": 9, "main": True, "skipped": 0, "disputed": 0, "ids": ["a"], "groups": [], "figures": {}}
AUDIT["values"] = {}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("query_terms", (0, 0, "train", '["../../evil"]', None)),
        ("query_terms", (0, 0, "train", '["a/b"]', None)),
        ("query_terms", (0, 0, "train", None, "soon")),
        ("query_terms", (0, 0, "train", None, "2026-01-01T00:00:00")),
        ("query_terms", (0, 0, "train", None, "0001-01-01T00:00:00+14:00")),
        ("answers", (1, "a", "ann", 1, "skip", None, "", None, None, "2026-01-01T00:00:00+0", None, None)),
        ("rounds", (0, "", 0, 0, 0, None, None, "{}", "{}", "then", None)),
        ("round_figures", (0, "audit", "{}")),
        ("round_figures", (0, "audit", json.dumps({**AUDIT, "groups": ["p", "q"]}))),
        ("round_figures", (0, "intervals", '{"dice": 0.5}')),
        ("round_figures", (0, "stability", json.dumps(AUDIT))),
        ("round_figures", (0, "tested", "{}")),
    ],
)
def test_rows_of_another_form_are_damaged(table, row):
    assert not has_form(tables.BY_NAME[table], row)
    assert has_form(tables.BY_NAME["round_figures"], (0, "audit", json.dumps(AUDIT)))
    assert has_form(tables.BY_NAME["query_terms"], (0, 0, "train", '["ann"]', "2026-01-01T00:00:00+00:00"))


@pytest.mark.parametrize("name", [table.name for table in tables.TABLES])
def test_random_values_of_every_column_are_read_as_they_were_written(name, tmp_path):
    table, path = next(table for table in tables.TABLES if table.name == name), tmp_path / "record.db"
    Store(path).close()
    columns = table.c.keys()[:-1]
    others = [column for column in columns if not table.c[column].primary_key]

    @settings(max_examples=25)
    @given(rows_of(table), st.data())
    def write_and_read(rows, data):
        database = database_at(path)
        expected = [tuple(as_read(table.c[column], row[column]) for column in columns) for row in rows]
        with database.transaction() as connection:
            database.delete(connection, table)
            database.insert(connection, table, rows)
        compare(path, table, expected)
        column = data.draw(st.sampled_from(others))
        value, place = data.draw(values_of(table.c[column])), columns.index(column)
        with database.transaction() as connection:
            database.change(connection, table, database.all_rows(connection, table), **{column: value})
        value = as_read(table.c[column], value)
        compare(path, table, [(*row[:place], value, *row[place + 1 :]) for row in expected])

    write_and_read()


def compare(path, table, expected):
    """Check that another process reads these rows, and that neither a check nor a repair finds damage in them."""
    database = database_at(path)
    with database.reading() as connection:
        found = [row[:-1] for row in database.all_rows(connection, table)]
    key = [table.c.keys().index(column.name) for column in table.primary_key]
    expected = sorted(expected, key=lambda row: [row[place] for place in key])
    assert len(found) == len(expected)
    assert all(map(same, found, expected)), (found, expected)
    assert damage_at(path) == []


OTHERS = [table for table in tables.totals.metadata.sorted_tables if table not in tables.TABLES]


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.name)
def test_random_values_in_tables_about_tables_are_read_as_they_were_written(table, tmp_path):
    columns = list(table.c)[:-1]
    Store(tmp_path / "record.db").close()
    database = database_at(tmp_path / "record.db")

    @settings(max_examples=25)
    @given(st.tuples(*map(values_of, columns)))
    def write_and_read(values):
        whole = _complete(table, values)
        with database._begin(database.backend.writing) as connection:
            connection.execute(table.delete())
            connection.execute(table.insert(), dict(zip(table.c.keys(), whole, strict=True)))
        with database.reading() as connection:
            (found,) = database.rows(connection, table)
        assert same(found[:-1], map(as_read, columns, values))

    write_and_read()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("queries", "sizes", "[[4]]"),
        ("queries", "sizes", "[" * 100_000),
        ("queries", "rank", -1),
        ("answers", "kind", "labels"),
        ("rounds", "metrics", '{"dice": [1]}'),
        ("rounds", "warnings", "[1]"),
    ],
)
def test_a_row_that_the_next_process_would_call_damaged_is_refused(table, column, value, tmp_path):
    table = tables.BY_NAME[table]
    row = {each.name: 0 if isinstance(each.type, sa.Integer) else "skip" for each in table.c if not each.nullable}
    row |= dict.fromkeys(["asked_at", "told_at", "committed_at"], "2026-01-01T00:00:00+00:00")
    row |= {"sizes": "[]", "metrics": "{}"} | ({"seconds": "{}"} if table is tables.rounds else {})
    Store(tmp_path / "record.db")
    database = database_at(tmp_path / "record.db")
    with database.transaction() as connection:
        database.insert(connection, table, [row])
    with pytest.raises(StoreError, match="cannot be stored"), database.transaction() as connection:
        database.change(connection, table, database.all_rows(connection, table), **{column: value})
    assert damage_at(tmp_path / "record.db") == []


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),  # lone surrogates included: JSON escapes them
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


def test_random_facts_are_read_as_they_were_written(tmp_path):
    store = Store(tmp_path / "record.db")

    @settings(max_examples=25)
    @given(PLAIN)
    @example({"a": -0.0})
    def write_and_read(value):
        store.declare({"fact": value}, replace_all=True)
        assert repr(Store(store.path).fact("fact")) == repr(value)
        assert damage_at(tmp_path / "record.db") == []

    write_and_read()


QUERY = Query("a", 0, 0, ((4, 4),), 0.5, "itself")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": math.nan}, r"queries.score must be finite: got nan"),
        ({"score": -math.inf}, r"queries.score must be finite: got -inf"),
        ({"score": 2**2000}, r"queries.score must be a number"),
        ({"score": "0.5"}, r"queries.score must be finite: got '0.5'"),
        ({"score": [1]}, r"queries.score must be a number: got \[1\]"),
        ({"rank": 2**63}, r"queries.rank must be an integer of at most 64 bits: got 9223372036854775808"),
        ({"rank": 1.0}, r"queries.rank must be an integer: got 1.0"),
        ({"rank": None}, r"queries.rank must have a value: got None"),
        ({"id": 3}, r"queries.id must be text: got 3 of type int"),
        ({"id": "\udcff"}, r"queries.id must be Unicode text: got '\\udcff'"),
        ({"sizes": ((4, math.inf),)}, r"sizes\[0\]\[1\] must be finite"),
        ({"sizes": {4}}, r"sizes must be plain data: got an object of type set"),
    ],
)
def test_a_value_that_a_column_cannot_hold_is_refused_by_name_and_nothing_is_recorded(tmp_path, change, message):
    store = Store(tmp_path / "record.db")
    wrong = copy.copy(QUERY)
    for name, value in change.items():
        object.__setattr__(wrong, name, value)  # a query's own checks would refuse most of these
    with pytest.raises(DataError, match=message):
        store.add_queries([Query("b", 0, 7, ((4, 4),)), wrong])
    assert Store(store.path).asked() == []
    assert damage_at(tmp_path / "record.db") == []


@pytest.mark.sqlite
def test_a_value_that_sqlite_would_change_is_refused_before_the_commit(tmp_path, monkeypatch):
    store = Store(tmp_path / "record.db")
    monkeypatch.setattr("alkit.record.database.stored_value", lambda column, value: value)  # nothing is converted
    with pytest.raises(StoreError, match=r"queries.withdrawn cannot be stored: got 0, expected False"):
        store.add_queries([QUERY])
    monkeypatch.undo()
    assert Store(store.path).asked() == []


def test_numbers_of_numpy_and_text_that_is_not_unicode_are_recorded(tmp_path):
    store = Store(tmp_path / "record.db")
    size, half = (np.int64(4), np.int32(5)), np.float32(0.5)
    store.add_queries([Query("a", np.int64(0), np.int8(0), (size,), np.float32(-0.0), "like \udcff")])
    store.add_answers({"a"}, lambda asked, known: [Recorded("a", "ann", np.int64(7), "skip", seconds=half)])
    store.commit_round(RoundResult(np.int64(0), ("a",), 1, {"dice": half}, {"fit": half}), b"weights", "stamp")
    again = Store(store.path)
    assert repr(again.queries()[0].score) == "0.0"
    assert (again.queries()[0].sizes, again.queries()[0].stands_for) == (((4, 5),), "like \\udcff")
    assert again.rounds()[0].metrics == {"dice": 0.5}
    assert damage_at(tmp_path / "record.db") == []


def test_an_answer_is_sent_back_with_a_reason_that_is_not_unicode(world, tmp_path):
    experiment = alkit.Experiment(world.pool, MeanLearner(), alkit.strategy("random"), tmp_path / "record.db")
    (id,) = experiment.ask(1)
    experiment.collect(world.oracle)
    experiment.receive([alkit.Answer(id, world.masks[id])])
    experiment.reject(id, "like \udcff")
    assert Store(experiment.path).answers()[0].rejected == "like \\udcff"


def test_a_strategy_whose_score_is_minus_a_count_leaves_a_record_that_opens(world, tmp_path):
    def fewest(view, n, rng):
        return alkit.Selection(view.candidates[:n], scores=[-0.0, *(-float(rank) for rank in range(1, n))])

    experiment = alkit.Experiment(world.pool, MeanLearner(), fewest, tmp_path / "record.db", classes=CLASSES)
    experiment.ask(3)
    assert [repr(query.score) for query in Store(experiment.path).queries()] == ["0.0", "-1.0", "-2.0"]
    assert damage_at(tmp_path / "record.db") == []
    repaired = repair(experiment.path, tmp_path / "repaired.db")
    assert (repaired.saved["queries"], repaired.lost) == (3, ())


@pytest.fixture
def of_schema_3(tmp_path):
    """Return a function that changes a row in a copy of a record of schema 3, whose digest is that of other values."""
    path = Path(shutil.copyfile(OLD / "campaign.db", tmp_path / "campaign.db"))
    shutil.copytree(OLD / "campaign.db.files", tmp_path / "campaign.db.files")

    def change(table, where, **sealed):
        with sqlite3.connect(path) as connection:
            connection.row_factory = sqlite3.Row
            row = dict(connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchone())
            seal = digest_of_schema_3(table, {**row, **sealed})
            for name, value in {**sealed, "seal": seal}.items():
                stored = json.dumps(value) if table == "facts" and name == "value" else value  # as SQLAlchemy did
                connection.execute(f"UPDATE {table} SET {name} = ? WHERE {where}", (stored,))
        connection.close()
        return path

    return change


@pytest.mark.parametrize(
    ("table", "where", "sealed"),
    [
        ("queries", "round = 0 AND rank = 0", {"score": -0.0}),
        ("answers", "number = 1", {"seconds": -0.0}),
        ("rounds", "round = 0", {"agreement": -0.0}),
        ("facts", "name = 'seed'", {"value": 2**70}),  # which SQLite stores as a float of the same value
    ],
)
@pytest.mark.sqlite
def test_a_record_of_schema_3_with_an_equal_number_in_place_of_the_sealed_one_opens(of_schema_3, table, where, sealed):
    path = of_schema_3(table, where, **sealed)
    before = len(sqlite3.connect(path).execute("SELECT * FROM answers").fetchall())
    saved = repair(path, path.with_name("repaired.db"))
    assert (saved.lost, saved.saved["answers"]) == ((), before)
    store = Store(path)
    assert len(store.answers()) == before
    assert damage_at(path) == []
    if table == "facts":
        assert store.fact("seed") == 2**70


@pytest.mark.sqlite
def test_a_number_that_sqlite_has_rounded_is_named_by_its_column(of_schema_3):
    path = of_schema_3("facts", "name = 'seed'", value=2**70 + 1)
    with pytest.raises(
        StoreError, match="SQLite has rounded the column value of facts, in the row that begins with 's"
    ):
        Store(path)


@pytest.mark.sqlite
def test_another_change_of_a_row_of_schema_3_is_damage(of_schema_3):
    path = of_schema_3("queries", "round = 0 AND rank = 0", score=-0.0)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE queries SET score = 0.25 WHERE round = 0 AND rank = 0")
    connection.close()
    with pytest.raises(StoreError, match="a row of queries is not what alkit wrote"):
        Store(path)


def test_forms_of_a_name_are_different_images():
    assert check_ids(["é", "e\u0301"]) == ("é", "e\u0301")


def test_an_id_that_is_not_unicode_is_refused_before_anything_is_asked():
    with pytest.raises(DataError, match=r"ids must be Unicode text: got 'a\\udcff'"):
        check_ids(["a\udcff"])


def test_an_infinite_parameter_is_recorded_and_built_again(world, tmp_path):
    learner = MeanLearner(noise=-math.inf)
    terms = {"strategy": alkit.strategy("random"), "store": tmp_path / "record.db", "classes": CLASSES}
    experiment = alkit.Experiment(world.pool, learner, **terms)
    id, _ = experiment.ask(2)
    experiment.tell({id: world.masks[id]})
    with pytest.raises(alkit.errors.ResumeError, match=r"noise: recorded -inf, now 0\.01"):
        alkit.Experiment(world.pool, MeanLearner(), **terms)
    assert alkit.Experiment(world.pool, learner, **terms).open_ids
