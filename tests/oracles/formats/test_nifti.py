"""Slices go out as whole volumes of labels and come back exactly; nothing outside the asked slices is taken."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pytest

import alkit
from alkit.errors import DataError, UnknownNameError
from alkit.testing import Brightness
from alkit.values import Invalid
from tests.support.simpleitk import needs_simpleitk, save_again
from tests.support.volumes import oriented, ramp, write_nifti, write_series

LONG_AGO = 1_700_000_000
SPEC = alkit.LabelSpec(("background", "organ", "vessel"), ignore=255)


@pytest.fixture
def folder(tmp_path):
    for number, axes in enumerate(("RAS", "LPI", "SAR")):
        array, affine = oriented(ramp((6, 8, 10)), axes, (1.0, 2.0, 3.0))
        write_nifti(tmp_path / "images" / f"p{number}" / "ct.nii.gz", array, affine)
    return tmp_path


def queries_of(pool, ids, round=0):
    return [alkit.Query(id, round, rank, tuple(pool.sizes([id])[0])) for rank, id in enumerate(ids)]


def oracle_of(folder, pool=None, **others):
    settings = {"classes": SPEC, "images": pool, "also": ["nifti"] if pool is not None else (), "settle": 0}
    return alkit.FolderOracle(folder / "out", **{**settings, **others})


def sent(folder, place="labels", round=0):
    return sorted((folder / "out").glob(f"r{round:02}-nifti*/{place}/*"))


def answer(folder, name, array, affine, annotator="ann", kind=nibabel.Nifti1Image):
    path = folder / "out" / annotator / name
    path.parent.mkdir(exist_ok=True)
    kind(array, affine).to_filename(path)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def load(path):
    image = nibabel.load(path)
    return np.asarray(image.dataobj), image


def labelled(pool, ids):
    """Return a mask for each id, with a value that depends on the place of each pixel."""
    return {id: (np.rint(pool.picture(id)[0] * 479).astype(int) % 3).astype(np.uint8) for id in ids}


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal", 0, 1, 2])
def test_answers_are_the_masks_that_were_drawn_whatever_the_order_of_the_array(folder, axis):
    pool = alkit.VolumePool(folder / "images", axis=axis, size=16, window=(0, 479))
    ids = [pool.ids[1], pool.ids[3], pool.ids[-2]]
    queries = queries_of(pool, ids)
    oracle_of(folder, pool).ask(queries)
    masks = labelled(pool, ids)
    for path in sent(folder):
        _, image = load(path)
        drawn = np.zeros(image.shape, np.uint8)
        for id in ids:
            volume, number = pool.place(id)
            if path.name.endswith(f"{volume.id.replace('/', '_')}.nii.gz"):
                # What a viewer shows of the image in this place, as labels.
                voxels = np.asarray(nibabel.load(volume.parts[0].path).dataobj) % 3
                place = [slice(None)] * 3
                place[pool.plane(volume.id).axis] = number
                drawn[tuple(place)] = voxels[tuple(place)]
        answer(folder, path.name, drawn, image.affine)
    found = list(oracle_of(folder).poll())
    assert sorted(answer.id for answer in found) == sorted(ids)
    for one in found:
        assert one.annotator == "ann"
        np.testing.assert_array_equal(one.label, masks[one.id])


def test_only_asked_slices_hold_pre_labels_and_the_place_is_that_of_the_image(folder):
    pool = alkit.VolumePool(folder / "images", axis="coronal", size=16, window=(0, 479))
    ids = [pool.ids[1], pool.ids[3], pool.ids[12]]
    oracle_of(folder, pool, prelabels=labelled(pool, ids)).ask(queries_of(pool, ids))
    for path, copy in zip(sent(folder), sent(folder, "images"), strict=True):
        labels, image = load(path)
        voxels, original = load(copy)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(image.affine, original.affine)
        assert image.header["qform_code"] > 0
        assert image.header["sform_code"] > 0
        axis = pool.plane("p0/ct" if "p0" in path.name else "p1/ct").axis
        asked = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        assert len(asked) == (2 if "p0" in path.name else 1)
        np.testing.assert_array_equal(np.take(labels, asked, axis), np.take(voxels, asked, axis) % 3)
        assert (
            copy.read_bytes() == (folder / "images" / ("p0" if "p0" in path.name else "p1") / "ct.nii.gz").read_bytes()
        )


def test_a_list_for_people_names_the_slices(folder):
    pool = alkit.VolumePool(folder / "images", size=16)
    oracle_of(folder, pool).ask(queries_of(pool, ["p0/ct/axial-0003", "p0/ct/axial-0007"]))
    text = (folder / "out" / "r00-nifti" / "slices-to-label.txt").read_text()
    assert "r00-v000-p0_ct.nii.gz: 2 of 10 slices across the third axis: 3, 7  (counted from 1: 4, 8)" in text


def one_volume(folder, **others):
    pool = alkit.VolumePool(folder / "images", size=16, pattern="p0/*", window=(0, 479))
    ids = ["p0/ct/axial-0003", "p0/ct/axial-0007"]
    oracle_of(folder, pool, **others).ask(queries_of(pool, ids))
    (path,) = sent(folder)
    return pool, ids, path, *load(path)


def test_labels_in_other_slices_are_reported_and_not_taken(folder):
    _, ids, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, [3, 5]] = 1
    answer(folder, path.name, labels, image.affine)
    first, second = oracle_of(folder).poll()
    assert (first.id, first.label.sum()) == (ids[0], 4)
    assert second.id == path.name
    assert (
        second.label.reason
        == "labels in slices that were not asked for are not taken: slice 5 of the third axis (4 voxels)"
    )


def test_a_slice_without_labels_is_not_an_answer_unless_it_is_declared_background(folder):
    _, ids, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, 3] = 1
    file = answer(folder, path.name, labels, image.affine)
    oracle = oracle_of(folder)
    assert [one.id for one in oracle.poll()] == ids[:1]
    assert oracle.unannotated() == {file: (ids[1],)}
    assert [one.id for one in oracle_of(folder, empty="background").poll()] == ids


def test_unchanged_pre_labels_are_refused_by_the_record_unless_confirmed(folder):
    pool = alkit.VolumePool(folder / "images", size=16, window=(0, 479))
    spec = alkit.LabelSpec(("background", "organ"))
    experiment = alkit.Experiment(
        pool, Brightness(), alkit.strategy("random"), folder / "r.db", classes=spec, hold_out=0.0
    )
    experiment.tell({id: (pool.picture(id)[0] > 0.5).astype(np.uint8) for id in experiment.ask(9)})
    experiment.fit()
    ids = experiment.ask(6)
    drafts = experiment.prelabels()
    oracle = oracle_of(folder, pool, classes=spec, prelabels=drafts, campaign=experiment.campaign)
    experiment.send(oracle)
    for path in sent(folder, round=1):
        labels, image = load(path)
        answer(folder, path.name, labels, image.affine)
    shown = {id for id in ids if drafts[id].any()}
    assert shown
    receipt = experiment.collect(oracle_of(folder, classes=spec, campaign=experiment.campaign))
    assert not receipt.taken
    assert {answer.id for answer, _ in receipt.refused} == shown
    notes = list((folder / "out" / "ann").glob("*.refused.txt"))
    assert "pre-label" in notes[0].read_text()
    for path in sent(folder, round=1):
        confirmation = folder / "out" / "ann" / f"{path.name}.confirmed"
        confirmation.touch()
        os.utime(confirmation, (LONG_AGO + 5, LONG_AGO + 5))
    receipt = experiment.collect(oracle_of(folder, classes=spec, campaign=experiment.campaign))
    assert {answer.id for answer in receipt.taken} == shown
    assert not list((folder / "out" / "ann").glob("*.refused.txt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, m: (a[:-1], m), "does not fit the volume p0/ct: got 5 x 8 x 10 voxels"),
        (lambda a, m: (a, m @ np.diag([1, 1, 1.1, 1])), "does not fit the volume p0/ct: got another place"),
        (lambda a, m: (a[::-1], m @ np.diag([-1, 1, 1, 1])), "does not fit the volume p0/ct: got another place"),
        (lambda a, m: ((a + 0.5).astype(np.float32), m), "must hold class ids, integers from 0 to 255"),
        (lambda a, m: ((a - 1).astype(np.int16), m), "must hold class ids, integers from 0 to 255"),
        (lambda a, m: (np.stack([a, a], -1), m), "must have one label for each voxel"),
    ],
    ids=["shape", "spacing", "flip", "fractions", "negative", "channels"],
)
def test_a_file_of_another_kind_is_not_read_and_gets_a_note(folder, change, message):
    _, _, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, 3] = 1
    file = answer(folder, path.name, *change(labels.astype(float).astype(np.int16), image.affine))
    oracle = oracle_of(folder)
    assert not list(oracle.poll())
    assert message in oracle.unread()[file]
    assert "alkit-" not in oracle.unread()[file]  # not the name of a copy
    assert message in file.with_name(f"{file.name}.refused.txt").read_text()


def test_values_that_are_not_classes_make_their_slice_invalid(folder):
    _, ids, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, 3] = 7
    labels[1:3, 2:4, 7] = 255
    answer(folder, path.name, labels, image.affine)
    first, second = oracle_of(folder).poll()
    assert isinstance(first.label, Invalid)
    assert "values that are not classes: [7]" in first.label.reason
    assert (second.id, second.label.max()) == (ids[1], 255)


@pytest.mark.parametrize(("name", "kind"), [(".nii", np.int16), (".nii.gz", np.float32), (".nii.gz", np.uint16)])
def test_tools_may_save_other_types(folder, name, kind):
    _, ids, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, [3, 7]] = 2
    answer(folder, path.name.replace(".nii.gz", name), labels.astype(kind), image.affine)
    assert [(one.id, one.label.sum()) for one in oracle_of(folder).poll()] == [(id, 8) for id in ids]


@needs_simpleitk
def test_a_tool_built_on_itk_keeps_the_place(folder):
    for number in range(3):
        pool = alkit.VolumePool(folder / "images", size=16, pattern=f"p{number}/*", window=(0, 479), axis="sagittal")
        id = pool.ids[2]
        place = folder / str(number)
        oracle_of(place, pool, prelabels=labelled(pool, [id])).ask(queries_of(pool, [id]))
        (path,) = sent(place)
        (place / "out" / "ann").mkdir()
        kind = save_again(path, place / "out" / "ann" / path.name, sent(place, "images")[0])
        assert "unsigned" in kind
        (one,) = oracle_of(place).poll()
        np.testing.assert_array_equal(one.label, labelled(pool, [id])[id])


@needs_simpleitk
def test_tools_may_change_the_unit_of_a_volume_in_micrometres(folder):
    array, affine = oriented(ramp((6, 8, 10)), "LPI", (5.0, 6.0, 7.0))
    write_nifti(folder / "cells" / "a.nii.gz", array, affine, xyzt_units=3)
    pool = alkit.VolumePool(folder / "cells", size=16, window=(0, 479))
    ids = pool.ids[2:4]
    oracle_of(folder, pool, prelabels=labelled(pool, ids)).ask(queries_of(pool, ids))
    (path,) = sent(folder)
    (folder / "out" / "ann").mkdir()
    save_again(path, folder / "out" / "ann" / path.name, sent(folder, "images")[0])  # ITK writes millimetres
    assert load(folder / "out" / "ann" / path.name)[1].header.get_xyzt_units()[0] == "mm"
    assert {one.id for one in oracle_of(folder).poll()} == set(ids)
    answer(folder, path.name, *(lambda values, image: (values, image.affine))(*load(path)), annotator="bob")  # no unit
    assert {one.annotator for one in oracle_of(folder).poll()} == {"ann", "bob"}


def test_another_name_is_explained(folder):
    _, _, path, labels, image = one_volume(folder)
    file = answer(folder, "mine.nii.gz", labels, image.affine)
    assert "is not a volume of labels that was sent" in oracle_of(folder).unread()[file]
    assert path.name in oracle_of(folder).unread()[file]


def test_a_damaged_file_is_not_read(folder):
    _, _, path, _, _ = one_volume(folder)
    (folder / "out" / "ann").mkdir()
    file = folder / "out" / "ann" / path.name
    file.write_bytes(path.read_bytes()[:60])
    os.utime(file, (LONG_AGO, LONG_AGO))
    why = oracle_of(folder).unread()[file]
    assert str(file) in why
    assert "cannot be read as a volume" in why


def test_asking_again_completes_and_overwrites_nothing(folder):
    pool, ids, path, _, _ = one_volume(folder)
    before = path.read_bytes(), path.stat().st_mtime_ns
    oracle = oracle_of(folder, pool)
    oracle.ask(queries_of(pool, ids))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    oracle.ask(queries_of(pool, [*ids, "p0/ct/axial-0001"]))
    assert [other.parent.parent.name for other in sent(folder)] == ["r00-nifti", "r00-nifti-2"]
    assert sent(folder)[1].name == "r00-v001-p0_ct.nii.gz"


def test_dicom_goes_out_as_nifti_in_its_place(folder):
    write_series(folder / "dicom" / "case1", ramp(), origin=(10.0, 20.0, 30.0), slope=2, intercept=-5)
    pool = alkit.VolumePool(folder / "dicom")
    oracle_of(folder, pool).ask(queries_of(pool, pool.ids[:1]))
    voxels, image = load(sent(folder, "images")[0])
    np.testing.assert_array_equal(voxels, ramp() * 2 - 5)
    np.testing.assert_allclose(image.affine, pool.volumes["case1"].geometry.matrix)
    labels, other = load(sent(folder)[0])
    np.testing.assert_array_equal(other.affine, image.affine)
    labels[0, 0, 0] = 1
    answer(folder, sent(folder)[0].name, labels, other.affine)
    (one,) = oracle_of(folder).poll()
    assert (one.id, one.label.sum(), one.label.shape) == ("case1/axial-0000", 1, (4, 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(shape=[10**9, 10**9, 10**9]),
        lambda one: one.update(shape=[6, 8]),
        lambda one: one.update(affine=[[0] * 4] * 4),
        lambda one: one.update(axis=7),
        lambda one: one["slices"][0].update(number=-1),
        lambda one: one.update(slices=[]),
        lambda one: one.update(flips="no"),
    ],
)
def test_a_manifest_that_somebody_changed_is_not_used(folder, change):
    _, _, path, labels, image = one_volume(folder)
    manifest = path.parent.parent / "volumes.json"
    facts = json.loads(manifest.read_text())
    change(facts["volumes"][0])
    manifest.write_text(json.dumps(facts))
    labels[1:3, 2:4, 3] = 1
    file = answer(folder, path.name, labels, image.affine)
    oracle = oracle_of(folder)
    assert not list(oracle.poll())
    assert file in oracle.unread()


def test_links_that_lead_out_are_not_followed(folder):
    _, _, path, labels, image = one_volume(folder)
    labels[1:3, 2:4, 3] = 1
    file = answer(folder, path.name, labels, image.affine)
    file.rename(folder / path.name)
    file.symlink_to(folder / path.name)
    assert not list(oracle_of(folder).poll())


def test_a_link_in_the_place_of_an_image_is_replaced_and_not_written_through(folder):
    """An annotator could have a file of the lead's overwritten."""
    pool = alkit.VolumePool(folder / "images", cache=folder / "cache")
    oracle_of(folder, pool).ask(queries_of(pool, pool.ids[:2]))
    (image,) = sent(folder, "images")
    content, theirs = image.read_bytes(), folder / "precious.txt"
    theirs.write_text("precious")
    (image.parent.parent / "volumes.json").unlink()
    image.unlink()
    image.symlink_to(theirs)
    oracle_of(folder, pool).ask(queries_of(pool, pool.ids[:2]))
    assert theirs.read_text() == "precious"
    assert not image.is_symlink()
    assert image.read_bytes() == content


def test_other_pools_and_formats_are_refused_before_anything_is_asked(folder):
    other = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(DataError, match="the pool must consist of slices of volumes"):
        oracle_of(folder, other)
    with pytest.raises(UnknownNameError, match="also must be coco or cvat or nifti"):
        oracle_of(folder, other, also=["dicom"])
