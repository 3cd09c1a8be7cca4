"""The rounds of experiments as tidy rows, for pandas, polars or plain Python."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.errors import ConfigurationError, MissingDependencyError, one_line
from alkit.values.rounds import RoundResult
from alkit.values.shown import count, figure, html_table

Per = Literal["round", "metric", "image"]
"""What one row stands for."""

Row = Mapping[str, Any]

Histories = Sequence[RoundResult] | Mapping[str, Sequence[Sequence[RoundResult]]]
"""The rounds of one run, or runs by name."""

MOST = 30
"""Greatest number of rows that are printed."""


@checked
@dataclass(frozen=True, repr=False)
class Rows(Sequence[Row]):
    """Rows of a table, each a mapping from the name of a column to its value.

    ``print`` shows them as a table, and a notebook as HTML.

    Parameters
    ----------
    columns:
        Names of the columns, in order.
    rows:
        Rows, each with a value for every column; None if there is no value.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Rows: ...

    def __getitem__(self, place: int | slice) -> Row | Rows:
        return Rows(self.columns, self.rows[place]) if isinstance(place, slice) else self.rows[place]

    @checked
    def to_frame(self, library: Literal["pandas", "polars"] | None = None) -> Any:
        """Return the rows as a data frame.

        Parameters
        ----------
        library:
            ``"pandas"`` or ``"polars"``. Default: pandas if it is installed, else polars.

        Raises
        ------
        MissingDependencyError
            The library is not installed.
        """
        found = [name for name in ("pandas", "polars") if importlib.util.find_spec(name) is not None]
        name: str | None = library or (found[0] if found else None)
        if name not in found:
            raise MissingDependencyError(
                f"a data frame needs {name or 'pandas or polars'}", hint=f'pip install "alkit[{name or "pandas"}]"'
            )
        made = importlib.import_module(name).DataFrame
        columns = {column: [_plain(row[column]) for row in self.rows] for column in self.columns}
        return made(columns, strict=False) if name == "polars" else made(columns)

    def __repr__(self) -> str:
        columns = ", ".join([*self.columns[:8], *(["..."] if len(self.columns) > 8 else [])])
        return f"Rows({count(len(self.rows), 'row')} of {columns})"

    def __str__(self) -> str:
        rows = ([row[column] for column in self.columns] for row in self.rows[:MOST])
        lines = [[one_line(figure(cell)) for cell in cells] for cells in (self.columns, *rows)]
        widths = [min(40, max(map(len, cells))) for cells in zip(*lines, strict=True)]
        text = [
            "  ".join(cell[:width].rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*text, *([f"and {len(self.rows) - MOST} more rows"] if len(self.rows) > MOST else [])])

    def _repr_html_(self) -> str:
        cells = ([row[column] for column in self.columns] for row in self.rows)
        return html_table(count(len(self.rows), "row"), self.columns, cells, total=len(self.rows))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@checked_except("history")
