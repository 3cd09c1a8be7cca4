"""Predictions for new images: the masks' sizes and edges, what is read how, and what is written and what is not."""

import csv
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

import alkit
from alkit.errors import ConfigurationError, DataError, QueryError, StoreError
from alkit.pools import sources
from alkit.trained import predict_folder, trained_model
from alkit.trained.folder import predict_images

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def made(folder, learner=None, *, grayscale=True, size=16, rounds=1, **more):
    """Make a record with a model, of images in a folder; return its file."""
    images, masks = alkit.synthetic.lesions(12, size=20, seed=1)
    (folder / "pool").mkdir()
    for row, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(folder / "pool" / f"{row:04}.png")
    pool = alkit.ImagePool(folder / "pool", size=size, grayscale=grayscale, cache=folder / "cache", **more)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion"))
    network = partial(alkit.UNet, widths=(2, 4, 8))
    learner = learner or alkit.SegmentationLearner(network, epochs=(30, 10), lr=1e-2)
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), folder / "r.db")
    experiment.run(oracle, start=6, batch=2, rounds=rounds)
    return folder / "r.db"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    store = made(folder)
    shutil.rmtree(folder / "pool")  # for a prediction the pool need not be there
    return store


@pytest.fixture
def new(tmp_path):
    """Return a folder of new images of several sizes, in colour and gray, one in a sub-folder."""
    images, _ = alkit.synthetic.lesions(4, size=40, seed=7)
    folder = tmp_path / "new"
    (folder / "ward.3").mkdir(parents=True)
    Image.fromarray(images[0, 0]).save(folder / "a.png")
    Image.fromarray(images[1, 0]).resize((64, 24)).convert("RGB").save(folder / "b.v2.jpg")
    Image.fromarray(images[2, 0]).resize((9, 12)).save(folder / "ward.3" / "c.png")
    Image.fromarray(images[3, 0].astype(np.uint16) * 200).save(folder / "d.tif")
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Reading.


def refuse(id, reason):
    raise AssertionError(f"{id}: {reason}")


def test_new_images_are_predicted_like_a_pool_of_them(record, new):
    (new / "d.tif").unlink()  # a pool has no images of 8 and of 16 bits at once
    pool = alkit.ImagePool(new, size=16, grayscale=True)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4, 8)))
    probabilities = learner.loads(next(record.with_name("r.db.files").glob("*.model")).read_bytes()).probabilities
    found = list(predict_images(trained_model(record), new, refuse))
    assert [one.id for one in found] == list(pool.ids) == ["a", "b.v2", "ward.3/c"]
    assert np.array_equal([one.probabilities for one in found], probabilities(pool.read(pool.ids)))
    assert [one.size for one in found] == [(40, 40), (24, 64), (12, 9)]
    assert [one.mask.shape for one in found] == [(40, 40), (24, 64), (12, 9)]


@pytest.mark.parametrize(
    ("settings", "shape"), [({"grayscale": False, "scale": "full"}, (3, 16, 16)), ({"size": None}, (1, 20, 20))]
)
def test_colour_scale_and_size_are_those_of_the_record(tmp_path, settings, shape):
    store = made(tmp_path, rounds=0, **settings)
    model = trained_model(store)
    assert model.shape == shape
    pool = alkit.ImagePool(tmp_path / "pool", **{"grayscale": True, "size": 16, **settings})
    found = list(predict_images(model, tmp_path / "pool", refuse))
    wanted = model.predictor.probabilities(pool.read(pool.ids))
    assert np.array_equal([one.probabilities for one in found], wanted)


def test_a_record_of_a_subset_of_a_folder_reads_files_like_the_folder(tmp_path):
    images, masks = alkit.synthetic.lesions(8, size=16)
    (tmp_path / "pool").mkdir()
    for row, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(tmp_path / "pool" / f"{row}.png")
    pool, _ = alkit.ImagePool(tmp_path / "pool", size=(8, 16), grayscale=True).split(test=2, seed=0)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=("a", "b"))
    experiment.tell({id: masks[int(id)] for id in experiment.ask(2)})
    experiment.fit()
    reading = trained_model(tmp_path / "r.db").reading
    assert (reading.size, reading.grayscale, reading.scale) == ((8, 16), True, "minmax")


def test_images_are_read_no_further_ahead_than_a_batch(record, new, monkeypatch):
    read = []
    decode = sources.decode
    monkeypatch.setattr(sources, "decode", lambda path, *more: read.append(path.name) or decode(path, *more))
    model = trained_model(record)

    class Counting:
        def probabilities(self, images):
            assert len(images) == 1
            return np.zeros((1, 2, 1024, 1024), np.float32)

    large = replace(
        model, predictor=Counting(), shape=(1, 1024, 1024), reading=replace(model.reading, size=(1024, 1024))
    )
    for number, _ in enumerate(predict_images(large, new, refuse), start=1):
        assert len(read) == number


