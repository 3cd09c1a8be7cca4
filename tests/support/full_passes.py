"""Draws by dropout in the slow, obvious way: one full pass per draw."""

import torch
from torch import nn

from alkit.rng import Stream


def in_full(network, images, draw, seed=0):
    """Return one full pass in evaluation mode whose dropout layers multiply by masks drawn one by one."""
    network.eval()
    names = {module: name for name, module in network.named_modules()}
    calls: dict[str, int] = {}

    def drop(layer, inputs, output):
        name = names[layer]
        generator = Stream(seed).child(draw, name, calls.get(name, 0)).torch()
        calls[name] = calls.get(name, 0) + 1
        whole_channels = isinstance(layer, nn.Dropout2d)
        shape = (output.shape[1], 1, 1) if whole_channels else output.shape[1:]
        kept = torch.empty(shape).bernoulli_(1 - layer.p, generator=generator)
        return torch.stack([row * kept / (1 - layer.p) for row in output]) if len(output) else output

    handles = [m.register_forward_hook(drop) for m in network.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))]
    with torch.no_grad():
        result = network(images.clone()).softmax(dim=1)
    for handle in handles:
        handle.remove()
    return result