def table(history: Histories, *, per: Per = "round") -> Rows:
    """Return the results of one experiment, or of several, as tidy rows.

    Parameters
    ----------
    history:
        Rounds of one experiment, such as ``experiment.history``; or runs by name, as
        :func:`alkit.report.learning_curves` takes them, for example one run per seed.
    per:
        What one row stands for:

        - ``"round"``: a round, with a column for each metric. Its other columns are ``round``, ``labels``,
          ``pseudo_labels``, ``held_out``, ``agreement``, the seconds of each stage (``seconds_fit``), ``ids`` (the
          images queried in the round) and ``warnings``;
        - ``"metric"``: a metric of a round: ``round``, ``labels``, ``metric`` and ``value``;
        - ``"image"``: an image queried in a round: ``round``, ``labels``, ``rank`` and ``id``.

        If `history` has several runs, the first columns are their ``name`` and ``run``, the number of the run in its
        list.

    Raises
    ------
    ConfigurationError
        `history` is neither a sequence of rounds nor a mapping from names to lists of runs, or `per` is unknown.

    Notes
    -----
    A metric that has the name of another column is called ``metric_NAME``.

    Examples
    --------
    >>> history = [RoundResult(0, ("b", "a"), 2, {"dice": 0.5}, {"fit": 1.5}), RoundResult(1, ("c",), 3, {"dice": 0.7})]
    >>> rows = table(history)
    >>> rows[1]["labels"], rows[1]["dice"], rows[0]["seconds_fit"]
    (3, 0.7, 1.5)
    >>> print(table({"random": [history]}, per="metric"))
      name  run  round  labels  metric  value
    random    0      0       2    dice  0.500
    random    0      1       3    dice  0.700
    """
    runs = _runs(history)
    shown = [result for _, own in runs for result in own]
    metrics, stages = (
        list(dict.fromkeys(name for result in shown for name in getattr(result, kind)))
        for kind in ("metrics", "seconds")
    )
    keys = list(runs[0][0]) if runs else ["name", "run"]
    if per == "metric":
        columns = [*keys, "round", "labels", "metric", "value"]
    elif per == "image":
        columns = [*keys, "round", "labels", "rank", "id"]
    else:
        unasked = ["unasked"] if any(result.n_unasked for result in shown) else []
        before = [*keys, "round", "labels", *unasked, "pseudo_labels", "held_out"]
        after = ["agreement", *(f"seconds_{stage}" for stage in stages), "ids", "warnings"]
        named = {name: f"metric_{name}" if name in (*before, *after) else name for name in metrics}
        columns = [*before, *named.values(), *after]
    rows: list[Row] = []
    for key, own in runs:
        for result in own:
            start = {**key, "round": result.round, "labels": result.n_labels}
            if per == "metric":
                rows += [{**start, "metric": name, "value": value} for name, value in result.metrics.items()]
            elif per == "image":
                rows += [{**start, "rank": rank, "id": id} for rank, id in enumerate(result.ids)]
            else:
                rows.append(
                    {
                        **start,
                        **dict.fromkeys(unasked, result.n_unasked),
                        "pseudo_labels": result.n_pseudo,
                        "held_out": result.n_held_out,
                        **{column: result.metrics.get(name) for name, column in named.items()},
                        "agreement": result.agreement,
                        **{f"seconds_{stage}": result.seconds.get(stage) for stage in stages},
                        "ids": result.ids,
                        "warnings": result.warnings,
                    }
                )
    return Rows(tuple(columns), tuple(rows))


def _runs(history: Any) -> list[tuple[dict[str, Any], Sequence[RoundResult]]]:
    """Return the rounds of each run with the columns that name it."""
    if isinstance(history, Mapping):
        check_runs("history", history)
        return [
            ({"name": name, "run": number}, own)
            for name, several in history.items()
            for number, own in enumerate(several)
        ]
    check_argument("history", history, Sequence[RoundResult])
    return [({}, history)]


def check_runs(name: str, runs: object) -> None:
    """Check that a value is a mapping from names to lists of runs, each a sequence of rounds.

    Raises
    ------
    ConfigurationError
        It is something else.
    """
    if not isinstance(runs, Mapping):
        raise _not_runs(name, runs)
    for key, several in runs.items():
        check_argument(f"{name}[{key!r}]", several, Sequence)
        if any(isinstance(history, RoundResult) for history in several):
            raise _not_runs(name, several)
        check_argument(f"{name}[{key!r}]", several, Sequence[Sequence[RoundResult]])


def _not_runs(name: str, found: object) -> ConfigurationError:
    one = isinstance(found, Sequence) and any(isinstance(item, RoundResult) for item in found)
    return ConfigurationError(
        f"{name} must be a mapping from names to lists of runs",
        got="the rounds of one run" if one else f"an object of type {type(found).__name__}",
        hint='{"random": [experiment.history]}',
    )
