"""nnU-Net as a learner: what it writes and reads, what it refuses, and, where it is installed, what it learns."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, LabelError, MissingDependencyError
from alkit.learners import NNUNetLearner
from alkit.learners.nnunet import driver, process
from alkit.learners.nnunet.folders import DATASET, splits, write_dataset
from alkit.learners.nnunet.model import NNUNetPredictor, Placement, read_model
from alkit.rng import Stream
from alkit.testing import LearnerKit
from alkit.testing.learners import Labelled
from alkit.testing.worlds import ids_of

CLASSES = ("skin", "lesion")
REASON = "pip install 'alkit[nnunet]'; make extras runs this test"
INSTALLED = importlib.util.find_spec("nnunetv2") is not None


def labelled(n=6, size=32, ignore=None, channels=1):
    images, masks = alkit.synthetic.lesions(n + 2, size=size, seed=2)
    images = np.repeat(images, channels, axis=1)
    ids = ids_of(n + 2)
    if ignore is not None:
        masks = masks.copy()
        masks[:, : size // 8] = ignore
    spec = alkit.LabelSpec(CLASSES, ignore=ignore)
    return Labelled(
        alkit.ArrayPool(images, ids=ids, channels="first"), tuple(ids[:n]), dict(zip(ids, masks, strict=True)), spec
    )


# The folders.


def test_images_masks_and_the_ignore_label_are_written_as_nnunet_wants_them(tmp_path):
    data = labelled(5, ignore=255, channels=3)
    write_dataset(tmp_path, data)
    home = tmp_path / "raw" / DATASET
    said = json.loads((home / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "class_1": 1, "ignore": 2}
    assert said["numTraining"] == 5
    assert list(said["channel_names"]) == ["0", "1", "2"]
    for row, id in enumerate(data.ids):
        planes = [tifffile.imread(home / "imagesTr" / f"case_{row:06}_{channel:04}.tif") for channel in range(3)]
        np.testing.assert_array_equal(planes, data.images([id])[0])
        mask, given = tifffile.imread(home / "labelsTr" / f"case_{row:06}.tif"), data.labels([id])[0]
        np.testing.assert_array_equal(mask, np.where(given == 255, 2, given))
        assert set(np.unique(mask)) == {0, 1, 2}


def test_without_an_ignore_value_there_is_no_ignore_label(tmp_path):
    write_dataset(tmp_path, labelled(2))
    assert json.loads((tmp_path / "raw" / DATASET / "dataset.json").read_text())["labels"] == {
        "background": 0,
        "class_1": 1,
    }


def test_masks_of_the_first_class_only_are_an_error_before_nnunet_starts(tmp_path):
    data = labelled(2, ignore=255)
    empty = Labelled(data.pool, data.ids, {id: 255 * (mask == 255) for id, mask in data.known.items()}, data.spec)
    with pytest.raises(LabelError, match="one pixel of another class than 'skin': got 2 masks without one"):
        NNUNetLearner(cache=str(tmp_path)).fit(empty, np.random.default_rng(0))


@pytest.mark.parametrize(("count", "folds"), [(12, 5), (5, 5), (3, 5), (2, 5), (1, 5), (7, 1)])
def test_every_image_is_trained_on_and_each_fold_has_both_parts(count, folds):
    made = splits(count, folds, Stream(1))
    assert len(made) == folds
    assert len({name for split in made for name in split["train"]}) == count
    for split in made:
        assert split["train"]
        assert split["val"]
        assert count == 1 or folds == 1 or not set(split["train"]) & set(split["val"])
    assert made == splits(count, folds, Stream(1))


# The process.


def test_the_process_gets_a_clean_environment(tmp_path, monkeypatch):
    for name in (
        "nnUNet_raw",
        "nnUNet_compile",
        "WORLD_SIZE",
        "ALKIT_LABEL_STUDIO_TOKEN",
        "WANDB_API_KEY",
        "PYTHONPATH",
    ):
        monkeypatch.setenv(name, "secret")
    found = process.clean_environment(tmp_path, threads=3, same=False)
    assert "secret" not in found.values()
    assert found["nnUNet_raw"] == str(tmp_path / "raw")
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["PATH"] == os.environ["PATH"]
    assert process.clean_environment(tmp_path, threads=3, same=True)["PYTHONPATH"] == "secret"


FAILS = """
import json, sys
print(json.dumps({"stage": "fit", "fold": 0, "epoch": 1, "loss": 0.5}), flush=True)
print("planning\\nRuntimeError: out of \\x1b[31mspace", file=sys.stderr)
sys.exit(7)
"""


SERVER = """
import json, sys, time
import numpy as np
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    images = np.load(request["images"])
    time.sleep(0.2)
    np.save(request["out"], np.stack([images[:, 0], 1 - images[:, 0]], axis=1)[None])
    print(json.dumps({"done": True}), flush=True)
