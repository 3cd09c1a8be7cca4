"""A record of an earlier version of a part opens with the values of that time, or names the parameter and a remedy."""

import json
import sys
from dataclasses import dataclass, make_dataclass
from functools import partial
from types import ModuleType

import pytest
from entry_points import point
from parts import CLASSES

import alkit
from alkit.configuration import build, changes, differences, parameter_changes, runtime, to_former, written_form
from alkit.configuration.registry import LEARNERS, STRATEGIES
from alkit.configuration.versions import to_present
from alkit.errors import ConfigurationError, ResumeError

PACKAGE = "alkit_two_versions"


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """Forget the declarations of a test."""
    monkeypatch.setattr(parameter_changes, "_DECLARED", dict(parameter_changes._DECLARED))


@pytest.fixture
def publish(installed, monkeypatch):
    """Return a function that installs the package with these classes and functions, in place of an earlier version."""

    def publish(*things):
        module = ModuleType(PACKAGE)
        for thing in things:
            thing.__module__, thing.__qualname__ = PACKAGE, thing.__name__
            setattr(module, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, PACKAGE, module)
        group = LEARNERS if hasattr(things[-1], "fit") else STRATEGIES
        installed(
            *(point(thing.__name__, "two-versions", f"{PACKAGE}:{thing.__name__}", group.name) for thing in things),
            point("random", "alkit"),
        )
        return things[0] if len(things) == 1 else things

    return publish


def first():
    @dataclass(frozen=True)
    class Nearest:
        weight: float = 0.5
        fast: bool = False

        def select(self, view, n, rng):
            return alkit.Selection(tuple(view.candidates[:n]))

    return Nearest


def second():
    @dataclass(frozen=True)
    class Nearest:
        """Its default metric is not what version 1 computed."""

        apart: float = 0.5
        metric: str = "cosine"
        device: str = runtime("auto")

        def select(self, view, n, rng):
            return alkit.Selection(tuple(view.candidates[:n]))

    return Nearest


DECLARED = {"added": {"metric": "euclidean"}, "renamed": {"weight": "apart"}, "removed": {"fast": False}}


def record(value):
    return json.loads(json.dumps(written_form(value)))


def answer_one(world, experiment):
    """Ask for two images and answer one, so that the settings of the record are fixed."""
    id, _ = experiment.ask(2)
    experiment.tell({id: world.masks[id]})


def test_an_older_record_opens_with_the_values_of_that_time(publish, world, tmp_path):
    old = publish(first())(weight=0.25)
    answer_one(world, world.experiment(tmp_path / "r.db", strategy=old, classes=CLASSES))
    form = record(old)
    new = changes(**DECLARED)(publish(second()))
    built = build(form, "strategy")
    assert (type(built), built.apart, built.metric) == (new, 0.25, "euclidean")
    again = alkit.Experiment.open(tmp_path / "r.db", pool=world.pool, learner=world.learner)
    assert again.strategy == built
    assert again.open_ids
    same = world.experiment(tmp_path / "r.db", strategy=new(0.25, "euclidean"), classes=CLASSES)  # the same in code
    assert same.open_ids == again.open_ids
    with pytest.raises(ResumeError, match=r"strategy.metric: recorded 'euclidean', now 'cosine'"):
        world.experiment(tmp_path / "r.db", strategy=new(0.25), classes=CLASSES)


def test_a_newer_record_has_its_own_values(publish):
    new = changes(**DECLARED)(publish(second()))
    for made in (new(), new(metric="manhattan"), new(metric="euclidean")):
        assert build(record(made), "strategy") == made
        assert to_present(record(made)) == record(made)


