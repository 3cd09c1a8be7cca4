import pytest

from alkit.cli import demo, main
from alkit.values import quiet


def test_the_demo_writes_curves_and_a_table_and_continues_after_an_interruption(tmp_path, monkeypatch, capfd):
    small = {"IMAGES": 40, "TEST": 20, "SIZE": 16, "START": 4, "BATCH": 4, "ROUNDS": 1, "SEEDS": 2, "EPOCHS": (4, 2)}
    for name, value in small.items():
        monkeypatch.setattr(demo, name, value)
    said = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(["demo", "--out", str(tmp_path)])
        assert end.value.code == 0
        said.append(capfd.readouterr().out)
        assert f"{demo.STRATEGY} minus random, over 2 seeds and 4 to 8 labels: " in " ".join(said[-1].split())
        assert (tmp_path / "learning-curve.png").stat().st_size > 10_000
    assert said[0] == said[1]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Return the runs of ten seeds, five of which the demo shows."""
    folder = tmp_path_factory.mktemp("demo")
    return {
        name: [demo.play(name, seed, folder / f"{name}-{seed}.db", quiet) for seed in range(10)]
        for name in (demo.STRATEGY, "random")
    }


@pytest.mark.slow
def test_over_ten_seeds_the_strategy_of_the_demo_is_better_than_random(played):
    gain = demo.gain(played, demo.KINDS_DICE)
    assert gain.n == 10
    assert gain.low > 0
    shown = demo.gain({name: runs[: demo.SEEDS] for name, runs in played.items()}, demo.KINDS_DICE)
    assert shown.low <= gain.mean <= shown.high


@pytest.mark.slow
def test_the_first_point_of_the_demo_is_not_noise_and_labels_matter(played):
    for history in played["random"]:
        assert history[0].n_labels == 10
        assert history[0].metrics["dice"] > 0.5
    first, last = (sum(history[at].metrics[demo.KINDS_DICE] for history in played["random"]) / 10 for at in (0, -1))
    assert first < 0.9 * last
