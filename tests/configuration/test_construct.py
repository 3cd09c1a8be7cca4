"""What a record from a stranger can make alkit call: registered classes, and nothing else."""

import contextlib
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import sys
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchvision
from commandline import alkit as run_command
from entry_points import point
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alkit
from alkit.configuration import build, roles, written_form
from alkit.configuration.addresses import FORMER
from alkit.configuration.parameter_changes import parameters_in_records
from alkit.configuration.parts import CLASSES, PARTS
from alkit.configuration.registry import FEATURES, LEARNERS, STOPPING_RULES
from alkit.errors import AlkitError, ConfigurationError
from alkit.labels.joining import JOINS
from alkit.record import Store

HERE = __name__
ROLES = sorted({role for role, _ in (CLASSES | roles.FUNCTIONS).values()})
SMP = "segmentation_models_pytorch.decoders.unet.model:Unet"


def record(value):
    """Return the written form of a value as a record gives it back."""
    return json.loads(json.dumps(written_form(value)))


def complete(form):
    """Return the form of an object with the defaults of the parameters that it lacks, as a record contains them."""
    known = parameters_in_records(pkgutil.resolve_name(form["is"]))
    defaults = {name: written_form(value) for name, value in known.items() if value is not inspect.Parameter.empty}
    return json.loads(json.dumps({**form, "with": {**defaults, **form["with"]}}))


def unet(*args, **given):
    return {"partial": {"named": SMP}, "args": list(args), "with": given}


def learner(network, **given):
    return {"is": "alkit:SegmentationLearner", "with": {"network": network, **given}}


# Names.

FORBIDDEN = """
os:system subprocess:run builtins:eval builtins:exec builtins:open builtins:getattr builtins:__import__ pickle:loads
torch:load torch.hub:load torch.hub:load_state_dict_from_url torch.serialization:load torchvision:models.resnet18
torchvision.models:resnet18 torchvision.models._api:get_model
torchvision._internally_replaced_utils:load_file_from_google_drive torchvision.datasets.utils:download_url
torchvision.datasets.mnist:MNIST numpy:load joblib:load functools:partial shutil:rmtree pathlib:Path
importlib:import_module runpy:run_path

segmentation_models_pytorch:from_pretrained segmentation_models_pytorch:create_model
segmentation_models_pytorch:Unet.from_pretrained segmentation_models_pytorch:encoders.get_encoder
segmentation_models_pytorch.encoders:get_encoder segmentation_models_pytorch.base.hub_mixin:from_pretrained
segmentation_models_pytorch.decoders.unet.model:Unet.from_pretrained
segmentation_models_pytorch.decoders.unet.model:torch.load segmentation_models_pytorch.decoders.fpn.model:Unet
segmentation_models_pytorch.decoders.unet.model:UnetDecoder segmentation_models_pytorch:losses.DiceLoss

alkit:predict_folder alkit:export_model alkit:trained_model alkit:Experiment alkit:Experiment.open alkit:strategy
alkit:highest alkit:ArrayPool alkit:MaskOracle alkit:LabelOracle alkit:FolderOracle alkit:LabelStudioOracle alkit:Query
alkit:Answer alkit:RoundResult alkit:NoSuchThing alkit:__version__ alkit:pools alkit:scores
alkit:pools.folder.ImagePool alkit.record:Store alkit.report:learning_curves alkit.report:write_page
alkit.features:kmeans alkit.features:find_duplicates alkit.features:extractor alkit.synthetic:lesions
alkit.synthetic:write_lesions alkit.statistics:aubc alkit.rng:Stream alkit.values:Skip alkit.strategies:read_strategy
alkit.strategies:top_k alkit.strategies:cluster_order alkit.labels:read_mask alkit.stopping:rule
alkit.configuration:build alkit.configuration:rebuild alkit.scores:score_function alkit.testing:Brightness

alkit:ImagePool.__init__ alkit:ImagePool.split alkit:ImagePool.__class__ alkit:UNet.__init__
alkit:UNet.forward.__globals__ alkit:UNet.__subclasses__ alkit.scores:bald.__globals__ alkit.scores:bald.__wrapped__
alkit.labels:staple.__builtins__ alkit:LabelSpec.__init__.__globals__ alkit.record:Terms.__class__.__mro__ alkit: :UNet
UNet alkit.networks.unet:UNet alkit.networks.unet:torch alkit.networks.unet:nn.Module alkit._files:write_atomically
alkit._files:os.system alkit._files:os alkit.record.database:sqlite3.connect
alkit.configuration.construct:importlib.import_module alkit.cli:main alkit.cli.demo:demo alkit.labels._staple:_serve
alkit.labels._staple:subprocess.Popen alkit.pools.folder:ImagePool alkit.features.reconstruction:torch.load

alkit_baselines:Random alkit_baselines.random:np.load alkit_baselines.random:Random.select alkit_baselines.random
alkit_baselines.ssl_cluster:_reconstruction alkit_baselines.ssl_cluster:SSLCluster.__init__ __main__:network
my_script:network
""".split()


