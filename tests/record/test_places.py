"""Places of files: a folder, and what fsspec reaches, here its store in memory."""

import hashlib
import logging
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from parts import CLASSES, MeanLearner

from alkit._files import cache_folder
from alkit.errors import ConfigurationError, MissingDependencyError, StoreError
from alkit.record import Store, azure, connections, copies, elsewhere, owner, remote, repair
from alkit.record.address import locate
from alkit.record.check import check
from alkit.record.elsewhere import begin_elsewhere, files_elsewhere, ids_at, place_at
from alkit.record.files import Files
from alkit.record.lost_files import drop_lost_files
from alkit.record.owner import OWNER, check_owner
from alkit.record.places import UnreachableError
from alkit.record.replay import empty
from alkit.values.rounds import RoundResult

pytestmark = pytest.mark.sqlite  # these tests say where files are

CONTENT = b"a label"
NAME = hashlib.sha256(CONTENT).hexdigest() + ".png"


@pytest.mark.parametrize("name", ["a?b.db", "100%25.db", "r&files=z.db", "w?files=x.db", "ü #.db"])
def test_the_address_of_a_file_with_other_files_can_be_read_again(name):
    address = locate(f"/data/{name}", "/shared/what?a=%41&b")
    assert locate(os.fspath(address)) == address
    assert locate(f"sqlite:////data/{name}").database == Path(f"/data/{name}") or "?files=" in name


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture(params=["memory", "folder"])
def address(request, tmp_path):
    return f"memory://{tmp_path.name}/files" if request.param == "memory" else str(tmp_path / "share")


@pytest.fixture
def system(monkeypatch):
    """Return fsspec's store in memory, as the next place in memory uses it."""
    from fsspec.implementations.memory import MemoryFileSystem

    own = MemoryFileSystem(skip_instance_cache=True)
    monkeypatch.setattr(connections, "connect", lambda root: own)
    monkeypatch.setattr(connections, "_systems", {})
    return own


def fails(system, monkeypatch, method, times, reason):
    """Make a method of a file system fail some times; return a list with an entry for each call."""
    calls, work = [], getattr(system, method)

    def method_that_fails(*args, **kwargs):
        calls.append(args)
        if len(calls) <= times:
            raise reason
        return work(*args, **kwargs)

    monkeypatch.setattr(system, method, method_that_fails)
    return calls


@pytest.mark.sqlite
def test_a_record_keeps_its_files_elsewhere(tmp_path, address, monkeypatch):
    store = Store(tmp_path / "r.db", files=address)
    name = store.keep(CONTENT, ".png")
    store.keep(CONTENT, ".png")
    assert not store.files.exists()
    assert (store.content(name), store.contents.names(".png")) == (CONTENT, [NAME])
    assert address not in (tmp_path / "r.db").read_bytes().decode("latin-1")  # a record does not tell where
    assert store.contents.local(name).read_bytes() == CONTENT
    again = Store(store.path)
    assert again.names() == ["elsewhere", "schema"]
    with pytest.raises(ConfigurationError, match="are elsewhere, and the record does not say where"):
        again.content(name)
    monkeypatch.setenv("ALKIT_FILES", address)
    assert Store(store.path).content(name) == CONTENT
    assert not check(store.path, files=store.contents).damage


def test_facts_that_are_replaced_leave_the_files_where_they_are(tmp_path, address):
    store = Store(tmp_path / "r.db", files=address)
    id = store.fact("elsewhere")
    store.declare({"seed": 1}, replace_all=True)
    store.replace({"seed": 2}, lambda name: False)
    assert (store.fact("elsewhere"), store.fact("seed")) == (id, 2)


def test_one_address_has_the_files_of_many_records(tmp_path, address):
    one, other = (Store(tmp_path / name, files=address) for name in ("a.db", "b.db"))
    names = [store.keep(b"weights", ".model") for store in (one, other)]
    one.contents.delete(names)
    assert not one.contents.exists(names[0])
    assert other.content(names[1]) == b"weights"
    assert ids_at(address) == sorted(store.fact("elsewhere") for store in (one, other))


