"""What is recorded of the stop set."""

import numpy as np

import alkit


def test_each_round_records_how_sure_the_model_is_and_what_has_changed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    store = tmp_path / "r.db"
    made = {
        "pool": alkit.ArrayPool(pixels),
        "learner": alkit.testing.Brightness(),
        "strategy": alkit.strategy("random"),
    }
    campaign = alkit.Experiment(**made, store=store, classes=("skin", "lesion"), stop_set=6)
    for threshold in (120, 160):
        campaign.tell({id: (pixels[int(id)] > threshold).astype(np.uint8) for id in campaign.ask(4)})
        campaign.fit()
    first, second = alkit.Experiment.open(store, **made).history
    assert list(first.stability) == ["uncertainty"]
    assert set(second.stability) == {"uncertainty", "changed", "overlap"}
    assert 0 < second.stability["changed"] < 1
    assert first.agreement is None
    assert second.agreement < 1
