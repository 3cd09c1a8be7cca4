"""One arithmetic for machines of several kinds: the vector instructions that torch may use, fixed before it is loaded.

PyTorch and oneDNN use the widest instructions a processor has. Wider ones add in another order; the last bits of each
step of training differ, and after hundreds of steps so does a run's Dice (the table "What the arithmetic alone does" of
the ISIC 2017 report says by how much). Runs of one seed are compared to each other, so they must not differ by that.
AVX2, because nearly all x86-64 machines of the last ten years have it. Graphics cards, and other processors, are as
they are.

Import it before anything that imports torch. What was set from outside is left.
"""

from __future__ import annotations

import os
import platform

NAME = "avx2"

if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def instructions() -> str:
    """Return what this process computes with."""
    import torch

    return f"{torch.backends.cpu.get_cpu_capability()}; oneDNN {os.environ.get('ONEDNN_MAX_CPU_ISA', 'not limited')}"
