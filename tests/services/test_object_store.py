"""Files of a record in an S3 server that fails as real ones do, and clients that are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from files_elsewhere import forget_copies, reads_and_writes_in_a_fork
from object_store import object_store

import alkit
from alkit.errors import StoreError
from alkit.record import Store, remote
from alkit.record.check import check
from alkit.record.elsewhere import ids_at
from alkit.record.places import UnreachableError

pytestmark = [pytest.mark.services, pytest.mark.sqlite]

CONTENT = b"a label, which is long enough to be cut in two halves"


@pytest.fixture
def store(tmp_path, s3):
    return Store(tmp_path / "r.db", files=s3.address)


def test_a_file_is_written_read_listed_and_deleted(store):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert store.content(name) == CONTENT
    assert store.contents.names(".png") == [name]
    assert store.contents.local(name).read_bytes() == CONTENT
    store.delete_files([name])
    assert not store.contents.exists(name)
    with pytest.raises(StoreError, match="is missing, and the record refers to it"):
        store.content(name)


def test_names_with_a_start_are_listed_by_one_request(store, s3):
    place = store.contents.place.inside("journal")
    for number in range(3):
        place.put(f"{number:012}-abc", b"lines")
    place.inside("000000000001-older").put("000000000001-deeper", b"lines")
    s3.fail()
    assert place.names(start="000000000001") == ["000000000001-abc"]
    assert [method for method, _ in s3.requests()] == ["GET"]
    assert place.names() == [f"{number:012}-abc" for number in range(3)]


def test_a_prefix_may_have_special_characters(tmp_path, s3):
    address = "s3://records/a b/ä#1/50%41+(1)'s;~"
    store = Store(tmp_path / "r.db", files=address)
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert Store(tmp_path / "r.db", files=address).content(name) == CONTENT
    assert store.contents.names(".png") == [name]
    assert ids_at(address) == [store.fact("elsewhere")]


@pytest.mark.parametrize("fault", ["500", "late", "slow", "drop"])
@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_an_upload_survives_a_fault(store, s3, fault, method):
    s3.fail(*[(fault, method, ".png")] * (1 if fault == "slow" else 2))
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert store.content(name) == CONTENT
    assert s3.left() == []


@pytest.mark.parametrize("fault", ["500", "slow", "cut", "drop"])
def test_a_download_survives_a_fault(store, s3, fault):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    s3.fail(*[(fault, "GET", ".png")] * (1 if fault == "slow" else 2))
    assert store.content(name) == CONTENT
    assert s3.left() == []


def test_a_large_file_is_complete_or_not_there(store, s3):
    content = random.Random(0).randbytes(120 * 2**20)  # which is uploaded in parts
    s3.fail(("drop", "PUT", ".model"), ("500", "POST", ".model"))
    name = store.keep(content, ".model")
    forget_copies()
    assert store.content(name) == content
    assert any(method == "POST" for method, _ in s3.requests())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(store):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert reads_and_writes_in_a_fork(store, name, CONTENT)
    assert len(store.contents.names(".png")) == 2


def test_one_who_may_only_read_reads_and_is_told_what_is_not_permitted(store, s3, monkeypatch):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    s3.fail(*[("403", "PUT", ".png")] * 5)
    assert store.content(name) == CONTENT
    with pytest.raises(
        StoreError, match=r"cannot write s3://.*(Forbidden|Access ?Denied).*credentials in the environment"
    ):
        store.keep(b"another", ".png")
    assert [method for method, path in s3.requests() if "PUT" in method] == ["PUT"]  # it is not tried again


def test_a_server_that_keeps_failing_leaves_the_record_as_it_was(store, s3, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    s3.fail(*[("500", "PUT", ".model")] * 50)
    with pytest.raises(UnreachableError, match="4 attempts") as caught:
        store.commit_round(alkit.RoundResult(0, (), 1), b"weights", "stamp")
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert store.rounds() == []
    s3.fail()
    store.commit_round(alkit.RoundResult(0, (), 1), b"weights", "stamp")
    assert store.content(store.last_model()[0]) == b"weights"


def test_wrong_buckets_and_lost_servers_are_named(tmp_path, s3, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    with pytest.raises(StoreError, match=r"cannot write s3://nowhere/x/.*bucket does not exist"):
        Store(tmp_path / "r.db", files="s3://nowhere/x")
    assert not (tmp_path / "r.db").exists() or not (tmp_path / "r.db").stat().st_size
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("alkit.record.connections._systems", {})
    with pytest.raises(UnreachableError, match="Could not connect"):
        Store(tmp_path / "s.db", files=s3.address)


def test_a_server_that_stops_in_mid_upload_leaves_nothing_that_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.1, 0.1, 0.1))
    monkeypatch.setattr("alkit.record.connections._systems", {})
    with object_store() as own:
        for name, value in own.environment.items():
            monkeypatch.setenv(name, value)
        store = Store(tmp_path / "r.db", files=own.address)
        own.fail(("stop", "PUT", ".model"))
        with pytest.raises(UnreachableError, match="cannot write s3://"):
            store.commit_round(alkit.RoundResult(0, (), 1), b"weights" * 10**6, "stamp")
        assert own.process.wait(10) is not None
    assert Store(store.path).rounds() == []
    assert not check(store.path, files=Store(store.path, files=own.address).contents).damage


PROGRAM = """
import sys, alkit
from functools import partial
images, masks = alkit.synthetic.lesions(40, size=16)
learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
store = alkit.record.Store(sys.argv[1], files=sys.argv[2])
pool, classes = alkit.ArrayPool(images), ("skin", "lesion")
experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=classes)
print("ready", flush=True)
for number in range(4):
    if not experiment.open_ids:
        experiment.ask(4)
    experiment.tell({id: masks[int(id)] for id in experiment.open_ids})
    experiment.fit()
    print(len(experiment.history), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_client_that_is_killed_at_any_moment_leaves_a_whole_record(tmp_path, s3, seed):
    path, program = tmp_path / "r.db", [sys.executable, "-c", PROGRAM, str(tmp_path / "r.db"), s3.address]
    chance = random.Random(seed)
    environment = {**os.environ, **s3.environment, "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 2.0))
            os.kill(process.pid, signal.SIGKILL)
    store = Store(path, files=s3.address)
    forget_copies()
    found = check(path, files=store.contents)
    assert not found.damage
    for answer in store.answers():
        assert store.content(answer.label)
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout.split()[-1]) >= 4
    assert len(store.contents.names(".model")) == 1


def test_a_campaign_gives_the_same_numbers_as_with_files_beside_the_record(tmp_path, s3):
    images, masks = alkit.synthetic.lesions(20, size=16)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    found = []
    for name, files in (("a.db", None), ("b.db", s3.address)):
        store = Store(tmp_path / name, files=files)
        pool = alkit.ArrayPool(images)
        experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=("skin", "lesion"))
        experiment.tell({id: masks[int(id)] for id in experiment.ask(4)})
        experiment.fit()
        predicted = [entry.probabilities for entry in experiment.predict(alkit.ArrayPool(images))]
        found.append((experiment.ask(2), store.last_model()[0], np.concatenate(predicted)))
    assert found[0][:2] == found[1][:2]
    assert np.array_equal(found[0][2], found[1][2])
