"""Records in PostgreSQL: connections that are lost, servers and clients that are killed, and what stays secret."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from postgres import GUARDED, SECRET
from records import change

import alkit
from alkit.errors import ConfigurationError, StoreBusyError, StoreError
from alkit.record import Recorded, Store, remains
from alkit.record import check as checks
from alkit.record.backend import ConnectionLostError
from alkit.record.check import check_server
from alkit.record.database import Database
from alkit.record.journal_lines import encode
from alkit.record.journal_objects import JournalObjects
from alkit.record.repairing import repair
from alkit.record.tables import answers

pytestmark = [pytest.mark.services, pytest.mark.sqlite]  # they do not need to be redirected

numbers = count()


@pytest.fixture
def address(postgres, tmp_path, monkeypatch):
    """Return the URL of a new campaign, whose files are in a folder."""
    monkeypatch.setenv("ALKIT_FILES", str(tmp_path / "files"))
    return postgres.url(f"campaign_{os.getpid()}_{next(numbers)}")


@pytest.fixture
def store(address):
    found = Store(address, wait=10.0)
    found.add_queries([alkit.Query(id, 0, rank, ((4, 4),)) for rank, id in enumerate("abcdefgh")])
    return found


def skip(id, annotator="ann", revision=1):
    return Recorded(id, annotator, revision, "skip")


def tell(store, *answers):
    """Record answers that are not recorded yet, as all callers do."""

    def decide(asked, known):
        there = {(one.id, one.annotator, one.revision) for one in known}
        return [one for one in answers if (one.id, one.annotator, one.revision) not in there]

    store.add_answers({answer.id for answer in answers}, decide)


def told(address):
    store = Store(address)
    found = check_server(store.database, store.contents)
    assert found.damage == ()
    return [answer.id for answer in store.answers()]


def during_a_call(store, action):
    """Do something in the middle of a transaction."""

    def decide(asked, known):
        action()
        return [skip("c")]

    store.add_answers({"c"}, decide)


def test_a_connection_that_is_cut_in_mid_transaction_leaves_nothing_and_the_call_can_be_repeated(store, postgres):
    tell(store, skip("a"), skip("b"))
    with pytest.raises(ConnectionLostError, match=r"connection to postgresql.*failed.*the same call again"):
        during_a_call(store, postgres.cut)
    assert told(store.path) == ["a", "b"]
    tell(store, skip("c"))
    assert told(store.path) == ["a", "b", "c"]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("caught", [False, True])
def test_a_connection_that_is_cut_while_one_moment_is_read_is_an_error_of_alkit(store, postgres, nested, caught):
    def read():
        with store.moment(), store.moment() if nested else nullcontext():
            assert store.asked()
            postgres.cut()
            with suppress(StoreError) if caught else nullcontext():
                store.answers()

    for _ in range(2):  # the second time, connections are open
        with pytest.raises(ConnectionLostError, match=r"connection to postgresql.*failed.*the same call again"):
            read()
    assert told(store.path) == []


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_a_server_that_is_restarted_in_mid_transaction_leaves_nothing(store, postgres, way):
    tell(store, skip("a"))

    def restart():
        getattr(postgres, way)()
        postgres.start()

    with pytest.raises(ConnectionLostError):
        during_a_call(store, restart)
    tell(store, skip("c"))
    assert told(store.path) == ["a", "c"]


@contextmanager
def at_commit(action):
    """Do something after the journal was written, and before the server is told to commit."""
    write = JournalObjects.write

    def cutting(self, content, start):
        write(self, content, start)
        patch.undo()
        action()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalObjects, "write", cutting)
        yield


def test_a_connection_that_is_cut_at_the_commit_does_not_lose_the_call(store, postgres, caplog):
    with at_commit(postgres.cut):
        tell(store, skip("a"))
    assert told(store.path) == ["a"]
    assert "lost during a commit, which is complete" in caplog.text


def test_a_server_that_is_down_at_the_commit_is_an_error_and_the_call_is_completed_later(address, store, postgres):
    quick = Store(address, wait=0.3)
    with at_commit(postgres.kill), pytest.raises(ConnectionLostError):
        tell(quick, skip("a"))
    postgres.start()
    assert told(address) == ["a"]
    tell(store, skip("a"), skip("b"))
    assert told(address) == ["a", "b"]


def test_another_client_completes_the_call_of_a_client_that_was_killed_at_the_commit(
    store, postgres, address, monkeypatch
):
    quick = Store(address, wait=0.3)
    monkeypatch.setattr(Database, "_was_recorded", lambda self, end: False)
    with at_commit(postgres.cut), pytest.raises(ConnectionLostError):
        tell(quick, skip("a"))
    tell(store, skip("b"))
    assert told(address) == ["a", "b"]


def test_two_unfinished_calls_with_one_start_are_not_completed(store, address, caplog):
    journal = store.database.journal
    before = journal.place.names()
    with store.database.reading() as connection:
        position = store.database.position(connection)
    for id in "ab":
        row = [7, id, "x", 1, "skip", None, "", None, None, "2026-01-01T00:00:00+00:00", None, None]
        journal.write(encode([["insert", "answers", row]], position)[0], position)
    assert len(journal.place.names()) == len(before) + 2
    tell(store, skip("c"))
    assert "none is completed" in caplog.text
    assert told(address) == ["c"]


def test_a_step_goes_on_after_its_connection_was_lost_if_nobody_else_has_worked_meanwhile(store, postgres, caplog):
    with store.exclusive():
        postgres.cut()
        tell(store, skip("a"))
        postgres.kill()
        postgres.start()
        tell(store, skip("b"))
    assert told(store.path) == ["a", "b"]
    assert "was lost, and is made again" in caplog.text


def test_a_step_whose_connection_was_lost_cannot_write_after_another_one_has_worked(store, postgres, address):
    with store.exclusive():
        postgres.cut()
        with Store(address).exclusive():
            tell(Store(address), skip("b"))
        with pytest.raises(StoreError, match="another process has worked on it since"):
            tell(store, skip("a"))
    assert told(address) == ["b"]
    with store.exclusive():
        tell(store, skip("a"))
    assert told(address) == ["b", "a"]


def test_a_step_keeps_out_others_and_another_campaign_of_the_same_database_is_free(store, postgres, address):
    other = Store(postgres.url("another_campaign"), wait=0.2)
    with store.exclusive(), store.exclusive():
        with pytest.raises(StoreBusyError, match="another process is working on postgresql"):
            Store(address, wait=0.2).exclusive().__enter__()
        with other.exclusive():
            other.declare({"seed": 4})
        tell(Store(address), skip("a"))  # answers do not wait
    assert Store(address).fact("seed") is None
    assert (other.fact("seed"), other.answers()) == (4, [])


CLIENT = """
import sys
from alkit.record import Recorded, Store, remains
from alkit.record import check as checks
store, first = Store(sys.argv[1], wait=60.0), int(sys.argv[2])
print("ready", flush=True)
for number in range(first, first + 200):
    files = [store.keep(b"%d" % number, ".txt")]
    store.add_answers({"a"}, lambda asked, known: [Recorded("a", f"ann {number}", part, "label", files[0])
        for part in range(3)])
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_clients_that_are_killed_at_random_moments_leave_whole_calls(store, address, seed):
    rng, told_last = random.Random(seed), {}
    with ExitStack() as stack:
        program = [sys.executable, "-c", CLIENT, address]
        clients = [
            stack.enter_context(subprocess.Popen([*program, str(1000 * one)], stdout=subprocess.PIPE, text=True))
            for one in range(2)
        ]
        for client in clients:
            assert client.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.1, 0.7))
        for one, client in enumerate(clients):
            time.sleep(rng.uniform(0, 0.2))
            client.send_signal(signal.SIGKILL)
            told_last[one] = [int(number) for number in client.stdout.read().split()]
    found = Store(address).answers()
    assert told(address) == ["a"] * len(found)
    names = [answer.annotator for answer in found]
    assert all(names.count(name) == 3 for name in names)
    for one, reported in told_last.items():
        own = [int(name.split()[1]) for name in names[::3] if int(name.split()[1]) // 1000 == one]
        assert own[: len(reported)] == reported
        assert len(own) <= len(reported) + 1
    assert [answer.number for answer in found] == list(range(1, len(found) + 1))


def test_a_killed_client_frees_its_lock(store, address):
    program = f"from alkit.record import Store\nwith Store({address!r}).exclusive():\n print(1, flush=True)\n input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stdin=pipe) as client:
        assert client.stdout.readline() == b"1\n"
        with pytest.raises(StoreBusyError):
            Store(address, wait=0.1).exclusive().__enter__()
        client.kill()
    with Store(address, wait=20.0).exclusive():
        pass


def test_threads_that_write_at_once_number_their_answers_without_a_gap(address, store):
    def work(name):
        own = Store(address, wait=60.0)
        for revision in range(5):
            tell(own, skip("a", name, revision))

    threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.number for answer in Store(address).answers()] == list(range(1, 16))
    assert len(told(address)) == 15


