import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from entry_points import point

import alkit
from alkit.configuration import build, rebuild, registry, written_form
from alkit.configuration.parameters import convert
from alkit.protocols import Strategy
from alkit.strategies import described
from alkit.strategies.described import describe_all


def test_the_baselines_are_found_by_entry_point():
    assert {"random", "ssl-cluster"} <= set(alkit.strategies.installed())
    assert type(alkit.strategy("ssl-cluster", clusters=5)).__name__ == "SSLCluster"


def test_the_core_imports_no_baseline(installed):
    installed()
    assert alkit.strategies.installed() == {}
    with pytest.raises(alkit.errors.UnknownNameError):
        alkit.strategy("random")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(alkit.errors.UnknownNameError, match="'ssl-cluster'"):
        alkit.strategy("ssl-clutser")


@pytest.mark.parametrize("name", [alkit.strategies.Uncertainty, alkit.strategy("random"), 3, None])
def test_a_name_that_is_not_a_string_is_refused(name):
    words = r"must be a string: got (the class|an object of type) \w+\. Try: the name of an installed"
    with pytest.raises(alkit.errors.ConfigurationError, match=f"name of the strategy {words} strategy"):
        alkit.strategy(name)
    with pytest.raises(alkit.errors.ConfigurationError, match=f"name of the feature extractor {words}"):
        alkit.features.extractor(name)


def test_an_unknown_parameter_suggests_the_nearest():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"no parameter 'cluster'.*'clusters'"):
        alkit.strategy("ssl-cluster", cluster=5)
    with pytest.raises(
        alkit.errors.ConfigurationError, match=r"no parameter 'x': expected one of [\w, ]*clusters[\w, ]*$"
    ):
        alkit.strategy("ssl-cluster", x=5)
    with pytest.raises(
        alkit.errors.ConfigurationError, match=r"no parameter 'x'\. Try: leave it out, because this strategy takes none"
    ):
        alkit.strategy("random", x=5)


def test_a_name_of_two_distributions_needs_the_full_name(installed):
    installed(point("mine", "a"), point("mine", "b"), point("other", "a"))
    assert list(alkit.strategies.installed()) == ["a:mine", "b:mine", "other"]
    with pytest.raises(alkit.errors.ConfigurationError, match="a:mine or b:mine"):
        alkit.strategy("mine")
    assert alkit.strategy("b:mine") == alkit.strategy("a:other") == alkit.strategy("other")


def test_a_distribution_that_is_twice_on_the_path_counts_once(installed):
    installed(point("mine", "a"), point("mine", "a"))
    assert list(alkit.strategies.installed()) == ["mine"]


def test_a_plugin_that_cannot_be_imported_is_an_error_and_others_still_work(installed):
    installed(point("broken", "a", "no_such_module:Thing"), point("fine", "a"))
    assert list(alkit.strategies.installed()) == ["broken", "fine"]
    with pytest.raises(alkit.errors.ConfigurationError, match=r"ModuleNotFoundError.*no_such_module"):
        alkit.strategy("broken")
    alkit.strategy("fine")


def test_listing_names_does_not_import_plugins(installed):
    installed(point("lazy", "a", "antigravity:fly"))
    alkit.strategies.installed()
    assert "antigravity" not in sys.modules


def test_records_may_name_plugins_and_no_other_packages():
    assert {"alkit", "alkit_baselines"} <= registry.plugin_packages()
    assert not registry.plugin_packages() & {"os", "subprocess", "builtins", "torch"}
    assert build({"is": "alkit_baselines.random:Random", "with": {}}, "strategy") == alkit.strategy("random")
    for package in ("os", "subprocess", "builtins", "torch"):
        with pytest.raises(alkit.errors.ConfigurationError, match=f"{package}:Random is not a strategy"):
            build({"is": f"{package}:Random", "with": {}}, "strategy")


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
def test_a_parameter_of_another_type_is_refused_with_the_declared_type(installed, right, wrong):
    installed(point("typed", "a", f"{__name__}:Typed"))
    alkit.strategy("typed", **right)
    (name,) = wrong
    with pytest.raises(
        alkit.errors.ConfigurationError, match=rf"^{name} of strategy 'typed' must be of type .*: got .* of type "
    ):
        alkit.strategy("typed", **wrong)


