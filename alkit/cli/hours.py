"""Hours of work in the words of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.experiment.budget import Workload
    from alkit.record.store import Store


def check_times(record: Store) -> None:
    """Raise an error if no time of a label is known, so that hours cannot be turned into a number of images."""
    from alkit.record.times import labelling_times

    if not labelling_times(record.snapshot().answers).seconds:
        raise ConfigurationError(
            "--hours needs labels whose time is known, and there are none",
            got="neither seconds from a tool nor files that were saved one after the other",
            hint="-n, the number of images",
        )


def describe_work(work: Workload) -> str:
    """Return how long the open images are expected to take, in words.

    >>> from alkit.experiment.budget import Workload
    >>> describe_work(Workload(21600, 18000, 26000, 240, "the times of 300 labels"))
    '6.0 hours (80% interval 5.0 to 7.2) for 240 answers, by the times of 300 labels'
    """
    known = f"for {work.labels} answers, by {work.source}"
    if work.seconds < 3600:
        low, middle, high = (f"{seconds / 60:.0f}" for seconds in (work.low, work.seconds, work.high))
        return f"{middle} minutes (80% interval {low} to {high}) {known}"
    low, middle, high = (f"{seconds / 3600:.1f}" for seconds in (work.low, work.seconds, work.high))
    return f"{middle} hours (80% interval {low} to {high}) {known}"
