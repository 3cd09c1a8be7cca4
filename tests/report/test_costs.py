"""What a label costs, from a record."""

import numpy as np
import pytest

import alkit
from alkit.report.costs import recorded_cost

MASK = np.eye(8, dtype=np.uint8)


def test_the_labels_of_reviews_do_not_count_and_corrections_of_pre_labels_have_a_level_of_their_own(tmp_path):
    pool = alkit.ArrayPool(np.random.default_rng(0).integers(0, 255, (40, 8, 8)).astype(np.uint8))
    campaign = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "r.db", classes=("skin", "lesion")
    )
    assert recorded_cost(alkit.record.Store(tmp_path / "r.db")) is None
    campaign.receive(alkit.Answer(id, MASK, "ann", seconds=40.0) for id in campaign.ask(10))
    campaign.fit()
    ids = campaign.ask(10)
    campaign.prelabels()
    campaign.receive(alkit.Answer(id, MASK, "ann", seconds=10.0, confirmed=True) for id in ids)
    again = campaign.review(2, random=2)
    receipt = campaign.receive(alkit.Answer(id, MASK, "ben", seconds=1.0, confirmed=True) for id in again)
    assert len(receipt.taken) == 2
    found = recorded_cost(alkit.record.Store(tmp_path / "r.db"))
    assert (found.stated, found.estimated) == (20, 0)
    assert found.cost.levels["ann"] / found.cost.levels["ann, with pre-labels"] == pytest.approx(4)
    assert found.cost.expected() == pytest.approx(25)  # as the last 30 labels