def test_without_a_declaration_the_refusal_names_the_parameter_and_what_to_do(publish, world, tmp_path):
    @dataclass(frozen=True)
    class Nearest:
        weight: float = 0.5
        fast: bool = False
        metric: str = "cosine"
        select = first().select

    old = publish(first())()
    answer_one(world, world.experiment(tmp_path / "r.db", strategy=old, classes=CLASSES))
    publish(Nearest)
    words = (
        r"strategy \(the record has no value for the parameter 'metric' of alkit_two_versions:Nearest, which the "
        r"version that wrote it did not have; an earlier version of alkit_two_versions opens this record, and so does "
        r"a version that declares the change with alkit.configuration.changes\(added=...\)"
    )
    with pytest.raises(ConfigurationError, match=words):
        alkit.Experiment.open(tmp_path / "r.db", pool=world.pool, learner=world.learner)
    words = (
        r"strategy.metric: not recorded, now 'cosine'. Try: .*declare what has changed with alkit.configuration.changes"
    )
    with pytest.raises(ResumeError, match=words):
        world.experiment(tmp_path / "r.db", strategy=Nearest(), classes=CLASSES)
    changes(added={"metric": "euclidean"})(Nearest)  # in a script, for a package of somebody else
    assert (
        alkit.Experiment.open(tmp_path / "r.db", pool=world.pool, learner=world.learner).strategy.metric == "euclidean"
    )


@pytest.mark.parametrize("name", ["weight", "fast"])
def test_a_renamed_or_removed_parameter_without_a_declaration_is_named(publish, name):
    form = record(publish(first())())
    del form["with"]["fast" if name == "weight" else "weight"]
    publish(make_dataclass("Nearest", [], frozen=True))
    words = (
        rf"Nearest has no parameter '{name}'; an earlier version of alkit_two_versions opens this record, and so does "
        r"a version that declares the change with alkit.configuration.changes\(renamed=..., removed=...\)"
    )
    with pytest.raises(ConfigurationError, match=words):
        build(form, "strategy")


def test_a_removed_parameter_with_another_value_is_refused_by_name(publish):
    form = record(publish(first())(fast=True))
    new = changes(**DECLARED)(publish(second()))
    words = r"Nearest has no parameter 'fast' any more, and works as with fast=False: got True; an earlier version"
    with pytest.raises(ConfigurationError, match=words):
        build(form, "strategy")
    assert any("fast: recorded True, now no parameter" in line for line in differences(form, record(new())))


def test_a_former_and_a_present_name_together_are_refused(publish):
    changes(**DECLARED)(publish(second()))
    form = {"is": f"{PACKAGE}:Nearest", "with": {"weight": 1, "apart": 2, "metric": "cosine"}}
    with pytest.raises(ConfigurationError, match="has no parameter 'weight'"):
        build(form, "strategy")


def test_a_subclass_has_the_changes_of_its_base(publish):
    base = changes(added={"metric": "euclidean"})(second())
    inner = publish(dataclass(frozen=True)(type("Inner", (base,), {"__annotations__": {"k": int}, "k": 3})))
    form = record(inner())
    del form["with"]["metric"]
    assert build(form, "strategy").metric == "euclidean"
    assert differences(form, record(inner(metric="euclidean"))) == []


def test_parts_inside_parts_are_brought_to_the_present(publish):
    old = publish(first())(0.25)
    whole = record(alkit.strategies.Then(alkit.strategy("random"), old, after=3))
    changes(**DECLARED)(publish(second()))
    assert build(whole, "strategy").warm.metric == "euclidean"
    assert to_present([{"items": [["a", whole]]}])[0]["items"][0][1]["with"]["warm"]["with"]["metric"] == "euclidean"


# Functions, whose defaults a record does not contain.


def old_network(in_channels, classes, widths=(2, 4)):
    return alkit.UNet(in_channels, classes, widths)


def network_1():
    def network(in_channels, classes, widths=(2, 4)):
        return alkit.UNet(in_channels, classes, widths)

    return network


def network_2():
    def network(in_channels, classes, widths=(2, 4), *, norm="group", fast=True):
        return alkit.UNet(in_channels, classes, widths)

    return network


@dataclass(frozen=True)
class Learner:
    network: object = None

    def fit(self, labelled, rng, previous=None, report=None):
        raise NotImplementedError


def test_a_function_gets_the_value_of_that_time_and_writes_its_own_default(publish):
    old, _ = publish(network_1(), Learner)
    forms = [
        record(Learner(old)),
        record(Learner(partial(old, widths=(2,)))),
        record(Learner(partial(old, 1, 2, (2,)))),
    ]
    new, _ = publish(network_2(), Learner)
    changes(added={"norm": "batch"})(new)
    for form in forms:
        built = build(form, "learner").network
        assert (built.func, built.keywords["norm"]) == (new, "batch")
        assert "fast" not in built.keywords
    assert build(forms[1], "learner").network.keywords["widths"] == (2,)
    assert build(forms[2], "learner").network.args == (1, 2, (2,))
    now = record(Learner(new))  # says that it is of the present version
    assert build(now, "learner").network.keywords == {"norm": "group"}
    assert record(build(now, "learner")) == now
    assert differences(forms[0], now) == ["network.norm: recorded 'batch', now 'group'"]
    assert differences(forms[0], record(Learner(partial(new, norm="batch")))) == []
    assert [to_former(form) for form in map(to_present, forms)] == forms


