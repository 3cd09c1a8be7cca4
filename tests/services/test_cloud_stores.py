"""Files of a record in Google Cloud Storage and in Azure: servers on loopback that speak their protocols, with faults.

Google's server is ``gcp-storage-emulator``, which asks for no credentials. So what Google says to wrong ones is only
tried as the proxy says it. Azure's is Azurite, which checks the signature of each request.
"""

import hashlib
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from cloud_stores import KEY
from files_elsewhere import forget_copies, reads_and_writes_in_a_fork

import alkit
from alkit.errors import ConfigurationError, StoreError
from alkit.record import Recorded, Store, connections, remote
from alkit.record.check import check
from alkit.record.elsewhere import begin_elsewhere, ids_at, place_at
from alkit.record.places import UnreachableError
from alkit.record.repairing import repair

pytestmark = [
    pytest.mark.services,
    pytest.mark.sqlite,
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),  # as both libraries do
]

CONTENT = b"a label, which is long enough to be cut in two halves"
PUT = {"gs": "POST", "az": "PUT"}
LOOK = {"gs": "GET", "az": "HEAD"}


@pytest.fixture(params=["google_server", "azure_server"], ids=["google", "azure"])
def cloud(request, monkeypatch):
    """Return a server without faults, whose clients find it and its credentials in the environment."""
    server = request.getfixturevalue(request.param)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(connections, "_systems", {})
    server.proxy.fail()
    return server


@pytest.fixture
def store(tmp_path, cloud):
    return Store(tmp_path / "r.db", files=cloud.address)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))


def methods(cloud, *wanted):
    return [method for method, _ in cloud.proxy.requests if method in wanted]


def test_a_file_is_written_read_listed_and_deleted(store, cloud):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert store.content(name) == CONTENT
    assert store.contents.names(".png") == [name]
    assert store.contents.local(name).read_bytes() == CONTENT
    assert ids_at(cloud.address) == sorted({*ids_at(cloud.address), store.fact("elsewhere")})
    store.delete_files([name])
    assert not store.contents.exists(name)
    assert store.contents.names(".png") == []
    with pytest.raises(StoreError, match="is missing, and the record refers to it"):
        store.content(name)


def test_names_with_a_start_are_listed(store):
    place = store.contents.place.inside("journal")
    for number in range(3):
        place.put(f"{number:012}-abc", b"lines")
    place.inside("000000000001-older").put("000000000001-deeper", b"lines")
    assert place.names(start="000000000001") == ["000000000001-abc"]
    assert place.names(start="000000000007") == []
    assert place.names() == [f"{number:012}-abc" for number in range(3)]
    assert place.folders() == ["000000000001-older"]


def test_a_list_is_not_kept_because_others_write_too(store, monkeypatch):
    root = store.contents.place.place.root
    one, other = connections.connect(root), connections.connect(root)
    name = store.keep(CONTENT, ".png")
    folder = one._strip_protocol(f"{root}/png")
    assert [path.rpartition("/")[2] for path in one.ls(folder, detail=False)] == [name]
    other.pipe_file(f"{folder}/second.png", CONTENT)
    other.rm_file(f"{folder}/{name}")
    assert [path.rpartition("/")[2] for path in one.ls(folder, detail=False)] == ["second.png"]
    assert one.info(f"{folder}/second.png")["size"] == len(CONTENT)
    with pytest.raises(FileNotFoundError):
        one.info(f"{folder}/{name}")


@pytest.mark.parametrize("prefix", ["a b", "ä/ö", "50%41", "a+b=c&d", "a#1", "(1)'s", "a@b", "a;b", "a~b,c!", "x//y"])
def test_a_prefix_may_have_special_characters(tmp_path, cloud, prefix):
    if prefix == "a;b" and cloud.protocol == "gs":
        pytest.skip("gcp-storage-emulator splits a path at ; as only urllib.parse.urlparse does")
    address = f"{cloud.protocol}://records/{prefix}"
    store = Store(tmp_path / "r.db", files=address)
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert Store(tmp_path / "r.db", files=address).content(name) == CONTENT
    assert store.contents.names(".png") == [name]
    assert ids_at(address) == [store.fact("elsewhere")]
    store.delete_files([name])
    assert store.contents.names() == []


