"""The learners of the page about learners of one's own: they pass the kit, and run, predict and export as it says."""

import importlib
import json
import os
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import alkit as command
from PIL import Image

import alkit
from alkit.errors import ConfigurationError
from alkit.testing import LearnerKit
from alkit.trained.typed import typed_learner

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "bring-your-own-learner.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
(LOOP, RUN, MIRRORED, LIGHTNING, MONAI, FOREST, LATER) = BLOCKS
CLASSES = ("skin", "lesion")


def module(folder, name, code):
    """Write code into a module in a folder, and import it."""
    (folder / f"{name}.py").write_text(code)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    made = module(tmp_path_factory.mktemp("mine"), "my_own_learners", LOOP + MIRRORED + FOREST + FACTORIES)
    yield made
    del sys.modules["my_own_learners"]


FACTORIES = """
from functools import partial


def make_learner():
    return TorchLearner(partial(alkit.UNet, widths=(2, 4)), steps=2)


def make_another():
    return TorchLearner(partial(alkit.UNet, widths=(2, 4)), steps=3)


def own_network(in_channels, classes):
    return torch.nn.Sequential(torch.nn.Conv2d(in_channels, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, classes, 1))


def make_own():
    return TorchLearner(own_network, steps=2)


class Plain:
    def __init__(self, steps=2):
        self.steps = steps

    def fit(self, *given):
        return TorchLearner(own_network, steps=self.steps).fit(*given)

    def loads(self, dumped):
        return TorchLearner(own_network).loads(dumped)


made_already = Plain()
number = 3


def fails():
    raise ValueError("not today")
"""


class TestTorchLearner(LearnerKit):
    @pytest.fixture
    def learner(self, mine):
        return mine.TorchLearner(partial(alkit.UNet, widths=(2, 4)), steps=3)


class TestMirroredLearner(LearnerKit):
    @pytest.fixture
    def learner(self, mine):
        return mine.MirroredLearner(partial(alkit.UNet, widths=(2, 4)), steps=3)


class TestPixelForestLearner(LearnerKit):
    @pytest.fixture
    def learner(self, mine):
        return mine.PixelForestLearner(pixels=50)


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # those of the other packages
class TestLightningLearner(LearnerKit):
    @pytest.fixture
    def learner(self, tmp_path):
        pytest.importorskip("lightning", reason="pip install lightning; make extras runs this test")
        found = module(tmp_path, "my_lightning_learner", LIGHTNING)
        yield found.LightningLearner(partial(alkit.UNet, widths=(2, 4)), epochs=2, accelerator="cpu")
        del sys.modules["my_lightning_learner"]


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # those of the other packages
class TestMonaiLearner(LearnerKit):
    @pytest.fixture
    def learner(self, tmp_path):
        pytest.importorskip("monai", reason="pip install 'alkit[monai]'; make extras runs this test")
        found = module(tmp_path, "my_monai_learner", MONAI)
        yield found.MonaiLearner(epochs=2)
        del sys.modules["my_monai_learner"]


def world(folder, n=20, size=16):
    images, masks = alkit.synthetic.lesions(n, size=size, seed=1)
    for row, image in enumerate(images[:, 0]):
        (folder / "new").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "new" / f"{row:04}.png")
    pool = alkit.ImagePool(folder / "new", size=size, grayscale=True, cache=folder / "cache")
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=CLASSES)
    return pool, oracle, masks


def test_the_loop_in_torch_runs_draws_predicts_and_is_exported_as_the_page_says(mine, tmp_path, monkeypatch):
    pool, oracle, _ = world(tmp_path)
    rest, test = pool.split(test=4, seed=0)
    names = {"alkit": alkit, "TorchLearner": mine.TorchLearner, "folder": tmp_path}
    names |= {"pool": rest, "test": test, "oracle": oracle}
    exec(RUN, names)
    assert [result.n_labels for result in names["history"]] == [8, 12]
    (tmp_path / "out").mkdir()
    exec(LATER.replace('folder / "predicted"', 'folder / "out" / "predicted"'), names)
    assert len(list((tmp_path / "out" / "predicted" / "masks").iterdir())) == 20
    program = torch.export.load(tmp_path / "model" / "model.pt2").module()
    images = pool.read(pool.ids[:3])
    found = program(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, names["model"].predictor.probabilities(images), atol=1e-4)


def test_the_loop_in_torch_learns(mine):
    images, masks = alkit.synthetic.lesions(24, size=32, seed=3)
    pool = alkit.ArrayPool(images)
    learner = mine.TorchLearner(partial(alkit.UNet, widths=(8, 16)), steps=150, lr=3e-3)
    made = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=CLASSES)
    made.tell({id: masks[int(id)] for id in made.ask(12)})
    made.fit()
    found = np.concatenate([part.labels for part in made.predict(pool)])
    assert 2 * (found & masks).sum() / (found.sum() + masks.sum()) > 0.7


def test_a_model_without_a_posterior_is_refused_for_draws_before_the_first_query(mine, tmp_path):
    pool, _, _ = world(tmp_path)
    with pytest.raises(ConfigurationError, match="got MirroredLearner, whose models are Mirroreds"):
        alkit.Experiment(pool, mine.MirroredLearner(), alkit.strategy("mc-dropout"))


