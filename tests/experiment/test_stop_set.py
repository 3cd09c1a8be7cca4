"""What is recorded of the stop set."""

import numpy as np
import pytest

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


class InPlace(alkit.testing.Brightness):
    """Trains the last model further, and not a copy of it."""

    fails = False

    def fit(self, labelled, rng, previous=None, report=alkit.values.quiet):
        found = super().fit(labelled, rng)
        if previous is None:
            return found
        object.__setattr__(previous, "level", found.level)
        if self.fails:
            raise KeyboardInterrupt
        return previous


@pytest.mark.parametrize("members", [None, 2])
def test_a_learner_that_changes_the_last_model_is_compared_with_the_model_before(members):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    campaigns = []
    for learner in (alkit.testing.Brightness(), InPlace()):
        learner = learner if members is None else alkit.Ensemble(learner, members)
        pool, strategy = alkit.ArrayPool(pixels), alkit.strategy("random")
        campaigns.append(alkit.Experiment(pool, learner, strategy, classes=("skin", "lesion"), stop_set=6))
    for threshold in (120, 160):
        for campaign in campaigns:
            campaign.tell({id: (pixels[int(id)] > threshold).astype(np.uint8) for id in campaign.ask(4)})
            campaign.fit()
    one, other = (campaign.history[-1] for campaign in campaigns)
    assert 0 < one.stability["changed"] < 1
    assert (other.stability, other.agreement) == (one.stability, one.agreement)


def test_an_interrupted_training_leaves_the_model_as_it_was(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    pool = alkit.ArrayPool(pixels)
    campaign = alkit.Experiment(pool, InPlace(), alkit.strategy("random"), classes=("skin", "lesion"))
    campaign.tell({id: (pixels[int(id)] > 120).astype(np.uint8) for id in campaign.ask(4)})
    campaign.fit()
    (before,) = campaign.predict(pool)
    campaign.tell({id: (pixels[int(id)] > 160).astype(np.uint8) for id in campaign.ask(4)})
    monkeypatch.setattr(InPlace, "fails", True)
    with pytest.raises(KeyboardInterrupt):
        campaign.fit()
    (after,) = campaign.predict(pool)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