"""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Return a model whose process gives the first channel as the probability of the first class."""
    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.setattr(process, "DRIVER", tmp_path / "server.py")
    return NNUNetPredictor({"dataset": {"channel_names": {"0": "a"}, "labels": {"background": 0, "b": 1}}}, ({},))


def test_an_answer_that_was_interrupted_is_not_that_to_the_next_images(served, monkeypatch):
    first, second = (np.full((1, 1, 2, 2), value, np.float32) for value in (0.25, 0.75))
    assert (served.probabilities(first)[:, 0] == 0.25).all()
    with monkeypatch.context() as patch:

        def interrupt(self):
            raise KeyboardInterrupt

        patch.setattr(process.Process, "messages", interrupt)
        with pytest.raises(KeyboardInterrupt):
            served.probabilities(first)
    time.sleep(0.5)  # the former process would have answered
    assert (served.probabilities(second)[:, 0] == 0.75).all()


def test_several_threads_get_the_predictions_of_their_own_images(served):
    images = [np.full((1, 1, 2, 2), value, np.float32) for value in (0.0, 0.25, 0.5, 0.75)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(served.probabilities, images))
    for given, probabilities in zip(images, found, strict=True):
        np.testing.assert_array_equal(probabilities[:, 0], given[:, 0])


def test_a_failure_is_an_error_with_the_end_of_the_log(tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text(FAILS)
    monkeypatch.setattr(process, "DRIVER", tmp_path / "fails.py")
    told = []
    with pytest.raises(
        ConfigurationError, match=r"nnU-Net ended with code 7: planning \| RuntimeError: out of"
    ) as error:
        NNUNetLearner(folds=2, epochs=3, cache=str(tmp_path / "cache")).fit(
            labelled(), np.random.default_rng(0), report=told.append
        )
    assert [(step.done, step.total) for step in told] == [(1, 6)]
    assert "\x1b" not in str(error.value)
    assert "log.txt, says more" in str(error.value)


@pytest.mark.skipif(INSTALLED, reason="nnunetv2 is installed")
def test_without_nnunet_the_error_names_the_extra(tmp_path):
    learner = NNUNetLearner(cache=str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"NNUNetLearner needs nnU-Net .*alkit\[nnunet\].* or python="):
        learner.fit(labelled(2), np.random.default_rng(0))
    with pytest.raises(MissingDependencyError, match=r"NNUNetLearner needs nnU-Net"):
        alkit.Experiment(labelled().pool, learner, alkit.strategy("random"), classes=CLASSES)
    with pytest.raises(ConfigurationError, match=r"python must be an interpreter .*: got nowhere/python"):
        NNUNetLearner(python="nowhere/python", cache=str(tmp_path)).fit(labelled(2), np.random.default_rng(0))


def test_labels_of_another_kind_and_needs_it_lacks_are_refused_at_once(tmp_path):
    data = labelled()
    spec = alkit.LabelSpec(CLASSES, per="image")
    classes = Labelled(data.pool, data.ids, {id: np.int64(0) for id in data.ids}, spec)
    with pytest.raises(ConfigurationError, match="NNUNetLearner needs masks"):
        NNUNetLearner(cache=str(tmp_path)).fit(classes, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="whose models are NNUNetPredictors"):
        alkit.Experiment(data.pool, NNUNetLearner(), alkit.strategy("mc-dropout"))
    alkit.Experiment(data.pool, NNUNetLearner(), alkit.strategy("ensemble-js"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 0}, "folds must be an integer >= 1"),
        ({"epochs": 0}, "epochs must be an integer >= 1"),
        ({"memory": 0}, "memory must be"),
        ({"trainer": "load_pickle"}, "trainer must be the name of a trainer of nnU-Net: got 'load_pickle'"),
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_parameters_are_checked(given, message):
    with pytest.raises(ConfigurationError, match=message):
        NNUNetLearner(**given)


def test_a_record_keeps_what_is_trained_and_not_where():
    learner = NNUNetLearner(folds=2, epochs=3, device="cpu", python="/opt/python", cache="/tmp/x", save_every=2)
    form = alkit.configuration.written_form(learner)
    assert set(form["with"]) == {"folds", "epochs", "iterations", "trainer", "memory"}
    assert alkit.configuration.build(form, "learner") == learner


def test_a_killed_training_begins_again_if_its_code_has_changed(tmp_path):
    class Base:
        pass

    class Own(Base):
        pass

    def leave(names):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()

    code = driver.code_of(Own)
    assert code["torch"] == importlib.metadata.version("torch")
    assert len(code[__name__]) == 64, "the file of the trainer"
    made = ("preprocessed.done", "fold_0.pt", "facts.json", "preprocessed/plans.json", "results/latest.pth")
    leave([*made, "raw.done", "raw/a.tif"])
    driver.begin_again_if_changed(tmp_path, code)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"raw.done", "raw/a.tif", "code.json"}, "nobody knows what the rest was made by"
    leave(made)
    driver.begin_again_if_changed(tmp_path, code)
    assert all((tmp_path / name).exists() for name in made)
    driver.begin_again_if_changed(tmp_path, {**code, __name__: "edited"})
    assert not any((tmp_path / name).exists() for name in made)