def test_a_parameter_without_a_default_must_be_given(installed):
    installed(point("both", "a", "alkit.strategies:Then"))
    with pytest.raises(alkit.errors.ConfigurationError, match="needs a value for warm, after"):
        alkit.strategy("both", cold=alkit.strategies)


def choose(view, n, rng):
    """A strategy, not a factory of them."""
    return view.candidates[:n]


def leaves():
    """A factory that gives up as a script would."""
    sys.exit("no GPU")


class Broken:
    """Its signature cannot be shown."""

    class Unprintable:
        def __repr__(self):
            raise RuntimeError("no words")

    def __init__(self, inner=Unprintable()):  # noqa: B008
        pass

    select = staticmethod(choose)


HERE = __name__


@pytest.mark.parametrize(
    ("value", "text", "words"),
    [
        ("quits", "import sys\nsys.exit('no GPU')", "SystemExit: no GPU"),
        ("panics", "class Panic(BaseException): ...\nraise Panic('unwrap')", "Panic: unwrap"),
        ("mute", "class Mute(Exception):\n    __str__ = None\nraise Mute", "Mute: its message cannot be read"),
        ("module_only", "x = 1", "got a module, expected a class or a function"),
        ("constant:x", "x = 1", "got a int, expected a class or a function"),
    ],
)
def test_a_plugin_that_exits_or_cannot_be_called_is_a_configuration_error(
    installed, tmp_path, monkeypatch, value, text, words
):
    module = value.partition(":")[0]
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    installed(point("bad", "a", value), point("fine", "a"))
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        alkit.strategy("bad")
    assert described.cold_strategies() == ["fine"]


def test_ctrl_c_while_a_plugin_is_imported_ends_the_command(installed, tmp_path, monkeypatch):
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    installed(point("bad", "a", "interrupted"))
    with pytest.raises(KeyboardInterrupt):
        alkit.strategy("bad")


def test_a_plugin_that_cannot_be_described_is_not_recommended(installed):
    installed(point("broken", "a", f"{HERE}:Broken"), point("fine", "a"))
    assert described.cold_strategies() == ["fine"]


def test_only_strategies_that_certainly_start_cold_are_recommended(installed):
    points = {"function": "make", "property": "Depends", "field": "Given", "warm": "Warm", "silent": "Typed"}
    installed(*(point(name, "a", f"{HERE}:{thing}") for name, thing in points.items()))
    assert described.cold_strategies() == ["silent"]


class Depends:
    """Cold or not by a property."""

    @property
    def starts_cold(self):
        return False


@dataclass(frozen=True)
class Given:
    """Cold or not by a parameter."""

    starts_cold: bool = True


class Warm:
    """Needs a model."""

    starts_cold: ClassVar[bool] = False


def make(depth: int = 2):
    """Make one that may need a model."""
    return Warm()


def test_a_distribution_without_metadata_is_shown_as_a_question_mark(tmp_path, monkeypatch):
    for name, said in (("one", None), ("two", "Metadata-Version: 2.1\n"), ("three", "Name: three\nVersion: 1\n")):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[alkit.strategies]\ntwin = alkit_baselines.{name}:Thing\n")
        if said is not None:
            (folder / "METADATA").write_text(said)
    monkeypatch.syspath_prepend(tmp_path)
    shown = [name for name in alkit.strategies.installed() if "twin" in name]
    things = [f"?:twin=alkit_baselines.{name}:Thing" for name in ("one", "two")]
    assert shown == [*things, "three:twin"]
    assert [entry.version for entry in describe_all() if "twin" in entry.name] == ["?", "?", "1"]
    assert "random" in described.cold_strategies()
    alkit.strategy("random")


def test_a_name_that_one_distribution_gives_to_two_objects_is_an_error_that_lists_both(installed):
    installed(point("mine", "a", f"{HERE}:Typed"), point("mine", "a"), point("fine", "a"))
    assert list(alkit.strategies.installed()) == [
        "fine",
        "a:mine=alkit_baselines.random:Random",
        f"a:mine={HERE}:Typed",
    ]
    for name in ("mine", "a:mine"):
        with pytest.raises(
            alkit.errors.ConfigurationError, match=r"a registers 2 strategies .*:Random or a:mine=.*:Typed"
        ):
            alkit.strategy(name)
    assert alkit.strategy(f"a:mine={HERE}:Typed") == Typed()