class Watched(MeanLearner):
    """Notes its trainings."""

    def fit(self, labelled, *rest):
        trained.append(labelled.ids)
        return super().fit(labelled, *rest)


trained: list[tuple[str, ...]] = []


@pytest.fixture
def original(tmp_path, address):
    """Return a record with its files elsewhere, a model and a label."""
    store = Store(tmp_path / "r.db", files=address)
    store.keep(b"weights", ".model")
    store.keep(CONTENT, ".png")
    return store


def with_copy(store, path, *endings):
    """Return the record that somebody makes by copying that of `store`, and some of the files beside it."""
    path.parent.mkdir(exist_ok=True)
    store.close()
    for ending in ("", ".journal", *endings):
        shutil.copyfile(f"{store.path}{ending}", f"{path}{ending}")
    return path


def works_of(copy):
    """Return what deletes or writes files of a record."""
    result = RoundResult(0, (), 0, {}, {})
    return {
        "delete_files": copy.delete_files,
        "commit_round": lambda: copy.commit_round(result, b"new weights", "stamp"),
        "delete": lambda: copy.contents.delete(copy.contents.names()),
        "keep": lambda: copy.keep(b"another label", ".png"),
    }


@pytest.mark.parametrize("endings", [(), (".owner",)], ids=["record", "everything"])
@pytest.mark.parametrize("work", ["delete_files", "commit_round", "delete", "keep"])
def test_a_copy_of_a_record_neither_writes_nor_deletes_its_files(tmp_path, address, original, endings, work):
    copy = Store(with_copy(original, tmp_path / "inbox" / "r.db", *endings), files=address)
    before = original.contents.names()
    with pytest.raises(StoreError, match=r"inbox.r\.db can only be read: its files .* belong to another copy"):
        works_of(copy)[work]()
    assert original.contents.names() == before
    assert copy.content(NAME) == CONTENT
    original.keep(b"another label", ".png")  # the original goes on
    repaired = repair(copy.path, tmp_path / "mine.db", files=address, out_files=address)
    assert not repaired.lost
    Store(tmp_path / "mine.db", files=address).keep(b"another label", ".png")


def test_a_record_of_a_stranger_with_the_id_of_another_one_deletes_nothing_of_it(tmp_path, address, original):
    strange = Store(tmp_path / "strange.db", files=address)
    strange.revise("elsewhere", lambda before: original.fact("elsewhere"))
    strange = Store(strange.path, files=address)
    with pytest.raises(StoreError, match="belong to another copy"):
        strange.delete_files()
    assert original.content(NAME) == CONTENT


def test_a_record_that_was_moved_with_its_key_goes_on(tmp_path, address, original):
    path = with_copy(original, tmp_path / "moved" / "r.db", ".owner")
    for ending in ("", ".owner"):
        Path(f"{original.path}{ending}").unlink()
    moved = Store(path, files=address)
    moved.delete_files([NAME])
    assert not moved.contents.exists(NAME)


def test_a_record_of_an_earlier_version_becomes_the_owner_of_its_files(tmp_path, address, original):
    home = place_at(address).inside(original.fact("elsewhere"))
    home.delete([OWNER])
    Path(f"{original.path}.owner").unlink()
    copy = Store(with_copy(original, tmp_path / "copy.db"), files=address)
    elsewhere._owned.clear()  # as in another process
    Store(original.path, files=address).keep(b"another label", ".png")
    with pytest.raises(StoreError, match="belong to another copy"):
        copy.keep(b"another label", ".png")


def test_what_somebody_else_wrote_about_the_owner_is_no_reason_to_delete(tmp_path, address, original):
    home = place_at(address).inside(original.fact("elsewhere"))
    elsewhere._owned.clear()
    for content in (b"", b"[1]", b"{}", b'{"key": 3, "record": 4}', b"[" * 10**5):
        home.put(OWNER, content)
        with pytest.raises(StoreError, match=r"or delete .*owner\.json"):
            original.delete_files()
    home.delete([OWNER])
    original.delete_files([NAME])


