"""Convolutions that leave no pixel out, written so that torch.export takes seconds.

timm pads such a convolution by ``max((ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)``. If
the size is free, each layer nests this expression in that of the layer before, and torch.export takes minutes to
compare them. If the kernel covers the stride, it equals ``(kernel - 1) * dilation - (size - 1) % stride``, which takes
seconds.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional


class SameConv2d(nn.Conv2d):
    """A convolution with the parameters of another, which pads its input so that no pixel is left out.

    The output has ``ceil(size / stride)`` pixels. If the padding is odd, the larger part is on the right and below.

    Parameters
    ----------
    conv:
        Convolution that gives weights, stride, dilation and groups. The kernel must cover the stride.

    Examples
    --------
    >>> import torch
    >>> SameConv2d(nn.Conv2d(1, 2, 3, stride=2))(torch.zeros(1, 1, 7, 8)).shape
    torch.Size([1, 2, 4, 4])
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        # On the device meta nothing is drawn, so that the global generators stay as they are.
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            cast("tuple[int, int]", conv.kernel_size),
            cast("tuple[int, int]", conv.stride),
            dilation=cast("tuple[int, int]", conv.dilation),
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the map ``(n, out_channels, ceil(h / stride), ceil(w / stride))`` of ``(n, in_channels, h, w)``."""
        pads: list[int] = []
        for axis in (1, 0):
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis]
            total = reach - (input.shape[2 + axis] - 1) % self.stride[axis]
            pads += [total // 2, total - total // 2]
        return cast(Tensor, self._conv_forward(functional.pad(input, pads), self.weight, self.bias))


def simplify_padding(module: nn.Module) -> None:
    """Replace the convolutions of timm that compute their padding by equal ones that torch.export handles in seconds.

    Names of parameters and all results stay the same, bit for bit. A convolution whose kernel does not cover the stride
    is kept.
    """
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if _is_same(part):
                setattr(parent, name, SameConv2d(cast(nn.Conv2d, part)))


def _is_same(part: nn.Module) -> bool:
    """Return whether this is the class of timm, which may not be installed, with a kernel that covers the stride."""
    if type(part).__name__ != "Conv2dSame" or not type(part).__module__.startswith("timm."):
        return False
    conv = cast(nn.Conv2d, part)
    return all((k - 1) * d >= s - 1 for k, d, s in zip(conv.kernel_size, conv.dilation, conv.stride, strict=True))