def test_the_clock_of_the_server_counts(store, address, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: 4 * 10**18)  # a client in 2096
        patch.setattr(time, "time", lambda: 4 * 10.0**9)
        wrong = Store(address)
        tell(wrong, skip("a"))
        now = wrong.database.time_ns()
    assert abs(now - time.time_ns()) < 3600 * 10**9
    tell(Store(address), skip("b"))
    first, second = Store(address).answers()
    assert first.told_at <= second.told_at < "2090"


def test_a_server_may_write_dates_in_another_style(address, postgres):
    styled = Store(address + "&options=-c%20DateStyle%3DGerman%20-c%20TimeZone%3DAsia/Kathmandu")
    styled.add_queries([alkit.Query("a", 0, 0, ((4, 4),))])
    tell(styled, skip("a"))
    (answer,) = Store(address).answers()
    told_at = datetime.fromisoformat(answer.told_at)
    assert told_at.utcoffset() == timedelta(0)
    assert abs(told_at.timestamp() - time.time()) < 60


@pytest.mark.parametrize("query", [f"PASSWORD={SECRET}", f"oauth_client_secret={SECRET}", f"dbname=password={SECRET}"])
def test_other_parameters_with_a_secret_are_refused_too(query):
    with pytest.raises(ConfigurationError, match="must not contain a password") as caught:
        Store(f"postgresql://127.0.0.1/db?{query}")
    assert SECRET not in str(caught.value)


