"""A comparison as tables of text, as a picture and as a page."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from alkit.errors import one_line
from alkit.report.curves import draw_curves
from alkit.report.page import Picture, Section, Table, Text, write_page
from alkit.statistics.estimates import MINIMUM_SEEDS, Estimate
from alkit.values.shown import count, html_table

if TYPE_CHECKING:
    from alkit.report.compared import Compared, Difference, Method
    from alkit.report.figures import Drawing

MOST_BANDS = 3
"""Greatest number of methods with a band. More bands hide each other."""


def tables(comparison: Compared) -> tuple[Table, ...]:
    """Return the results, the differences and the settings as tables."""
    return tuple(
        table for table in (_scores(comparison), _differences(comparison), _settings(comparison)) if table.rows
    )


def _scores(comparison: Compared) -> Table:
    first, last, level = comparison.labels[0], comparison.labels[-1], f"{comparison.level:.3f}"
    header = ("method", "seeds", "area", f"at {last} labels", f"labels to {level}", "seeds that reach it")
    rows = []
    for method in comparison.methods:
        found = comparison.scores[method.name]
        labels = "" if found.labels is None else f"{found.labels:.0f}"
        if found.labels is not None and found.labels <= min(min(curve) for curve in method.runs.values()):
            labels = f"at most {labels}"
        rows.append(
            (
                method.name,
                str(len(method.runs)),
                "" if found.area is None else _mean(found.area),
                _mean(found.last),
                labels,
                f"{found.reached} of {len(method.runs)}",
            )
        )
    better = "Lower is better." if comparison.lower else "Higher is better."
    return Table(
        header,
        rows,
        f"{comparison.metric} over seeds: mean ± standard deviation. {better} The area is the mean height of the "
        f"learning curve from {first} to {last} labels. The labels are the median over seeds.",
    )


def _differences(comparison: Compared) -> Table:
    header = (
        "method",
        "minus",
        "area",
        "p",
        f"at {comparison.labels[-1]} labels",
        f"labels saved to {comparison.level:.3f}",
    )
    rows = [
        (
            gap.method,
            gap.baseline,
            "" if gap.area is None else _gap(gap.area),
            "no test" if gap.p is None else _p(gap.p),
            _gap(gap.last),
            _saved(gap),
        )
        for gap in comparison.differences
    ]
    better = "a negative one speaks" if comparison.lower else "a positive one speaks"
    tested = sum(gap.p is not None for gap in comparison.differences)
    caption = f"Differences within seeds, with their 95 % interval: {better} for the method in the first column."
    if tested:
        caption += (
            " p is that of the paired t-test of the areas, corrected for the number of tests by Holm's method: "
            f"{count(tested, 'test')}."
        )
    if any(gap.last.low is None for gap in comparison.differences):
        caption += f" With fewer than {MINIMUM_SEEDS} common seeds there is neither an interval nor a test."
    return Table(header, rows, caption)


def _settings(comparison: Compared) -> Table:
    names = list(dict.fromkeys(name for method in comparison.methods for name in method.settings))
    rows = [(name, *(method.settings.get(name, "") for method in comparison.methods)) for name in names]
    return Table(
        ("parameter", *(method.name for method in comparison.methods)), rows, "Parameters in which the methods differ."
    )


def _mean(found: Estimate) -> str:
    return f"{found.mean:.3f}" + ("" if found.sd is None else f" ± {found.sd:.3f}")


def _gap(found: Estimate) -> str:
    return f"{found.mean:+.3f}" + ("" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]")


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _saved(gap: Difference) -> str:
    found = gap.saved
    known = "unknown" if found.saved is None else f"{round(found.saved.mean):+d}"
    measured = 0 if found.saved is None else found.saved.n
    return known if measured == found.n else f"{known} ({measured} of {found.n} seeds)"


def figure(comparison: Compared) -> Drawing:
    """Draw the learning curves of a comparison."""
    from alkit.report.figures import Drawing

    figure = Drawing(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    methods = {method.name: _shown(method) for method in comparison.methods}
    draw_curves(axes, methods, seeds=True, bands=None if len(methods) <= MOST_BANDS else list(methods)[:0])
    axes.set(xlabel="labels")
    axes.set_ylabel(one_line(comparison.metric.capitalize()), parse_math=False)  # a name can contain a dollar sign
    return figure


def _shown(method: Method) -> dict[int, dict[int, float]]:
    return {seed: dict(curve) for seed, curve in method.runs.items()}


def write(comparison: Compared, path: str | os.PathLike[str], title: str = "") -> None:
    """Write the page of a comparison."""
    write_page(
        path,
        title or f"{count(len(comparison.methods), 'method')} compared by {comparison.metric}",
        _sections(comparison),
    )


def _sections(comparison: Compared) -> list[Section]:
    alt = f"{comparison.metric} over labels, a thick line for the mean of each method and a thin one for each seed"
    titles = ["Results", "Differences", "Settings"]
    made = (_scores(comparison), _differences(comparison), _settings(comparison))
    sections = [Section("Curves", [Picture(figure(comparison), alt)])]
    sections += [Section(title, [table]) for title, table in zip(titles, made, strict=True) if table.rows]
    if comparison.notes or comparison.skipped:
        left = [f"Left out: {record.reason}." for record in comparison.skipped]
        sections.append(Section("Notes", [Text(text) for text in (*comparison.notes, *left)]))
    records = [
        (record, method.name, str(seed)) for method in comparison.methods for seed, record in method.records.items()
    ]
    if records:
        sections.append(Section("Records", [Table(("record", "method", "seed"), records)]))
    return sections


def as_text(comparison: Compared) -> str:
    """Return the tables and notes as plain text."""
    parts = [f"{one_line(table.caption)}\n{_plain(table)}" for table in tables(comparison)]
    notes = map(one_line, (*comparison.notes, *(f"Left out: {record.reason}." for record in comparison.skipped)))
    return "\n\n".join(filter(None, [*parts, "\n".join(notes)]))


def _plain(table: Table) -> str:
    lines = [[one_line(cell) for cell in cells] for cells in (table.header, *table.rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_html(comparison: Compared) -> str:
    """Return the curves, tables and notes as HTML for a notebook."""
    png = base64.b64encode(figure(comparison)._repr_png_()).decode()
    picture = f'<img alt="learning curves" src="data:image/png;base64,{png}">'
    parts = [html_table(table.caption, table.header, table.rows) for table in tables(comparison)]
    left = [f"Left out: {record.reason}." for record in comparison.skipped]
    notes = html_table("Notes", notes=(*comparison.notes, *left)) if comparison.notes or left else ""
    return f"<div>{picture}{''.join(parts)}{notes}</div>"
