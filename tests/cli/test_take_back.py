"""``alkit reject`` and ``alkit withdraw`` say what is so, and take a word for one image only."""

import numpy as np
import pytest
from commandline import alkit as run

import alkit
from alkit.testing import Brightness

MASK = np.zeros((16, 16), np.uint8)


def campaign(path, *ids):
    images, _ = alkit.synthetic.lesions(len(ids), size=16)
    pool = alkit.ArrayPool(images, ids=ids)
    take = lambda view, n, rng: list(view.candidates)[:n]  # noqa: E731
    return alkit.Experiment(pool, Brightness(), take, path, classes=("skin", "lesion"))


@pytest.mark.parametrize("withdrawn", [False, True])
def test_reject_says_whether_the_query_is_open_again(tmp_path, capfd, withdrawn):
    experiment = campaign(tmp_path / "c.db", "a", "b")
    experiment.ask(2)
    if withdrawn:
        experiment.withdraw()
    experiment.tell({"a": MASK})
    assert run("reject", tmp_path / "c.db", "r00-0000-a", "--reason", "blurred") == 0
    said = capfd.readouterr().out
    assert ("a is open again: blurred" in said) is not withdrawn
    assert ("a has no open query, and its answer does not count any more: blurred" in said) is withdrawn


def test_a_word_that_means_two_images_takes_nothing_back(tmp_path, capfd):
    experiment = campaign(tmp_path / "c.db", "a", "r00-0000-a")
    experiment.ask(2)
    assert run("withdraw", tmp_path / "c.db", "r00-0000-a") != 0
    assert (
        "is the id of an image and the name of another one's query. Try: a or r00-0001-r00-0000-a."
        in capfd.readouterr().err
    )
    assert len(experiment.open_ids) == 2
    experiment.tell({"a": MASK, "r00-0000-a": MASK})
    assert run("reject", tmp_path / "c.db", "r00-0000-a", "--reason", "blurred") != 0
    assert experiment.open_ids == ()
    assert run("reject", tmp_path / "c.db", "r00-0001-r00-0000-a", "--reason", "blurred") == 0
    assert experiment.open_ids == ("r00-0000-a",)
    assert run("reject", tmp_path / "c.db", "a", "--reason", "blurred") == 0
    assert experiment.open_ids == ("a", "r00-0000-a")