def calls(address):
    """Yield forms that name an address alone for each role, then within others; and the role that each is read for."""
    forms = {"named": address}, {"partial": {"named": address}, "args": [], "with": {}}, {"is": address, "with": {}}
    return [*((form, role) for role in ROLES for form in forms)], [*nested_calls(address, *forms)]


def nested_calls(address, *forms):
    for form in (*forms, {"partial": {"named": address}, "args": ["x"], "with": {"y": 1}}):
        yield learner(form), "learner"
        yield learner({"partial": {"named": "alkit:UNet"}, "args": [], "with": {"widths": [4, form]}}), "learner"
        yield learner({"partial": {"named": "alkit.networks:SmpNetwork"}, "args": [form], "with": {}}), "learner"
        yield learner(unet("resnet18", encoder_weights=None, activation=form)), "learner"
        yield learner(unet(form, encoder_weights=None)), "learner"
        yield learner({"named": "alkit:UNet"}, warm_start=form), "learner"
        yield learner({"named": "alkit:UNet"}, epochs=[form, 1]), "learner"
        yield learner({"named": "alkit:UNet"}, epochs={"set": [form]}), "learner"
        yield learner({"named": "alkit:UNet"}, epochs={"items": [[1, form]]}), "learner"
        yield learner({"named": "alkit:UNet"}, epochs={"items": [[form, 1]]}), "learner"
        yield {"is": "alkit:Ensemble", "with": {"learner": form}}, "learner"
        yield {"is": "alkit:EstimatorLearner", "with": {"estimator": form}}, "learner"
        yield {"is": "alkit:EstimatorLearner", "with": {"estimator": None, "rows": form}}, "learner"
        yield {"is": "alkit.strategies:Uncertainty", "with": {"score": form}}, "strategy"
        yield {"is": "alkit.strategies:Uncertainty", "with": {"score": "bald", "reduction": form}}, "strategy"
        yield {"is": "alkit.strategies:FromFunction", "with": {"function": form}}, "strategy"
        yield {"is": "alkit.strategies:Mix", "with": {"parts": {"items": [[form, 1]]}}}, "strategy"
        yield {"is": "alkit_baselines.mc_dropout:MCDropout", "with": {"score": form}}, "strategy"
        yield {"is": "alkit_baselines.ssl_cluster:SSLCluster", "with": {"features": form}}, "strategy"
        yield {"is": "alkit:ImagePool", "with": {"path": form}}, "pool"
        yield {"is": "alkit.pools:Subset", "with": {"pool": form, "ids": []}}, "pool"
        yield {"is": "alkit:DatasetPool", "with": {"dataset": [form], "ids": []}}, "pool"
        yield {"is": "alkit.record:Terms", "with": {"join": form}}, "set of terms"
        yield {"is": "alkit:LabelSpec", "with": {"classes": [form]}}, "label specification"


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_is_not_registered_is_refused_everywhere_by_its_name(address):
    alone, nested = calls(address)
    # Each address is tried in a tenth of the places, and each place with a tenth of the addresses.
    for form, role in [*alone, *nested[FORBIDDEN.index(address) % 10 :: 10]]:
        with pytest.raises(ConfigurationError) as refusal:
            build(form, role)
        assert address in str(refusal.value), form
        assert " that a record may name" in str(refusal.value), form


