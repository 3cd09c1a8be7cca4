"""What a prompt and a notebook show of objects with many ids: short, escaped, and without reading an image."""

import re

import numpy as np
import pytest

import alkit
from alkit.values import Clusters, Limit, Receipt
from alkit.values.shown import figure, html_table, short
from tests.support.parts import CLASSES

MANY = tuple(f"<script>{number}" for number in range(5000))
MASK = np.zeros((16, 16), np.uint8)
POOL = alkit.ArrayPool(np.zeros((5000, 4, 4), np.uint8), ids=MANY)


class Unread(list):
    """A data set whose images are read only while the pool is made."""

    def __getitem__(self, row):
        assert row == 0
        return np.zeros((4, 4), np.uint8)

    def __len__(self):
        return 5000


SHOWN = {
    "RoundResult": alkit.RoundResult(3, MANY, 9, {"dice": 0.5}, {"fit": 1.0}, warnings=("<script>odd",)),
    "Selection": alkit.Selection(MANY[1:], tuple(map(float, range(4999))), MANY[1:], pseudo_labels=MANY[:1]),
    "Predictions": alkit.Predictions(MANY, np.full((5000, 2), 0.5, np.float32)),
    "masks": alkit.Predictions(MANY[:9], np.full((9, 2, 16, 16), 0.5, np.float32)),
    "ArrayPool": POOL,
    "Subset": POOL.subset(MANY[:4000]),
    "DatasetPool": alkit.DatasetPool(Unread(), MANY),
    "Rows": alkit.report.table([alkit.RoundResult(0, MANY, 9)]),
    "Comparison": alkit.report.compare_runs({"<script>": {0: dict.fromkeys(range(1, 50), 0.5)}}),
}

SHORT = {
    "Clusters": Clusters(MANY, np.zeros(5000, int), np.zeros(5000), 1),
    "Limit": Limit(dict.fromkeys(MANY, "a"), 1),
    "Receipt": Receipt(tuple(alkit.Answer(id, MASK) for id in MANY)),
    "MaskOracle": alkit.MaskOracle(dict.fromkeys(MANY, MASK), CLASSES),
    "LabelOracle": alkit.LabelOracle(dict.fromkeys(MANY, 0), CLASSES),
}


@pytest.mark.parametrize("name", [*SHOWN, *SHORT])
def test_the_text_is_short(name):
    thing = {**SHOWN, **SHORT}[name]
    assert len(repr(thing)) < 700
    assert "\n" not in repr(thing)


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_shows_it_in_bounded_length_and_escaped(name):
    page = re.sub(r"data:image/png;base64,[\w+/=]+", "", SHOWN[name]._repr_html_())
    assert len(page) < 12_000
    assert "<script" not in page
    assert page.count("<div") == page.count("</div>")


def test_the_texts_say_what_matters():
    assert repr(POOL) == "ArrayPool(5000 images, 1 x 4 x 4)"
    assert repr(POOL.subset(MANY[:9])) == "Subset(9 images, 1 x 4 x 4, of ArrayPool(5000 images, 1 x 4 x 4))"
    assert repr(alkit.RoundResult(0, ("b", "a"), 2, {"dice": 0.5})).startswith(
        "RoundResult(round=0, ids=('b', 'a'), n_labels=2, metrics={'dice': 0.5}, "
    )
    assert "ids=('<script>0', '<script>1', '<script>2', ... 4997 more)" in repr(SHOWN["RoundResult"])
    assert "probabilities=float32 array (5000, 2)" in repr(SHOWN["Predictions"])
    page = SHOWN["Selection"]._repr_html_()
    assert "Selection of 4999 images" in page
    assert "and 4979 more" in page
    assert "1 more get a pseudo-label." in page
    assert "odd" in SHOWN["RoundResult"]._repr_html_()


def test_a_folder_of_images_is_named(tmp_path):
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    pool = alkit.ImagePool(tmp_path, cache=tmp_path / "cache")
    assert repr(pool) == f"ImagePool(1 image, 3 x 8 x 8, {str(tmp_path)!r})"


def test_an_experiment_shows_its_rounds_without_reading_its_queries(tmp_path, monkeypatch):
    images, masks = alkit.synthetic.lesions(12, size=16)
    pool, test = alkit.ArrayPool(images).split(test=4, seed=0)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, CLASSES)
    path = tmp_path / "<b>.db"
    experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), store=path)
    assert repr(experiment) == f"Experiment({str(path)!r}: 0 answers; Random, Brightness, 8 images)"
    history = experiment.run(oracle, test=test, start=4, batch=2, rounds=1)
    monkeypatch.setattr(alkit.record.Store, "snapshot", lambda self: pytest.fail("queries were read"))
    assert repr(experiment) == f"Experiment({str(path)!r}: 2 rounds, 6 labels; Random, Brightness, 8 images)"
    page = experiment._repr_html_()
    assert f"{history[1].metrics['dice']:.3f}" in page
    assert "6 queries, 6 answers" in page
    assert "<b>.db" not in page
    monkeypatch.undo()
    for file in tmp_path.iterdir():
        if file.is_file():
            file.write_bytes(b"damaged" * 1000)
    assert "its record cannot be read" in repr(experiment)
    assert "cannot be read" in experiment._repr_html_()


def test_cells_and_values_of_every_kind():
    assert [figure(value) for value in (None, 0.12345, 123456.0, float("nan"), 3, ("a",), "x")] == [
        *("", "0.123", "1.23e+05", "nan", "3", "('a',)", "x")
    ]
    assert short(["a"] * 4) == "['a', 'a', 'a', ... 1 more]"
    assert short({"a", "b"}) in ("{'a', 'b'}", "{'b', 'a'}")
    assert short(frozenset()) == "frozenset()"
    assert len(short("x" * 1000)) < 100
    assert len(short({"k" * 900: ["v" * 900] * 9})) < 500
    assert short(np.float32) == repr(np.float32)
    assert html_table("t") == "<div><p><b>t</b></p></div>"
