import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, Flag, IntEnum
from functools import partial, update_wrapper, wraps
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import CLASSES

import alkit
from alkit.configuration import differences, opaque_parts, rebuild, runtime, written_form
from alkit.experiment.representations import Representations
from alkit.record import Store
from alkit.rng import Stream
from alkit.values import quiet


@dataclass(frozen=True)
class Part:
    rate: float = 0.5
    inner: object = None
    device: str = runtime("auto")


HERE = {"alkit", "alkit_baselines", __name__.partition(".")[0]}


@pytest.mark.parametrize(
    "value",
    [
        math.inf, -math.inf, (1, {"a": math.inf}),
        None, True, 3, 0.1, "text", (1, ("a", 2.5)), {"a": (1, 2)}, {0: 1, 255: 2}, alkit.UNet, Part(0.1, Part(0.2)),
        alkit.LabelSpec(("a", "b"), 255), alkit.strategy("random"), alkit.Reconstruction(epochs=3),
        alkit.SegmentationLearner(epochs=(3, 4), warm_start=alkit.Reconstruction()),
    ],
)  # fmt: skip
def test_a_value_is_built_again_from_its_written_form_as_json(value):
    assert rebuild(json.loads(json.dumps(written_form(value))), HERE) == value


def test_a_partial_is_built_again_with_its_arguments():
    again = rebuild(written_form(partial(alkit.UNet, widths=(2, 4))), HERE)
    assert (again.func, again.args, again.keywords) == (alkit.UNet, (), {"widths": (2, 4)})


def test_runtime_fields_are_neither_written_nor_compared():
    assert written_form(Part(device="cuda")) == written_form(Part())
    assert Part(device="cuda") == Part()


@pytest.mark.parametrize("value", [lambda: 0, np.zeros(2), Part(inner=lambda: 0), [object()]])
def test_a_value_without_a_name_is_opaque_and_cannot_be_built(value):
    form = written_form(value)
    assert opaque_parts(json.loads(json.dumps(form)))
    with pytest.raises(alkit.errors.ConfigurationError, match="cannot be imported by its name"):
        rebuild(form, HERE)


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "builtins:eval"])
def test_a_record_cannot_name_functions_of_other_packages(name):
    with pytest.raises(alkit.errors.ConfigurationError, match="not in a package"):
        rebuild({"partial": {"named": name}, "args": [], "with": {}}, HERE)


@pytest.mark.parametrize(
    "name",
    ["alkit._files:os.system", "alkit.record.sqlite:sqlite3.connect", "alkit._files:os", "alkit.record.store:json"],
)
def test_imports_of_a_trusted_module_are_not_trusted(name, tmp_path):
    for form in ({"is": name, "with": {}}, {"named": name}, {"partial": {"named": name}, "args": [], "with": {}}):
        with pytest.raises(alkit.errors.ConfigurationError, match=r"another package|must be a dataclass"):
            rebuild(form)


def test_a_function_is_not_called_to_build_a_value(tmp_path):
    form = {"is": "alkit._files:write_atomically", "with": {"path": str(tmp_path / "file"), "content": "x"}}
    with pytest.raises(alkit.errors.ConfigurationError, match="must be a dataclass"):
        rebuild(form)
    assert not list(tmp_path.iterdir())


def test_parameters_of_an_estimator_and_of_those_inside_it_are_compared():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    one, other = (written_form(make_pipeline(StandardScaler(), LogisticRegression(C=c))) for c in (1.0, 2.0))
    assert opaque_parts(one)
    assert differences(one, other)
    assert differences(one, json.loads(json.dumps(one))) == []


def test_a_name_that_does_not_exist_is_an_error_of_alkit():
    with pytest.raises(alkit.errors.ConfigurationError, match="does not exist any more"):
        rebuild({"is": "alkit:NoSuchThing", "with": {}})


def test_another_type_is_one_line_and_arrays_are_compared_by_content():
    old, new = written_form(alkit.strategy("random")), written_form(alkit.strategy("ssl-cluster"))
    assert differences({"strategy": old}, {"strategy": new}) == ["strategy: recorded Random, now SSLCluster"]
    assert differences(written_form(np.zeros(2)), written_form(np.ones(2)))
    assert differences(written_form(np.zeros(2)), written_form(np.zeros(2))) == []
    one, other = (written_form(partial(alkit.UNet, widths=(2, n))) for n in (4, 8))
    assert differences({"network": one}, {"network": other}) == ["network.widths: recorded [2, 4], now [2, 8]"]


def test_differences_name_the_field_and_both_values():
    old, new = written_form(Part(0.1, alkit.UNet)), written_form(Part(0.2, alkit.UNet))
    assert differences(old, new) == ["rate: recorded 0.1, now 0.2"]
    assert differences(old, old) == []
    (line,) = differences(written_form(Part(inner=alkit.UNet)), written_form(Part(inner=alkit.MaskOracle)))
    assert "UNet" in line
    assert "MaskOracle" in line
    assert differences({"a": 2, "b": 1}, {"b": 1}) == ["a: recorded 2, now None"]


class Shifted:
    """An extractor that is called, with a parameter in a plain attribute."""

    def __init__(self, by):
        self.by = by

    def __call__(self, *arguments):
        return self.by

    def fit(self, pool, rng, report=None):
        return self

    def features(self, images):
        return images.reshape(len(images), -1)[:, self.by : self.by + 2]

    def choose(self, view, n, rng):
        return view.candidates[self.by : self.by + n]

    @classmethod
    def usual(cls):
        return cls(1)


class More(Shifted):
    """Has all from above."""


class Slotted:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by

    def __call__(self):
        return self.by


