"""The result of a comparison of methods over seeds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alkit.arguments.checked import checked
from alkit.report.compared import Compared
from alkit.values.shown import count

if TYPE_CHECKING:
    from alkit.report.figures import Drawing
    from alkit.report.page import Table


@checked
@dataclass(frozen=True, repr=False)
class Comparison(Compared):
    """Methods compared over seeds. :func:`compare` and :func:`compare_runs` return it.

    ``print`` shows its tables, and a notebook shows its curves and tables.

    Attributes
    ----------
    metric:
        Name of the metric.
    lower:
        Whether lower values are better.
    labels:
        Numbers of labels that all runs have. Areas and differences are computed at these.
    level:
        Value of the metric of the columns about labels.
    methods:
        Methods with their runs.
    scores:
        Results by name of the method.
    differences:
        Pairs of methods that were compared.
    skipped:
        Records that were left out.
    notes:
        What a reader should know, in sentences.
    """

    @property
    def tables(self) -> tuple[Table, ...]:
        """The results, the differences and the settings, as tables of text."""
        from alkit.report.comparison_page import tables

        return tables(self)

    def figure(self) -> Drawing:
        """Draw the learning curves: a thin line per seed, a thick one for the mean, and a band for its interval."""
        from alkit.report.comparison_page import figure

        return figure(self)

    @checked
    def write(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Write a self-contained HTML page with the curves and tables.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        from alkit.report.comparison_page import write

        write(self, path, title)

    def __repr__(self) -> str:
        methods, pairs = count(len(self.methods), "method"), count(len(self.differences), "difference")
        return f"Comparison({methods} by {self.metric}, {pairs})"

    def __str__(self) -> str:
        from alkit.report.comparison_page import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from alkit.report.comparison_page import as_html

        return as_html(self)