def test_a_strategy_with_the_name_of_a_part_needs_its_full_name(installed):
    installed(point("filter", "a"))
    assert list(alkit.strategies.installed()) == ["a:filter"]
    with pytest.raises(alkit.errors.ConfigurationError, match=r"'filter' is the name of a part .*a:filter"):
        alkit.strategy("filter")
    assert alkit.strategy("a:filter") == alkit.strategy("A:filter")


def test_a_distribution_may_be_spelled_in_any_way_that_pip_accepts(installed):
    installed(point("mine", "Plug.A"), point("mine", "plug-b"))
    for owner in ("Plug.A", "plug-a", "PLUG_A", "plug.a"):
        assert registry.distribution(registry.find(f"{owner}:mine")) == "Plug.A"
    with pytest.raises(alkit.errors.UnknownNameError):
        registry.find("pluga:mine")


def test_a_strategy_function_that_is_registered_itself_is_an_error_with_a_hint(installed):
    installed(point("bare", "a", f"{HERE}:choose"))
    with pytest.raises(
        alkit.errors.ConfigurationError, match=r"needs a value for view, n, rng\. Try: register a function that"
    ):
        alkit.strategy("bare")


@dataclass(frozen=True)
class Fails:
    """Fails where a plugin's own code may fail."""

    where: str = "select"
    starts_cold: bool = True

    def __post_init__(self):
        if self.where == "init":
            raise ValueError("no weights at x.pt")
        if self.where == "exit":
            sys.exit("no GPU")

    def select(self, view, n, rng):
        return view.scored["a"]

    def scores(self, view):
        return {}["b"]


@pytest.mark.parametrize(
    ("where", "words"), [("init", "ValueError: no weights at x.pt"), ("exit", "SystemExit: no GPU")]
)
def test_an_error_in_a_factory_names_the_plugin_and_keeps_the_cause(installed, where, words):
    installed(point("fails", "plug-in", f"{HERE}:Fails"))
    with pytest.raises(alkit.errors.ConfigurationError, match=f"'fails' of plug-in cannot be made .{words}") as caught:
        alkit.strategy("fails", where=where)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (lambda: Fails(), "Fails of plug-in failed .AttributeError"),
        (lambda: alkit.strategies.Then(Fails(), Fails(), after=9), "Fails of plug-in failed .AttributeError"),
        (
            lambda: alkit.strategies.Filter(Fails(), alkit.strategy("alkit:random")),
            "Fails of plug-in failed .KeyError: 'b'",
        ),
        (lambda: lambda view, n, rng: {}["c"], "the function <lambda> of plug-in failed .KeyError: 'c'"),
    ],
    ids=["strategy", "part", "ranking", "function"],
)
def test_an_error_in_select_names_the_plugin(installed, world, whole, words):
    strategy = whole()
    installed(point("fails", "plug-in", f"{HERE}:Fails"))
    with pytest.raises(alkit.errors.SelectionError, match=words) as caught:
        world.experiment(strategy=strategy).ask(3)
    assert isinstance(caught.value.__cause__, LookupError | AttributeError)


@pytest.fixture
def besides(installed):
    """Pretend that these entry points are installed besides alkit's own."""
    return lambda *points: installed(*entry_points(group=registry.STRATEGIES.name), *points)


def test_alkits_own_random_draws_the_start_set_if_another_plugin_has_its_name(besides, world, tmp_path):
    warm = alkit.strategy("mc-dropout")
    before = world.experiment(tmp_path / "r.db", warm).ask(4)
    besides(point("random", "other", f"{HERE}:Fails"))
    assert "other:random" in alkit.strategies.installed()
    assert world.experiment(tmp_path / "r.db", warm).ask(4) == before
    assert world.experiment(tmp_path / "s.db", warm).ask(4) == before