@pytest.mark.parametrize("address", sorted(FORMER))
def test_a_former_address_is_worth_as_much_as_the_present_one(address):
    present = FORMER[address]
    registered = CLASSES.get(present) or roles.FUNCTIONS.get(present)
    for role in ROLES:
        allowed = registered is not None and registered[0] == role
        for form in ({"named": address}, {"is": address, "with": {}}):
            if not allowed:
                with pytest.raises(ConfigurationError, match=f"{present} is not a {role} that a record may name"):
                    build(form, role)
        if allowed and present in roles.FUNCTIONS:
            assert build({"named": address}, role) is build({"named": present}, role)


@pytest.mark.parametrize("address", sorted(CLASSES | roles.FUNCTIONS))
def test_a_registered_name_is_refused_for_every_other_role(address):
    own, _ = (CLASSES | roles.FUNCTIONS)[address]
    for role in {*ROLES, roles.DATA} - {own}:
        for form in (
            {"named": address},
            {"is": address, "with": {}},
            {"partial": {"named": address}, "args": [], "with": {}},
        ):
            with pytest.raises(ConfigurationError, match=f"{address} is not a {role} that a record may name"):
                build(form, role)


@pytest.mark.parametrize("address", sorted(CLASSES))
def test_a_record_holds_objects_of_a_class_and_never_the_class_or_a_call_of_it(address):
    for form in ({"named": address}, {"partial": {"named": address}, "args": [], "with": {}}):
        with pytest.raises(ConfigurationError, match=f"{address} is a class"):
            build(form, CLASSES[address][0])


@pytest.mark.parametrize("address", sorted(roles.FUNCTIONS))
def test_a_function_is_given_and_never_called(address):
    with pytest.raises(ConfigurationError, match=f"{address} must be a dataclass"):
        build({"is": address, "with": {}}, roles.FUNCTIONS[address][0])


def test_every_registered_name_is_public_and_written_as_it_is_registered():
    for address, (_, takes) in (CLASSES | roles.FUNCTIONS).items():
        found = roles.find_registered(address, (CLASSES | roles.FUNCTIONS)[address][0]).thing
        assert written_form(found) == {"named": address}
        if address in CLASSES:
            assert takes.keys() <= {entry.name for entry in fields(found)}
        module, _, name = address.partition(":")
        if address != "alkit.learners.estimators:flattened":
            space = importlib.import_module(module)
            assert name in getattr(space, "__all__", vars(space))


def test_every_score_join_rule_and_part_of_strategy_files_is_registered():
    functions = [*alkit.scores.SCORES.values(), *JOINS.values()]
    assert {written_form(function)["named"] for function in functions} <= roles.FUNCTIONS.keys()
    parts = [pkgutil.resolve_name(address) for name, address in PARTS.items() if name != "mix"]
    assert {written_form(part)["named"] for part in [*parts, alkit.strategies.Mix]} <= CLASSES.keys()


# Arguments.