def twice(function, factor):
    """Return another function under the same name."""

    @wraps(function)
    def wrapped(*arguments):
        return factor * function(*arguments)

    return wrapped


@pytest.mark.parametrize(
    "make",
    [Shifted, Slotted, lambda by: Shifted(by).choose, lambda by: update_wrapper(Shifted(by), alkit.scores.bald)],
    ids=["object", "slots", "method", "wrapper"],
)
def test_callable_objects_and_methods_with_other_parameters_differ(make):
    one, other = written_form(make(1)), written_form(make(2))
    assert opaque_parts(one)
    assert differences(json.loads(json.dumps(one)), written_form(make(1))) == []
    (line,) = differences(one, other)
    assert line.endswith("by: recorded 1, now 2")


def test_a_function_with_the_name_of_another_is_opaque():
    assert written_form(alkit.scores.bald) == {"named": "alkit.scores:bald"}
    assert opaque_parts(written_form(twice(alkit.scores.bald, 2))) == ["alkit.scores:bald"]


def test_functions_class_methods_and_decorated_functions_are_written_by_name():
    for thing in (np.median, np.maximum, len, dict.fromkeys, Shifted, Shifted.usual, alkit.synthetic.lesions):
        assert not opaque_parts(written_form(thing)), thing
    assert type(rebuild(written_form(More.usual), HERE)()) is More
    assert type(rebuild(written_form(Shifted.usual), HERE)()) is Shifted


def test_extractors_with_different_parameters_do_not_share_features(world):
    experiment = world.experiment()
    representations = Representations(world.pool, Stream(0), Store(experiment.path), quiet)
    one, other = representations.features(Shifted(0)), representations.features(Shifted(3))
    assert not np.array_equal(one, other)


def test_a_record_of_one_callable_strategy_is_not_resumed_with_another(world, tmp_path):
    store = tmp_path / "r.db"
    experiment = world.experiment(strategy=Shifted(0).choose, store=store, classes=CLASSES)
    id, *_ = ids = experiment.ask(3)
    experiment.tell({id: world.masks[id]})
    assert world.experiment(strategy=Shifted(0).choose, store=store, classes=CLASSES).open_ids == ids[1:]
    with pytest.raises(alkit.errors.ResumeError, match="by: recorded 0, now 3"):
        world.experiment(strategy=Shifted(3).choose, store=store, classes=CLASSES)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Right(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Rich:
    where: Path
    maybe: Path | None = None
    all: tuple[Path, ...] = ()
    either: str | Path = "x"
    names: frozenset[str] = frozenset()
    colour: Colour = Colour.RED
    size: Size = Size.SMALL
    numbers: list[int] = field(default_factory=list)
    table: dict[str, list[int]] = field(default_factory=dict)
    places: Mapping[Size, Path] | None = None


RICH = Rich(
    Path("a/b"), Path("c"), (Path("d"),), "e", frozenset("xyz"), Colour.BLUE, Size.LARGE, [1, 2],
    {"a": [1, 2], "b": []}, {Size.SMALL: Path("f")},
)  # fmt: skip


def test_paths_sets_enumerations_and_lists_have_the_types_that_a_dataclass_declares():
    again = rebuild(json.loads(json.dumps(written_form(RICH))), HERE)
    assert again == RICH
    for entry in fields(Rich):
        assert type(getattr(again, entry.name)) is type(getattr(RICH, entry.name)), entry.name


@pytest.mark.parametrize(
    "change",
    [{"where": Path("z")}, {"names": frozenset("xy")}, {"colour": Colour.RED}, {"size": Size.SMALL}],
    ids=lambda change: next(iter(change)),
)
def test_another_path_set_or_member_of_an_enumeration_is_a_difference(change):
    (line,) = differences(written_form(RICH), written_form(replace(RICH, **change)))
    assert line.startswith(next(iter(change)))


@given(st.frozensets(st.one_of(st.integers(), st.text(), st.booleans())))
def test_the_written_form_of_a_set_does_not_depend_on_its_order(entries):
    backwards = frozenset(reversed(list(entries)))
    assert json.dumps(written_form(entries)) == json.dumps(written_form(backwards))
    assert rebuild(json.loads(json.dumps(written_form(entries)))) == entries


def test_combined_flags_are_opaque_with_their_value():
    assert rebuild(written_form(Right.WRITE), HERE) is Right.WRITE
    both = written_form(Right.READ | Right.WRITE)
    assert opaque_parts(both)
    assert differences(both, written_form(Right.READ)) != []


def test_written_forms_in_records_and_caches_do_not_change():
    deformation = {"windows": 1000, "shuffle": 0.5, "remap": 0.9, "paint": 0.9, "inward": 0.2, "flip": 0.4}
    pretext = {
        "is": "alkit:Reconstruction",
        "with": {
            "network": {"partial": {"named": "alkit:UNet"}, "args": [], "with": {"widths": [2, 4]}},
            "epochs": 3, "batch": 16, "lr": 1e-3, "patience": 10, "hold_out": 0.1, "pooling": 2,
            "deformation": {"is": "alkit.features:Deformation", "with": deformation}, "precision": "32-true",
        },
    }  # fmt: skip
    features = alkit.Reconstruction(partial(alkit.UNet, widths=(2, 4)), epochs=3)
    assert written_form(alkit.strategy("ssl-cluster", features=features, clusters=4)) == {
        "is": "alkit_baselines.ssl_cluster:SSLCluster",
        "with": {"features": pretext, "clusters": 4},
    }
    assert written_form(alkit.strategies.Uncertainty(alkit.scores.margin))["with"]["score"] == "margin"
    assert written_form(Path("a/b")) == "a/b"
    assert written_form(Size.LARGE) == 2