def test_without_the_baselines_an_experiment_runs_or_asks_for_a_start_strategy(installed, world):
    installed()
    first, second = world.experiment(strategy=choose).run(world.oracle, test=world.test, start=4, batch=3, rounds=1)
    assert (len(first.ids), second.n_labels) == (4, 7)
    with pytest.raises(
        alkit.errors.ConfigurationError, match=r"needs a trained model.*initial= a function of view, n and rng"
    ):
        world.experiment(strategy=Fails(starts_cold=False))
    world.experiment(strategy=Fails(starts_cold=False), initial=choose).ask(3)


def three():
    """Return no strategy."""
    return 3


def bare():
    """Return a strategy that is a function."""
    return choose


def test_a_factory_must_return_a_strategy(installed):
    installed(point("three", "a", f"{HERE}:three"), point("bare", "a", f"{HERE}:bare"))
    with pytest.raises(alkit.errors.ConfigurationError, match="plugin 'three' must be a strategy: got 3"):
        alkit.strategy("three")
    assert alkit.strategy("bare") == alkit.strategies.FromFunction(choose)


def variadic(*names: str, depth: int, **more: int):
    """Take any parameters."""
    return alkit.strategies.FromFunction(lambda view, n, rng: (names, depth, more))


def test_variadic_parameters_are_optional_and_accept_any_name(installed):
    installed(point("any", "a", f"{HERE}:variadic"), point("typed", "a", f"{HERE}:Typed"))
    assert alkit.strategy("any", depth=1, width=2).function(None, 0, None) == ((), 1, {"width": 2})
    with pytest.raises(alkit.errors.ConfigurationError, match=r"needs a value for depth$"):
        alkit.strategy("any")


def test_a_callable_without_a_signature_is_a_configuration_error(installed):
    installed(point("opaque", "a", "builtins:max"))
    with pytest.raises(alkit.errors.ConfigurationError, match="does not say what parameters it takes"):
        alkit.strategy("opaque")


def test_one_type_that_cannot_be_found_does_not_stop_other_checks(installed):
    installed(point("both", "a", "partly_typed:Both"), point("made", "a", "partly_typed:make"))
    for name in ("both", "made"):
        with pytest.raises(alkit.errors.ConfigurationError, match=r"count of strategy .* must be of type"):
            alkit.strategy(name, count="3")
        with pytest.raises(alkit.errors.ConfigurationError, match=r"folder of strategy .* must be of type"):
            alkit.strategy(name, count=3, folder=3)
        alkit.strategy(name, count=3, hidden="anything", failing=2)


