"""Files written by commit a395940 still work: records resume, caches are found, models predict the same numbers.

Ids and counts must be equal. Probabilities, scores and features may differ by 1e-4 of the largest expected one, because
another CPU adds in another order: with AVX2 only, and without vector instructions, they differed by at most 3e-6.
Metrics may differ by 0.02, because a pixel near 0.5 may change its class; with those CPU settings they were equal.
"""

import hashlib
import json
import shutil

import numpy as np
import old_records as use
import pytest

import alkit
from alkit import configuration as forms
from alkit.labels.joining import JOINS

CLOSE, COUNTED = 1e-4, 0.02
TRUSTED = ("alkit", "alkit_baselines", "segmentation_models_pytorch")
EXPECTED = json.loads((use.FOLDER / "expected.json").read_text())
FORMS = json.loads((use.FOLDER / "written_forms.json").read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Copy the files, make the copy the working directory, and use the cache in it."""
    shutil.copytree(use.FOLDER, tmp_path / "copy")
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("used", use.USES, ids=lambda used: used.__name__)
def test_files_of_an_earlier_alkit_work_and_give_the_same_numbers(folder, used, monkeypatch):
    if used is use.a_campaign_with_people:  # only the rule of ties has changed since: see the next test
        monkeypatch.setitem(JOINS, "majority", use.majority_with_lowest_ties)
    found, arrays = used(folder), 0
    with np.load(use.FOLDER / "expected.npz") as expected:
        for name, value in found.items():
            if isinstance(value, np.ndarray):
                wanted = expected[f"{used.__name__}: {name}"]
                np.testing.assert_allclose(value, wanted, rtol=0, atol=CLOSE * np.abs(wanted).max(), err_msg=name)
                arrays += 1
        assert arrays == sum(name.startswith(f"{used.__name__}: ") for name in expected)
    plain = {name: value for name, value in found.items() if not isinstance(value, np.ndarray)}
    assert plain == roughly(EXPECTED.get(used.__name__, {}))
    assert use.contents(folder / "cache" / "pretext") == use.contents(use.FOLDER / "cache" / "pretext")


def test_a_campaign_of_an_earlier_alkit_ignores_ties_from_now_on(folder):
    """A tie was class 0 when the model in the record was trained. That model stays, and a new one ignores the tie."""
    found, before = use.a_campaign_with_people(folder), EXPECTED["a_campaign_with_people"]
    assert found["found"] == roughly(before["found"])
    with np.load(use.FOLDER / "expected.npz") as expected:
        wanted = expected["a_campaign_with_people: predicted"]
        np.testing.assert_allclose(found["predicted"], wanted, rtol=0, atol=CLOSE * np.abs(wanted).max())
    *old, new = alkit.Experiment.open(folder / "campaign.db").history
    assert all(result.warnings == () for result in old)
    assert "4.5 % of the pixels of 5 images. These pixels are ignored in the training" in new.warnings[0]


def roughly(value):
    """Return `value` with floats that equal any float within the tolerance."""
    if isinstance(value, dict):
        return {key: roughly(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [roughly(entry) for entry in value]
    return pytest.approx(value, abs=COUNTED) if isinstance(value, float) else value


@pytest.mark.parametrize("name", FORMS["values"])
def test_a_value_is_built_from_its_old_written_form(name):
    form, value = FORMS["values"][name], use.values()[name]
    assert forms.differences(form, forms.written_form(value)) == []
    if not forms.opaque_parts(form):
        again = forms.rebuild(form, TRUSTED)
        assert type(again) is type(value)
        assert forms.written_form(again) == forms.written_form(value)


@pytest.mark.parametrize("name", FORMS["names"])
def test_a_public_class_or_function_is_found_by_its_old_address(name):
    assert forms.rebuild(FORMS["names"][name], TRUSTED) is use.names()[name]


@pytest.mark.parametrize("name", FORMS["others"])
def test_a_name_that_is_not_public_is_found_by_its_old_address(name):
    renamed = {"Some": "Subset"}
    assert forms.rebuild(FORMS["others"][name], TRUSTED).__qualname__ == renamed.get(name, name)


def test_every_value_and_name_has_a_written_form():
    assert set(FORMS["values"]) == set(use.values())
    assert set(FORMS["names"]) == set(use.names())


def test_nobody_has_changed_the_files():
    for line in (use.FOLDER / "SHA256SUMS").read_text().splitlines():
        sum, _, name = line.partition("  ")
        assert hashlib.sha256((use.FOLDER / name).read_bytes()).hexdigest() == sum, name


def test_a_missing_image_is_noticed(folder, caplog):
    gone = next((folder / "images").iterdir())
    gone.unlink()
    pool = alkit.ImagePool(folder / "images", size=16, grayscale=True)
    experiment = alkit.Experiment.open(folder / "campaign.db", pool=pool)
    assert f"these images are missing and not used: {gone.stem!r}" in caplog.text
    assert gone.stem not in {*experiment.pool.ids, *experiment.candidates, *experiment.open_ids}