@pytest.mark.parametrize("fault", ["500", "late", "slow", "drop"])
@pytest.mark.parametrize("step", ["put", "look"])
def test_an_upload_survives_a_fault(store, cloud, fault, step, no_pauses):
    method, part = ((PUT, ""), (LOOK, ".png"))[step == "look"]
    cloud.proxy.fail(*[(fault, method[cloud.protocol], part)] * (1 if fault == "slow" else 2))
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert store.content(name) == CONTENT
    assert cloud.proxy.left == []


@pytest.mark.parametrize("fault", ["500", "slow", "cut", "drop"])
def test_a_download_survives_a_fault(store, cloud, fault, no_pauses):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    cloud.proxy.fail(*[(fault, "GET", ".png")] * (1 if fault == "slow" else 2))
    assert store.content(name) == CONTENT
    assert cloud.proxy.left == []


def test_a_large_file_is_complete_or_not_there(store, cloud):
    content = random.Random(0).randbytes(120 * 2**20)  # which is uploaded in parts
    name = hashlib.sha256(content).hexdigest() + ".model"
    cloud.proxy.fail(
        ("drop", "PUT" if cloud.protocol == "az" else "POST", "upload_id" if cloud.protocol == "gs" else "")
    )
    assert store.keep(content, ".model") == name
    assert cloud.proxy.left == []
    assert len(methods(cloud, "PUT", "POST")) > 3
    forget_copies()
    assert store.content(name) == content


def write_again(address, environment, n):
    os.environ |= environment
    place = place_at(address)
    content = random.Random(0).randbytes(3 * 2**20)
    for _ in range(n):
        place.put(hashlib.sha256(content).hexdigest() + ".png", content)


