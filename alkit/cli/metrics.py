"""The options of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alkit.cli.options import class_names
from alkit.cli.ruling import kinds_in, kinds_of
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alkit.evaluation.chosen import Metrics
    from alkit.pools.base import PoolBase
    from alkit.pools.groups import Grouping
    from alkit.record.store import Store


def choose_metrics(names: str | None, kinds: str | None, pool: PoolBase, per: str = "pixel") -> Sequence[Any] | None:
    """Return the metrics that options choose; None for the defaults.

    Parameters
    ----------
    names:
        Names with commas between them.
    kinds:
        Column of the groups' file; the first metric is measured over its values too.
    pool:
        All images, with their groups.
    per:
        What has a class: each ``pixel``, or each ``image``; or ``set``, if an image can have several.

    Raises
    ------
    ConfigurationError
        The groups have no such column.
    """
    from alkit.evaluation.chosen import PerGroup
    from alkit.evaluation.kinds import DEFAULTS

    chosen: list[Any] = list(DEFAULTS[per]) if names is None else list(class_names(names))
    if kinds is not None:
        return [*chosen, PerGroup(chosen[0], kinds_of(pool, kinds))]
    return None if names is None else chosen


def change_metrics(record: Store, names: str | None, kinds: str | None) -> list[str]:
    """Let options change the metrics of a record, and return a line if they differ. What no option names stays.

    Parameters
    ----------
    names:
        Names with commas between them; None for those of the record.
    kinds:
        Column of the groups of the record; an empty text for no kinds, None for those of the record.

    Raises
    ------
    ConfigurationError
        The groups have no such column, the metrics do not fit the labels, or those of the record cannot stay.
    """
    from alkit.evaluation.chosen import Measurement, PerGroup, check_metrics
    from alkit.evaluation.kinds import DEFAULTS, kind_of
    from alkit.experiment.opening import settle_metrics
    from alkit.record.grouping import recorded_grouping
    from alkit.record.settings import Settings

    if names is None and kinds is None:
        return []
    settings = Settings(record)
    settings.check_complete()
    spec = None if record.fact("classes") is None else settings.spec
    default = DEFAULTS["pixel" if spec is None else kind_of(spec)]
    before = _recorded(record, complete=names is None or kinds is None)
    kept: list[Any] = list(default if before is None else before)
    chosen: list[Any] = [metric for metric in kept if not isinstance(metric, PerGroup)]
    values = next((metric.groups for metric in kept if isinstance(metric, PerGroup)), None)
    if names is not None:
        chosen = list(class_names(names))
    if kinds is not None:
        grouping = recorded_grouping(record)
        rows = {} if grouping is None else {id: grouping.metadata.get(id, {}) for id in grouping.groups}
        values = kinds_in(rows, kinds) if kinds else None
    metrics = check_metrics([*chosen, *([] if values is None else [PerGroup(chosen[0], values)])])
    if spec is not None:
        Measurement(metrics, spec)
    settle_metrics(record, metrics)
    old, new = _in_words(default if before is None else before), _in_words(metrics or ())
    return [] if old == new else [f"--metrics: recorded {old}, now {new}"]


def follow_groups(record: Store, before: Grouping | None) -> list[str]:
    """Let metrics over kinds of images follow the column that they came from, and return a line if kinds differ.

    Parameters
    ----------
    before:
        The groups that the record had before they were changed.
    """
    from alkit.evaluation.meanings import METRICS
    from alkit.record.grouping import recorded_grouping

    now, form = recorded_grouping(record), record.fact(METRICS)
    if now is None or before is None or form is None or now == before:
        return []
    lines: list[str] = []

    def followed(part: Any) -> Any:
        if isinstance(part, list):
            return [followed(entry) for entry in part]
        if not isinstance(part, dict):
            return part
        if part.get("is") != "alkit.evaluation:PerGroup":
            return {name: followed(value) for name, value in part.items()}
        try:
            known = dict(part["with"]["groups"]["items"])
        except (KeyError, TypeError, ValueError):  # a stranger's record, which is refused when its metrics are built
            return part
        columns = {name for row in before.metadata.values() for name in row}
        for column in sorted(columns):
            if all(before.metadata.get(id, {}).get(column) == value for id, value in known.items()):
                kinds = {id: row[column] for id, row in now.metadata.items() if row.get(column)}
                if others := [id for id in kinds if kinds[id] != known.get(id)]:
                    images = "1 image" if len(others) == 1 else f"{len(others)} images"
                    lines.append(f"--kinds: {column} of {images}, such as {others[0]!r}")
                return {**part, "with": {**part["with"], "groups": {"items": [list(pair) for pair in kinds.items()]}}}
        return part

    if (after := followed(form)) != form:
        record.revise(METRICS, lambda _: after)
    return lines


def _recorded(record: Store, *, complete: bool) -> Metrics | None:
    """Return the metrics of a record as a list; None if it has the defaults, or if all of them are to be replaced.

    Parameters
    ----------
    complete:
        Whether some of them are kept, so that all must be built.
    """
    from alkit.experiment.opening import settle_metrics

    try:
        metrics, _ = settle_metrics(record, None)
    except ConfigurationError:
        if complete:
            raise
        return None
    if metrics is not None and not isinstance(metrics, tuple):
        raise ConfigurationError(
            f"the metrics of {record.path} have names of their own, which options cannot change",
            hint="in Python, Experiment.open(store, metrics={...})",
        )
    return metrics


def _in_words(metrics: Metrics) -> str:
    from alkit.evaluation.chosen import PerGroup, name_of

    return ", ".join(f"{name_of(one)} by kind" if isinstance(one, PerGroup) else name_of(one) for one in metrics)
