"""What the audit set says about a campaign: gains from round to round on the same images, and sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from alkit.record.audit import AuditSet
from alkit.report.truth import by_truth, other_labels
from alkit.statistics.intervals import interval_of
from alkit.values.audit import AuditFigures
from alkit.values.interval import Interval
from alkit.values.rounds import FEW_IMAGES, RoundResult


def audit_gain(before: AuditFigures, after: AuditFigures, name: str) -> Interval | None:
    """Return by how much a figure changed on the images of the audit set that were measured both times, by one label.

    None if the figure is not a mean over images, or if there is no such image.

    Examples
    --------
    >>> one, two = Interval(0.5, 0.3, 0.7, 2, 2), Interval(0.7, 0.6, 0.8, 3, 3)
    >>> before = AuditFigures({"dice": one}, 3, 9, ("a", "b"), values={"dice": (0.4, 0.6)})
    >>> after = AuditFigures({"dice": two}, 3, 9, ("a", "b", "c"), values={"dice": (0.5, 0.7, 0.9)})
    >>> found = audit_gain(before, after, "dice")
    >>> round(found.value, 6), found.n
    (0.1, 2)
    """
    if name not in before.values or name not in after.values:
        return None
    groups = dict(zip(after.ids, after.groups or after.ids, strict=True))
    earlier = dict(zip(before.ids, before.values[name], strict=True))
    later = dict(zip(after.ids, after.values[name], strict=True))
    alike = before.measured_alike(after)
    common = [id for id in later if id in alike and later[id] == later[id] and earlier[id] == earlier[id]]
    if not common:
        return None
    return interval_of([later[id] - earlier[id] for id in common], [groups[id] for id in common], bounds=None)


def audited_history(history: Sequence[RoundResult]) -> tuple[RoundResult, ...]:
    """Return rounds with metrics that can be compared with each other, for stopping rules and forecasts.

    If the last round has figures on an audit set, all metrics are such figures, and earlier rounds without any have no
    metrics. While the audit set is being labelled, each round is measured on more images than the one before. So a
    figure of an earlier round is that of the last round minus the gains since, each on the images of both rounds whose
    labels are the same. Where labels were corrected, other figures than means over images have no earlier values.
    """
    if not history or history[-1].audit is None:
        return tuple(history)
    found: list[RoundResult] = []
    later: RoundResult | None = None
    lost = set[str]()  # figures that cannot be compared with those of earlier rounds
    for result in reversed(history):
        metrics: dict[str, float] = {}
        if result.audit is not None:
            for name, figure in result.audit.figures.items():
                gain = None
                if later is not None and later.audit is not None and name in later.metrics:
                    gain = audit_gain(result.audit, later.audit, name)
                    if gain is None and _corrected(result.audit, later.audit):
                        lost.add(name)
                if name not in lost:
                    metrics[name] = figure.value if later is None or gain is None else later.metrics[name] - gain.value
        found.append(replace(result, metrics=metrics))
        later = found[-1]
    return tuple(reversed(found))


def _corrected(before: AuditFigures, after: AuditFigures) -> int:
    """Return how many images were measured both times, by different labels."""
    return len(set(before.ids) & set(after.ids)) - len(before.measured_alike(after))


def comparable_history(history: Sequence[RoundResult], *, tested: bool) -> tuple[RoundResult, ...]:
    """Return the rounds that stopping rules read: with figures on the audit set, or without those of a few labels.

    Rounds before the labels of the test set, or those held out, have changed have no metrics.

    Parameters
    ----------
    tested:
        Whether the campaign has a test set.

    Examples
    --------
    >>> few = RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)
    >>> dict(comparable_history([few], tested=False)[0].metrics)
    {}
    """
    parts = by_truth(history)
    other = sum(map(len, parts[:-1])) if history and history[-1].audit is None else 0
    return tuple(
        replace(result, metrics={}) if place < other or _on_few_labels(result, tested=tested) else result
        for place, result in enumerate(audited_history(history))
    )


def _on_few_labels(result: RoundResult, *, tested: bool) -> bool:
    return not tested and result.measured_on == "hold-out" and result.n_held_out < FEW_IMAGES


def shown_figure(result: RoundResult, name: str, *, tested: bool, short: bool = False) -> str | None:
    """Return a metric of a round as it may be shown, see :meth:`RoundResult.figure_text`.

    Parameters
    ----------
    tested:
        As there.
    short:
        Whether the interval has two decimals and a line of its own, for a cell of a table.
    """
    found = result.interval(name)
    if short and found is not None and found.low is not None and found.high is not None:
        return f"{found.value:.3f}\n[{found.low:.2f}, {found.high:.2f}]"
    return result.figure_text(name, tested=tested)


def changes(history: Sequence[RoundResult], name: str | None) -> list[float | None]:
    """Return by how much a metric changed since the round before that has it: on the audit set, on the same images.

    It is unknown if the labels of the test set, or those held out, have changed.
    """
    found: list[float | None] = []
    before: RoundResult | None = None
    for result in history:
        if name is None or name not in result.metrics:
            found.append(None)
            continue
        change = None if before is None else result.metrics[name] - before.metrics[name]
        if before is not None and result.measured_on == "audit set":
            one, other = before.audit, result.audit
            gain = None if one is None or other is None else audit_gain(one, other, name)
            change = None if gain is None else gain.value
        elif other_labels(result):
            change = None
        found.append(change)
        before = result
    return found


def added_later(audit: AuditSet) -> Iterator[str]:
    """Yield a sentence if images were added when models had been trained, so that the set is no simple random sample.

    >>> list(added_later(AuditSet(("a", "b", "c"), 9, later=1)))
    ['1 of the 3 images of the audit set was added later, drawn from those that no model had been trained on ...']
    """
    if audit.later:
        yield (
            f"{audit.later} of the {len(audit.ids)} images of the audit set {'was' if audit.later == 1 else 'were'} "
            "added later, drawn from those that no model had been trained on by then: images that a strategy had "
            "chosen before could not be drawn. So the whole set is not a random sample of the pool."
        )


def audit_in_words(audit: AuditSet, history: Sequence[RoundResult], metric: str | None) -> Iterator[str]:
    """Yield what an audit set is, what the last round's figure says, and how it changed since the round before."""
    if not audit.ids:
        return
    measured = [result for result in history if result.audit is not None]
    if not measured:
        yield f"Audit set: {len(audit.ids)} images, drawn at random from {audit.of}; no model was measured on them yet."
        yield from added_later(audit)
        return
    last = measured[-1].audit
    assert last is not None
    name = metric if metric in last.figures else next(iter(last.figures), None)
    if name is not None:
        yield f"Audit set: {next(last.sentences(name))}"
        yield from list(last.sentences(name))[1:]
    yield from added_later(audit)
    if len(measured) > 1 and name is not None and (before := measured[-2].audit) is not None:
        gain = audit_gain(before, last, name)
        if gain is not None and gain.low is not None and gain.high is not None:
            sure = "" if gain.low > 0 or gain.high < 0 else " It may be chance: the interval contains 0."
            alike = " by the same label" if _corrected(before, last) else ""
            yield (
                f"Since round {measured[-2].round}, {name} changed by {gain.value:+.3f} [{gain.low:+.3f}, "
                f"{gain.high:+.3f}] on the {gain.n} images of the audit set that were measured both times{alike}.{sure}"
            )