def test_a_file_that_several_write_at_once_is_never_read_in_part(cloud):
    context = multiprocessing.get_context("spawn")
    content = random.Random(0).randbytes(3 * 2**20)
    name, address = hashlib.sha256(content).hexdigest() + ".png", f"{cloud.address}/{begin_elsewhere(cloud.address)}"
    writers = [context.Process(target=write_again, args=(address, cloud.environment, 5)) for _ in range(2)]
    for writer in writers:
        writer.start()
    place, whole = place_at(address), 0
    while any(writer.is_alive() for writer in writers):
        forget_copies()
        if place.exists(name):
            assert place.get(name, cached=False) == content
            whole += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert whole
    assert place.names(".png") == [name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(store):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    assert reads_and_writes_in_a_fork(store, name, CONTENT)
    assert len(store.contents.names(".png")) == 2


def test_one_who_may_only_read_reads_and_is_told_what_is_not_permitted(store, cloud, caplog):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    cloud.proxy.fail(*[("403", method, "") for method in ("PUT", "POST", "DELETE") for _ in range(5)])
    assert store.content(name) == CONTENT
    with pytest.raises(
        StoreError,
        match=rf"cannot write {cloud.protocol}://.*(not have|not authorized).*credentials in the environment permit",
    ):
        store.keep(b"another", ".png")
    assert methods(cloud, "PUT", "POST") == [PUT[cloud.protocol]]  # it is not tried again
    with pytest.raises(StoreError, match="1 file cannot be deleted"):
        store.delete_files([name])
    assert methods(cloud, "DELETE") == ["DELETE"]
    assert "Traceback" not in caplog.text


def test_who_may_not_read_does_not_know_what_is_there(store, cloud):
    name = store.keep(CONTENT, ".png")
    forget_copies()
    for ask in (lambda: store.contents.exists(name), store.contents.names, lambda: store.contents.place.get(name)):
        cloud.proxy.fail(*[("403", method, "") for method in ("GET", "HEAD") for _ in range(9)])
        with pytest.raises(UnreachableError, match=rf"cannot (read|list) {cloud.protocol}://records/"):
            ask()
        assert len(cloud.proxy.requests) <= 3
    cloud.proxy.fail()
    assert store.contents.exists(name)


def test_a_server_that_keeps_failing_leaves_the_record_as_it_was(store, cloud, no_pauses, caplog):
    put = PUT[cloud.protocol]
    cloud.proxy.fail(*[("500", put, "")] * 50)
    with pytest.raises(UnreachableError, match="4 attempts") as caught:
        store.commit_round(alkit.RoundResult(0, (), 1), b"weights", "stamp")
    assert methods(cloud, put) == [put] * 4  # the library does not try again by itself
    assert KEY not in str(caught.value) + caplog.text
    assert {record.name for record in caplog.records} == {"alkit.record.remote"}
    assert store.rounds() == []
    cloud.proxy.fail()
    store.commit_round(alkit.RoundResult(0, (), 1), b"weights", "stamp")
    assert store.content(store.last_model()[0]) == b"weights"


def test_a_server_that_does_not_answer_is_not_waited_for(store, cloud, no_pauses, monkeypatch):
    monkeypatch.setattr(connections, "READ", 0.2)
    monkeypatch.setattr(connections, "_systems", {})
    name = store.keep(CONTENT, ".png")
    forget_copies()
    cloud.proxy.fail(*[("slow", method, "") for method in (PUT[cloud.protocol], "GET") for _ in range(20)])
    with pytest.raises(UnreachableError, match=r"(?i)timeout|timed out"):
        store.keep(b"another", ".png")
    with pytest.raises(UnreachableError, match=r"(?i)timeout|timed out"):
        store.contents.place.get(name, cached=False)


def test_wrong_buckets_and_lost_servers_are_named(tmp_path, cloud, monkeypatch, no_pauses):
    bucket = "container" if cloud.protocol == "az" else "bucket"
    with pytest.raises(StoreError, match=rf"cannot write {cloud.protocol}://nowhere/x/.*the {bucket} does not exist"):
        Store(tmp_path / "r.db", files=f"{cloud.protocol}://nowhere/x")
    assert not (tmp_path / "r.db").exists() or not (tmp_path / "r.db").stat().st_size
    store = Store(tmp_path / "s.db", files=cloud.address)
    with pytest.raises(StoreError, match="nowhere/x does not have the files of this record"):
        Store(store.path, files=f"{cloud.protocol}://nowhere/x").contents.names()
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, re.sub(r"127.0.0.1:\d+", "127.0.0.1:9", value))
    monkeypatch.setattr(connections, "_systems", {})
    with pytest.raises(UnreachableError, match=r"Cannot connect to host 127\.0\.0\.1:9"):
        Store(tmp_path / "t.db", files=cloud.address)


def test_a_server_that_stops_in_mid_upload_leaves_nothing_that_counts(store, cloud, no_pauses):
    cloud.proxy.fail(("stop", PUT[cloud.protocol], ""))
    with pytest.raises(UnreachableError, match=f"cannot write {cloud.protocol}://"):
        store.commit_round(alkit.RoundResult(0, (), 1), b"weights" * 10**6, "stamp")
    cloud.proxy.fail()
    assert store.contents.names(".model") == []
    assert Store(store.path, files=cloud.address).rounds() == []
    assert not check(store.path, files=store.contents).damage


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
def test_a_client_that_is_killed_at_any_moment_leaves_a_whole_record(tmp_path, cloud):
    path, program = tmp_path / "r.db", [sys.executable, "-c", PROGRAM, str(tmp_path / "r.db"), cloud.address]
    chance = random.Random(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 2.0))
            os.kill(process.pid, signal.SIGKILL)
    store = Store(path, files=cloud.address)
    forget_copies()
    assert not check(path, files=store.contents).damage
    for answer in store.answers():
        assert store.content(answer.label)
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    assert int(done.stdout.split()[-1]) >= 4
    assert len(store.contents.names(".model")) == 1


