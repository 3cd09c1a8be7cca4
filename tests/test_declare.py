import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import alkit
from alkit.declare import built, differences, opaque_parts, runtime, written


@dataclass(frozen=True)
class Part:
    rate: float = 0.5
    inner: object = None
    device: str = runtime("auto")


HERE = {"alkit", "alkit_baselines", __name__.partition(".")[0]}


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 0.1, "text", (1, ("a", 2.5)), {"a": (1, 2)}, {0: 1, 255: 2}, alkit.UNet, Part(0.1, Part(0.2)),
        alkit.LabelSpec(("a", "b"), 255), alkit.strategy("random"), alkit.Reconstruction(epochs=3),
        alkit.SegmentationLearner(epochs=(3, 4), warm_start=alkit.Reconstruction()),
    ],
)  # fmt: skip
def test_what_is_written_can_be_built_again_and_passes_through_json(value):
    assert built(json.loads(json.dumps(written(value))), HERE) == value


def test_a_partial_comes_back_with_its_arguments():
    again = built(written(partial(alkit.UNet, widths=(2, 4))), HERE)
    assert (again.func, again.args, again.keywords) == (alkit.UNet, (), {"widths": (2, 4)})


def test_runtime_fields_are_not_written_and_do_not_count():
    assert written(Part(device="cuda")) == written(Part())
    assert Part(device="cuda") == Part()


@pytest.mark.parametrize("value", [lambda: 0, np.zeros(2), Part(inner=lambda: 0), [object()]])
def test_what_has_no_name_is_opaque_and_cannot_be_built(value):
    form = written(value)
    assert opaque_parts(json.loads(json.dumps(form)))
    with pytest.raises(alkit.ConfigurationError, match="not declared by a name"):
        built(form, HERE)


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "builtins:eval"])
def test_a_record_cannot_name_just_any_function(name):
    with pytest.raises(alkit.ConfigurationError, match="not of a package"):
        built({"partial": {"named": name}, "args": [], "with": {}}, HERE)


@pytest.mark.parametrize(
    "name", ["alkit.files:os.system", "alkit.store:sqlite3.connect", "alkit.files:os", "alkit.store:json"]
)
def test_what_a_trusted_module_imports_is_not_trusted(name, tmp_path):
    for form in ({"is": name, "with": {}}, {"named": name}, {"partial": {"named": name}, "args": [], "with": {}}):
        with pytest.raises(alkit.ConfigurationError, match=r"another package|nothing a record"):
            built(form)


def test_a_function_is_not_called_to_build_a_value(tmp_path):
    form = {"is": "alkit.files:write_atomically", "with": {"path": str(tmp_path / "file"), "content": "x"}}
    with pytest.raises(alkit.ConfigurationError, match="nothing a record is made of"):
        built(form)
    assert not list(tmp_path.iterdir())


def test_the_parameters_of_an_estimator_count_those_inside_it_too():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    one, other = (written(make_pipeline(StandardScaler(), LogisticRegression(C=c))) for c in (1.0, 2.0))
    assert opaque_parts(one)
    assert differences(one, other)
    assert differences(one, json.loads(json.dumps(one))) == []


def test_a_name_that_is_gone_is_an_error_of_ours():
    with pytest.raises(alkit.ConfigurationError, match="cannot be found"):
        built({"is": "alkit.types:NoSuchThing", "with": {}})


def test_differences_of_kind_are_one_line_and_arrays_count_by_content():
    old, new = written(alkit.strategy("random")), written(alkit.strategy("ssl-cluster"))
    assert differences({"strategy": old}, {"strategy": new}) == ["strategy: recorded Random, now SSLCluster"]
    assert differences(written(np.zeros(2)), written(np.ones(2)))
    assert differences(written(np.zeros(2)), written(np.zeros(2))) == []
    one, other = (written(partial(alkit.UNet, widths=(2, n))) for n in (4, 8))
    assert differences({"network": one}, {"network": other}) == ["network.widths: recorded [2, 4], now [2, 8]"]


def test_differences_name_the_field_and_both_values():
    old, new = written(Part(0.1, alkit.UNet)), written(Part(0.2, alkit.UNet))
    assert differences(old, new) == ["rate: recorded 0.1, now 0.2"]
    assert differences(old, old) == []
    (line,) = differences(written(Part(inner=alkit.UNet)), written(Part(inner=alkit.MaskOracle)))
    assert "UNet" in line
    assert "MaskOracle" in line
    assert differences({"a": 2, "b": 1}, {"b": 1}) == ["a: recorded 2, now None"]
