import re
import sys
import threading

import pytest

from alkit.sharing.share import share
from tests.support.baselines import BASELINES, play
from tests.support.clusters import CLUSTERS, ROOT
from tests.support.shared import Number, Slow

pytestmark = pytest.mark.services


@pytest.fixture(params=CLUSTERS)
def cluster(request, tmp_path, monkeypatch):
    """Start a cluster, and return what kills one of its two workers."""
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("alkit.pools.pieces.batch_size", lambda ids, pool, at_once: 8)
    with CLUSTERS[request.param]({"ALKIT_CACHE": str(tmp_path / "cache")}) as kill:
        yield kill


@pytest.mark.filterwarnings("ignore")
def test_a_machine_that_is_lost_costs_the_shards_in_its_work(cluster, tmp_path):
    tmp_path.joinpath("calls").mkdir()
    work, numbers = Slow(tmp_path / "calls"), [Number(value) for value in range(16)]
    timer = threading.Timer(4, cluster)
    timer.start()
    found = list(share(work, numbers, lambda done: None))
    timer.join()
    assert [int(result["square"][0]) for result in found] == [value**2 for value in range(16)]
    assert sum(work.calls().values()) <= 16 + 4


@pytest.mark.filterwarnings("ignore")
def test_each_baseline_gives_the_same_as_in_one_process_and_one_survives_the_loss_of_a_machine(cluster, tmp_path):
    for name in BASELINES:
        alone, shared = (play(name, tmp_path / f"{name}{n}.db", tmp_path / "pretext", n) for n in (1, None))
        assert shared == alone, name
    alone = play("mc-dropout", tmp_path / "alone.db", tmp_path / "pretext", 1, images=120)
    killed = []

    def kill_once(progress):
        if progress.stage == "scores" and not killed:
            killed.append(progress)
            cluster()

    assert play("mc-dropout", tmp_path / "killed.db", tmp_path / "pretext", images=120, report=kill_once) == alone
    assert 0 < killed[0].done < killed[0].total


@pytest.mark.filterwarnings("ignore")
def test_submitit_runs_each_seed_as_the_page_says(tmp_path):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/clusters.md").read_text(), re.S):
        exec(compile(block, "clusters.md", "exec"), names)
    said = names["submit"](tmp_path, [sys.executable, "-c", "import sys; print(sys.argv[1:])"], [0, 1])
    assert said == [str(["--seed", seed, "--store", f"runs/{seed}.db"]) for seed in "01"]
