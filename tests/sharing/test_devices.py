import threading
import time

import pytest

from alkit.sharing.devices import device_slot, worker_device
from tests.support.baselines import play


def test_each_worker_has_a_device_of_its_own_and_waits_if_none_is_free(tmp_path):
    taken, order, done = [], [], threading.Event()

    def work(number):
        with device_slot(("cuda:0", "cuda:1"), tmp_path):
            taken.append(worker_device())
            order.append(number)
            if number < 2:
                done.wait(5)
        order.append(-number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    while len(taken) < 2:
        time.sleep(0.01)
    late = threading.Thread(target=work, args=(2,))
    late.start()
    time.sleep(0.1)
    assert sorted(taken) == ["cuda:0", "cuda:1"]
    done.set()
    for thread in [*threads, late]:
        thread.join()
    assert order.index(2) > 1
    assert len(taken) == 3
    assert worker_device() is None


def test_a_worker_keeps_the_device_that_has_its_model(tmp_path):
    found = []
    for _ in range(3):
        with device_slot(("cpu", "cuda:1"), tmp_path):
            found.append(worker_device())
    assert found == ["cpu"] * 3


@pytest.mark.slow
def test_one_process_for_each_device_gives_what_one_process_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    alone, shared = (
        play("ensemble-s", tmp_path / f"{name}.db", tmp_path / "pretext", workers)
        for name, workers in (("alone", 1), ("devices", ["cpu", "cpu"]))
    )
    assert shared == alone