# The stored model.


def facts():
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {"conv_op": "torch.nn.modules.conv.Conv2d", "dropout_op": None, "nonlin": "torch.nn.LeakyReLU"}
        | {"n_stages": 4},
        "_kw_requires_import": ["conv_op", "dropout_op", "nonlin"],
    }
    plans = {
        "label_manager": "LabelManager",
        "image_reader_writer": "NaturalImage2DIO",
        "experiment_planner_used": "ExperimentPlanner",
        "configurations": {
            "2d": {
                "architecture": architecture,
                "preprocessor_name": "DefaultPreprocessor",
                "normalization_schemes": ["ZScoreNormalization"],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
            }
        },
    }
    dataset = {"labels": {"background": 0, "class_1": 1, "ignore": 2}, "channel_names": {"0": "channel_0"}}
    return {"plans": plans, "dataset": dataset, "trainer": "nnUNetTrainer", "mirroring": [0, 1]}


def model(changed=None):
    weights = ({"a.weight": torch.arange(4.0).reshape(2, 2)}, {"a.weight": torch.zeros(2, 2)})
    return NNUNetPredictor(changed or facts(), weights)


def test_a_model_is_stored_as_tensors_and_json():
    read = read_model(model().dumps(), Placement("cpu"))
    assert read.facts == facts()
    assert [weights["a.weight"].sum().item() for weights in read.weights] == [6, 0]
    assert read.classes == 2
    assert read.placement.device == "cpu"
    assert len(read.members) == 2
    assert read.images_at_once(np.zeros((1, 1, 32, 32), np.float32)) > 1


STRANGE = {
    "network_class_name": ["os.system", "dynamic_network_architectures.architectures.unet.torch.load", 3],
    "conv_op": ["os.system", "torch.load", "torch.nn.modules.conv.torch.load", "torch.nn.Conv2d()", 3],
    "trainer": ["load_pickle", "nnUNetTrainer.x", "../nnUNetTrainer"],
    "label_manager": ["load_pickle", 3],
    "preprocessor_name": ["Pool"],
    "image_reader_writer": ["SimpleITKIO"],
    "normalization_schemes": [["os"], "system"],
    "resampling_fn_data": ["load_json"],
    "mirroring": [["a"], [7], "x"],
    "labels": [{"background": 0, "class_1": 2}, {"skin": 0, "lesion": 1}, [], {"background": 0}],
    "channel_names": [{}, []],
    "configurations": [{}, {"2d": {}, "3d_fullres": {}}, []],
    "inherits_from": ["3d_fullres"],
    "spacing": [[1e-4, 1e-4], 1, [1, 1, 1]],
    "n_stages": [10**10, True, "a"],
    "patch_size": [[10**6, 10**6], [0, 8], 8, ["a", "b"]],
}


def put(place, key, value):
    """Replace an entry of nested dictionaries, or add it to the configuration."""
    for name, entry in place.items():
        if name == key:
            place[key] = value
            return True
        if isinstance(entry, dict) and put(entry, key, value):
            return True
    return False


@pytest.mark.parametrize("key", STRANGE)
def test_a_stored_model_names_only_parts_of_a_unet_of_nnunet(key):
    """nnU-Net imports what its plans name, and a record may come from a stranger."""
    for value in STRANGE[key]:
        changed = facts()
        if not put(changed, key, value):
            changed["plans"]["configurations"]["2d"][key] = value
        with pytest.raises(ConfigurationError, match="the stored model, dumped, cannot be read"):
            read_model(model(changed).dumps(), Placement())


