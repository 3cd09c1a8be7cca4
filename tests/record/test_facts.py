"""Facts of another form, with right digests, as a stranger can write them: an error of alkit, and nothing is called."""

import copy
import json
import shutil
import sqlite3
from contextlib import closing

import pytest

import alkit
from alkit.record import Store, tables
from alkit.record.digests import digest
from alkit.record.elsewhere import ELSEWHERE
from alkit.record.facts import has_form
from alkit.record.label_files import fit_of
from alkit.record.remains import _id_in
from alkit.record.row_form import can_hold
from alkit.record.settings import Settings
from alkit.values.audit import is_written_interval

CLASSES = ("skin", "lesion")
CALL = {"partial": {"named": "os:mkdir"}, "args": ["ran"], "with": {}}
ODD = [
    None, True, -1, 10**30, 1e308, "x", "\x1b[2J", [], [[[]]], {}, CALL, {"named": "os:mkdir"}, {"opaque": "x"},
    {"is": "os:mkdir", "with": {"path": "ran"}}, {"is": "alkit:ImagePool", "with": {"path": ".", "cache": "ran"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the path of a record in which something was asked, and its facts."""
    path = tmp_path_factory.mktemp("facts") / "c.db"
    folder = path.with_name("images")
    folder.mkdir()
    from PIL import Image

    for number, image in enumerate(alkit.synthetic.lesions(4, size=16)[0]):
        Image.fromarray(image[0]).save(folder / f"{number}.png")
    groups = {str(number): {"patient": f"p{number // 2}", "site": "A"} for number in range(4)}
    pool = alkit.ImagePool(str(folder), grayscale=True, cache=str(path.with_name("cache")), groups=groups)
    rules = alkit.SelectionRules(only="site=A", max_per_group=1)
    network = alkit.SegmentationLearner()
    experiment = alkit.Experiment(pool, network, alkit.strategy("random"), store=path, classes=CLASSES, rules=rules)
    experiment.ask(2)
    del experiment
    with closing(sqlite3.connect(path)) as connection:
        return path, {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM facts")}


def places_in(value, depth=3):
    """Yield the paths to all parts of a fact, down to a depth."""
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner if depth else ():
        yield from ((key, *path) for path in places_in(entry, depth - 1))


def changed(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["configuration", "declared", "seed", "threads", "images", "campaign", "classes"])
def test_a_fact_of_another_form_raises_an_error_of_alkit_and_calls_nothing(recorded, tmp_path, monkeypatch, name):
    path, facts = recorded
    monkeypatch.chdir(tmp_path)
    paths = list(places_in(facts[name]))
    cases = [((), odd) for odd in ODD]
    cases += [(place, odd) for number, odd in enumerate(ODD) for place in paths[1 + number % 45 :: 45]]
    for place, odd in cases:
        value = changed(facts[name], place, odd)
        copied = shutil.copy(path, tmp_path / "c.db")
        shutil.copy(f"{path}.journal", tmp_path / "c.db.journal")
        row = (name, json.dumps(value))
        with closing(sqlite3.connect(copied)) as connection, connection:
            connection.execute("DELETE FROM facts WHERE name = ?", (name,))
            connection.execute("INSERT INTO facts VALUES (?, ?, ?)", (*row, digest("facts", row)))
        store = Store(copied)
        settings = Settings(store)
        for read in (
            lambda settings=settings: (settings.spec, settings.terms, settings.schedule, settings.hold_out),
            lambda settings=settings: (settings.images, settings.shape, settings.seed, settings.campaign),
            lambda settings=settings: settings.threads(),
            lambda store=store: alkit.Experiment.open(store),
        ):
            try:
                read()
            except alkit.AlkitError:
                continue
        store.close()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("count", [0, -1, 10**9, True, "2", None])
def test_a_record_cannot_ask_for_an_absurd_number_of_threads(tmp_path, count):
    store = Store(tmp_path / "c.db")
    store.declare({"threads": count})
    with pytest.raises(alkit.errors.StoreError, match="the fact 'threads' is not what alkit writes"):
        Settings(store).threads()


@pytest.mark.parametrize("fact", ["campaign", "instructions"])
def test_text_that_no_file_can_hold_is_not_what_alkit_writes(tmp_path, fact):
    store = Store(tmp_path / "c.db")
    store.declare({fact: "half of a pair: \ud800"})
    with pytest.raises(alkit.errors.StoreError, match=f"the fact '{fact}' is not what alkit writes"):
        store.fact(fact)


@pytest.mark.parametrize("form", [None, {}, {"with": 5}, {"with": None}, {"with": {"pool": {"with": [1]}}}])
def test_a_pool_of_another_form_is_taken_to_squash_images(form):
    assert fit_of(form) == "squash"


def test_numbers_beyond_all_floats_are_not_what_alkit_writes():
    number = 10**400
    assert not can_hold(tables.rounds.c.metrics, json.dumps({"dice": number}))
    assert not can_hold(tables.queries.c.sizes, json.dumps([[number, 8]]))
    assert not is_written_interval([number, None, None, 1, 1, 0.95])
    assert not has_form("people", {"shares": {"ann": number}, "wanted": {}, "days": None, "since": [0, 0]})
    assert not has_form("label_qualities", {"key": "a", "folds": 2, "qualities": {"a": number}})


@pytest.mark.parametrize("name", ["pool", "learner", "strategy", "initial", "terms"])
def test_a_declaration_without_a_part_is_not_what_alkit_writes(name):
    terms = {"is": "alkit.record:Terms", "with": {}}
    declared = {"pool": {}, "learner": {}, "strategy": {}, "initial": {}, "terms": terms}
    assert has_form("declared", declared)
    assert not has_form("declared", {part: form for part, form in declared.items() if part != name})


def test_a_place_that_is_nested_very_deeply_is_none():
    assert _id_in([{"facts": {(ELSEWHERE,): {"name": ELSEWHERE, "value": "[" * 10**5}}}]) is None
