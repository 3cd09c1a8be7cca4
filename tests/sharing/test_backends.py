import joblib
import pytest

from tests.support.baselines import BASELINES, play


@pytest.fixture(autouse=True)
def _small_batches(tmp_path, monkeypatch):
    """Divide the images into shards of eight."""
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("alkit.pools.pieces.batch_size", lambda ids, pool, at_once: 8)


def test_processes_give_what_one_process_gives(tmp_path):
    alone, shared = (play("ensemble-s", tmp_path / f"{n}.db", tmp_path / "pretext", n) for n in (1, 2))
    assert shared == alone


def test_threads_give_what_one_process_gives(tmp_path):
    alone = play("mc-dropout", tmp_path / "alone.db", tmp_path / "pretext")
    with joblib.parallel_config("threading", n_jobs=2):
        assert play("mc-dropout", tmp_path / "threads.db", tmp_path / "pretext") == alone


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_gives_the_same_with_processes(name, tmp_path):
    alone, shared = (play(name, tmp_path / f"{n}.db", tmp_path / "pretext", n, rounds=2) for n in (1, 2))
    assert shared == alone