@pytest.mark.parametrize(
    ("form", "role", "words"),
    [
        (learner({"named": "alkit:UNet"}, device="cuda"), "learner", "device of alkit:SegmentationLearner says where"),
        ({"is": "alkit:ImagePool", "with": {"path": "x", "cache": "/etc"}}, "pool", "cache of alkit:ImagePool says"),
        ({"is": "alkit:ImagePool", "with": {"path": "x", "report": None}}, "pool", "no parameter 'report'"),
        ({"is": "alkit:ImagePool", "with": {"path": "x", "ids": []}}, "pool", "no parameter 'ids'"),
        ({"is": "alkit:ImagePool", "with": {"path": "x", "_kept": []}}, "pool", "no parameter '_kept'"),
        ({"is": "alkit:Reconstruction", "with": {"cache": "/etc"}}, "feature extractor", "cache of alkit"),
        (learner({"named": "alkit:UNet"}, warm_start={"is": "alkit:Reconstruction", "with": {"device": "cpu"}}),
         "learner", "warm_start: device of alkit:Reconstruction says where"),
        ({"is": "alkit:Ensemble", "with": {"learner": learner({"named": "alkit:UNet"}, device="cpu")}},
         "learner", "learner: device of"),
        ({"is": "alkit:LabelSpec", "with": {"clases": []}}, "label specification", "no parameter 'clases'"),
        ({"is": "alkit:LabelSpec", "with": {"__class__": 1}}, "label specification", "no parameter '__class__'"),
        ({"is": "alkit:LabelSpec", "with": {}}, "label specification", "alkit:LabelSpec cannot be made .TypeError"),
        ({"partial": {"named": "alkit:UNet"}, "args": [], "with": {"x": 1}}, "network", "no other parameter 'x'"),
        ({"partial": {"named": "alkit:UNet"}, "args": [1], "with": {"in_channels": 1}}, "network", "no other"),
        ({"partial": {"named": "alkit:UNet"}, "args": [1] * 9, "with": {}}, "network", "has only 5 parameters: got 9"),
        ({"named": SMP}, "network", "encoder_weights of Unet in a record must be None.*got 'the default'"),
        (unet("resnet18"), "network", "encoder_weights of Unet .*got 'the default'"),
        (unet("resnet18", encoder_weights="imagenet"), "network", "encoder_weights of Unet .*got 'imagenet'"),
        (unet("resnet18", 5, "imagenet"), "network", "encoder_weights of Unet"),
        (unet("resnet18", encoder_weights=False), "network", "encoder_weights of Unet"),
        (unet("tu-hf-hub:a/b", encoder_weights=None), "network", "encoder_name of Unet must be a name of letters"),
        (unet("tu-local-dir:/tmp/x", encoder_weights=None), "network", "encoder_name of Unet"),
        (unet("https://x", encoder_weights=None), "network", "encoder_name of Unet"),
        (unet(["resnet18"], encoder_weights=None), "network", "encoder_name of Unet"),
        (unet(encoder_weights=None, activation="x"), "network", "activation of Unet is unknown: got 'x'"),
        (unet(encoder_weights=None, activation={"items": []}), "network", "activation of Unet is unknown"),
        (unet(encoder_weights=None, checkpoint_path="x.pth"), "network", "no other parameter 'checkpoint_path'"),
        (unet(encoder_weights=None, pretrained=True), "network", "no other parameter 'pretrained'"),
        (unet(encoder_weights=None, kwargs=True), "network", "no other parameter 'kwargs'"),
        (learner({"partial": {"named": "alkit.networks:SmpNetwork"}, "args": [unet("resnet18")], "with": {}}),
         "learner", r"network\.model: encoder_weights of Unet"),
    ],
    ids=str,
)  # fmt: skip
def test_an_argument_that_a_record_may_not_give_is_refused_by_its_name(form, role, words):
    with pytest.raises(ConfigurationError, match=words):
        build(form, role)


@pytest.mark.parametrize(
    "form",
    [
        {}, {"is": "alkit:Dropout"}, {"with": {}}, {"is": ["alkit:Dropout"], "with": {}}, {"is": None, "with": {}},
        {"is": "alkit:Dropout", "with": []}, {"is": "alkit:Dropout", "with": {}, "args": []}, {"named": 3},
        {"named": ["alkit:UNet"]}, {"named": "alkit:UNet", "with": {}}, {"set": 3}, {"set": [], "is": "alkit:Dropout"},
        {"items": [1]}, {"items": [[1]]}, {"items": {"a": 1}}, {"partial": "alkit:UNet", "args": [], "with": {}},
        {"partial": {"named": "alkit:UNet"}}, {"partial": {"named": "alkit:UNet"}, "args": {}, "with": {}},
        {"partial": {"is": "alkit:Dropout", "with": {}}, "args": [], "with": {}}, {"call": "os:system"},
        {"partial": {"partial": {"named": "os:system"}, "args": [], "with": {}}, "args": [], "with": {}},
        {"partial": {"named": "alkit:UNet", "is": "x"}, "args": [], "with": {}}, object(), {"set": [{"items": []}]},
        {"items": [[{"items": []}, 1]]}, functools.reduce(lambda inner, _: [inner], range(9999), []),
    ],
    ids=lambda form: str(form)[:60] if isinstance(form, dict) else type(form).__name__,
)  # fmt: skip
def test_a_malformed_form_is_an_error_of_alkit(form):
    for role in ("sampler", "network", "strategy"):
        with pytest.raises(ConfigurationError):
            build(form, role)


