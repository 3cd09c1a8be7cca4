"""An image that was removed is gone from everything that alkit holds, and never comes back."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tifffile
from commandline import alkit as run
from PIL import Image
from records import damage_of, everything

import alkit
from alkit.errors import ConfigurationError, ConflictError, QueryError, ResumeError, StoreError
from alkit.experiment.committing import commit_round
from alkit.experiment.selecting import select
from alkit.record import Store
from alkit.record.repairing import repair
from alkit.report.campaign import campaign_summary
from alkit.sharing.kept import kept_results

CLASSES = ("skin", "lesion")
LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=(1, 1))
FAST = alkit.testing.Brightness()
IDS = "abcdefghij"


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for name in IDS:
        rng = np.random.default_rng(ord(name))
        pixels = rng.integers(256, size=(20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def pool(size=16):
    return alkit.ImagePool("images", size=size, grayscale=True)


FEATURES = alkit.testing.RowMeans()


def campaign(store="c.db", learner=LEARNER):
    strategy = alkit.strategy("ssl-cluster", features=FEATURES, clusters=3)
    return alkit.Experiment(pool(), learner, strategy, store=store, classes=CLASSES, hold_out=0.2)


def mask(id):
    found = np.zeros((20, 20), np.uint8)
    found[2 : 4 + ord(id) % 9, 3:15] = 1
    return found


def begun(*given):
    """Return a campaign with a round, an open query, and an imported label."""
    experiment = campaign(*given)
    first = experiment.ask(5)
    experiment.tell({id: mask(id) for id in first[:4]}, annotator="somebody with a rare name")
    experiment.tell({first[4]: alkit.values.Skip("a rare reason")}, annotator="ann")
    experiment.fit()
    return experiment, first, experiment.ask(2)


def content(place, name):
    """Return the bytes of all files in a folder, or in all folders and files of a pattern."""
    files = [path for found in place.glob(name) for path in (found, *found.rglob("*"))]
    return b"".join(path.read_bytes() for path in files if path.is_file())


def test_nothing_of_its_labels_is_left_in_the_record_its_journal_and_its_backups(place):
    experiment, first, _ = begun()
    gone = first[0]
    (answer,) = [answer for answer in experiment.answers() if answer.id == gone]
    label, store = answer.label, experiment._parts.store
    assert label.encode() in everything(store)
    assert store.contents.exists(label)
    found = experiment.remove(gone, "consent withdrawn")
    assert (found.answers, found.trained, found.last_model) == (1, (0,), True)
    assert not store.contents.exists(label)
    assert label.encode() not in everything(store)
    assert all(path.name != label for path in place.rglob("*"))
    assert b"consent withdrawn" in everything(store)
    skipped = first[4]
    assert b"a rare reason" in everything(store)
    experiment.remove(skipped, "another reason")
    assert b"a rare reason" not in everything(store)
    for id in first[1:4]:
        experiment.remove(id, "and these")
    assert b"somebody with a rare name" not in everything(store)
    assert damage_of(store) == ()


def test_neither_its_group_nor_its_kind_is_left(place):
    kinds = {id: f"kind of {id}" for id in IDS}
    grouped = alkit.ImagePool("images", size=16, grayscale=True, groups={id: f"patient {id}" for id in IDS})
    metrics = ["dice", alkit.evaluation.PerGroup("dice", kinds)]
    experiment = alkit.Experiment(grouped, LEARNER, alkit.strategy("random"), "c.db", classes=CLASSES, metrics=metrics)
    store = experiment._parts.store
    assert b"kind of a" in everything(store)
    experiment.remove("a", "consent withdrawn")
    assert b"kind of a" not in everything(store)
    assert b"patient a" not in everything(store)
    assert alkit.Experiment.open("c.db").pool.ids == tuple(IDS[1:])


def test_it_leaves_the_pool_and_everything_goes_on(place):
    experiment, first, open_ids = begun()
    clusters = experiment._parts.representations.clusters(FEATURES, 3)
    gone = open_ids[0]
    found = experiment.remove(gone, "consent withdrawn")
    assert [query.id for query in found.queries] == [gone]
    assert any("images/" in sentence and f"{gone}.png" in sentence for sentence in found.remains)
    for one in (experiment, campaign()):
        assert gone not in one.pool.ids
        assert gone not in one.candidates
        assert one.open_ids == open_ids[1:]
        now = one._parts.representations.clusters(FEATURES, 3)
        assert dict(zip(now.ids, now.labels, strict=True)) == {
            id: label for id, label in zip(clusters.ids, clusters.labels, strict=True) if id != gone
        }
    experiment = campaign()
    experiment.tell({open_ids[1]: mask(open_ids[1])})
    experiment.remove(first[1], "consent withdrawn")
    labelled = [id for id in (*first[:4], open_ids[1]) if id != first[1]]
    result = experiment.fit()
    assert result.n_labels + result.n_held_out == len(labelled)
    with pytest.raises(QueryError, match=f"the image '{gone}' was removed, and answers to it are not recorded"):
        experiment.tell({gone: mask(gone)})
    (place / f"images/{gone}.png").unlink()  # as the message says
    assert campaign().history == experiment.history


def test_its_rows_in_the_caches_are_overwritten(place):
    experiment, first, _ = begun()
    other = pool(8)  # a cache at another size
    rows = {size: p.stored([first[0]])[0].tobytes() for size, p in ((16, experiment.pool), (8, other))}
    assert all(row in content(place, "cache") for row in rows.values())
    experiment.remove(first[0], "consent withdrawn")
    assert not any(row in content(place, "cache") for row in rows.values())
    shutil.copy(place / "images/a.png", place / "images/a2.png")
    assert len(pool(8).ids) == 11  # the caches still work


def parts_of_files(kind):
    """Return a pool whose files hold several images each."""
    rng = np.random.default_rng(0)
    if kind.startswith("volumes"):
        nibabel = pytest.importorskip("nibabel")
        Path("volumes").mkdir(exist_ok=True)
        if not Path("volumes/b.nii.gz").exists():
            for name in "ab":
                array = rng.integers(99, size=(12, 12, 5)).astype(np.int16)
                nibabel.Nifti1Image(array, np.diag([1, 1, 2, 1])).to_filename(f"volumes/{name}.nii.gz")
        return alkit.VolumePool("volumes", context=int(kind[-1]))
    Path("large").mkdir(exist_ok=True)
    if not Path("large/b.tif").exists():
        for name in "ab":
            shape = (12, 60) if kind == "tiles" else (5, 12, 12)
            tifffile.imwrite(f"large/{name}.tif", rng.integers(256, size=shape).astype(np.uint8))
    if kind == "tiles":
        return alkit.TilePool("large", tile=12, grayscale=True)
    return alkit.ImagePool("large", pages="frames", grayscale=True)


@pytest.mark.parametrize("kind", ["volumes 0", "volumes 1", "tiles", "frames"])
def test_other_records_and_pools_keep_a_part_of_a_file_that_one_record_removes(place, kind):
    def parts():
        return parts_of_files(kind)

    def campaign(store):
        return alkit.Experiment(parts(), FAST, alkit.strategy("random"), store=store, classes=CLASSES)

    one, other = campaign("one.db"), campaign("other.db")
    size = parts().shape[1:]
    for experiment in (one, other):
        experiment.tell({id: np.eye(*size, dtype=np.uint8) for id in experiment.ask(8)})
    whole, digest = parts().ids, parts().digest()
    gone = [id for id in whole if id.startswith("a")][2:4]
    pixels = [parts_of_files("volumes 0" if "vol" in kind else kind).stored([id])[0].tobytes() for id in gone]
    assert all(row in content(place, "cache") for row in pixels)
    one.remove(gone[0], "consent withdrawn")
    assert pixels[0] not in content(place, "cache")
    campaign("one.db").remove(gone[1], "consent withdrawn")  # as a second command does
    assert pixels[1] not in content(place, "cache")
    assert len(campaign("one.db").pool.ids) == len(whole) - 2
    assert (parts().ids, parts().digest()) == (whole, digest)
    assert campaign("other.db").fit().n_labels == 8


@pytest.mark.sqlite
@pytest.mark.parametrize("lost", ["c.db", "c.db.journal", "c.db.backups"])
def test_no_repair_brings_it_back(place, lost):
    experiment, first, _ = begun()
    (label,) = [answer.label for answer in experiment.answers() if answer.id == first[0]]
    experiment.remove(first[0], "consent withdrawn")
    path = place / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = repair("c.db", "new.db")
    assert not found.lost
    assert label.encode() not in content(place, "new.db*")
    again = campaign("new.db")
    assert first[0] not in again.pool.ids
    assert [answer.kind for answer in again.answers() if answer.id == first[0]] == ["invalid"]


@pytest.mark.sqlite
def test_a_former_journal_does_not_bring_it_back(place):
    experiment, first, _ = begun()
    (label,) = [answer.label for answer in experiment.answers() if answer.id == first[0]]
    journal = (place / "c.db.journal").read_bytes()
    experiment.remove(first[0], "consent withdrawn")
    (place / "c.db.journal").write_bytes(journal)  # somebody restored an earlier copy of one file
    found = repair("c.db", "new.db")
    assert label.encode() not in content(place, "new.db*")
    assert first[0] not in campaign("new.db").pool.ids
    assert found.path.exists()


@pytest.mark.sqlite
def test_a_former_database_does_not_bring_it_back(place):
    experiment, first, _ = begun()
    experiment._parts.store.close()
    before = (place / "c.db").read_bytes()
    experiment = campaign()
    experiment.remove(first[0], "consent withdrawn")
    experiment._parts.store.close()
    (place / "c.db").write_bytes(before)  # somebody restored an earlier copy of one file
    repair("c.db", "new.db")
    again = campaign("new.db")
    assert first[0] not in again.pool.ids
    store = again._parts.store
    about = json.dumps([store.fact(name) for name in store.names() if name not in ("removed", "changes")])
    assert json.dumps(first[0]) not in about


def test_it_cannot_be_added_again_also_under_another_name(place, caplog):
    experiment, first, _ = begun()
    content = (place / f"images/{first[0]}.png").read_bytes()
    experiment.remove(first[0], "consent withdrawn")
    (place / "images/other.png").write_bytes(content)
    assert experiment.grow(pool()).ids == ()
    assert "2 images left out, because they were removed" in caplog.text
    Image.fromarray(mask("a")).save(place / "images/new.png")
    assert experiment.grow(pool()).ids == ("new",)
    assert set(campaign().pool.ids) == {*IDS, "new"} - {first[0]}


def test_before_anything_was_asked_it_stays_away_too(place):
    campaign().remove("c", "consent withdrawn")
    assert "c" not in campaign().pool.ids
    other = alkit.Experiment(pool(), LEARNER, alkit.strategy("random"), store="c.db", classes=CLASSES)
    assert "c" not in other.pool.ids


def test_while_other_images_are_missing_it_can_be_removed(place):
    _, first, _ = begun()
    kept = (place / f"images/{first[2]}.png").read_bytes()
    (place / f"images/{first[2]}.png").unlink()
    campaign().remove(first[0], "consent withdrawn")
    assert {first[0], first[2]}.isdisjoint(campaign().pool.ids)
    (place / f"images/{first[2]}.png").write_bytes(kept)
    assert set(campaign().pool.ids) == set(IDS) - {first[0]}
    assert set(campaign().pool.ids) == set(IDS) - {first[0]}


def test_what_cannot_be_removed_is_refused(place):
    experiment, first, _ = begun()
    with pytest.raises(QueryError, match="'z' is not an image of the record"):
        experiment.remove("z", "consent withdrawn")
    with pytest.raises(ConfigurationError, match="reason must say why"):
        experiment.remove(first[0], " ")
    experiment.remove(first[0], "consent withdrawn")
    assert experiment.remove(first[0], "once more").answers == 0


def remove_until_killed(name, id, moment):
    """Remove an image, and die before a counted rename, deletion or write of the journal."""
    count = iter(range(10**6))

    def dying(function):
        def call(*given, **more):
            if next(count) == moment:
                os.kill(os.getpid(), 9)
            return function(*given, **more)

        return call

    import pathlib

    experiment = campaign(name, FAST)
    os.replace, os.fsync = dying(os.replace), dying(os.fsync)
    pathlib.Path.unlink = dying(pathlib.Path.unlink)
    experiment.remove(id, "consent withdrawn")


def test_a_removal_that_is_killed_at_any_moment_is_completed_by_the_same_call(place):
    context = multiprocessing.get_context("fork")
    for moment in count(0, 5):
        name = f"c{moment}.db"
        experiment, first, _ = begun(name, FAST)
        (label,) = [answer.label for answer in experiment.answers() if answer.id == first[0]]
        experiment._parts.store.close()
        child = context.Process(target=remove_until_killed, args=(name, first[0], moment))
        child.start()
        child.join()
        again = campaign(name, FAST)
        again.remove(first[0], "consent withdrawn")
        store = again._parts.store
        assert label.encode() not in everything(store), moment
        assert damage_of(store) == (), moment
        assert first[0] not in campaign(name, FAST).pool.ids
        if child.exitcode == 0:
            break
        assert child.exitcode == -9
    assert moment >= 25


def test_the_command_names_what_remains_and_withdraws_the_query(place, capfd):
    small = "--size 16 --widths 2,4 --steps 1,1 --recipe paper --grayscale --strategy random --hold-out 0".split()
    assert run("start", "c.db", "--images", "images", "--classes", "skin,lesion", *small) == 0
    assert run("import", "c.db", "--csv", "nothing.csv") == 1
    assert run("ask", "c.db", "-n", "3", "--out", "exchange") == 0
    asked = sorted(path.parent.name for path in place.glob("exchange/r*/query.json"))
    store = Store("c.db")
    id = next(query.id for query in store.queries() if query.key == asked[1])
    store.close()
    (place / "exchange/ann").mkdir()
    answer = place / f"exchange/ann/{asked[0]}.png"
    Image.fromarray(mask("a")).save(answer)
    os.utime(answer, (1_700_000_000, 1_700_000_000))
    assert run("tell", "c.db") == 0
    capfd.readouterr()
    assert run("remove", "c.db", asked[1], "--reason", "consent withdrawn") == 0
    said = capfd.readouterr().out
    assert f"{id}: removed from the pool, with 0 answers, 1 query and" in said
    assert f"Remains: The file {place / 'images' / id}.png: delete it" in said
    assert f"Remains: what {place / 'exchange'} has of {asked[1]}." in said
    assert run("status", "c.db") == 0
    assert f"pool: '{id}' removed: consent withdrawn." in " ".join(capfd.readouterr().out.split())
    assert any("withdrawn" in path.name or "note" in path.name for path in (place / f"exchange/{asked[1]}").iterdir())
    assert run("check", "c.db") == 0
    assert run("remove", "c.db", "nobody", "--reason", "x") == 1
    store = Store("c.db")
    assert store.fact("removed")[id]["reason"] == "consent withdrawn"


def test_an_image_with_the_same_content_stays(place):
    shutil.copy("images/a.png", "images/twin.png")
    experiment = campaign()
    experiment.tell({id: mask(id[0]) for id in ("a", "twin", "b", "c")}, unasked=True)
    found = experiment.remove("a", "consent withdrawn")
    assert any("1 image with the same content, such as 'twin'" in sentence for sentence in found.remains)
    os.remove("images/a.png")
    again = campaign()
    assert "twin" in again.pool.ids
    found = again.fit()
    assert found.n_labels + found.n_held_out == 3
    shutil.copy("images/twin.png", "images/renamed.png")
    assert again.grow(pool()).ids == ()  # what was removed does not come back under a new name


@pytest.mark.parametrize("form", ["folder", "coco"])
def test_late_answers_to_it_are_refused_by_name_and_others_taken(place, form):
    experiment = campaign()
    first = experiment.ask(3)

    def queries():
        return [asked.query for asked in experiment._parts.store.snapshot().asked]

    def oracle():
        also = () if form == "folder" else (form,)
        given = {"classes": CLASSES, "images": experiment.pool, "settle": 0, "also": also}
        return alkit.FolderOracle("ex", queries=queries(), **given)

    experiment.send(oracle())
    os.mkdir("ex/ann")
    if form == "folder":
        for query in queries():
            Image.fromarray(mask(query.id)).save(f"ex/ann/{query.key}.png")
    else:
        (file,) = place.glob("ex/*/annotations.json")
        found = json.loads(file.read_text())
        (category,) = (entry["id"] for entry in found["categories"])
        for entry in found["images"]:
            shape = {"segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "area": 49, "bbox": [2, 2, 7, 7], "iscrowd": 0}
            shape |= {"id": entry["id"], "image_id": entry["id"], "category_id": category}
            found["annotations"].append(shape)
        (place / "ex/ann/annotations.json").write_text(json.dumps(found))
    experiment.remove(first[0], "consent withdrawn")
    receipt = experiment.collect(oracle())
    assert {answer.id for answer in receipt.taken} == set(first[1:])
    ((answer, reason),) = receipt.refused
    assert answer.id == first[0]
    assert reason.startswith(f"the image '{first[0]}' was removed, and answers to it are not recorded")
    (note,) = place.glob("ex/ann/*.refused.txt")
    assert ("Delete it." in note.read_text()) == (form == "folder")


@pytest.mark.slow
def test_rows_in_the_cache_of_an_extractor_are_overwritten_and_what_alkit_cannot_reach_is_named(place):
    features = alkit.Reconstruction(
        network=partial(alkit.UNet, widths=(2, 4)), epochs=1, cache=str(place / "own"), device="cpu"
    )
    strategy = alkit.strategy("ssl-cluster", features=features, clusters=3)
    experiment = alkit.Experiment(pool(), LEARNER, strategy, store="c.db", classes=CLASSES)
    experiment.ask(3)
    (index,) = (place / "own/features").glob("*/*.index")
    before = index.read_bytes()
    row = len(before) // len(IDS)
    pixels = pool()._pixels([0]).tobytes()
    assert pixels in content(place, "cache")
    found = experiment.remove("a", "consent withdrawn")
    changed = [n for n in range(len(IDS)) if index.read_bytes()[n * row :][:row] != before[n * row :][:row]]
    assert len(changed) == 1
    assert pixels not in content(place, "cache")  # also of the first image, which is read for its shape
    said = " ".join(found.remains)
    assert f"The file {place / 'images/a.png'}: delete it" in said
    assert f"trained on all images, in {place / 'own/pretext'}: delete them." in said
    assert f"in caches other than {place / 'cache'} and {place / 'own'}, such as" in said


def test_other_parts_of_the_same_file_and_other_images_of_the_group_are_named(place):
    Image.fromarray(np.random.default_rng(0).integers(256, size=(20, 40), dtype=np.uint8)).save(place / "images/a.png")
    for name in IDS[2:]:
        (place / f"images/{name}.png").unlink()
    tiles = alkit.TilePool("images", tile=20, grayscale=True)
    experiment = alkit.Experiment(tiles, LEARNER, alkit.strategy("random"), store="c.db", classes=CLASSES)
    found = experiment.remove("a/y0-x20", "consent withdrawn")
    said = " ".join(found.remains)
    assert f"The file {place / 'images/a.png'}, of which it is a part: delete it" in said
    assert "1 other image of its group 'a', such as 'a/y0-x0': remove them, too" in said


@pytest.mark.sqlite  # a server has another name in the command
def test_an_unfinished_removal_is_said_with_the_command_that_finishes_it(place, capfd, monkeypatch):
    experiment, first, _ = begun()
    store = experiment._parts.store
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "purge", lambda self: None)
        experiment.remove(first[0], "consent withdrawn")
    store.revise("removed", lambda before: {first[0]: {**before[first[0]], "purged": False}})
    line = f"The removal of '{first[0]}' was begun and is not finished: alkit remove c.db {first[0]} --reason again"
    for command in ("check", "status"):
        assert run(command, "c.db") == 0
        assert line in " ".join(capfd.readouterr().out.split())
    assert run("status", "c.db", "--json") == 0
    assert json.loads(capfd.readouterr().out)["unfinished_removals"] == [first[0]]
    campaign().remove(first[0], "again")
    assert run("check", "c.db") == 0
    assert "was begun" not in capfd.readouterr().out
    assert Store("c.db").fact("removed")[first[0]]["reason"] == "consent withdrawn"


def interrupted(monkeypatch, experiment, id):
    """Remove an image in a process that ends before it deletes files."""

    def ends(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_files", ends)
        with pytest.raises(KeyboardInterrupt):
            experiment.remove(id, "consent withdrawn")


def test_an_equal_label_that_another_image_got_before_the_removal_went_on_stays(place, monkeypatch):
    experiment = campaign()
    first, second, *_ = experiment.ask(4)
    experiment.tell({first: mask(first)})
    interrupted(monkeypatch, experiment, first)
    again = campaign()
    again.tell({second: mask(first)})
    again.remove(first, "consent withdrawn")
    (label,) = (answer.label for answer in again.answers() if answer.id == second)
    assert again._parts.files.read(label).sum() == mask(first).sum()
    assert damage_of(again._parts.store) == ()


def test_an_equal_label_that_is_deleted_before_it_is_recorded_is_told_again(place, monkeypatch):
    experiment = campaign()
    first, second, *_ = experiment.ask(4)
    experiment.tell({first: mask(first), second: 1 - mask(first)})
    interrupted(monkeypatch, experiment, first)
    again, other = campaign(), campaign()
    record = Store.add_answers

    def late(*given, **more):
        other.remove(first, "consent withdrawn")
        return record(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_answers", late)
        with pytest.raises(StoreError, match="deleted meanwhile with an image that had an equal one"):
            again.tell({second: mask(first)}, revise=True)
    again.tell({second: mask(first)}, revise=True)
    assert damage_of(again._parts.store) == ()


def test_what_a_killed_run_has_left_for_workers_is_deleted_and_what_a_run_uses_is_named(place):
    experiment = campaign()
    with suppress(KeyboardInterrupt), kept_results("a question") as killed:
        (killed / "images.npy").write_bytes(b"pixels")
        raise KeyboardInterrupt
    (training := place / "cache/nnunet/digest/raw").mkdir(parents=True)
    with kept_results(None) as used:
        (used / "images.npy").write_bytes(b"pixels")
        remains = " ".join(experiment.remove("a", "consent withdrawn").remains)
        assert used.exists()
    assert not killed.exists()
    assert not training.parent.exists()
    assert f"a run that is computing now, in {used}" in remains
    assert not list((place / "cache/shards").iterdir())


@pytest.mark.parametrize("how", ["tell", "receive"])
@pytest.mark.parametrize("label", [True, False], ids=["label", "skip"])
def test_an_answer_that_is_being_read_when_its_image_is_removed_is_refused(place, monkeypatch, how, label):
    experiment, other = campaign(), campaign()
    first, second, *_ = experiment.ask(4)
    record = Store.add_answers

    def late(*given, **more):
        monkeypatch.setattr(Store, "add_answers", record)
        other.remove(first, "consent withdrawn")
        return record(*given, **more)

    monkeypatch.setattr(Store, "add_answers", late)
    told = {first: mask(first) if label else alkit.SKIP}
    if how == "tell":
        with pytest.raises(QueryError, match=f"the image '{first}' was removed"):
            experiment.tell(told, annotator="somebody with a rare name")
    else:
        both = {**told, second: alkit.SKIP}
        answers = [alkit.Answer(id, own, "somebody with a rare name") for id, own in both.items()]
        receipt = experiment.receive(answers)
        assert [answer.id for answer in receipt.taken] == [second]
        assert [answer.id for answer, _ in receipt.refused] == [first]
    assert [answer.id for answer in experiment.answers()] == ([second] if how == "receive" else [])
    assert not experiment._parts.store.contents.names(".png")


def test_labels_that_were_refused_or_interrupted_are_deleted(place, monkeypatch):
    experiment = campaign()
    first, second, *_ = experiment.ask(4)
    experiment.tell({first: mask(first), second: mask(second)})
    with pytest.raises(ConflictError):
        experiment.tell({first: 1 - mask(first)})
    files = experiment._parts.store.contents
    assert len(files.names(".png")) == 3
    experiment.remove(first, "consent withdrawn")
    assert files.names(".png") == [experiment.answers()[-1].label]


def test_a_late_answer_deletes_no_pre_label_that_another_process_is_about_to_record(place, monkeypatch):
    experiment, (gone, *_), _ = begun()
    experiment.remove(gone, "consent withdrawn")
    other, record = campaign(), Store.set_prelabels

    def late(*given):
        assert other.receive([alkit.Answer(gone, mask(gone), "ann")]).refused
        return record(*given)

    monkeypatch.setattr(Store, "set_prelabels", late)
    assert len(experiment.prelabels()) == 2
    assert damage_of(experiment._parts.store) == ()


@pytest.mark.parametrize("work", ["set_prelabels", "add_queries"])
def test_a_pre_label_that_is_deleted_before_it_is_recorded_is_an_error(place, monkeypatch, work):
    experiment, (gone, *_), _ = begun()
    experiment.remove(gone, "consent withdrawn")
    store, label = experiment._parts.store, "0" * 64 + ".png"
    query = alkit.Query("j", 1, 9, ((20, 20),))
    recorded = {"set_prelabels": ({experiment.open_ids[0]: label},), "add_queries": ([query], {}, {9: label})}
    with pytest.raises(StoreError, match="deleted meanwhile"):
        getattr(store, work)(*recorded[work])


def audited():
    """Return a campaign with an audit set, people and groups, and an audit image with a name, figures and a review."""
    people = alkit.values.People({"somebody with a rare name": 1}, days=3)
    grouped = alkit.ImagePool("images", size=16, grayscale=True, groups={id: f"patient {id}" for id in IDS})
    learner = alkit.testing.Brightness()
    experiment = alkit.Experiment(
        grouped, learner, alkit.strategy("random"), "c.db", classes=CLASSES, audit=3, people=people
    )
    experiment.tell({id: mask(id) for id in experiment.ask(6)}, annotator="somebody with a rare name")
    experiment.fit()
    experiment.review(6, random=6, folds=2)
    return experiment, experiment.history[-1].audit.ids


def about_images(store):
    return json.dumps([store.fact(name) for name in store.names() if name not in ("removed", "changes", "people")])


def test_an_image_of_the_audit_set_leaves_its_figures_reviews_and_people(place):
    experiment, ids = audited()
    assert len(ids) == 2
    store = experiment._parts.store
    asked = {query.id: f"r{query.round:02}-{query.rank:04}" for query in experiment._parts.open_reviews()}
    experiment.remove(ids[0], "consent withdrawn")
    assert experiment.history[-1].audit.ids == ids[1:]
    assert json.dumps(ids[0]) not in about_images(store)
    assert asked[ids[0]] not in store.fact("reviews")
    assert asked[ids[1]] in store.fact("reviews")
    assert not any(entry.query.assigned for entry in store.asked() if entry.query.id == ids[0])


@pytest.mark.sqlite
@pytest.mark.parametrize("former", ["c.db", "c.db.journal"])
def test_no_repair_brings_the_figures_of_an_audit_image_back(place, former):
    experiment, ids = audited()
    experiment._parts.store.close()
    before = (place / former).read_bytes()
    experiment = alkit.Experiment.open("c.db", learner=alkit.testing.Brightness())
    experiment.remove(ids[0], "consent withdrawn")
    experiment._parts.store.close()
    (place / former).write_bytes(before)  # somebody restored an earlier copy of one file
    repair("c.db", "new.db")
    again = alkit.Experiment.open("new.db", learner=alkit.testing.Brightness())
    store = again._parts.store
    assert ids[0] not in again.pool.ids
    assert json.dumps(ids[0]) not in about_images(store)
    assert all(ids[0] not in result.audit.ids for result in again.history)
    assert not any(entry.query.assigned for entry in store.asked() if entry.query.id == ids[0])


def test_it_is_in_no_state_and_its_answers_are_nobodys(place):
    experiment, first, _ = begun()
    experiment.remove(first[1], "consent withdrawn")
    store = experiment._parts.store
    assert {s.query.id: s.state.value for s in store.snapshot().standings}[first[1]] == "cancelled"
    found = campaign_summary(store)
    assert sum(found.states.values()) == len(first) + 2 - 1
    assert [person.name for person in found.annotators] == ["ann", "somebody with a rare name"]


@pytest.mark.parametrize("by", ["same", "other"])
def test_an_image_that_is_removed_between_two_rounds_is_not_asked_for_again(tmp_path, by):
    images, masks = alkit.synthetic.lesions(12, size=16)
    pool = alkit.ArrayPool(images)
    truth = dict(zip(pool.ids, masks, strict=True))

    def opened():
        return alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "e.db")

    experiment, oracle = opened(), alkit.MaskOracle(truth, ("skin", "lesion"))
    rounds = experiment.rounds(oracle, start=3, batch=2, rounds=4)
    removed = next(rounds).ids[0]
    (experiment if by == "same" else opened()).remove(removed, "consent withdrawn")
    if by == "other":
        with pytest.raises(ResumeError, match="have changed since it was opened: pool: other images"):
            next(rounds)
        return
    assert [len(result.ids) for result in rounds] == [2, 2, 2, 2]
    assert removed not in {entry.query.id for entry in experiment._parts.store.asked() if not entry.withdrawn}
    assert len({answer.id for answer in experiment.answers()} - {removed}) == 10


def test_steps_with_the_former_parts_of_the_same_experiment_are_refused_after_a_removal(tmp_path):
    images, masks = alkit.synthetic.lesions(8, size=16)
    pool, to_remove = alkit.ArrayPool(images), []

    def removing(view, n, rng):
        if to_remove:
            experiment.remove(to_remove.pop(), "consent withdrawn")
        return view.candidates[:n]

    experiment = alkit.Experiment(pool, alkit.testing.Brightness(), removing, tmp_path / "e.db", classes=("a", "b"))
    experiment.tell({id: masks[int(id)] for id in experiment.ask(2)})
    former = experiment._parts
    experiment.remove("0007", "consent withdrawn")
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        select(former, experiment._model, 1)
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        commit_round(former, experiment._model, experiment._test_labels, 0, {})
    to_remove.append("0006")
    with pytest.raises(QueryError, match=r"remove\(\) was called inside ask\(\)"):
        experiment.ask(1)
    assert len(experiment._parts.store.asked()) == 2
    assert len(experiment.ask(1)) == 1


@pytest.mark.sqlite
def test_a_removal_deletes_no_backup_that_has_the_only_copy_of_an_answer(place):
    experiment, first, _ = begun()
    earlier = [place / "c.db", place / "c.db.journal"]
    content = [file.read_bytes() for file in earlier]
    experiment.tell({id: mask(id) for id in experiment.open_ids})
    experiment.ask(1)  # makes a backup
    experiment._parts.store.close()
    for file, before in zip(earlier, content, strict=True):
        file.write_bytes(before)
    (place / "c.db-wal").unlink(missing_ok=True)
    (place / "c.db-shm").unlink(missing_ok=True)
    before = sorted(file.name for file in (place / "c.db.backups").iterdir())
    with pytest.raises(StoreError, match=r"backups of .* cannot be deleted.*which has 2 answers that the record lacks"):
        campaign().remove(first[0], "consent withdrawn")
    assert sorted(file.name for file in (place / "c.db.backups").iterdir()) == before
    assert first[0] in campaign().pool.ids
    for name in before:
        (place / "c.db.backups" / name).unlink()
    assert campaign().remove(first[0], "consent withdrawn").answers == 1


@pytest.mark.sqlite
def test_a_removal_deletes_no_backup_that_cannot_be_read(place, monkeypatch):
    experiment, first, _ = begun()

    def fails(backup):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = sorted((place / "c.db.backups").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("alkit.record.store.check_whole", fails)
        with pytest.raises(StoreError, match=r"cannot be read \(Input/output error\), and may have the only copy"):
            experiment.remove(first[0], "consent withdrawn")
    assert sorted((place / "c.db.backups").iterdir()) == before
    assert experiment.remove(first[0], "consent withdrawn").answers == 1