@pytest.fixture(autouse=True)
def partly_typed(tmp_path_factory, monkeypatch):
    """Offer a module whose strategies have types that cannot be found, one of them inherited."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "partly_base.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import TYPE_CHECKING, Literal as OneOf\n"
        "if TYPE_CHECKING:\n    from nowhere import Thing\n"
        "@dataclass(frozen=True)\nclass Base:\n"
        "    folder: OneOf['a', 'b'] = 'a'\n    hidden: Thing | None = None\n    failing: 1 / 0 = 1\n"
    )
    (folder / "partly_typed.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass, InitVar\n"
        "from partly_base import Base\n"
        "@dataclass(frozen=True)\nclass Both(Base):\n    count: int = 1\n    first: InitVar[int] = 0\n"
        "    def __post_init__(self, first):\n        pass\n"
        "    def select(self, view, n, rng):\n        return view.candidates[:n]\n"
        "def make(count: int, folder: str = 'a', hidden: Nowhere = None, failing: 1 / 0 = 1):\n"
        "    return Both(count)\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield
    for name in ("partly_base", "partly_typed"):
        sys.modules.pop(name, None)


def test_an_init_only_parameter_is_checked_by_its_type(installed):
    installed(point("both", "a", "partly_typed:Both"))
    with pytest.raises(alkit.errors.ConfigurationError, match=r"first of strategy .* must be of type int: got '3'"):
        alkit.strategy("both", first="3")


class Mode(Enum):
    SOFT = "soft"


@dataclass(frozen=True)
class Nested:
    """Parameters that a file cannot write as they are declared."""

    widths: tuple[int, ...] = ()
    pair: tuple[tuple[int, ...], float] | None = None
    names: frozenset[str] = frozenset()
    folder: Path | None = None
    mode: Mode = Mode.SOFT
    either: list[int] | tuple[int, ...] = field(default=())
    table: dict[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    select = choose


def test_lists_and_texts_become_the_declared_types(installed):
    installed(point("nested", "a", f"{HERE}:Nested"))
    made = alkit.strategy("nested", widths=[1, 2], pair=[[3], 1], names=["a"], folder="x/y", mode="soft", either=(1,))
    assert made == Nested((1, 2), ((3,), 1), frozenset("a"), Path("x/y"), Mode.SOFT, (1,))
    assert rebuild(written_form(made), {"tests", "alkit"}) == made
    assert hash(made) == hash(Nested((1, 2), ((3,), 1), frozenset("a"), Path("x/y"), Mode.SOFT, (1,)))
    assert alkit.strategy("nested", table={"a": [1]}) == Nested(table={"a": (1,)})
    for wrong in ({"names": [3]}, {"table": {"a": [0.5]}}, {"table": [1]}):
        with pytest.raises(alkit.errors.ConfigurationError, match=f"{next(iter(wrong))} of strategy"):
            alkit.strategy("nested", **wrong)


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [(True, Literal[1], False), (1, Literal[1], True), (1, Literal[True], False), (1.0, Literal[1], False)],
)
def test_a_literal_is_matched_by_value_and_type(value, kind, right):
    if right:
        assert convert(value, kind) is value
    else:
        with pytest.raises(ValueError, match="validation error"):
            convert(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, float, 3),
        (3, float | None, 3),
        ([1], Sequence[int], (1,)),
        ([1], list[int] | tuple[int, ...], [1]),
        ((1,), list[int] | tuple[int, ...], (1,)),
        ([1, "a"], tuple[int | str, ...], (1, "a")),
        ([[1]], tuple, ([1],)),
        ({"a": {"b": [1]}}, Mapping[str, dict[str, tuple[int]]], {"a": {"b": (1,)}}),
        ("soft", Literal["x"] | str, "soft"),
        ("x", str | Path, "x"),
        (object, Strategy, object),
        ([object], tuple[Strategy, ...], (object,)),
        (len, Callable[[list[int]], int] | None, len),
        ([1], Sequence, (1,)),
    ],
)
def test_a_value_becomes_the_declared_type(value, kind, expected):
    found = convert(value, kind)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, float), (True, int | None), ({1, 2}, tuple[int, ...]), ("ab", tuple[str, ...]), ("ab", Sequence[str]),
        ([1, 2, 3], tuple[int, int]), pytest.param(iter([1]), list[int], id="iterator"), (["1"], frozenset[int]),
        (3, Path), ("hard", Mode),
        ([1], dict[str, int]), (1.0, int), (b"a", str),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_of_another_type_is_refused(value, kind):
    with pytest.raises(ValueError, match="validation error"):
        convert(value, kind)


def test_metadata_is_read_again_only_after_something_was_installed(tmp_path, monkeypatch):
    read, calls = registry.entry_points, []
    monkeypatch.setattr(registry, "entry_points", lambda group: calls.append(group) or read(group=group))
    monkeypatch.syspath_prepend(tmp_path)
    before = registry.list_plugins(registry.STRATEGIES)
    assert registry.plugin_packages() >= {"alkit_baselines"}
    assert len(calls) == len(registry.GROUPS)
    (tmp_path / "late-1.0.dist-info").mkdir()
    (tmp_path / "late-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (tmp_path / "late-1.0.dist-info" / "entry_points.txt").write_text("[alkit.strategies]\nlate = late:Late\n")
    assert registry.list_plugins(registry.STRATEGIES).keys() - before.keys() == {"late"}


class Steers:
    """Chooses \x1b[31mred."""

    def __init__(self, width: int = 1) -> None:
        """Set the width."""

    select = staticmethod(choose)


def test_descriptions_of_plugins_do_not_steer_the_terminal(installed):
    installed(point("steers", "a\x1b[2J", f"{HERE}:Steers"))
    (found,) = describe_all()
    assert (found.summary, found.distribution) == ("Chooses \\x1b[31mred.", "a\\x1b[2J")