# Writing.


def test_a_folder_of_masks_and_overlays_is_written_by_id_at_the_images_sizes(record, new, tmp_path):
    steps = []
    outcome = predict_folder(trained_model(record), new, tmp_path / "out", report=steps.append)
    assert outcome.done == ("a", "b.v2", "d", "ward.3/c")
    assert outcome.failed == {}
    assert [(step.stage, step.done, step.total) for step in steps] == [("predict", n, 4) for n in range(1, 5)]
    assert files(tmp_path / "out") == [
        *[f"masks/{name}.png" for name in ("a", "b.v2", "d", "ward.3/c")],
        *[f"overlays/{name}.jpg" for name in ("a", "b.v2", "d", "ward.3/c")],
    ]
    oracle = alkit.MaskOracle(tmp_path / "out" / "masks", classes=("skin", "lesion"))
    oracle.ask([alkit.Query("b.v2", 0, 0, ((24, 64),))])
    (answer,) = oracle.poll()
    wanted = {one.id: one.mask for one in predict_images(trained_model(record), new, refuse)}
    assert np.array_equal(answer.label, wanted["b.v2"])
    assert {0, 1} <= set(np.unique(np.concatenate([mask.ravel() for mask in wanted.values()])))
    with Image.open(tmp_path / "out" / "overlays" / "b.v2.jpg") as picture:
        assert (picture.size, picture.mode) == ((64, 24), "RGB")


def test_mask_and_overlay_of_a_rotated_photograph_have_the_orientation_that_viewers_show(record, tmp_path):
    (tmp_path / "new").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "new" / "a.jpg", exif=turned)
    predict_folder(trained_model(record), tmp_path / "new", tmp_path / "out")
    for name in ("masks/a.png", "overlays/a.jpg"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (20, 30)
            assert not image.getexif()


def test_images_that_cannot_be_used_are_reported_and_the_others_are_predicted(record, new, tmp_path):
    (new / "a.png").write_bytes(b"no image")
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(new / "e.png")
    outcome = predict_folder(trained_model(record), new, tmp_path / "out", overlays=False)
    assert outcome.done == ("b.v2", "d", "ward.3/c")
    assert list(outcome.failed) == ["a", "e"]
    assert "a.png cannot be decoded" in outcome.failed["a"]
    assert "transparent" in outcome.failed["e"]
    assert files(tmp_path / "out") == ["masks/b.v2.png", "masks/d.png", "masks/ward.3/c.png"]


def test_an_image_with_another_size_or_depth_than_in_training_is_reported(tmp_path, new):
    model = trained_model(made(tmp_path, rounds=0, size=None, grayscale=False))
    outcome = predict_folder(model, new, tmp_path / "out")
    assert outcome.done == ()
    assert "got (channels, height, width) (3, 40, 40), expected (3, 20, 20)" in outcome.failed["a"]
    assert "got (channels, height, width) (3, 40, 40)" in outcome.failed["d"]  # 16 bits become three equal channels


def test_an_image_of_another_type_is_refused_if_the_type_says_how_it_is_scaled(tmp_path, new):
    model = trained_model(made(tmp_path, scale="full"))
    outcome = predict_folder(model, new, tmp_path / "out")
    assert outcome.done == ("a", "b.v2", "ward.3/c")
    assert "d.tif has pixels of another type" in outcome.failed["d"]
    assert "got uint16, expected uint8" in outcome.failed["d"]


def test_a_large_image_of_another_type_or_with_other_channels_is_refused(tmp_path, new):
    images, _ = alkit.synthetic.lesions(3, size=40, seed=1)
    (tmp_path / "large").mkdir()
    for row, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(tmp_path / "large" / f"{row}.png")
    pool = alkit.TilePool(tmp_path / "large", tile=20, foreground="all", cache=tmp_path / "cache")
    labels = {id: np.zeros((20, 20), np.uint8) for id in pool.ids}
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=(1, 1))
    classes = ("skin", "lesion")
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=classes)
    experiment.tell({id: labels[id] for id in experiment.ask(4)})
    experiment.fit()
    tifffile.imwrite(new / "e.tif", np.zeros((4, 30, 30), np.uint8), photometric="minisblack", planarconfig="separate")
    (tmp_path / "out" / "overlays").mkdir(parents=True)
    (tmp_path / "out" / "overlays" / "a.jpg").write_text("of an earlier mask")
    outcome = predict_folder(trained_model(tmp_path / "r.db"), new, tmp_path / "out", overlays=False, overwrite=True)
    assert outcome.done == ("a", "b.v2", "ward.3/c")
    assert set(outcome.failed) == {"d", "e"}
    assert "16" in outcome.failed["d"]
    assert not list(tmp_path.glob("out/overlays/*"))


