"""Volumes are predicted as they were read for the training, and written in their own shape and place."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.naive_bayes import GaussianNB

import alkit
from alkit.errors import ConfigurationError, DataError
from alkit.labels.resizing import masks_at_original_size
from alkit.pools import VolumeMasks
from alkit.testing import Brightness
from alkit.trained import predict_volumes
from tests.support.volumes import oriented, ramp, write_nifti, write_series

CLASSES = ("background", "organ")


@pytest.fixture
def folder(tmp_path):
    for number, axes in enumerate(("RAS", "LPI", "SAR", "PIL")):
        array, affine = oriented(np.roll(ramp((6, 8, 10)), 40 * number), axes, (1.0, 2.0, 3.0))
        write_nifti(tmp_path / "images" / f"p{number}" / "ct.nii.gz", array, affine)
    return tmp_path


def trained(folder, learner=None, **others):
    pool = alkit.VolumePool(folder / "images", **{"window": (0, 479), **others})
    learner = learner or Brightness()
    experiment = alkit.Experiment(
        pool, learner, alkit.strategy("random"), folder / "r.db", classes=CLASSES, hold_out=0.0
    )
    experiment.tell({id: (pool.picture(id)[0] < 0.4).astype(np.uint8) for id in experiment.ask(9)})
    experiment.fit()
    return experiment, alkit.trained_model(folder / "r.db", learner=learner)


@pytest.mark.parametrize(
    "others",
    [
        {"axis": "axial", "size": 16},
        {"axis": "coronal", "size": 16, "fit": "pad"},
        {"axis": "sagittal", "size": (12, 9), "context": 1, "percentiles": (2, 98), "window": None},
        {"axis": "axial", "size": 16, "context": 7},
    ],
    ids=["axial", "padded", "context", "much-context"],
)
def test_predictions_equal_those_of_the_experiment(folder, others):
    experiment, model = trained(folder, **others)
    outcome = predict_volumes(model, folder / "images", folder / "out")
    assert outcome.done == tuple(f"p{number}/ct" for number in range(4))
    pool = experiment.pool
    masks = VolumeMasks(pool, folder / "out" / "masks")
    for predictions in experiment.predict(pool):
        wanted = masks_at_original_size(predictions, pool.frames(predictions.ids))
        for id, mask in zip(predictions.ids, wanted, strict=True):
            np.testing.assert_array_equal(masks[id], mask, err_msg=id)
    for path in (folder / "images").rglob("*.nii.gz"):
        image = nibabel.load(path)
        labels = nibabel.load(folder / "out" / "masks" / path.relative_to(folder / "images"))
        assert labels.shape == image.shape
        assert labels.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(labels.affine, image.affine)


def test_a_dicom_series_becomes_nifti_labels_in_its_place(folder):
    _, model = trained(folder, size=16)
    write_series(folder / "new" / "case1", ramp((6, 8, 5)), origin=(5.0, 6.0, 7.0))
    assert predict_volumes(model, folder / "new", folder / "out").done == ("case1",)
    labels = nibabel.load(folder / "out" / "masks" / "case1.nii.gz")
    pool = alkit.VolumePool(folder / "new")
    np.testing.assert_allclose(labels.affine, pool.volumes["case1"].geometry.matrix)
    assert labels.shape == (6, 8, 5)


def test_volumes_that_cannot_be_used_are_named_and_the_others_predicted(folder):
    _, model = trained(folder, size=16)
    write_nifti(folder / "new" / "a.nii.gz", ramp((6, 8, 5)))
    write_nifti(folder / "new" / "nan.nii", np.full((6, 8, 4), np.nan, np.float32))
    (folder / "new" / "text.nii").write_text("text")
    outcome = predict_volumes(model, folder / "new", folder / "out")
    assert outcome.done == ("a",)
    assert set(outcome.failed) == {"nan", "text"}
    assert sorted(path.name for path in (folder / "out" / "masks").iterdir()) == ["a.nii.gz"]


def test_volumes_with_other_channels_are_named(folder):
    _, model = trained(folder, size=16)
    write_nifti(folder / "new" / "a.nii.gz", ramp((6, 8, 5, 2)))
    outcome = predict_volumes(model, folder / "new", folder / "out")
    assert "differs from those that the model was trained on" in outcome.failed["a"]


def test_existing_files_are_kept_and_the_folders_must_differ(folder):
    _, model = trained(folder, size=16)
    predict_volumes(model, folder / "images", folder / "out")
    with pytest.raises(ConfigurationError, match="4 of the files to write already exist"):
        predict_volumes(model, folder / "images", folder / "out")
    predict_volumes(model, folder / "images", folder / "out", overwrite=True)
    with pytest.raises(ConfigurationError, match="out must be outside"):
        predict_volumes(model, folder / "images", folder / "images" / "out")
    with pytest.raises(ConfigurationError, match="pattern must not match files outside"):
        predict_volumes(model, folder / "images", folder / "out", pattern="../*")
    with pytest.raises(DataError, match="volumes must be an existing folder of volumes"):
        predict_volumes(model, folder / "nowhere", folder / "out")


def test_another_kind_of_record_is_named(folder):
    _, model = trained(folder, size=16)
    with pytest.raises(ConfigurationError, match=r"the record must be of a pool of image files.*predict_volumes\(\)"):
        alkit.predict_folder(model, folder / "images", folder / "out")
    (folder / "pictures").mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(folder / "pictures" / f"{number}.png")
    pool = alkit.ImagePool(folder / "pictures")
    experiment = alkit.Experiment(
        pool, Brightness(), alkit.strategy("random"), folder / "i.db", classes=CLASSES, hold_out=0.0
    )
    experiment.tell(dict.fromkeys(experiment.ask(3), np.eye(*pool.shape[1:], dtype=np.uint8)))
    experiment.fit()
    with pytest.raises(ConfigurationError, match="the record must be of a pool of volumes"):
        predict_volumes(alkit.trained_model(folder / "i.db", learner=Brightness()), folder / "images", folder / "out")


def test_slices_with_one_class_are_listed(folder):
    pool = alkit.VolumePool(folder / "images", size=4, window=(0, 479))
    learner = alkit.EstimatorLearner(GaussianNB())
    experiment = alkit.Experiment(
        pool,
        learner,
        alkit.strategy("random"),
        folder / "r.db",
        classes=alkit.LabelSpec(CLASSES, per="image"),
        hold_out=0.0,
    )
    experiment.tell({id: number % 2 for number, id in enumerate(experiment.ask(8))})
    experiment.fit()
    predict_volumes(alkit.trained_model(folder / "r.db", learner=learner), folder / "images", folder / "out")
    with (folder / "out" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(pool.ids)
    assert {row["class"] for row in rows} <= set(CLASSES)