def test_a_campaign_gives_the_same_numbers_and_what_is_removed_leaves_no_object(tmp_path, cloud):
    images, masks = alkit.synthetic.lesions(20, size=16)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    found = []
    for name, files in (("a.db", None), ("b.db", cloud.address)):
        store = Store(tmp_path / name, files=files)
        pool = alkit.ArrayPool(images)
        experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=("skin", "lesion"))
        experiment.tell({id: masks[int(id)] for id in experiment.ask(4)})
        experiment.fit()
        predicted = [entry.probabilities for entry in experiment.predict(alkit.ArrayPool(images))]
        found.append((experiment.ask(2), store.last_model()[0], np.concatenate(predicted)))
    assert found[0][:2] == found[1][:2]
    assert np.array_equal(found[0][2], found[1][2])
    for answer in store.answers():
        experiment.remove(answer.id, "consent withdrawn")
    system = connections.connect(cloud.address)
    left = system.find(system._strip_protocol(f"{cloud.address}/{store.fact('elsewhere')}"))
    assert {path.rpartition("/")[2] for path in left} == {store.last_model()[0], "record.json", "owner.json"}


def test_a_lost_database_is_restored_from_the_objects_of_its_journal(tmp_path, cloud, postgres, monkeypatch):
    monkeypatch.setenv("ALKIT_FILES", f"{cloud.protocol}://records/lost")
    address = postgres.url(f"cloud_{cloud.protocol}_{os.getpid()}")
    store = Store(address, wait=10.0)
    store.add_queries([alkit.Query(id, 0, rank, ((4, 4),)) for rank, id in enumerate("abc")])
    for id in "abc":
        answer = Recorded(id, "ann", 1, "label", label=store.keep(id.encode(), ".png"))
        store.add_answers({id}, lambda asked, known, answer=answer: [answer])
    postgres.execute(f"DROP SCHEMA {store.path.campaign} CASCADE")
    forget_copies()
    done = repair(address, tmp_path / "repaired.db")
    assert (done.saved["answers"], done.lost) == (3, ())
    again = Store(tmp_path / "repaired.db")
    assert [again.content(answer.label) for answer in again.answers()] == [b"a", b"b", b"c"]


def test_a_wrong_key_of_azure_is_told_without_the_key(tmp_path, azure_server, monkeypatch, no_pauses):
    string, wrong = azure_server.environment["AZURE_STORAGE_CONNECTION_STRING"], "AAAA" + KEY[4:]
    monkeypatch.setattr(connections, "_systems", {})
    for text, said in (
        (string.replace(KEY, wrong), "cannot write az://records/x/.*failed to authenticate"),
        (string.replace(KEY, "not-in-base64"), "az://records/x"),
        (KEY, "cannot connect to az://records/x"),
    ):
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        with pytest.raises(StoreError, match=said) as caught:
            Store(tmp_path / "r.db", files="az://records/x")
        assert not any(key in str(caught.value) for key in (wrong, KEY, "not-in-base64"))
        connections._systems.clear()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", string)
    with pytest.raises(ConfigurationError, match="in another account than AZURE_STORAGE_CONNECTION_STRING"):
        Store(tmp_path / "r.db", files="abfs://records@other.dfs.core.windows.net/x")


def test_a_key_of_google_that_cannot_be_used_or_is_missing_is_named(tmp_path, google_server, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(connections, "_systems", {})
    for value in (str(tmp_path / "missing.json"), '{"private_key": "a-secret-of-the-tests"}'):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", value)
        with pytest.raises(StoreError, match=r"GOOGLE_APPLICATION_CREDENTIALS cannot be used: .*not found") as caught:
            Store(tmp_path / "r.db", files="gs://records/x")
        assert "a-secret" not in str(caught.value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(StoreError, match=r"cannot connect to gs://records/x.*credentials were not found"):
        Store(tmp_path / "r.db", files="gs://records/x")


def test_who_has_no_credentials_of_azure_is_told_so_at_once(tmp_path, azure_server, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(connections, "_systems", {})
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # it asks nothing else on this computer
    begin = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot write abfs://records@lab.*(Environment|credentials)"):
        Store(tmp_path / "r.db", files="abfs://records@lab.dfs.core.windows.net/x")
    assert time.monotonic() - begin < 30
    with pytest.raises(ConfigurationError, match=r"az://records/x.* does not name a storage account"):
        Store(tmp_path / "r.db", files="az://records/x")