def test_a_copy_is_refused_before_a_model_is_trained_in_it(tmp_path, address, world):
    store = Store(tmp_path / "r.db", files=address)
    experiment = world.experiment(learner=Watched(), classes=CLASSES, store=store)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    copy = Store(with_copy(store, tmp_path / "inbox" / "r.db"), files=address)
    copied = world.experiment(learner=Watched(), classes=CLASSES, store=copy)
    trained.clear()
    with pytest.raises(StoreError, match="can only be read"):
        copied.fit()
    assert not trained
    experiment.fit()
    assert trained


def test_a_key_that_is_missing_or_may_not_be_read_is_named(address, original, monkeypatch):
    elsewhere._owned.clear()

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(owner, "read_inside", refuse)
        with pytest.raises(UnreachableError, match=r"cannot read .*r\.db\.owner \(Permission denied\)"):
            original.keep(b"another label", ".png")
    Path(f"{original.path}.owner").unlink()
    with pytest.raises(StoreError, match=r"got no key in r\.db\.owner.* put its r\.db\.owner beside it; or delete "):
        original.keep(b"another label", ".png")


def test_a_record_on_a_server_is_known_by_its_names(address):
    home = place_at(address)
    for _ in range(2):
        check_owner(home, "lab?campaign=first")
    for other in ("lab?campaign=second", Path("/data/r.db")):
        with pytest.raises(StoreError, match=r"files of 'lab.campaign=first'"):
            check_owner(home, other)


@pytest.mark.sqlite
def test_another_address_is_named_and_nothing_is_written_there(tmp_path, address):
    store = Store(tmp_path / "r.db", files=address)
    other = Store(store.path, files=str(tmp_path / "other"))
    works = (
        lambda: other.keep(CONTENT, ".png"),
        lambda: other.content(NAME),
        lambda: other.contents.delete(()),
        lambda: other.take_out("a", lambda unused: {}),
    )
    for work in works:
        with pytest.raises(
            StoreError, match=f"other does not have the files of this record: .*{store.fact('elsewhere')}"
        ):
            work()
    assert not (tmp_path / "other").exists()  # as if a shared folder is not mounted


@pytest.mark.sqlite
def test_a_record_with_files_beside_it_takes_no_address(tmp_path, address, monkeypatch):
    Store(tmp_path / "r.db").keep(CONTENT, ".png")
    with pytest.raises(ConfigurationError, match=r"files must be left out, because those of .*r.db are beside it"):
        Store(tmp_path / "r.db", files=address)
    monkeypatch.setenv("ALKIT_FILES", address)
    assert Store(tmp_path / "r.db").content(NAME) == CONTENT


def test_a_damaged_file_is_read_again_and_then_an_error(tmp_path, address):
    place = place_at(address)
    Files(place).write(CONTENT, ".png")
    system = connections.connect(address) if "://" in address else None
    if system is None:
        (Path(address) / NAME).write_bytes(b"other")
    else:
        system.pipe_file(place.shown(NAME), b"other")
        (cache_folder() / "record-files" / NAME).unlink()
    with pytest.raises(StoreError, match="is damaged: got content with another SHA-256"):
        Files(place).read(NAME)
    assert "another content" in Files(place).damage(NAME)
    Files(place).write(CONTENT, ".png")
    assert Files(place).read(NAME) == CONTENT
    assert Files(place).damage(NAME) is None


def test_a_check_does_not_believe_the_cache(system):
    place = place_at("memory://checked")
    place.put(NAME, CONTENT)
    system.rm_file(place.shown(NAME))
    assert Files(place).read(NAME) == CONTENT
    assert "cannot be read" in Files(place).damage(NAME)


def test_many_files_are_fetched_at_once_and_missing_ones_are_left_out(system, monkeypatch):
    place = place_at("memory://many")
    names = [Files(place).write(f"label {number}".encode(), ".png") for number in range(20)]
    for name in names[1:]:
        (cache_folder() / "record-files" / name).unlink()
    calls = fails(system, monkeypatch, "cat_file", 0, None)
    Files(place).fetch([*names, "0" * 64 + ".png", "strange"])
    assert len(calls) == 20  # 19 that were not there, and the missing one
    assert [Files(place).read(name) for name in names] == [f"label {number}".encode() for number in range(20)]
    assert len(calls) == 20


