"""Who hears of the progress of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alkit.values.progress import Progress, Report


class Listeners:
    """A report that passes all progress on: to the callback of the experiment, and to others for a while."""

    def __init__(self, report: Report) -> None:
        self._reports = [report]

    def __call__(self, progress: Progress) -> None:
        """Pass the progress on."""
        for report in self._reports:
            report(progress)

    @contextmanager
    def bar(self, wanted: bool) -> Iterator[None]:
        """Show a progress bar during the block, if it is wanted."""
        if not wanted:
            yield
            return
        from alkit.report.progress import bars

        with bars() as report:
            self._reports.append(report)
            try:
                yield
            finally:
                self._reports.remove(report)
