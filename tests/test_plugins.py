import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

import alkit
from alkit import plugins


def point(name, dist, value="alkit_baselines.random:Random"):
    made = EntryPoint(name, value, plugins.GROUP)
    vars(made).update(dist=SimpleNamespace(name=dist, version="1"))
    return made


@pytest.fixture
def installed(monkeypatch):
    """Pretend these entry points are installed."""
    return lambda *points: monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def test_the_baselines_are_found_by_entry_point():
    assert {"random", "ssl-cluster"} <= set(alkit.strategies())
    assert type(alkit.strategy("ssl-cluster", clusters=5)).__name__ == "SSLCluster"


def test_the_core_imports_no_baseline(installed):
    installed()
    assert alkit.strategies() == {}
    with pytest.raises(alkit.UnknownNameError):
        alkit.strategy("random")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(alkit.UnknownNameError, match="'ssl-cluster'"):
        alkit.strategy("ssl-clutser")


def test_an_unknown_parameter_suggests_the_nearest():
    with pytest.raises(alkit.ConfigurationError, match=r"no parameter 'cluster'.*'clusters'"):
        alkit.strategy("ssl-cluster", cluster=5)


def test_two_distributions_with_one_name_are_both_named_and_can_be_told_apart(installed):
    installed(point("mine", "a"), point("mine", "b"), point("other", "a"))
    assert list(alkit.strategies()) == ["a:mine", "b:mine", "other"]
    with pytest.raises(alkit.ConfigurationError, match="a:mine or b:mine"):
        alkit.strategy("mine")
    assert alkit.strategy("b:mine") == alkit.strategy("a:other") == alkit.strategy("other")


def test_one_distribution_found_twice_on_the_path_is_one(installed):
    installed(point("mine", "a"), point("mine", "a"))
    assert list(alkit.strategies()) == ["mine"]


def test_a_plugin_that_cannot_be_imported_says_why_and_breaks_nothing_else(installed):
    installed(point("broken", "a", "no_such_module:Thing"), point("fine", "a"))
    assert list(alkit.strategies()) == ["broken", "fine"]
    with pytest.raises(alkit.ConfigurationError, match=r"ModuleNotFoundError.*no_such_module"):
        alkit.strategy("broken")
    alkit.strategy("fine")


def test_listing_names_imports_no_plugin(installed):
    installed(point("lazy", "a", "antigravity:fly"))
    alkit.strategies()
    assert "antigravity" not in sys.modules


def test_records_may_name_plugins_and_nothing_else():
    trusted = plugins.trusted_packages()
    assert {"alkit", "alkit_baselines"} <= trusted
    assert not trusted & {"os", "subprocess", "builtins", "torch"}
