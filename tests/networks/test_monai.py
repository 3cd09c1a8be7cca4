"""Networks and losses of MONAI by name."""

import numpy as np
import pytest
import torch

import alkit
from alkit.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from alkit.learners import MonaiLoss
from alkit.networks import MonaiNetwork
from alkit.networks.monai import CLASSIFICATION, SEGMENTATION

REASON = "pip install 'alkit[monai]'; make extras runs this test"
CLASSES = ("skin", "lesion")
PARAMETERS = {
    "AttentionUnet": {"channels": (4, 8), "strides": (2,)},
    "BasicUNet": {"features": (4, 4, 8, 8, 8, 4)},
    "BasicUNetPlusPlus": {"features": (4, 4, 8, 8, 8, 4)},
    "DynUNet": {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2), "filters": (4, 8, 8)},
    "FlexibleUNet": {"backbone": "efficientnet-b0", "decoder_channels": (16, 8, 8, 4, 4)},
    "MedNeXt": {"init_filters": 4},
    "SegResNet": {"init_filters": 8},
    "SegResNetDS": {"init_filters": 8},
    "SwinUNETR": {"feature_size": 12},
    "UNETR": {"img_size": (64, 64), "feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2},
    "UNet": {"channels": (4, 8), "strides": (2,), "dropout": 0.2},
    "VNet": {"dropout_prob_down": 0.2},
    "EfficientNetBN": {"model_name": "efficientnet-b0"},
}


def test_names_and_parameters_are_checked_without_monai():
    with pytest.raises(UnknownNameError, match=r"network 'SegResnet' of MONAI is unknown. Try: 'SegResNet'"):
        MonaiNetwork("SegResnet")
    with pytest.raises(UnknownNameError, match="loss 'DiceLos' of MONAI is unknown"):
        MonaiLoss("DiceLos")
    for name in ("pretrained", "pretrained_url", "in_channels", "num_classes", "spatial_dims"):
        with pytest.raises(ConfigurationError, match=f"parameters must not .*: got {name}"):
            MonaiNetwork("FlexibleUNet", {name: 1})
    with pytest.raises(ConfigurationError, match="parameters must not concern the form of the labels: got softmax"):
        MonaiLoss("DiceLoss", {"softmax": False})
    with pytest.raises(ConfigurationError, match="MonaiLoss needs masks"):
        MonaiLoss("DiceLoss")(alkit.LabelSpec(CLASSES, per="image"))


def test_a_record_keeps_their_names_and_parameters():
    learner = alkit.SegmentationLearner(
        MonaiNetwork("UNet", {"channels": (4, 8), "strides": (2,)}), loss=MonaiLoss("TverskyLoss", {"alpha": 0.3})
    )
    form = alkit.configuration.written_form(learner)
    assert alkit.configuration.build(form, "learner") == learner
    hash(learner)
    form["with"]["network"]["with"]["parameters"] = {"items": [["pretrained", True]]}
    with pytest.raises(ConfigurationError, match="must not ask for pre-trained weights"):
        alkit.configuration.build(form, "learner")


def test_without_monai_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "monai.networks.nets", None)
    monkeypatch.setitem(__import__("sys").modules, "monai.losses", None)
    with pytest.raises(MissingDependencyError, match=r"alkit\[monai\]"):
        MonaiNetwork("SegResNet")(in_channels=1, classes=2)
    with pytest.raises(MissingDependencyError, match=r"alkit\[monai\]"):
        MonaiLoss("DiceLoss")(alkit.LabelSpec(CLASSES))


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # those of MONAI
@pytest.mark.parametrize("name", [*SEGMENTATION, *CLASSIFICATION])
def test_each_network_gives_logits(name):
    pytest.importorskip("monai", reason=REASON)
    network = MonaiNetwork(name, PARAMETERS.get(name, {}))(in_channels=2, classes=3)
    predictor = alkit.learners.NetworkPredictor(network, 2, 3)
    found = predictor.probabilities(np.random.default_rng(0).random((2, 2, 64, 64), np.float32))
    assert found.shape == ((2, 3, 64, 64) if name in SEGMENTATION else (2, 3))


@pytest.mark.extras
@pytest.mark.filterwarnings("default")
def test_a_network_that_monai_does_not_make_is_an_error_of_alkit():
    pytest.importorskip("monai", reason=REASON)
    with pytest.raises(ConfigurationError, match=r"MONAI cannot make UNet with these parameters \(TypeError"):
        MonaiNetwork("UNet")(in_channels=1, classes=2)
    with pytest.raises(ConfigurationError, match=r"MONAI cannot make DiceLoss with these parameters \(TypeError"):
        MonaiLoss("DiceLoss", {"colour": 1})(alkit.LabelSpec(CLASSES))


@pytest.mark.extras
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["DiceCELoss", "DiceFocalLoss", "DiceLoss", "FocalLoss", "GeneralizedDiceFocalLoss",
                                  "GeneralizedDiceLoss", "TverskyLoss"])  # fmt: skip
def test_a_loss_falls_with_better_logits_and_ignores_pixels(name):
    pytest.importorskip("monai", reason=REASON)
    loss = MonaiLoss(name)(alkit.LabelSpec(CLASSES, ignore=255))
    masks = torch.zeros(2, 8, 8, dtype=torch.long)
    masks[:, 2:6, 2:6] = 1
    good = 6.0 * torch.stack([1.0 - 2 * masks, 2.0 * masks - 1], dim=1)
    assert loss(good, masks) < loss(-good, masks)
    ignored = masks.clone()
    ignored[:, :2] = 255
    wrong = good.clone()
    wrong[:, :, :2] *= -1
    torch.testing.assert_close(loss(wrong, ignored), loss(good, ignored))
    assert loss(wrong, masks) > loss(good, masks)
    assert loss(good, torch.full_like(masks, 255)) == 0


@pytest.mark.extras
@pytest.mark.filterwarnings("default")
def test_a_network_and_a_loss_train_and_draw():
    pytest.importorskip("monai", reason=REASON)
    images, masks = alkit.synthetic.lesions(10, size=16)
    learner = alkit.SegmentationLearner(
        MonaiNetwork("SegResNet", {"init_filters": 8, "dropout_prob": 0.2}),
        loss=MonaiLoss("DiceCELoss"),
        epochs=(1, 1),
        device="cpu",
    )
    made = alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("mc-dropout", draws=2), classes=CLASSES)
    made.tell({id: masks[int(id)] for id in made.ask(4)})
    made.fit()
    assert len(made.ask(2)) == 2
