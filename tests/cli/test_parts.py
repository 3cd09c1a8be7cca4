"""Options of `alkit run` and `alkit start` that choose the strategy, the features and the learner."""

import json
import sys
from dataclasses import dataclass
from functools import partial

import pytest
from commandline import alkit as run_command
from entry_points import point
from parts import MeanLearner

import alkit
from alkit.cli import recipes
from alkit.cli.kept_options import TYPED, save_choice, with_former_defaults
from alkit.cli.parts import Choice, make_strategy
from alkit.cli.recipes import recipe_in_words
from alkit.configuration import registry, written_form
from alkit.record import Store
from alkit.testing import RowMeans

UNET = partial(alkit.UNet, widths=(32, 64, 128, 256, 512))
HERE = __name__


@dataclass(frozen=True)
class Columns(RowMeans):
    """Describe an image by columns."""

    step: int = 1
    device: str = "?"


class Nothing:
    """Do nothing."""


def told(capsys, *arguments):
    """Return what the command line prints."""
    assert run_command(*arguments) == 0
    return capsys.readouterr().out


@pytest.fixture
def plugins(installed):
    """Install a feature extractor and a learner besides those of alkit."""
    own = [it for group in registry.GROUPS for it in registry.entry_points(group=group.name)]
    features, learners = registry.FEATURES.name, registry.LEARNERS.name
    installed(
        *own,
        point("columns", "plug", f"{HERE}:Columns", features),
        point("nothing", "plug", f"{HERE}:Nothing", features),
        point("mean", "plug", f"{HERE}:MeanLearner", learners),
        point("nothing", "plug", f"{HERE}:Nothing", learners),
    )


def test_the_defaults_are_the_recommended_learner_strategy_and_features():
    learner, strategy, initial = Choice().make("cpu")
    assert written_form(learner) == written_form(alkit.learners.strong())
    assert learner.device == strategy.features.device == "cpu"
    assert written_form(strategy) == written_form(alkit.strategy("maxherding", features=alkit.features.Pretrained()))
    assert initial is None


def test_the_recipe_of_the_paper_trains_a_plain_u_net():
    learner = Choice(recipe="paper").make("cpu").learner
    assert written_form(learner) == written_form(alkit.learners.paper(UNET, epochs=(30, 10), lr=1e-3))
    shorter = Choice(recipe="paper", steps="5,2").make("cpu").learner
    assert (shorter.steps, shorter.epochs) == ((5, 2), None)


def test_the_recommended_learner_without_a_pre_trained_encoder_trains_a_u_net(monkeypatch):
    for choice in (Choice(widths="32,64,128,256,512"), Choice(features="reconstruction", warm_start=True)):
        assert written_form(choice.make("cpu").learner.network) == written_form(UNET)
    (line,) = recipe_in_words(None, Choice().make("cpu").learner, plain=False)
    assert line == "Learner: strong, a U-Net with a pre-trained encoder; 300 steps in the first round."
    monkeypatch.setattr(recipes, "has_encoder", lambda: False)
    learner = Choice().make("cpu").learner
    assert written_form(learner) == written_form(alkit.learners.strong(UNET))
    (line,) = recipe_in_words(None, learner, plain=False)
    assert "without a pre-trained encoder (pip install 'alkit[pretrained]' installs one)" in line


def test_a_record_keeps_the_learner_that_its_options_meant_when_it_was_created():
    before, later = {"learner": "segmentation"}, {"recipe": "strong", "encoder": True}
    assert [with_former_defaults(Choice(), typed).recipe for typed in (None, before, later)] == ["paper", "paper", None]
    assert with_former_defaults(Choice(recipe="strong"), before).recipe == "strong"
    assert with_former_defaults(Choice(), {**later, "encoder": False}).widths == "32,64,128,256,512"
    assert with_former_defaults(Choice(), later).widths is None
    assert with_former_defaults(Choice(widths="2,4"), {**later, "encoder": False}).widths == "2,4"


