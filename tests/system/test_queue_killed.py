"""A queue that is topped up, answered and trained on by processes that are killed at any point."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest

import alkit
from alkit.testing import Brightness
from alkit.values import People

PLAY = """
import sys
import numpy as np
import alkit
from alkit.testing import Brightness

images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)
experiment = alkit.Experiment(
    alkit.ArrayPool(images), Brightness(), alkit.strategy("random"), sys.argv[1], classes=("a", "b"),
    people=alkit.values.People({"ann": 2, "ben": 1}, days=1), wait=60,
)
for _ in range(6):
    print("asks", flush=True)
    experiment.top_up(6)
    for query in experiment.queries()[:3]:
        print("tells", flush=True)
        experiment.tell({query.id: np.eye(8, dtype=np.uint8)}, annotator=query.assigned[0])
    print("trains", flush=True)
    experiment.fit(wait_for_answers=False)
"""


@pytest.mark.slow
def test_a_queue_of_killed_processes_has_no_doubles_and_loses_nothing(tmp_path):
    store, dice = tmp_path / "c.db", random.Random(3)
    told = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", PLAY, store], stdout=subprocess.PIPE, text=True) as process:
            for _ in range(dice.randint(2, 9)):
                assert process.stdout.readline()
            time.sleep(dice.uniform(0, 0.1))
            process.kill()
        images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)
        pool, random_choice = alkit.ArrayPool(images), alkit.strategy("random")
        people = People({"ann": 2, "ben": 1}, days=1)
        experiment = alkit.Experiment(pool, Brightness(), random_choice, store, classes=("a", "b"), people=people)
        asked = [entry.query for entry in experiment._parts.store.asked()]
        assert len({query.id for query in asked}) == len(asked)
        assert all(query.assigned and query.due for query in asked)
        assert len(experiment.waiting_ids) <= 6
        labelled = sum(bool(known.labels) for known in experiment._parts.answered().values())
        assert labelled >= told
        told = labelled
        assert sum(len(result.ids) for result in experiment.history) <= len(asked)
    assert len(experiment.top_up(6)) == 6
    assert experiment.fit(wait_for_answers=False).n_labels == told > 0
