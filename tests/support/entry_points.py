"""Entry points of distributions that are not installed."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

from alkit.configuration import registry


def point(name, dist, value="alkit_baselines.random:Random", group=registry.STRATEGIES.name):
    made = EntryPoint(name, value, group)
    vars(made).update(dist=SimpleNamespace(name=dist, version="1"))
    return made