def test_existing_files_are_overwritten_only_on_request(record, new, tmp_path):
    out, model = tmp_path / "out", trained_model(record)
    (out / "masks" / "ward.3").mkdir(parents=True)
    own = out / "masks" / "ward.3" / "c.png"
    own.write_text("painted by hand")
    with pytest.raises(ConfigurationError, match=r"1 of the files .*c\.png.*overwrite"):
        predict_folder(model, new, out)
    assert files(out) == ["masks/ward.3/c.png"]
    assert own.read_text() == "painted by hand"
    predict_folder(model, new, out, overwrite=True)
    assert own.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigurationError, match="8 of the files"):
        predict_folder(model, new, out)
    predict_folder(model, new, tmp_path / "other", overlays=False)


def test_overlays_of_earlier_masks_do_not_stay_beside_others(record, new, tmp_path):
    out, model = tmp_path / "out", trained_model(record)
    predict_folder(model, new, out)
    (out / "overlays" / "own.jpg").touch()
    predict_folder(model, new, out, overlays=False, overwrite=True)
    assert files(out) == [*(f"masks/{name}.png" for name in ("a", "b.v2", "d", "ward.3/c")), "overlays/own.jpg"]


def test_masks_cannot_be_written_into_the_folder_of_images(record, new):
    model = trained_model(record)
    for out in (new, new / "predicted"):
        with pytest.raises(ConfigurationError, match="out must be outside the folder of images"):
            predict_folder(model, new, out)
    images = new.parent / "masks"
    new.rename(images)
    with pytest.raises(ConfigurationError, match="out must be outside the folder of images"):
        predict_folder(model, images, images.parent, overwrite=True)


def test_folders_without_images_and_patterns_outside_the_folder_are_errors(record, new, tmp_path):
    model = trained_model(record)
    with pytest.raises(DataError, match="images must be an existing folder of images"):
        predict_folder(model, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(
        DataError,
        match=r"images must be .* folder of images: got the file .*r\.db\. Try: the folder that contains it",
    ):
        predict_folder(model, record, tmp_path / "out")
    with pytest.raises(DataError, match="no images"):
        predict_folder(model, new, tmp_path / "out", pattern="*.bmp")
    with pytest.raises(ConfigurationError, match="pattern must not match files outside"):
        predict_folder(model, new / "ward.3", tmp_path / "out", pattern="../*")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["r.db", Path("r.db"), None])
def test_a_record_in_place_of_its_model_is_an_error_with_a_hint(model, new, tmp_path):
    words = r"model must be a model that trained_model\(\) returned: got .*Try: alkit.trained_model\("
    with pytest.raises(ConfigurationError, match=words):
        predict_folder(model, new, tmp_path / "out")
    with pytest.raises(ConfigurationError, match=words):
        alkit.export_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_class_per_image_becomes_a_table(tmp_path, new):
    images, masks = alkit.synthetic.lesions(12, size=16)
    (tmp_path / "pool").mkdir()
    for row, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(tmp_path / "pool" / f"{row}.png")
    pool = alkit.ImagePool(tmp_path / "pool", size=16, grayscale=True)
    learner = alkit.EstimatorLearner(LogisticRegression())
    spec = alkit.LabelSpec(("small", "large, or so"), per="image")
    experiment = alkit.Experiment(
        pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=spec, initial=alkit.strategy("random")
    )
    ids = experiment.ask(12)
    experiment.tell({id: int(masks[int(id)].sum() > np.median(masks.sum(axis=(1, 2)))) for id in ids})
    experiment.fit()
    model = trained_model(tmp_path / "r.db", learner=learner)
    outcome = predict_folder(model, new, tmp_path / "out")
    assert files(tmp_path / "out") == ["classes.csv"]
    rows = list(csv.DictReader((tmp_path / "out" / "classes.csv").read_text().splitlines()))
    wanted = {one.id: one.probabilities for one in predict_images(model, new, refuse)}
    assert tuple(row["id"] for row in rows) == outcome.done == tuple(wanted)
    for row in rows:
        assert row["class"] == spec.classes[int(wanted[row["id"]].argmax())]
        assert float(row["probability"]) == pytest.approx(wanted[row["id"]].max(), abs=1e-6)
    with pytest.raises(ConfigurationError, match="files to write already exist"):
        predict_folder(model, new, tmp_path / "out")


# The model.