def test_a_repair_stops_if_files_cannot_be_reached(tmp_path, system, monkeypatch):
    old, lost = place_at("memory://old"), Files(place_at(str(tmp_path / "new")))
    name = Files(old).write(CONTENT, ".png")
    (cache_folder() / "record-files" / name).unlink()
    fails(system, monkeypatch, "cat_file", 100, PermissionError("Forbidden"))
    content = empty()
    content["queries"][0, 0] = {"id": "a", "prelabel": name}
    with pytest.raises(UnreachableError, match="Forbidden"):
        list(drop_lost_files(content, Files(old), lost))
    assert content["queries"][0, 0]["prelabel"] == name


def test_a_damaged_copy_in_the_cache_is_replaced(system):
    place = place_at("memory://cached")
    place.put(NAME, CONTENT)
    copy = place.local(NAME)
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    copy.write_bytes(b"half")
    assert place.get(NAME) == CONTENT
    assert copy.read_bytes() == CONTENT


def test_copies_that_nobody_used_for_long_are_deleted(system, monkeypatch):
    monkeypatch.setattr(copies, "_swept", set())
    folder = cache_folder() / "record-files"
    folder.mkdir(parents=True)
    for name, age in (("0" * 64, 40), ("1" * 64, 10)):
        (folder / name).write_bytes(b"old")
        os.utime(folder / name, (time.time() - age * 86400,) * 2)
    place_at("memory://swept").put(NAME, CONTENT)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["1" * 64, NAME])


@pytest.mark.parametrize("method", ["pipe_file", "mv"])
def test_a_write_that_fails_for_a_moment_is_tried_again_and_named(system, monkeypatch, caplog, method):
    place = place_at(f"memory://again-{method}")
    calls = fails(system, monkeypatch, method, 2, TimeoutError("the server is busy"))
    with caplog.at_level(logging.WARNING):
        place.put(NAME, CONTENT)
    assert len(calls) == 3
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["attempt 1", "attempt 2"]
    assert "the server is busy" in caplog.text
    assert system.cat_file(place.shown(NAME)) == CONTENT
    assert [path for path in system.find(place.shown()) if ".writing" in path] == []


def test_a_place_that_does_not_answer_is_an_error_with_its_reason(system, monkeypatch):
    place = place_at("memory://silent")
    calls = fails(system, monkeypatch, "cat_file", 100, ConnectionResetError("reset by peer"))
    with pytest.raises(UnreachableError, match=r"cannot read memory://silent/png/.*reset by peer; 4 attempts in \d+ s"):
        place.get(NAME)
    assert len(calls) == 4


def test_an_upload_that_lost_its_end_does_not_count(system, monkeypatch):
    place = place_at("memory://cut")
    whole = system.pipe_file
    monkeypatch.setattr(system, "pipe_file", lambda path, content: whole(path, content[:3]))
    with pytest.raises(StoreError, match="3 of 7 bytes have arrived"):
        place.put(NAME, CONTENT)


def test_a_missing_permission_is_not_tried_again(system, monkeypatch):
    place = place_at("memory://closed")
    calls = fails(system, monkeypatch, "pipe_file", 100, PermissionError("Forbidden"))
    with pytest.raises(StoreError, match=r"cannot write memory://closed/png/.*Forbidden.*credentials"):
        place.put(NAME, CONTENT)
    assert len(calls) == 1