@pytest.mark.parametrize("role", ["pool", "learner", "strategy", "metric", "set of terms"])
@pytest.mark.parametrize("form", [None, True, 3, 1.5, "a", [], [3]])
def test_a_plain_value_is_no_part_of_an_experiment(form, role):
    with pytest.raises(ConfigurationError, match=f"is not a {role} that a record may name"):
        build(form, role)


def test_an_opaque_part_is_refused_by_its_name():
    inside = {"opaque": "sklearn.svm:SVC", "with": {"named": "os:system"}}
    for form in (inside, [inside], {"partial": inside, "args": [], "with": {}}):
        with pytest.raises(ConfigurationError, match=r"sklearn\.svm:SVC cannot be imported by its name"):
            build(form, "learner")


def test_a_refusal_is_one_short_line_without_control_characters():
    for name in ("a:\x1b[2J\nb", "a:" + "x" * 9999, "\u202e:b"):
        for form in ({"named": name}, {"is": "alkit:Dropout", "with": {name: 1}}, {"opaque": name}, {name: 1}):
            with pytest.raises(ConfigurationError) as refusal:
                build(form, "sampler")
            assert str(refusal.value).isprintable()
            assert len(str(refusal.value)) <= 400


def test_nothing_is_called_or_imported_before_the_whole_form_is_checked(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(alkit.ImagePool, "__post_init__", lambda self, report: made.append(self))
    pool = complete({"is": "alkit:ImagePool", "with": {"path": "x"}})
    form = {"is": "alkit.pools:Subset", "with": {"pool": pool, "ids": [{"named": "antigravity:fly"}]}}
    with pytest.raises(ConfigurationError, match="ids: antigravity:fly is not a value"):
        build(form, "pool")
    assert not made
    assert "antigravity" not in sys.modules


# What stays possible.


@pytest.mark.parametrize(
    "network",
    [
        alkit.UNet,
        functools.partial(alkit.UNet, widths=(2, 4), heads={2: 0.1}),
        functools.partial(alkit.UNet, 1, 2, (2, 4)),
    ],
)
def test_networks_and_learners_of_alkit_are_built_from_a_record(network):
    built = build(record(alkit.SegmentationLearner(network, warm_start=alkit.Reconstruction(network))), "learner")
    assert record(built) == record(alkit.SegmentationLearner(network, warm_start=alkit.Reconstruction(network)))


@pytest.mark.parametrize("name", roles.SMP_MODELS)
def test_every_model_of_smp_without_weights_is_built_from_a_record(name):
    import segmentation_models_pytorch as smp

    made = alkit.SegmentationLearner(functools.partial(getattr(smp, name), "resnet18", encoder_weights=None))
    assert build(record(made), "learner").network.func is getattr(smp, name)
    assert record(build(record(made), "learner")) == record(made)


def test_a_function_in_a_script_of_the_users_is_refused_with_the_argument_to_pass(world, tmp_path):
    made = alkit.SegmentationLearner(network_of_the_users, epochs=(1, 1))
    world.experiment(tmp_path / "r.db", learner=made, classes=("skin", "lesion")).ask(2)
    words = rf"learner \(network: {HERE}:network_of_the_users is not a network that a record may name\).*pass learner="
    with pytest.raises(ConfigurationError, match=words):
        alkit.Experiment.open(tmp_path / "r.db", pool=world.pool)
    assert alkit.Experiment.open(tmp_path / "r.db", pool=world.pool, learner=made).learner == made


@pytest.mark.parametrize(
    "function", [os.system, torch.hub.load_state_dict_from_url, torchvision.models.get_model, alkit.export_model]
)
def test_a_record_with_a_call_in_it_is_refused_at_every_opening(world, tmp_path, function, capsys):
    store, name = tmp_path / "r.db", written_form(function)["named"]
    made = alkit.SegmentationLearner(functools.partial(function, f"file://{tmp_path}/x"), epochs=(1, 1))
    plain = alkit.SegmentationLearner(functools.partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    world.experiment(store, learner=plain, classes=("skin", "lesion")).ask(2)
    with contextlib.closing(Store(store)) as written:
        for fact in ("configuration", "declared"):
            written.revise(fact, lambda before: {**before, "learner": record(made)})
    with pytest.raises(ConfigurationError, match=f"network: {name} is not a network that a record may name"):
        alkit.Experiment.open(store, pool=world.pool)
    with pytest.raises(ConfigurationError, match=f"network: {name} is not a network that a record may name"):
        build(record(made), "learner")
    for command in (["ask", str(store), "-n", "2"], ["fit", str(store)], ["predict", str(store), str(tmp_path)]):
        assert run_command(*command) != 0
    assert name in capsys.readouterr().err


def network_of_the_users(in_channels, classes):
    return alkit.UNet(in_channels, classes, (2, 4))


# Plugins.


class Mood(Enum):
    CALM = (1,)
    WILD = (2,)


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Distance:
    inner: Inner = Inner()


def near(a, b):
    return abs(a - b)


@dataclass(frozen=True)
class Plugged:
    """A strategy of a plugin, with parts of its own."""

    distance: Distance | None = None
    table: dict[str, Inner] = field(default_factory=dict)
    mood: Mood = Mood.CALM
    measure: object = near
    anything: object = None

    def select(self, view, n, rng):
        return alkit.Selection(tuple(view.candidates[:n]))


@dataclass(frozen=True)
class Undeclared:
    """A dataclass of the package that no plugin declares."""


@dataclass(frozen=True)
class Made:
    """A strategy that a registered function makes."""

    k: int = 1


def make(k: int = 1) -> Made:
    return Made(k)


def undeclared(*args, **kwargs):
    raise AssertionError("this was called")


RICH = Plugged(Distance(Inner(3)), {"a": Inner(2)}, Mood.WILD, functools.partial(near, b=1), alkit.Dropout(3))


@pytest.fixture
def plugged(installed):
    installed(
        point("rich", "a", f"{HERE}:Plugged"),
        point("made", "a", f"{HERE}:make"),
        point("random", "alkit"),
        point("mc-dropout", "alkit", "alkit_baselines.mc_dropout:MCDropout"),
    )


@pytest.mark.usefixtures("plugged")
def test_a_plugin_and_the_parts_that_it_declares_are_built_from_a_record():
    again = build(record(RICH), "strategy")
    assert record(again) == record(RICH)
    assert (again.distance, again.table, again.mood, again.anything) == (
        RICH.distance,
        RICH.table,
        RICH.mood,
        RICH.anything,
    )
    assert build(record(Made(3)), "strategy") == Made(3)
    mixed = alkit.strategies.Then(Plugged(), alkit.strategies.FromFunction(make), after=3)
    assert record(build(record(mixed), "strategy")) == record(mixed)


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("name", ["Undeclared", "undeclared", "Distance.__init__", "alkit.Experiment", "Mood", "RICH"])
def test_what_a_plugin_does_not_declare_is_refused(name):
    for inner in ({"is": f"{HERE}:{name}", "with": {}}, {"named": f"{HERE}:{name}"}):
        for form in (inner, {"is": f"{HERE}:Plugged", "with": {"anything": inner}}):
            with pytest.raises(
                ConfigurationError, match=f"{HERE}:{name} is not a (strategy|part) that a record may name"
            ):
                build(form, "strategy")


def test_a_plugin_that_is_not_installed_any_more_is_refused(installed):
    installed()
    with pytest.raises(ConfigurationError, match=f"{HERE}:Plugged is not a strategy that a record may name"):
        build(record(RICH), "strategy")


@pytest.mark.usefixtures("plugged")
def test_a_plugin_gets_no_pool_and_a_part_is_not_a_strategy(tmp_path):
    pool = {"is": "alkit:ImagePool", "with": {"path": str(tmp_path)}}
    with pytest.raises(ConfigurationError, match="anything: alkit:ImagePool is not a part"):
        build({"is": f"{HERE}:Plugged", "with": {"anything": pool}}, "strategy")
    with pytest.raises(ConfigurationError, match=f"{HERE}:Distance is not a strategy"):
        build({"is": f"{HERE}:Distance", "with": {}}, "strategy")


def test_a_plugin_has_the_role_of_its_group(installed):
    for group, role in ((FEATURES, "feature extractor"), (LEARNERS, "learner"), (STOPPING_RULES, "stopping rule")):
        installed(point("rich", "a", f"{HERE}:Plugged", group.name))
        assert build(record(Plugged()), role) == Plugged()
        with pytest.raises(ConfigurationError, match="Plugged is not a strategy"):
            build(record(Plugged()), "strategy")


@dataclass
class Unhashable:
    """A plugin that is an object with equality, and so without a hash."""

    n: int = 1

    def __call__(self):
        return Plugged()


UNHASHABLE = Unhashable()


def test_an_object_without_a_hash_may_be_registered_beside_others(installed):
    installed(point("first", "a", f"{HERE}:UNHASHABLE"), point("rich", "a", f"{HERE}:Plugged"))
    assert build(record(Plugged()), "strategy") == Plugged()


def test_a_plugin_that_cannot_be_imported_is_named_in_the_refusal(installed):
    installed(point("gone", "a", "no_such_module:Thing"))
    with pytest.raises(
        ConfigurationError, match=r"no_such_module:Thing is not a strategy .*strategy 'gone' of a cannot"
    ):
        build({"is": "no_such_module:Thing", "with": {}}, "strategy")


# Any form.

TRAP = "trap_of_this_test"
ADDRESSES = [
    *CLASSES, *roles.FUNCTIONS, *FORMER, *FORBIDDEN, SMP, "segmentation_models_pytorch:FPN",
    *(f"{TRAP}:{name}" for name in ("call", "Trap", "Trap.call")),
    *(f"{HERE}:{name}" for name in ("Plugged", "Inner", "make", "Undeclared", "undeclared")),
    *(f"alkit:{name}" for name in alkit.__all__),
    "alkit_baselines.random:Random", "alkit_baselines.mc_dropout:MCDropout",
]  # fmt: skip
NAMES = sorted({
    "model", "encoder_weights", "encoder_name", "activation", "anything", "distance", "path", "classes", "widths",
    "draws", "with", "is", "__class__",
    *(name for _, takes in (CLASSES | roles.FUNCTIONS).values() for name in takes),
})  # fmt: skip
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.floats(), st.text(max_size=5))


def forms(inner):
    addresses, given = st.sampled_from(ADDRESSES), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda entries: {"set": entries}, st.lists(inner, max_size=2)),
        st.builds(lambda pairs: {"items": pairs}, st.lists(st.tuples(inner, inner).map(list), max_size=2)),
        st.builds(lambda name: {"named": name}, addresses),
        st.builds(lambda name, given: {"is": name, "with": given}, addresses, given),
        st.builds(
            lambda name, args, given: {"partial": {"named": name}, "args": args, "with": given},
            addresses, st.lists(inner, max_size=2), given,
        ),
        st.dictionaries(st.sampled_from(["is", "named", "partial", "args", "with", "set", "items"]), inner, max_size=3),
    )  # fmt: skip