def test_a_url_with_a_password_is_refused_without_showing_it():
    for url in (f"postgresql://u:{SECRET}@127.0.0.1/db", f"postgresql+psycopg://127.0.0.1/db?password={SECRET}"):
        with pytest.raises(ConfigurationError, match=r"must not contain a password.*PGPASSWORD.*pgpass") as caught:
            Store(url)
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


def everything(server):
    """Return all texts that a server has in tables of alkit."""
    tables = server.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    return repr([server.execute(f'SELECT * FROM "{schema}"."{table}"') for schema, table in tables])


def test_a_password_comes_from_the_environment_or_a_file_and_stays_secret(postgres, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("ALKIT_FILES", str(tmp_path / "files"))
    url = postgres.url("guarded_campaign", GUARDED)
    monkeypatch.setenv("PGPASSWORD", "wrong-password")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        Store(url)
    assert "wrong-password" not in str(caught.value) + repr(caught.value.__cause__)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    store = Store(url)
    store.declare({"seed": 3})
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:{postgres.port}:*:{GUARDED}:{SECRET}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    assert Store(url).fact("seed") == 3
    kept = b"".join(path.read_bytes() for path in (tmp_path / "files").rglob("*") if path.is_file())
    assert SECRET not in everything(postgres) + repr(kept) + caplog.text + str(store.path)
    assert str(tmp_path) not in everything(postgres)


def test_a_user_who_may_only_read_looks_at_a_record_and_changes_nothing(store, postgres, address):
    tell(store, skip("a"))
    postgres.execute("CREATE ROLE reader LOGIN")
    postgres.execute(f"GRANT USAGE ON SCHEMA {store.path.campaign} TO reader")
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {store.path.campaign} TO reader")
    reader = Store(address.replace("postgres@", "reader@"))
    assert reader.read_only
    assert [answer.id for answer in reader.answers()] == ["a"]
    with pytest.raises(StoreError, match="its user or its server may only read it"):
        tell(reader, skip("b"))


def tables_of(server, campaign):
    return [name for (name,) in server.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{campaign}'")]


def test_an_earlier_copy_that_was_restored_is_noticed_and_repaired_from_the_journal(store, postgres, address, tmp_path):
    tell(store, skip("a"))
    campaign = store.path.campaign
    names = tables_of(postgres, campaign)
    for name in names:
        postgres.execute(f"CREATE TABLE public.copy_{name} AS SELECT * FROM {campaign}.{name}")
    for id in "bcd":
        tell(store, skip(id))
    for name in names:
        postgres.execute(f"TRUNCATE {campaign}.{name}")
        postgres.execute(f"INSERT INTO {campaign}.{name} SELECT * FROM public.copy_{name}")
        postgres.execute(f"DROP TABLE public.copy_{name}")
    with pytest.raises(StoreError, match=r"is older than its journal.*got 1 answers.*alkit repair"):
        Store(address)
    done = repair(address, tmp_path / "repaired.db")
    assert (done.saved["answers"], done.lost) == (4, ())
    again = Store(tmp_path / "repaired.db")
    assert [answer.id for answer in again.answers()] == ["a", "b", "c", "d"]
    done = repair(tmp_path / "repaired.db", postgres.url("repaired_campaign"))
    assert (done.saved["answers"], done.lost, done.unknown) == (4, (), done.unknown)
    assert told(postgres.url("repaired_campaign")) == ["a", "b", "c", "d"]


def test_a_lost_database_is_restored_from_its_journal_with_its_labels(store, postgres, address, tmp_path):
    label = store.keep(b"mask", ".png")
    tell(store, Recorded("a", "ann", 1, "label", label), skip("b"))
    postgres.execute(f"DROP SCHEMA {store.path.campaign} CASCADE")
    done = repair(address, tmp_path / "repaired.db")
    assert (done.saved["answers"], done.lost) == (2, ())
    assert "missing" in done.unknown[0]
    again = Store(tmp_path / "repaired.db")
    assert again.content(again.answers()[0].label) == b"mask"


def test_a_check_names_changed_rows_and_missing_parts_of_the_journal(store, address):
    tell(store, skip("a"))
    change(store, "UPDATE answers SET reason = 'forged'")
    assert "the row number 1 of answers is not what alkit wrote" in check_server(store.database, store.contents).damage
    change(store, "UPDATE answers SET reason = ''")
    place = store.database.journal.place
    name = place.names()[-1]
    content = place.get(name)
    place.delete([name])
    (found,) = check_server(store.database, store.contents).damage
    assert "does not have the end that the database states" in found
    with pytest.raises(StoreError, match="is not the journal of"):
        tell(store, skip("b"))
    place.put(name, content[:-60] + b"x" + content[-59:])
    assert any("is not what alkit wrote" in one for one in check_server(store.database, store.contents).damage)


def test_a_removed_value_is_gone_from_the_journal_and_its_end_is_found_again(store, address):
    for id in "abc":
        tell(store, Recorded(id, "ann", 1, "skip", reason="a secret remark"))
    store.reject([1, 2, 3], "sloppy")
    with store.database.transaction() as connection:
        found = store.database.rows(connection, answers, answers.c.number > 0)
        store.database.change(connection, answers, found, reason="")
    store.purge()
    place = store.database.journal.place
    assert len(place.names()) == 1
    assert b"secret" not in place.get(place.names()[0])
    assert told(address) == ["a", "b", "c"]
    tell(Store(address), skip("d"))
    assert len(place.names()) == 2


def test_a_purge_that_is_cut_at_the_commit_is_finished_by_the_next_call(store, address, postgres):
    for id in "abc":
        tell(store, skip(id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalObjects, "replace", lambda self, position: False)
        store.database.rewrite_journal()
    place = store.database.journal.place
    assert len(place.names()) > 4
    tell(store, skip("d"))
    assert len(place.names()) == 2
    assert told(address) == ["a", "b", "c", "d"]


def test_a_purge_that_is_cut_at_the_commit_is_no_damage_to_a_check_and_a_repair(store, address, tmp_path):
    for id in "abc":
        tell(store, skip(id))
    store.reject([1], "sloppy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalObjects, "replace", lambda self, position: False)
        store.database.rewrite_journal()
    assert check_server(store.database, store.contents).damage == ()
    found = repair(address, tmp_path / "new.db")
    assert (found.lost, found.unknown) == ((), ())
    assert [answer.kind for answer in Store(tmp_path / "new.db").answers()] == ["skip"] * 3


def test_a_record_that_is_purged_while_it_is_repaired_or_checked_is_read_again(store, address, tmp_path, monkeypatch):
    for id in "abc":
        tell(store, skip(id))
    for module, name, look in (
        (remains, "read_server", lambda: repair(address, tmp_path / "new.db").unknown),
        (checks, "_lost_files", lambda: check_server(store.database, store.contents).damage),
    ):
        before, done = getattr(module, name), []

        def call(*given, before=before, done=done):
            found = before(*given)
            if not done:
                done.append(store.reject([len(store.answers())], "sloppy"))
                store.purge()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(module, name, call)
            assert look() == ()
        assert done


def test_a_server_that_does_not_answer_and_a_missing_database_are_errors_with_a_remedy(postgres):
    with pytest.raises(StoreError, match=r"connection to postgresql.*Connection refused"):
        Store("postgresql://postgres@127.0.0.1:1/postgres", files="files")
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        Store(postgres.url("x").replace("/postgres?", "/nowhere?"), files="files")


def test_a_database_that_cannot_hold_all_texts_is_refused(postgres, tmp_path):
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match=r"cannot hold all texts: got the encoding LATIN1, expected UTF8"):
        Store(postgres.url("x").replace("/postgres?", "/latin?"), files=tmp_path)


def test_a_schema_of_something_else_is_refused(postgres, tmp_path):
    postgres.execute("CREATE SCHEMA recipes")
    postgres.execute("CREATE TABLE recipes.soups (name text)")
    with pytest.raises(StoreError, match=r"not a record of alkit: got tables soups"):
        Store(postgres.url("recipes"), files=tmp_path)
    assert postgres.execute("SELECT count(*) FROM recipes.soups") == [(0,)]


def test_a_record_with_files_in_another_place_says_so(store, postgres, address, tmp_path, monkeypatch):
    monkeypatch.delenv("ALKIT_FILES")
    with pytest.raises(ConfigurationError, match=r"files=.*or ALKIT_FILES in the environment"):
        Store(address)
    with pytest.raises(StoreError, match="does not have the files of this record"):
        Store(address, files=tmp_path / "empty")
    assert len(Store(f"{address}&files={tmp_path / 'files'}").queries()) == 8
    assert Path(tmp_path / "files").is_dir()


STRANGE = {
    "the trigger evil": [
        "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER evil BEFORE INSERT ON {}.answers FOR EACH ROW EXECUTE FUNCTION public.evil()",
    ],
    "the rule evil": ["CREATE RULE evil AS ON INSERT TO {}.answers DO INSTEAD NOTHING"],
    "a policy of answers": ["ALTER TABLE {}.answers ENABLE ROW LEVEL SECURITY"],
    "an expression of facts": ["ALTER TABLE {}.facts ALTER COLUMN value SET DEFAULT upper('a')"],
    "the constraint evil": ["ALTER TABLE {}.facts ADD CONSTRAINT evil CHECK (length(value) > 0)"],
    "an index of facts": ["CREATE INDEX evil ON {}.facts (upper(value))"],
    "an index of queries": ["CREATE INDEX evil ON {}.queries (id) WHERE length(id) > 0"],
    "a type of facts": ["CREATE DOMAIN {}.evil AS text", "ALTER TABLE {}.facts ALTER COLUMN value TYPE {}.evil"],
    "a part of facts": ["CREATE TABLE {}.evil () INHERITS ({}.facts)"],
    "the function equal": [
        "CREATE FUNCTION {}.equal(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR {}.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = {}.equal)",
    ],
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_schema_that_runs_sql_of_its_owner_is_refused_by_name(store, address, postgres, strange):
    schema = address.partition("campaign=")[2]
    store.close()
    for statement in STRANGE[strange]:
        postgres.execute(statement.replace("{}", schema))
    try:
        with pytest.raises(StoreError, match=f"contains {strange}, which alkit never writes"):
            Store(address)
    finally:
        postgres.execute("DROP FUNCTION IF EXISTS public.evil CASCADE")


def test_a_view_of_somebody_for_a_report_does_not_matter(store, address, postgres):
    schema = address.partition("campaign=")[2]
    postgres.execute(f"CREATE VIEW {schema}.report AS SELECT count(*) FROM {schema}.answers")
    assert len(Store(address).asked()) == 8
