"""Graphs of networks that are traced in one thread while others compute."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import fx, nn

from alkit.networks.graphs import traced


class Meeting(nn.Module):
    """Calls a function while it is traced."""

    def __init__(self, meet):
        super().__init__()
        self.layer, self.meet = nn.Linear(2, 2), meet

    def forward(self, x):
        if isinstance(x, fx.Proxy):
            self.meet()
        return self.layer(x)


def nodes(network):
    with traced(network) as graph:
        return [node.op for node in graph.nodes]


def test_while_a_network_is_traced_other_threads_compute_and_trace_after_it():
    network, image, waiting = nn.Sequential(nn.Linear(2, 2)), torch.rand(1, 2), []
    expected, call = network(image), nn.Module.__call__
    with ThreadPoolExecutor(2) as threads:

        def meet():
            assert torch.equal(threads.submit(network, image).result(), expected)
            waiting.append(threads.submit(nodes, network))

        assert nodes(Meeting(meet)) == ["placeholder", "call_module", "output"]
        assert waiting[0].result() == ["placeholder", "call_module", "output"]
    assert nn.Module.__call__ is call