def test_a_network_is_not_made_far_larger_than_its_stored_weights():
    weights = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.InstanceNorm2d(8, affine=True)).state_dict()
    with driver.bounded(weights):
        torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.InstanceNorm2d(8, affine=True))
    for make in (
        lambda: torch.nn.Conv2d(9000, 9000, 3),
        lambda: [torch.nn.Conv2d(3, 8, 3) for _ in range(10**5)],
    ):
        with pytest.raises(RuntimeError, match="far larger than its stored weights"), driver.bounded(weights):
            make()


def test_damaged_bytes_are_refused():
    dumped = model().dumps()
    for bad in (
        b"",
        dumped[:100],
        dumped[:-8],
        alkit.learners.NetworkPredictor(torch.nn.Conv2d(1, 2, 1), 1, 2).dumps(),
    ):
        with pytest.raises(ConfigurationError, match="the stored model, dumped, cannot be read"):
            NNUNetLearner().loads(bad)


# With nnU-Net.

needs_nnunet = [
    pytest.mark.extras,
    pytest.mark.slow,
    pytest.mark.skipif(not INSTALLED, reason=REASON),
]


class TestNNUNetLearner(LearnerKit):
    pytestmark = needs_nnunet
    size = 32

    @pytest.fixture
    def learner(self, tmp_path):
        return NNUNetLearner(folds=2, epochs=1, iterations=1, device="cpu", cache=str(tmp_path))


class StoppedError(Exception):
    pass


class TestReal:
    pytestmark = needs_nnunet

    def test_a_killed_training_continues_to_the_same_weights(self, tmp_path):
        learner = NNUNetLearner(
            folds=2, epochs=3, iterations=2, device="cpu", cache=str(tmp_path / "cache"), save_every=1
        )
        data, steps = labelled(ignore=255), []

        def stop(step):
            if step.done == 5:
                raise StoppedError

        with pytest.raises(StoppedError):
            learner.fit(data, np.random.default_rng(3), report=stop)
        again = learner.fit(data, np.random.default_rng(3), report=steps.append)
        assert steps[0].done >= 4, "it continues in the second fold"
        whole = learner.fit(data, np.random.default_rng(3))
        for one, other in zip(again.weights, whole.weights, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)
        assert list((tmp_path / "cache" / "nnunet").iterdir()) == []

    def test_it_segments_the_hippocampus_and_its_folds_choose_images(self, tmp_path):
        data = os.environ.get("ALKIT_DATA")
        if not data or not (Path(data) / "msd-hippocampus").is_dir():
            pytest.skip("ALKIT_DATA must be a folder with msd-hippocampus")
        images, masks = coronal_slices(Path(data) / "msd-hippocampus", volumes=60, size=48)
        ids = [f"s{row:03}" for row in range(len(images))]
        pool = alkit.ArrayPool(images, ids=ids)
        oracle = alkit.MaskOracle(dict(zip(ids, masks, strict=True)), ("background", "hippocampus"))
        rest, test = pool.split(test=20, seed=0)
        learner = NNUNetLearner(folds=2, epochs=6, iterations=12, device="cpu", cache=str(tmp_path / "cache"))
        made = alkit.Experiment(rest, learner, alkit.strategy("ensemble-js"), tmp_path / "r.db")
        history = made.run(oracle, test=test, start=16, batch=4, rounds=1)
        assert [result.n_labels for result in history] == [16, 20]
        assert history[-1].metrics["dice"] > 0.4, history[-1].metrics
        again = alkit.Experiment.open(tmp_path / "r.db", pool=rest)
        for one, other in zip(made.predict(test), again.predict(test), strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def coronal_slices(folder, volumes, size):
    """Return the middle slice of some volumes of the Medical Segmentation Decathlon, and its masks of one object."""
    nibabel = pytest.importorskip("nibabel")
    images, masks = [], []
    for path in sorted((folder / "images").glob("*.nii.gz"))[:volumes]:
        volume, labels = (np.asarray(nibabel.load(file).dataobj) for file in (path, folder / "labels" / path.name))
        middle = volume.shape[1] // 2
        plane = np.clip(volume[:, middle] / np.percentile(volume, 99.5), 0, 1) * 255
        image = Image.fromarray(plane.round().astype(np.uint8)).resize((size, size), Image.Resampling.BILINEAR)
        mask = Image.fromarray((labels[:, middle] > 0).astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
        images.append(np.stack([np.asarray(image)] * 3))
        masks.append(np.asarray(mask))
    return np.stack(images), np.stack(masks)


def test_the_driver_needs_no_alkit():
    text = Path(process.DRIVER).read_text()
    modules = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(modules) > 8
    assert not [node for node in modules if "alkit" in ast.unparse(node)]
