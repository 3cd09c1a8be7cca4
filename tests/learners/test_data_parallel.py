import numpy as np
import pytest
import torch
from torch import nn

import alkit
from alkit.errors import ConfigurationError
from alkit.learners import DataParallel
from alkit.rng import Stream
from alkit.testing.learners import Labelled


def plain(in_channels, classes, width=4):
    """Make a network without batch normalisation and dropout."""
    layers = nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 3, padding=1)
    return nn.Sequential(*layers)


class WithEncoder(nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, classes, 1))

    def forward(self, images):
        return self.head(self.encoder(images))


def labelled(n=10):
    images, masks = alkit.synthetic.lesions(n, size=16, seed=0)
    pool = alkit.ArrayPool(images)
    named = dict(zip(pool.ids, masks, strict=True))
    return Labelled(pool, pool.ids, named, alkit.LabelSpec(("skin", "lesion")))


@pytest.mark.slow
def test_two_processes_train_the_model_of_one_up_to_rounding_and_repeat_it():
    augment = alkit.learners.Augment()
    learner = alkit.SegmentationLearner(
        plain, epochs=(2, 1), batch=4, lr=0.1, optimizer="sgd", augment=augment, loss="cross-entropy"
    )
    both, steps = DataParallel(learner, processes=2, devices=("cpu", "cpu")), []
    alone = learner.fit(labelled(), Stream(0).numpy(), None, lambda step: None)
    found = both.fit(labelled(), Stream(0).numpy(), None, steps.append)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert [step.done for step in steps] == [1, 2]
    assert both.fit(labelled(), Stream(0).numpy()).dumps() == found.dumps()
    later = both.fit(labelled(11), Stream(1).numpy(), found)
    expected = learner.fit(labelled(11), Stream(1).numpy(), alone)
    images = labelled().images(["0000", "0003"])
    np.testing.assert_allclose(later.probabilities(images), expected.probabilities(images), atol=1e-4)


@pytest.mark.slow
def test_early_stopping_freezing_and_averages_work_in_two_processes():
    stop = alkit.learners.Stop(share=0.3, patience=1, every=2)
    learner = alkit.SegmentationLearner(WithEncoder, steps=(6, 2), batch=4, stop=stop, average=0.5, freeze=2)
    model = DataParallel(learner, 2, ("cpu", "cpu")).fit(labelled(), Stream(0).numpy())
    assert np.isfinite(model.probabilities(labelled().images(["0000"]))).all()


@pytest.mark.parametrize("wrong", [{"processes": 1}, {"devices": ("cpu",)}, {"devices": "cpu"}])
def test_wrong_processes_and_devices_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=rf"^{next(iter(wrong))} must"):
        DataParallel(alkit.SegmentationLearner(plain), **wrong)


def test_a_learner_without_a_device_is_refused():
    with pytest.raises(ConfigurationError, match="Brightness has no parameter device"):
        DataParallel(alkit.testing.Brightness())
