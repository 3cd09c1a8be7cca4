"""Limit torch to one set of vector instructions, so that different machines compute the same numbers.

PyTorch and oneDNN use the widest instructions of the processor. Wider instructions add numbers in another order, so the
last digits of each training step differ, and after hundreds of steps the Dice of a run differs too (the table "Effect
of the arithmetic alone" in the ISIC 2017 report shows by how much). The benchmark compares runs of the same seed, and
such differences must not enter the comparison. We use AVX2, because nearly all x86-64 machines of the last ten years
support it. GPUs and other processors are not limited.

Import this module before any module that imports torch. Limits that are already set in the environment are kept.
"""

from __future__ import annotations

import os
import platform

NAME = "avx2"

if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def instructions() -> str:
    """Return the instructions that torch and oneDNN use in this process."""
    import torch

    return f"{torch.backends.cpu.get_cpu_capability()}; oneDNN {os.environ.get('ONEDNN_MAX_CPU_ISA', 'not limited')}"
