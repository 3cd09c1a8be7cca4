import numpy as np
import pytest

from benchmarks import embeddings, rows
from benchmarks.array_view import ArrayView


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten groups of rows, one for each class."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 400), ("test", 100)):
        labels = np.arange(n) % 10
        table = np.eye(10)[labels] * 20 + rng.normal(size=(n, 10))
        np.save(tmp_path / f"embeddings_vae_{part}.npy", table.astype(np.float32))
        np.save(tmp_path / f"labels_{part}.npy", labels)
    return tmp_path


def test_runs_are_measured_once_and_centroids_find_every_class(folder, tmp_path, capsys):
    data, out = embeddings.read(folder), tmp_path / "rows.csv"
    methods = ["random", "class-balanced random", "centroids", "centroids to 40, then margin"]
    for _ in range(2):
        embeddings.measure(data, out, methods, [0])
    found = {(row.method, row.labels): row.accuracy for row in rows.read_as(embeddings.Row, out)}
    assert len(found) == 4 * 5
    assert (
        found["centroids", 10] == found["class-balanced random", 10] == found["centroids to 40, then margin", 20] == 1
    )
    assert found["random", 10] < 1
    assert embeddings.read(folder).fit(("000000", "000010")).predict(data.test[:2]).tolist() == [0, 0]  # one class
    assert len(embeddings.table(rows.read_as(embeddings.Row, out)).rows) == 4


def test_a_view_of_a_table_scores_and_predicts_its_candidates():
    from alkit import scores

    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]], np.float32)
    view = ArrayView(("a", "b", "c"), np.zeros((3, 1), np.float32), ("b",), probabilities)
    assert view.candidates == ("a", "c")
    assert view.scores(scores.margin) == pytest.approx({"a": 0.2, "c": 0.8}, rel=1e-5)
    assert next(view.predictions()).ids == ("a", "c")


@pytest.mark.parametrize("name", embeddings.GREEDY)
def test_the_first_labels_of_a_greedy_selection_are_a_smaller_selection(folder, name):
    import alkit

    data = embeddings.read(folder)
    view = ArrayView(data.ids, data.table)
    many, few = (alkit.strategy(name).select(view, n, np.random.default_rng(3)).ids for n in (40, 10))
    assert many[:10] == few