def test_a_renamed_and_a_removed_parameter_of_a_function(publish):
    old, _ = publish(network_1(), Learner)
    form = record(Learner(partial(old, widths=(2, 8))))

    def network(in_channels, classes, sizes=(2, 4)):
        return alkit.UNet(in_channels, classes, sizes)

    publish(network, Learner)
    changes(renamed={"widths": "sizes"}, removed={"fast": True})(network)
    assert build(form, "learner").network.keywords == {"sizes": (2, 8)}
    form["with"]["network"]["with"]["fast"] = True
    assert build(form, "learner").network.keywords == {"sizes": (2, 8)}
    form["with"]["network"]["with"]["fast"] = False
    words = r"network: .*has no parameter 'fast' any more, and works as with fast=True"
    with pytest.raises(ConfigurationError, match=words):
        build(form, "learner")


# Alkit's own parts.


@pytest.mark.parametrize(
    "part",
    [
        alkit.SegmentationLearner(epochs=(1, 1)),
        alkit.Reconstruction(epochs=1),
        alkit.LabelSpec(("a", "b")),
        alkit.Dropout(3),
        alkit.record.Terms(2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_any_part_of_alkit_can_get_a_parameter(part):
    roles = {
        "SegmentationLearner": "learner",
        "Reconstruction": "feature extractor",
        "LabelSpec": "label specification",
    }
    role = roles.get(type(part).__name__) or {"Dropout": "sampler", "Terms": "set of terms"}[type(part).__name__]
    now = record(part)
    name = list(now["with"])[-1]
    old = {**now, "with": {key: value for key, value in now["with"].items() if key != name}}
    with pytest.raises(ConfigurationError, match=f"the record has no value for the parameter '{name}'|cannot be made"):
        build(old, role)
    changes(added={name: getattr(part, name)})(type(part))
    assert record(build(old, role)) == now
    assert differences(old, now) == []
    assert to_former(now) == to_former(old)


def test_a_pretext_is_found_in_the_cache_after_its_class_got_a_parameter(monkeypatch, world):
    part, stream = alkit.Reconstruction(epochs=1), alkit.rng.Stream(0)
    before = part._keys(world.pool, stream, 1)

    @dataclass(frozen=True)
    class Reconstruction(alkit.Reconstruction):
        noise: float = 0.0

    Reconstruction.__module__ = alkit.Reconstruction.__module__
    Reconstruction.__qualname__ = "Reconstruction"
    monkeypatch.setattr(sys.modules[Reconstruction.__module__], "Reconstruction", Reconstruction)
    monkeypatch.setattr(alkit.features, "Reconstruction", Reconstruction, raising=False)
    monkeypatch.setattr(alkit, "Reconstruction", Reconstruction)
    assert Reconstruction(epochs=1)._keys(world.pool, stream, 1) != before
    changes(added={"noise": 0.0})(Reconstruction)
    assert Reconstruction(epochs=1)._keys(world.pool, stream, 1) == before
    assert Reconstruction(epochs=1, noise=0.5)._keys(world.pool, stream, 1) != before


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (
            {"added": {"metrik": "x"}},
            "changes of Nearest name 'metrik', which it does not have: expected apart, metric",
        ),
        ({"renamed": {"weight": "apartt"}}, "name 'apartt', which it does not have"),
        ({"renamed": {"metric": "apart"}}, "remove 'metric', which it still has"),
        ({"removed": {"metric": "cosine"}}, "remove 'metric', which it still has"),
        ({"added": {"device": "cpu"}}, "name 'device', which it does not have"),  # records do not contain it
    ],
)
def test_a_wrong_declaration_is_refused(declaration, message):
    thing = second()
    thing.__qualname__ = "Nearest"
    with pytest.raises(ConfigurationError, match=message):
        changes(**declaration)(thing)
