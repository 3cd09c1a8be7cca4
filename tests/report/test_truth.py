"""Figures by different labels of a test set are neither compared nor forecast from."""

from alkit import RoundResult
from alkit.record.testsets import OTHER_TRUTH
from alkit.report.audit import changes, comparable_history
from alkit.report.outlook import make_outlook


def rounds(changed):
    """Return six rounds, the labels of whose test set have changed before one of them."""
    dice = [0.40, 0.50, 0.55, 0.80, 0.81, 0.815]
    return [
        RoundResult(n, (), 20 * (n + 1), {"dice": value}, warnings=(OTHER_TRUTH,) if n == changed else (), n_tested=50)
        for n, value in enumerate(dice)
    ]


def test_rounds_before_a_change_of_the_test_labels_are_not_read_by_stopping_rules_and_forecasts():
    found = comparable_history(rounds(3), tested=True)
    assert [list(result.metrics) for result in found] == [[], [], [], ["dice"], ["dice"], ["dice"]]
    whole = make_outlook(comparable_history(rounds(None), tested=True), {}, 20, None, left=900)
    since = make_outlook(found, {}, 20, None, left=900)
    assert whole.forecast != since.forecast


def test_the_change_of_a_metric_over_other_test_labels_is_unknown():
    assert [None if one is None else round(one, 3) for one in changes(rounds(3), "dice")] == [
        *(None, 0.1, 0.05),
        *(None, 0.01, 0.005),
    ]