def places(form, place=()):
    """Yield the path of every part of a form."""
    yield place
    entries = form.items() if isinstance(form, dict) else enumerate(form) if isinstance(form, list) else ()
    for key, entry in entries:
        yield from places(entry, (*place, key))


def replaced(form, place, by):
    """Return a copy of a form with another part at one place."""
    if not place:
        return by
    copied = form.copy()
    copied[place[0]] = replaced(form[place[0]], place[1:], by)
    return copied


SOUND = [
    ("strategy", record(alkit.strategies.Then(alkit.strategy("random"), alkit.strategy("mc-dropout"), after=3))),
    ("strategy", record(alkit.strategies.Mix({alkit.strategies.Uncertainty("bald", alkit.Dropout(2)): 1}))),
    ("strategy", record(alkit.strategies.FromFunction(functools.partial(make, k=2)))),
    ("strategy", record(RICH)),
    ("learner", record(alkit.Ensemble(alkit.SegmentationLearner(functools.partial(alkit.UNet, widths=(2, 4)))))),
    ("learner", complete(learner({
        "partial": {"named": "alkit.networks:SmpNetwork"}, "args": [unet("resnet18", encoder_weights=None)],
        "with": {"heads": {"items": [[2, 0.1]]}},
    }))),
    ("learner", record(alkit.SegmentationLearner(warm_start=alkit.Reconstruction()))),
    ("pool", {"is": "alkit.pools:Subset", "with": {
        "pool": complete({"is": "alkit:ImagePool", "with": {"path": "nowhere"}}), "ids": ["a"],
    }}),
    ("set of terms", record(alkit.record.Terms(2, alkit.labels.majority))),
    ("label specification", record(alkit.LabelSpec(("a", "b"), 255))),
]  # fmt: skip
ANY = st.recursive(PLAIN, forms, max_leaves=8)
CHANGED = st.sampled_from(SOUND).flatmap(
    lambda sound: st.tuples(
        st.just(sound[0]), st.builds(replaced, st.just(sound[1]), st.sampled_from(list(places(sound[1]))), ANY)
    )
)


