"""Predictions and exported models of several classes per image give the same sets."""

import contextlib
import csv
import io
import json
import re
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import alkit
from alkit.networks import Classifier
from alkit.trained import export_model, predict_folder, trained_model

CLASSES = ("bright", "dark")


@pytest.mark.slow
def test_predicted_tables_programs_and_sample_code_give_the_same_classes(tmp_path):
    chance = np.random.default_rng(0)
    present = chance.integers(0, 2, (40, 2))
    for row, (bright, dark) in enumerate(present):
        pixels = 110 + chance.integers(0, 20, (32, 32))
        pixels[4:14, 4:14] += 110 * bright
        pixels[18:28, 18:28] -= 110 * dark
        folder = tmp_path / ("pool" if row < 30 else "new")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")
    pool = alkit.ImagePool(tmp_path / "pool", size=32, grayscale=True)
    network = partial(Classifier, partial(alkit.UNet, widths=(4, 8)))
    learner = alkit.ClassificationLearner(network, steps=(200, 1), lr=1e-2, batch=16)
    oracle = alkit.LabelOracle({id: present[int(id)] for id in pool.ids}, CLASSES, multiple=True)
    alkit.Experiment(pool, learner, alkit.strategy("random"), store=tmp_path / "r.db").run(
        oracle, start=30, batch=1, rounds=0
    )
    model = trained_model(tmp_path / "r.db")
    outcome = predict_folder(model, tmp_path / "new", tmp_path / "out")
    with (tmp_path / "out" / "classes.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(outcome.done)
    truth = {id: oracle.spec.names(present[int(id)]) for id in rows}
    assert np.mean([row["class"] == ("|".join(truth[id]) or "none") for id, row in rows.items()]) > 0.8
    formats = ["torch"]
    with contextlib.suppress(ImportError):
        import onnxruntime

        formats.append("onnx")
    export_model(model, tmp_path / "model", formats=tuple(formats))
    facts = json.loads((tmp_path / "model" / "card.json").read_text())
    assert (facts["per"], facts["multiple"]) == ("image", True)
    text = (tmp_path / "model" / "CARD.md").read_text()
    assert "the probabilities that it has bright, dark. It can have several, or none." in text
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    program = torch.export.load(tmp_path / "model" / "model.pt2").module()
    new = alkit.ImagePool(tmp_path / "new", size=32, grayscale=True)
    for id, row in rows.items():
        (tmp_path / "model" / "image.png").write_bytes((tmp_path / "new" / f"{id}.png").read_bytes())
        said = io.StringIO()
        with contextlib.chdir(tmp_path / "model"), contextlib.redirect_stdout(said):
            exec(code, {})
        names, *probabilities = said.getvalue().split()
        expected = [float(row[f"probability of {name}"]) for name in CLASSES]
        assert names == row["class"]
        np.testing.assert_allclose(list(map(float, probabilities)), expected, atol=1e-3)
        np.testing.assert_allclose(program(torch.from_numpy(new.read([id])))[0].numpy(), expected, atol=1e-3)
        if "onnx" in formats:
            session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx")
            (found,) = session.run(None, {"images": new.read([id])})
            np.testing.assert_allclose(found[0], expected, atol=1e-3)
