import pytest

from alkit.cli import demo, main
from alkit.values import quiet


def test_the_demo_writes_curves_and_a_table_and_continues_after_an_interruption(tmp_path, monkeypatch, capfd):
    for name, value in {"IMAGES": 24, "TEST": 8, "SIZE": 16, "START": 4, "BATCH": 4, "ROUNDS": 1}.items():
        monkeypatch.setattr(demo, name, value)
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(["demo", "--out", str(tmp_path)])
        assert end.value.code == 0
        said = capfd.readouterr().out
        assert "ssl-cluster (dice)" in said
        assert (tmp_path / "learning-curve.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_images_are_hard_enough_that_labels_matter(tmp_path, seed):
    results = demo.play("random", seed, tmp_path / "r.db", quiet)
    assert results[0].n_labels == 20
    assert results[0].metrics["dice"] <= 0.8 * results[-1].metrics["dice"]
