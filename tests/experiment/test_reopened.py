"""Each method, played in one process and reopened at every step: the same images, models and figures."""

from functools import partial

import pytest
import torch
from torch import nn

import alkit
from alkit.record import Store


class Plain(nn.Module):
    """A network without encode and decode, which is cut by tracing."""

    def __init__(self, in_channels, classes):
        super().__init__()
        self.first, self.norm = nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.last = nn.Dropout(0.5), nn.Conv2d(4, classes, 3, padding=1)

    def forward(self, images):
        return self.last(self.drop(torch.relu(self.norm(self.first(images)))))


UNET = partial(alkit.UNet, widths=(2, 4, 4, 4), heads={2: 0.1, 4: 0.3})
TRUST = {"pseudo_from": 1, "pseudo_step": 3}
CASES = {
    "mc-dropout": (UNET, {}),
    "ensemble-s": (UNET, {}),
    "ensemble-js": (Plain, {}),
    "ceal": (UNET, TRUST),
    "dsal": (UNET, TRUST),
    "mc-dropout of a plain network": (Plain, {"score": "bald"}),
}


ALIKE = ("ensemble-js", "dsal")  # take the ways of ensemble-s and ceal
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in CASES]


@pytest.mark.parametrize("case", NAMES)
def test_an_experiment_that_is_reopened_at_every_step_ends_as_one_that_never_was(world, tmp_path, case):
    network, parameters = CASES[case]
    strategy = alkit.strategy(case.split()[0], **parameters)
    learner = alkit.SegmentationLearner(network, epochs=(6, 2), batch=2, lr=1e-2)
    learner = alkit.Ensemble(learner, 2) if "members" in strategy.needs else learner

    def opened(name):
        return world.experiment(tmp_path / name, strategy, learner=learner, seed=3, classes=("skin", "lesion"))

    whole = opened("whole.db").run(world.oracle, test=world.test, start=8, batch=5, rounds=2)
    for n in (8, 5, 5):
        ids = opened("steps.db").ask(n)
        opened("steps.db").tell({id: world.masks[id] for id in ids})
        torch.rand(1)  # whatever else happens to the global generator
        opened("steps.db").fit()
        opened("steps.db").evaluate(world.test, world.oracle)
    steps = opened("steps.db").history
    assert [(r.ids, r.n_labels, r.n_pseudo, r.metrics) for r in steps] == [
        (r.ids, r.n_labels, r.n_pseudo, r.metrics) for r in whole
    ]
    assert Store(tmp_path / "steps.db").last_model() == Store(tmp_path / "whole.db").last_model()
    if parameters == TRUST:
        assert [r.n_pseudo for r in whole][1:] == [3, 6] or case == "ceal"
        assert any(r.n_pseudo for r in whole)


def test_a_record_with_answers_is_opened_and_exported_without_a_network(tmp_path, monkeypatch):
    images, masks = alkit.synthetic.lesions(6, size=16)
    pool, learner = alkit.ArrayPool(images), alkit.SegmentationLearner(UNET, epochs=(1, 1))
    strategy, first = alkit.strategy("mc-dropout"), alkit.strategy("random")
    experiment = alkit.Experiment(pool, learner, strategy, tmp_path / "r.db", initial=first, classes=("skin", "lesion"))
    experiment.tell({id: masks[int(id)] for id in experiment.ask(2)})
    monkeypatch.setattr("alkit.networks.factory.make_network", None)  # that of a stranger can have any size
    alkit.Experiment.open(tmp_path / "r.db", pool=pool).export_labels(tmp_path / "labels")