def test_no_message_has_a_credential(system, monkeypatch, caplog):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    place = place_at("memory://quiet")
    words = "PUT https://key:word@host/a?X-Amz-Signature=abc123&b=1 with wJalrXUtnFEMI failed"
    fails(system, monkeypatch, "pipe_file", 100, OSError(words))
    with pytest.raises(StoreError) as caught, caplog.at_level(logging.DEBUG):
        place.put(NAME, CONTENT)
    for text in (str(caught.value), caplog.text):
        assert "PUT https://***@host/a" in text
        assert not any(secret in text for secret in ("wJalrXUtnFEMI", "abc123", "key:word"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


REFUSED = {
    "s3://key:secret@bucket/x": "without credentials: got s3://***@bucket/x. Try: AWS_ACCESS_KEY_ID",
    "s3://key@bucket/x": "without credentials",
    "gs://a:secret@bucket": "without credentials: .*GOOGLE_APPLICATION_CREDENTIALS",
    "abfs://container:secret@account/x": "without credentials: .*AZURE_STORAGE_CONNECTION_STRING",
    "s3://key:sec/ret@bucket/x": r"without credentials: got s3://\*\*\*@bucket/x",
    "sftp://me:sec#ret@host/x": r"without credentials: got sftp://\*\*\*@host/x",
    "sftp://me:sec?ret@host/x": r"without credentials: got sftp://\*\*\*@host/x",
    "sftp://me:secret@host/x": "without credentials: .*a key that ssh-agent holds",
    "s3://bucket/x?X-Amz-Signature=secret": r"without \?: got s3://bucket/x\?",
    "simplecache::s3://bucket": "one address",
    "https://host/x": "cannot be kept at https://",
    "s4://bucket": "a protocol that fsspec does not know: s4",
    "s3:/bucket": "must be a folder or an address: got 's3:/bucket'",
    "s3://": "must name a bucket",
}


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_with_credentials_or_without_a_use_is_refused(tmp_path, address):
    with pytest.raises(ConfigurationError, match=REFUSED[address].replace("***", r"\*\*\*")) as caught:
        Store(tmp_path / "r.db", files=address)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "r.db").exists() or not (tmp_path / "r.db").stat().st_size


@pytest.mark.parametrize(
    "address",
    [
        *(f"{name}://container@account.dfs.core.windows.net/x" for name in ("abfs", "abfss", "az")),
        "sftp://me@host/x",
        "s3://b/x",
    ],
)
def test_an_address_may_name_a_container_or_a_user(address):
    if address.startswith("abfss"):  # fsspec knows this name only from the package
        pytest.importorskip("adlfs")
    assert place_at(f"{address}/").shown() == address


def test_an_id_of_a_stranger_cannot_lead_elsewhere(tmp_path, address):
    id = begin_elsewhere(address)
    assert files_elsewhere(address, id).names(".png") == []
    store = Store(tmp_path / "r.db", files=address)
    store.revise("elsewhere", lambda before: "../other")
    with pytest.raises(StoreError, match="'elsewhere' is not what alkit writes"):
        Store(store.path, files=address)


def test_a_withdrawn_file_that_stays_is_an_error(tmp_path, system, monkeypatch):
    store = Store(tmp_path / "r.db", files="memory://stays")
    name = store.keep(CONTENT, ".png")
    fails(system, monkeypatch, "rm_file", 100, PermissionError("Forbidden"))
    with pytest.raises(StoreError, match="1 file cannot be deleted, such as memory://stays/"):
        store.delete_files([name])
    assert not (cache_folder() / "record-files" / name).exists()


def test_an_unfinished_upload_of_a_killed_process_is_deleted_after_a_day(system, monkeypatch):
    place = place_at("memory://killed")
    system.pipe_file("/killed/png/.writing-1", b"half")
    place.delete([NAME])
    assert system.exists("/killed/png/.writing-1")
    monkeypatch.setattr(remote, "ABANDONED", -1.0)
    place.delete([NAME])
    assert not system.exists("/killed/png/.writing-1")
    assert elsewhere.ids_at("memory://killed") == []


def test_a_secret_is_not_shown_as_a_url_writes_it(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+ghi=jkl")
    for written in ("abc/def+ghi=jkl", "abc/def%2Bghi%3Djkl", "abc%2Fdef%2Bghi%3Djkl"):
        assert connections.scrubbed(f"PUT x?key={written}&y failed") == "PUT x?key=***&y failed"


class AzureError(Exception):
    """An error as Azure's library has them."""

    def __init__(self, status_code):
        super().__init__(f"This is not permitted.\nRequestId:1\nErrorCode:x{status_code}")
        self.status_code = status_code


class GoogleError(Exception):
    """An error as gcsfs has them."""

    def __init__(self, code):
        super().__init__("This is not permitted.")
        self.code = code


@pytest.mark.parametrize(
    "refusal", [AzureError(403), GoogleError(403), GoogleError("403"), OSError("Forbidden: b/x/o")]
)
def test_a_refusal_is_final_at_once_whatever_its_class_is(system, monkeypatch, refusal):
    place = place_at("memory://refused")
    calls = fails(system, monkeypatch, "pipe_file", 100, refusal)
    with pytest.raises(StoreError, match=r"cannot write memory://refused/.* \((This is not permitted.|Forbidden.*)\)"):
        place.put(NAME, CONTENT)
    assert len(calls) == 1
    calls = fails(system, monkeypatch, "info", 100, refusal)
    with pytest.raises(UnreachableError, match="cannot read memory://refused/"):
        place.exists(NAME)
    assert len(calls) == 1


@pytest.mark.parametrize("missing", [AzureError(404), GoogleError(404)])
def test_what_is_missing_is_missing_whatever_the_class_of_the_error_is(system, monkeypatch, missing):
    place = place_at("memory://missing")
    fails(system, monkeypatch, "info", 100, missing)
    assert not place.exists(NAME)
    fails(system, monkeypatch, "cat_file", 100, missing)
    with pytest.raises(FileNotFoundError):
        place.get(NAME)


@pytest.mark.parametrize("failure", [AzureError(500), GoogleError(401), OSError("Broken pipe")])
def test_other_failures_are_tried_again_whatever_their_class_is(system, monkeypatch, failure):
    fails(system, monkeypatch, "pipe_file", 3, failure)
    place_at("memory://again").put(NAME, CONTENT)
    assert place_at("memory://again").get(NAME, cached=False) == CONTENT


def test_an_upload_that_is_not_there_afterwards_is_tried_again(system, monkeypatch):
    fails(system, monkeypatch, "info", 1, FileNotFoundError())
    place_at("memory://vanished").put(NAME, CONTENT)


@pytest.mark.parametrize(("protocol", "package", "extra"), [("gs", "gcsfs", "gcs"), ("az", "adlfs", "azure")])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, protocol, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(connections, "_systems", {})
    monkeypatch.delitem(import_module("fsspec.registry")._registry, protocol, raising=False)
    said = rf"{protocol}:// needs .*\({package}\).*pip install 'alkit\[{extra}\]'"
    with pytest.raises(MissingDependencyError, match=said):
        Store(tmp_path / "r.db", files=f"{protocol}://lab/x")


def test_the_account_of_azure_is_told_once(monkeypatch):
    for name in (azure.CONNECTION, azure.ACCOUNT):
        monkeypatch.delenv(name, raising=False)
    address, own = "abfs://polyps@lab.dfs.core.windows.net/x", {}
    azure.check_account(address, "lab", own)
    azure.check_account("az://polyps/x", None, {"account_name": "lab"})
    with pytest.raises(ConfigurationError, match="az://polyps/x does not name a storage account"):
        azure.check_account("az://polyps/x", None, own)
    monkeypatch.setenv(azure.CONNECTION, "DefaultEndpointsProtocol=https;AccountName=other;AccountKey=a-secret==")
    azure.check_account("az://polyps/x", None, own)
    with pytest.raises(ConfigurationError, match="got the accounts lab and other") as caught:
        azure.check_account(address, "lab", own)
    assert "a-secret" not in str(caught.value)


def test_no_part_of_a_connection_string_is_shown(monkeypatch):
    monkeypatch.setenv(azure.CONNECTION, "AccountName=lab;AccountKey=abc/def+ghi==;EndpointSuffix=x")
    for words in ("wrong key abc/def+ghi==", "signature found in the HTTP request 'x1/y2=' is not the same"):
        assert "***" in connections.scrubbed(words)
        assert not any(secret in connections.scrubbed(words) for secret in ("abc/def", "x1/y2"))