def test_ssl_cluster_keeps_the_reconstruction_of_the_u_net():
    strategy = Choice("ssl-cluster").make("cpu").strategy
    assert written_form(strategy) == written_form(
        alkit.strategy("ssl-cluster", features=alkit.Reconstruction(UNET, epochs=100))
    )


def test_options_and_parameters_reach_their_part():
    choice = Choice(
        strategy="ssl-cluster",
        initial="random",
        widths="2,4",
        epochs="3,1",
        lr=0.5,
        pretext_epochs=7,
        warm_start=True,
        param=["clusters=5", "learner.batch=4", "features.pooling=1"],
    )
    learner, strategy, initial = choice.make()
    network = partial(alkit.UNet, widths=(2, 4))
    features = alkit.Reconstruction(network, epochs=7, pooling=1)
    assert written_form(strategy) == written_form(alkit.strategy("ssl-cluster", features=features, clusters=5))
    assert written_form(learner) == written_form(
        alkit.learners.strong(network, epochs=(3, 1), lr=0.5, batch=4, warm_start=features)
    )
    assert initial == alkit.strategy("random")


def test_a_strategy_gets_the_ensemble_or_the_heads_that_it_needs():
    assert Choice("ensemble-s", members=3).make().learner.members == 3
    assert Choice("dsal").make().learner.network.keywords["heads"]


def test_an_option_gives_any_strategy_an_ensemble_so_that_strategies_are_compared_with_one_learner(tmp_path):
    ours, theirs = (Choice(name, members=3, widths="2,4").make().learner for name in ("random", "ensemble-js"))
    assert written_form(ours) == written_form(theirs)
    assert ours.members == 3
    single = Choice("random", members=1, widths="2,4").make()
    assert written_form(single.learner) == written_form(ours.learner)
    record = Store(tmp_path / "r.db")
    save_choice(record, Choice("random", members=3), single)
    assert record.fact(TYPED)["members"] == 3


@pytest.mark.usefixtures("plugins")
def test_a_plugin_gives_the_features_and_another_the_learner(tmp_path):
    choice = Choice(features="columns", learner="mean", param=["features.step=2", "learner.noise=0.5"])
    learner, strategy, _ = choice.make("cuda:1")
    assert strategy.features == Columns(2, "cuda:1")
    assert learner == MeanLearner(0.5)
    (tmp_path / "s.toml").write_text('name = "ssl-cluster"\nfeatures = { name = "columns", step = 3 }')
    assert make_strategy(str(tmp_path / "s.toml"), RowMeans(), {}).features == Columns(3)
    assert make_strategy(str(tmp_path / "s.toml"), Columns(1, "cpu"), {}).features == Columns(3, "cpu")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(features="colums"), r"feature extractor 'colums' is not installed.*'columns'"),
        (Choice(features="nothing"), r"feature extractor 'nothing' must be an object with a method fit\(pool, rng\)"),
        (Choice(learner="segmentations"), r"learner 'segmentations' is not installed.*'segmentation'"),
        (Choice(learner="nothing"), r"learner 'nothing' must be an object with the methods fit\(\) and loads\(\)"),
        (Choice(learner="mean", lr=0.1), "--lr: learner 'mean' has no parameter lr. Try: leave --lr out"),
        (Choice("random", members=0), "--members must be an integer >= 2: got 0"),
        (Choice(learner="nnunet", members=5), "--members is for learners that train one model: got --learner nnunet"),
        (Choice(learner="mean", warm_start=True), "--warm-start: learner 'mean' has no parameter warm_start"),
        (Choice(recipe="weak"), "--recipe must be strong or paper: got 'weak'"),
        (Choice(learner="mean", recipe="paper"), "--recipe is for the learner segmentation: got --learner mean"),
        (Choice(steps="3,1", epochs="3,1"), "--steps and --epochs both set the length of the training"),
        (Choice(steps="0"), "--steps must be two integers >= 1 with a comma between them: got '0'"),
        (Choice(learner="mean", widths="2,4"), "--widths is for learners that train a U-Net: got --learner mean"),
        (
            Choice(features="columns", pretext_epochs=3),
            "--pretext-epochs: feature extractor 'columns' has no parameter",
        ),
        (Choice(lr=0.1, param=["learner.lr=0.2"]), "--lr and --param give lr of learner 'segmentation' twice"),
        (Choice(param=["learner.btch=4"]), "learner 'segmentation' has no parameter 'btch'.*'batch'"),
        (Choice(param=["learner.batch=0"]), "^--param learner.batch must be an integer >= 1: got 0"),
        (
            Choice("ssl-cluster", param=["features.lr=fast"]),
            "^--param features.lr of feature extractor .* must be of type",
        ),
        (Choice("ssl-cluster", param=["clusters=0"]), "^--param clusters must be an integer >= 1: got 0"),
        (Choice(param=["learner.batch='4'"]), "^--param learner.batch of learner 'segmentation' must be of type"),
        (
            Choice(param=["model.batch=4"]),
            "--param model.batch must begin with the name of a part: got model",
        ),
        (Choice(param=["clusters=4", "strategy.clusters=5"]), "--param gives strategy.clusters twice"),
        (Choice(param=["clusters"]), "--param must have the form key=value: got clusters"),
        (Choice(epochs="many"), "--epochs must be two integers >= 1 with a comma between them: got 'many'"),
        (Choice("s.toml", param=["clusters=4"]), "--param clusters: a strategy file holds the parameters"),
        (Choice(learner="estimator"), "learner 'estimator' needs a value for estimator"),
    ],
    ids=str,
)
def test_a_mistake_names_the_option(choice, words):
    with pytest.raises(alkit.AlkitError, match=words):
        choice.make()