def test_a_record_without_a_model_is_an_error_with_a_hint(tmp_path, folders):
    pool = alkit.ImagePool(folders / "images", size=16, grayscale=True)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=("a", "b"))
    experiment.ask(2)
    with pytest.raises(QueryError, match=r"record .*r\.db has no model yet.*fit\(\)"):
        trained_model(tmp_path / "r.db")
    with pytest.raises(StoreError, match="does not exist"):
        trained_model(tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()


def test_a_learner_that_the_record_cannot_rebuild_must_be_passed(tmp_path):
    learner = alkit.SegmentationLearner(lambda in_channels, classes: alkit.UNet(in_channels, classes, (2, 4)), (1, 1))
    store = made(tmp_path, learner, rounds=0)
    with pytest.raises(ConfigurationError, match="cannot rebuild its learner"):
        trained_model(store)
    assert trained_model(store, learner=learner).predictor.classes == 2


def test_a_record_of_arrays_cannot_predict_files(tmp_path, new, world):
    experiment = world.experiment(tmp_path / "r.db", learner=alkit.SegmentationLearner(epochs=(1, 1)))
    experiment.run(world.oracle, start=2, batch=1, rounds=0)
    model = trained_model(tmp_path / "r.db")
    assert model.reading is None
    with pytest.raises(ConfigurationError, match="the record must be of a pool of image files"):
        predict_folder(model, new, tmp_path / "out")


def test_the_device_inside_an_ensemble_can_be_chosen_and_that_of_an_estimator_cannot(tmp_path):
    from alkit.sharing.placing import place_learner

    learner = alkit.Ensemble(alkit.SegmentationLearner(), members=2)
    assert place_learner(learner, "cpu").learner.device == "cpu"
    assert place_learner(learner, "auto") is learner
    with pytest.raises(ConfigurationError, match="EstimatorLearner has no parameter device"):
        place_learner(alkit.EstimatorLearner(LogisticRegression()), "cuda")


def test_the_prelabels_of_an_experiment_are_the_same_masks(tmp_path):
    store = made(tmp_path)
    experiment = alkit.Experiment.open(store)
    ids = experiment.ask(2)
    wanted = {one.id: one.mask for one in predict_images(trained_model(store), tmp_path / "pool", refuse)}
    prelabels = experiment.prelabels()
    assert set(prelabels) == set(ids)
    assert all(np.array_equal(prelabels[id], wanted[id]) for id in ids)


def test_padded_and_cropped_images_are_predicted_at_their_original_sizes(tmp_path, new):
    (new / "d.tif").unlink()
    for fit in ("pad", "crop"):
        (tmp_path / fit).mkdir()
        model = trained_model(made(tmp_path / fit, fit=fit))
        pool = alkit.ImagePool(new, size=16, grayscale=True, fit=fit)
        found = list(predict_images(model, new, refuse))
        assert np.array_equal([one.probabilities for one in found], model.predictor.probabilities(pool.read(pool.ids)))
        for one, frame in zip(found, pool.frames(pool.ids), strict=True):
            assert one.mask.shape == frame.original == one.size
            outside = np.ones(one.size, bool)
            outside[frame.source.slices] = False
            assert not one.mask[outside].any()


def test_masks_of_pages_replace_nothing_without_permission(tmp_path):
    model = trained_model(made(tmp_path, pages="frames"))
    new, out = tmp_path / "new", tmp_path / "out"
    (new / "scan").mkdir(parents=True)
    pages = np.random.default_rng(0).integers(256, size=(2, 20, 20), dtype=np.uint8)
    tifffile.imwrite(new / "scan.tif", pages, photometric="minisblack")
    Image.fromarray(pages[0]).save(new / "scan/0001.png")
    with pytest.raises(DataError, match="two images have the same id: got a page and an image, both 'scan/0001'"):
        predict_folder(model, new, out)
    (new / "scan/0001.png").rename(new / "scan/other.png")
    assert predict_folder(model, new, out, overlays=False).done == ("scan/0000", "scan/0001", "scan/other")
    for path in (new / "scan/other.png", out / "masks/scan/other.png"):
        path.unlink()
    with pytest.raises(ConfigurationError, match="2 of the files to write already exist"):
        predict_folder(model, new, out, overlays=False)


def test_two_processes_write_the_files_that_one_writes(record, new, tmp_path, monkeypatch):
    monkeypatch.setattr("alkit.trained.folder._at_once", lambda model: 2)
    (new / "broken.png").write_text("no image")
    model, steps = trained_model(record), []
    alone, shared = (
        predict_folder(model, new, tmp_path / f"out{workers}", workers=workers, report=steps.append)
        for workers in (1, 2)
    )
    assert shared == alone
    assert set(shared.failed) == {"broken"}
    assert [step.done for step in steps][:5] == [*range(1, 6)]  # per image; from workers, per shard
    assert steps[-1].done == steps[-1].total == 5
    one, two = tmp_path / "out1", tmp_path / "out2"
    assert files(one) == files(two)
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files(one))
