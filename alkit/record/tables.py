"""Tables of a record, as schema 6 defines them.

All columns hold plain text, integers or floats; JSON is stored as text. Every row ends with its `digest`, see
:mod:`alkit.record.digests`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

SCHEMA = 6
"""Version of the tables; :mod:`alkit.record.migrations` brings records of earlier versions to it."""

_metadata = sa.MetaData()

_Integer = sa.Integer().with_variant(sa.BigInteger(), "postgresql")  # SQLite has one kind, of 64 bits

JOURNALLED = 5
"""The first schema whose records have a journal."""

STEPS = "steps"
"""Table of a record on a server with the number of steps that changed it, see :mod:`alkit.record.postgresql`."""


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, _metadata, *columns, sa.Column("digest", sa.String, nullable=False))


facts = _table(
    "facts",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
)
queries = _table(
    "queries",
    sa.Column("round", _Integer, primary_key=True, autoincrement=False),
    sa.Column("rank", _Integer, primary_key=True, autoincrement=False),
    sa.Column("ask", _Integer, nullable=False, index=True),  # number of the call of ask that chose it
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("sizes", sa.Text, nullable=False),  # JSON
    sa.Column("score", sa.Float),
    sa.Column("stands_for", sa.String, nullable=False),
    sa.Column("wanted", _Integer, nullable=False),
    sa.Column("asked_at", sa.String, nullable=False),
    sa.Column("sent_at", sa.String),  # NULL until the query is sent to an oracle
    sa.Column("prelabel", sa.String),  # name of a file
    sa.Column("withdrawn", _Integer, nullable=False),  # 0 or 1
)
query_terms = _table(  # of a query whose terms are not the usual ones
    "query_terms",
    sa.Column("round", _Integer, primary_key=True, autoincrement=False),
    sa.Column("rank", _Integer, primary_key=True, autoincrement=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("assigned", sa.Text),  # JSON: names of annotators; NULL: anybody
    sa.Column("due", sa.String),  # NULL: never
)
answers = _table(
    "answers",
    sa.Column("number", _Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String, nullable=False),
    sa.Column("annotator", sa.String, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("label", sa.String),  # name of a file; NULL unless the kind is a label
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("rejected", sa.String),
    sa.Column("told_at", sa.String, nullable=False),
    sa.Column("used_from", _Integer),  # first round whose model was trained on it or measured by it; NULL: none
    sa.Column("used_until", _Integer),  # last such round; NULL while the last model is one of them
)
_valid = answers.c.kind != "invalid"
sa.Index(  # one valid answer for each revision, besides any invalid ones
    "one_of_a_revision",
    answers.c.id,
    answers.c.annotator,
    answers.c.revision,
    unique=True,
    sqlite_where=_valid,
    postgresql_where=_valid,
)
sa.Index("answers_of_an_image", answers.c.id)
answer_queries = _table(  # of an answer to one query of several for its image
    "answer_queries",
    sa.Column("number", _Integer, primary_key=True, autoincrement=False),
    sa.Column("query", sa.String, nullable=False),
)
pseudo_labels = _table(
    "pseudo_labels",
    sa.Column("round", _Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("label", sa.String, nullable=False),  # name of a file
)
rounds = _table(
    "rounds",
    sa.Column("round", _Integer, primary_key=True, autoincrement=False),
    sa.Column("labels", sa.String, nullable=False),  # stamp of the labels it was trained on
    sa.Column("n_labels", _Integer, nullable=False),
    sa.Column("n_pseudo", _Integer, nullable=False),
    sa.Column("n_held_out", _Integer, nullable=False),
    sa.Column("agreement", sa.Float),
    sa.Column("model", sa.String),  # name of a file; NULL once a later round has replaced it
    sa.Column("metrics", sa.Text, nullable=False),  # JSON
    sa.Column("seconds", sa.Text, nullable=False),  # JSON
    sa.Column("committed_at", sa.String, nullable=False),
    sa.Column("warnings", sa.Text),  # JSON; NULL: none
)
round_figures = _table(  # further figures of a round
    "round_figures",
    sa.Column("round", _Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
)
ADDED = query_terms, answer_queries, round_figures
"""Tables that schema 6 added. They hold what few rows of the other tables have."""

TABLES = tuple(_metadata.sorted_tables)
"""The tables above."""

BY_NAME = {table.name: table for table in TABLES}

totals = _table(  # count and sum of the digests of each table above; it changes whenever the record does
    "totals",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("rows", _Integer, nullable=False),
    sa.Column("sum", sa.String, nullable=False),  # of the digests modulo 2**64, as 16 hexadecimal digits
)
journal = _table(  # one row: the end of the journal, see :mod:`alkit.record.journal`
    "journal",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("lines", _Integer, nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("chain", sa.String, nullable=False),
)


def create(connection: sa.Connection, schema: str | None = None) -> None:
    """Create all tables and indexes.

    Parameters
    ----------
    schema:
        Schema of a database on a server, which is created unless it exists.
    """
    if schema is not None:
        exists = sa.text("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :name)")
        if not connection.scalar(exists, {"name": schema}):
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        connection.exec_driver_sql(f"CREATE TABLE {STEPS} (number BIGINT NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO {STEPS} VALUES (0)")
    _metadata.create_all(connection)


def names(connection: sa.Connection) -> set[str]:
    """Return the names of all tables in a database, or in its schema on a server."""
    return set(connection.exec_driver_sql(_NAMES[connection.dialect.name]).scalars())


_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()",
}


def key_text(table: sa.Table, row: tuple[Any, ...]) -> str:
    """Return the primary key of a row in words.

    >>> key_text(queries, (2, 4))
    'round 2, rank 4'
    """
    return ", ".join(f"{table.c.keys()[place]} {row[place]!r}" for place in key_places(table))


def key_of(table: sa.Table, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the primary key of a row."""
    return tuple(row[place] for place in key_places(table))


def key_places(table: sa.Table) -> list[int]:
    """Return the places of the columns of a table's primary key."""
    names = table.c.keys()
    return [names.index(column.name) for column in table.primary_key]
