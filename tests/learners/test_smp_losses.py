"""Losses and metrics are imported without the libraries around them, and the losses are those of the library."""

import json
import subprocess
import sys

CODE = """
import json, sys
import alkit
from alkit.learners.losses import class_loss, mask_loss
for name in ("cross-entropy+dice", "focal", "tversky"):
    mask_loss(name, alkit.LabelSpec(("skin", "lesion")))
class_loss("focal")
from alkit.evaluation.metrics import dice
mask = alkit.synthetic.lesions(1, size=16)[1]
assert dice(mask, mask, alkit.LabelSpec(("skin", "lesion"))) == 1
before = sorted(sys.modules)
from alkit.learners.smp_losses import smp_losses
found = smp_losses()
import segmentation_models_pytorch as smp
from segmentation_models_pytorch.losses import DiceLoss
print(json.dumps([before, smp.losses is found is smp_losses(), DiceLoss is found.DiceLoss]))
"""


def test_the_losses_and_dice_import_torch_alone_and_the_losses_are_those_of_the_library():
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    before, *same = json.loads(said)
    assert "segmentation_models_pytorch.losses" in before
    assert not {"segmentation_models_pytorch", "timm", "torchvision", "torchmetrics", "torch._dynamo"} & set(before)
    assert same == [True, True]