def called_by_construct(form, role):
    """Return the code of every Python function that the module called to build a form, and every builtin."""
    code, builtins = set(), set()
    watched = roles.__file__.replace("roles.py", "construct.py")

    def watch(frame, event, argument):
        if event == "call" and frame.f_back is not None and frame.f_back.f_code.co_filename == watched:
            code.add(frame.f_code)
        if event == "c_call" and frame.f_code.co_filename == watched:
            builtins.add(argument.__name__)

    before = sys.getprofile()
    gc.disable()  # its callbacks may run anywhere
    sys.setprofile(watch)
    try:
        build(form, role)
    except AlkitError:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    return code, builtins


@pytest.fixture(scope="module")
def registered_code():
    """Return the code of the constructors of registered dataclasses, and of their hashes as keys of a mapping."""
    classes = [roles.find_registered(address, role).thing for address, (role, _) in CLASSES.items()]
    baselines = [point.load() for point in alkit.strategies.installed().values()]
    methods = [
        method
        for kind in (*classes, *baselines, Plugged, Distance, Inner, Made)
        for method in (kind.__init__, kind.__hash__)
    ]
    return {getattr(method, "__code__", None) for method in methods}


@pytest.fixture(scope="module")
def trap():
    """Put a module whose functions fail when they are called where an import would find it."""
    module = ModuleType(TRAP)
    module.call = module.Trap = undeclared
    sys.modules[TRAP] = module
    yield
    del sys.modules[TRAP]


BUILTINS = set(
    """
__init__ __new__ all append callable get getattr hasattr isinstance isprintable issubclass items join len lstrip partial
partition range repr replace type values zip
""".split()
)


@pytest.mark.usefixtures("plugged", "trap")
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(CHANGED, st.tuples(st.sampled_from(ROLES), ANY)))
def test_no_form_calls_anything_but_constructors_of_registered_classes(registered_code, case):
    role, form = case
    code, builtins = called_by_construct(form, role)
    folder, standard = str(Path(roles.__file__).parent), str(Path(functools.__file__).parent)
    for one in code - registered_code:
        file = one.co_filename
        assert file.startswith((folder, alkit.errors.__file__, standard)), one
        assert "site-packages" not in file, one
    assert builtins <= BUILTINS


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(("role", "form"), SOUND, ids=str)
def test_the_search_starts_from_sound_forms_and_sees_their_constructors(registered_code, role, form):
    if role != "pool":  # its folder does not exist
        build(form, role)
    code, _ = called_by_construct(form, role)
    assert code & registered_code