@pytest.fixture(scope="module")
def campaign(mine, tmp_path_factory):
    """Return a folder with a record of each learner, and new images."""
    folder = tmp_path_factory.mktemp("campaign")
    pool, _, masks = world(folder)
    learners = {
        "dataclass": mine.make_learner(),
        "ensemble": alkit.Ensemble(mine.make_learner(), 2),
        "network": mine.make_own(),
        "plain": mine.Plain(),
        "forest": mine.PixelForestLearner(pixels=20),
    }
    for name, learner in learners.items():
        made = alkit.Experiment(pool, learner, alkit.strategy("random"), folder / f"{name}.db", classes=CLASSES)
        made.tell({id: masks[int(id)] for id in made.ask(4)})
        made.fit()
    return folder


CALLS = {
    "a dataclass with the parameters of the record": ("dataclass", "TorchLearner"),
    "a function": ("dataclass", "make_learner"),
    "the learner of an ensemble": ("ensemble", "TorchLearner"),
    "a function for a network of one's own": ("network", "make_own"),
    "a plain class": ("plain", "Plain"),
    "a learner": ("plain", "made_already"),
    "a learner without torch": ("forest", "PixelForestLearner"),
}


@pytest.mark.parametrize("name", CALLS)
def test_predict_and_export_take_a_learner_that_the_user_names(name, mine, campaign, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(Path(mine.__file__).parent)
    record, attribute = CALLS[name]
    places = campaign / f"{record}.db", "--learner", f"my_own_learners:{attribute}"
    assert command("predict", *places, "--images", campaign / "new", "--out", tmp_path / "predicted") == 0
    assert len(list((tmp_path / "predicted" / "masks").iterdir())) == 20
    if record != "forest":
        assert command("export", *places, "--out", tmp_path / "model") == 0
        shown = json.loads((tmp_path / "model" / "card.json").read_text())
        assert shown["files"]["model.pt2"]
    else:
        assert command("export", *places, "--out", tmp_path / "model") == 1
        assert "a method export_module() of the predictor" in capfd.readouterr().err


def test_a_campaign_with_ones_own_learner_runs_on_the_command_line(mine, tmp_path, monkeypatch, capfd):
    _, _, masks = world(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "my_own_learners", mine)
    own = "--learner", "my_own_learners:TorchLearner"
    options = "--images new --grayscale --classes skin,lesion --strategy random --hold-out 0 --stop-set 0".split()
    assert command("start", "c.db", *options, *own, "--param", "learner.steps=2", "--widths", "2,4") == 0
    assert "Next: alkit ask c.db -n 20 --out FOLDER --learner my_own_learners:TorchLearner" in capfd.readouterr().out
    assert command("change", "c.db", "--lr", "0.1") == 1
    assert "alkit imports nothing that a record names: got 'my_own_learners:TorchLearner'" in capfd.readouterr().err
    assert command("change", "c.db", *own, "--lr", "0.1") == 0
    assert command("ask", "c.db", "-n", "3", "--out", "out") == 1
    assert re.search(r"TorchLearner is not a learner .*\. Try: pass --learner", capfd.readouterr().err)
    assert command("ask", "c.db", "-n", "3", "--out", "out", *own) == 0
    for path in (tmp_path / "out").glob("r*/query.json"):
        query = json.loads(path.read_text())
        (tmp_path / "out" / "ann").mkdir(exist_ok=True)
        painted = tmp_path / "out" / "ann" / f"{query['query']}.png"
        Image.fromarray(masks[int(query["image"])]).save(painted)
        os.utime(painted, (1_700_000_000,) * 2)  # not being written at this moment
    assert command("tell", "c.db", "--from", "out") == 0
    assert command("fit", "c.db", *own) == 0
    assert command("ask", "c.db", "-n", "2", *own) == 0
    made = alkit.Experiment.open("c.db", learner=typed_learner("my_own_learners:TorchLearner", "c.db"))
    assert [result.n_labels for result in made.history] == [3]
    assert (made.learner.steps, made.learner.lr, made.learner.network.keywords) == (2, 0.1, {"widths": (2, 4)})
    steps = {
        "add": ("--images", "new"),
        "change": ("--audit", "1"),
        "remove": (made.candidates[0], "--reason", "no consent"),
        "export": ("--labels", "masks", "--out", "labels"),
    }
    for name, options in steps.items():
        assert command(name, "c.db", *options) == 1
        assert re.search(r"TorchLearner is not a learner .*\. Try: pass --learner", capfd.readouterr().err)
        assert command(name, "c.db", *options, *own) == 0


WRONG = {
    "no option": (
        "dataclass",
        None,
        "cannot rebuild its learner.*TorchLearner is not a.*--learner the learner",
    ),
    "another learner": ("dataclass", "make_another", "must be that of the record: steps: recorded 2, now 3"),
    "defaults": ("network", "TorchLearner", "cannot be made from .*own_network is not a part that a record may name"),
    "no such name": ("dataclass", "Other", r"cannot be imported \(AttributeError"),
    "a number": ("dataclass", "number", "must be a learner, or a class or function that makes one: got int"),
    "a failure": ("plain", "fails", r"cannot be made without parameters \(ValueError: not today\)"),
    "a class that is no learner": ("plain", "Mirrored", r"cannot be made without parameters \(TypeError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_name_is_refused_in_one_line(name, mine, campaign, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(Path(mine.__file__).parent)
    record, attribute, message = WRONG[name]
    own = () if attribute is None else ("--learner", f"my_own_learners:{attribute}")
    images, out = ("--images", campaign / "new"), ("--out", tmp_path / "predicted")
    assert command("predict", campaign / f"{record}.db", *images, *out, *own) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert not (tmp_path / "predicted").exists()


def test_a_class_of_a_script_is_found_in_the_module_of_this_script(mine, campaign, monkeypatch):
    """A record of a script names the module __main__."""
    monkeypatch.setattr(mine.TorchLearner, "__module__", "__main__")
    form = alkit.configuration.written_form(mine.make_learner())
    monkeypatch.undo()
    assert form["is"] == "__main__:TorchLearner"
    monkeypatch.setattr("alkit.trained.typed._declared", lambda store, wait: form)
    assert typed_learner("my_own_learners:TorchLearner", campaign / "dataclass.db").steps == 2


def test_only_the_typed_class_counts_and_not_its_module(mine):
    """A record gives values of its parameters, and may name registered parts only."""
    form = alkit.configuration.written_form(mine.make_learner())
    for name in ("my_own_learners:own_network", "os:system", "my_own_learners:Plain"):
        changed = {**form, "with": {**form["with"], "network": {"named": name}}}
        with pytest.raises(ConfigurationError, match="is not a part that a record may name"):
            alkit.configuration.build(changed, "learner", mine.TorchLearner)
    with pytest.raises(ConfigurationError, match="is not a learner that a record may name"):
        alkit.configuration.build(form, "learner")


def test_an_installed_name_is_taken_too(campaign):
    with pytest.raises(ConfigurationError, match="must be that of the record"):
        typed_learner("segmentation", campaign / "dataclass.db")
    with pytest.raises(alkit.errors.UnknownNameError, match="'segmentatio' is not installed"):
        typed_learner("segmentatio", campaign / "dataclass.db")


def test_a_predictor_of_ones_own_is_exported_by_its_module(mine, campaign, tmp_path):
    class Exported(mine.Mirrored):
        module = torch.nn.Sequential(mine.own_network(1, 2), torch.nn.Softmax(1))

        def probabilities(self, images):
            with torch.no_grad():
                return self.module(torch.from_numpy(np.ascontiguousarray(images))).numpy()

        def export_module(self):
            return self.module

    class Other(Exported):
        def export_module(self):
            return torch.nn.Sequential(mine.own_network(1, 2), torch.nn.Softmax(1))

    class Learner(mine.TorchLearner):
        model = Exported

        def loads(self, dumped):
            return self.model(None)

    model = alkit.trained_model(campaign / "dataclass.db", learner=Learner())
    alkit.export_model(model, tmp_path / "model")
    program = torch.export.load(tmp_path / "model" / "model.pt2").module()
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(program(images), torch.from_numpy(model.predictor.probabilities(images.numpy())))
    Learner.model = Other
    model = alkit.trained_model(campaign / "dataclass.db", learner=Learner())
    with pytest.raises(ConfigurationError, match=r"export_module\(\) must give the probabilities of the model"):
        alkit.export_model(model, tmp_path / "other")


def test_modules_of_the_current_folder_are_found_last(mine, campaign, tmp_path, monkeypatch):
    (tmp_path / "only_in_this_folder.py").write_text("from my_own_learners import make_learner\n")
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the folder hid a module')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    assert typed_learner("only_in_this_folder:make_learner", campaign / "dataclass.db").steps == 2
    assert sys.meta_path[-1].folder == str(tmp_path)
    del sys.modules["only_in_this_folder"]


def test_a_record_cannot_name_a_plugin_in_the_current_folder(mine, campaign, tmp_path, monkeypatch):
    """A stranger can put a plugin beside the record, and the user names a learner that is installed."""
    (tmp_path / "theirs-1.0.dist-info").mkdir()
    (tmp_path / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (tmp_path / "theirs-1.0.dist-info" / "entry_points.txt").write_text("[alkit.learners]\nt = theirs:Network\n")
    (tmp_path / "theirs.py").write_text("raise SystemExit('a plugin of the folder ran')\n")
    form = alkit.configuration.written_form(mine.make_learner())
    changed = {**form, "with": {**form["with"], "network": {"is": "theirs:Network", "with": {}}}}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.setattr("alkit.trained.typed._declared", lambda store, wait: changed)
    with pytest.raises(
        ConfigurationError, match=r"network: theirs:Network is not a part that a record may name[^(]*\)"
    ):
        typed_learner("my_own_learners:TorchLearner", campaign / "dataclass.db")
