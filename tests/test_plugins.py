import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Literal

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


@dataclass(frozen=True)
class Typed:
    """A strategy with a parameter of each plain kind."""

    count: int = 1
    share: float = 0.5
    name: str = "a"
    on: bool = True
    kind: Literal["soft", "hard"] = "soft"
    limit: int | None = None
    widths: tuple[int, ...] = ()
    inner: object = None

    def select(self, view, n, rng):
        return alkit.Selection(view.candidates[:n])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"count": 3}, {"count": "3"}),
        ({"count": 3}, {"count": 3.0}),
        ({"count": 3}, {"count": True}),
        ({"share": 1}, {"share": "0.5"}),
        ({"name": "b"}, {"name": 3}),
        ({"on": False}, {"on": 0}),
        ({"kind": "hard"}, {"kind": "medium"}),
        ({"limit": None}, {"limit": "none"}),
        ({"widths": [1, 2]}, {"widths": [1, "2"]}),
        ({"widths": (1,)}, {"widths": 1}),
        ({"inner": "anything"}, {"count": None}),
    ],
    ids=str,
)
def test_a_parameter_of_another_type_is_refused_and_the_type_is_named(installed, right, wrong):
    installed(point("typed", "a", f"{__name__}:Typed"))
    alkit.strategy("typed", **right)
    (name,) = wrong
    with pytest.raises(alkit.ConfigurationError, match=rf"^{name} of strategy 'typed' is of another type.*expected"):
        alkit.strategy("typed", **wrong)


def test_a_parameter_without_a_default_must_be_given(installed):
    installed(point("then", "a", "alkit:Then"))
    with pytest.raises(alkit.ConfigurationError, match="needs a value for warm, after"):
        alkit.strategy("then", cold=alkit.strategies)
