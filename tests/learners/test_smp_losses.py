"""The losses of segmentation-models-pytorch are imported without the library, and are the library's."""

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
before = sorted(sys.modules)
from alkit.learners.smp_losses import smp_losses
found = smp_losses()
import segmentation_models_pytorch as smp
from segmentation_models_pytorch.losses import DiceLoss
print(json.dumps([before, smp.losses is found is smp_losses(), DiceLoss is found.DiceLoss]))
"""


def test_the_losses_of_a_training_import_torch_alone_and_are_those_of_the_library():
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    before, *same = json.loads(said)
    assert "segmentation_models_pytorch.losses" in before
    assert not {"segmentation_models_pytorch", "timm", "torchvision", "torch._dynamo"} & set(before)
    assert same == [True, True]