def test_installed_features_and_learners_are_listed(capsys):
    names = {entry["name"] for entry in json.loads(told(capsys, "features", "--json"))}
    assert names == set(alkit.features.installed())
    assert "reconstruction" in names
    learner = json.loads(told(capsys, "learners", "segmentation", "--json"))
    assert learner["object"] == "alkit.learners:SegmentationLearner"
    assert {entry["name"]: entry["default"] for entry in learner["parameters"]}["network"] == "UNet"
    assert "classification" in told(capsys, "learners")
    assert "Adam" in told(capsys, "learners", "segmentation")


def test_a_record_may_name_the_features_and_the_learner_of_a_plugin(folders, tmp_path, monkeypatch, capsys):
    (tmp_path / "plugged.py").write_text(
        "from alkit.testing import Brightness, RowMeans\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Means(RowMeans):\n    'Describe rows.'\n"
        "@dataclass(frozen=True)\nclass Level(Brightness):\n    'Learn a level.'\n"
    )
    folder = tmp_path / "plugged-2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 2\n")
    (folder / "entry_points.txt").write_text(
        "[alkit.features]\nmeans = plugged:Means\n[alkit.learners]\nlevel = plugged:Level\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"plugged", "alkit_baselines"} <= registry.plugin_packages()
    store = tmp_path / "c.db"
    arguments = ["start", str(store), "--images", str(folders / "images"), "--classes", "skin,lesion", "--size", "16"]
    told(capsys, *arguments, "--features", "means", "--learner", "level")
    experiment = alkit.Experiment.open(store)
    assert type(experiment.learner).__name__ == "Level"
    assert type(experiment.strategy.features).__name__ == "Means"
    assert len(experiment.ask(4)) == 4
    sys.modules.pop("plugged")


def test_help_lists_the_shared_options_of_both_commands(capsys):
    for command in ("run", "start"):
        text = told(capsys, command, "--help")
        assert all(option in text for option in ("--features", "--learner", "--param", "--widths", "--members"))
