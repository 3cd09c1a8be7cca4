"""Labels that nobody asked for are as durable as answers: a repair brings them back, with their source."""

from __future__ import annotations

import multiprocessing
import os
import shutil

import numpy as np
import pytest
from parts import CLASSES, MeanLearner

import alkit
from alkit.record import Store
from alkit.record.check import check
from alkit.record.repairing import repair


def campaign(path, n=6):
    images, masks = alkit.synthetic.lesions(n, size=16)
    experiment = alkit.Experiment(
        alkit.ArrayPool(images), MeanLearner(), alkit.strategy("random"), path, classes=CLASSES
    )
    return experiment, dict(zip(experiment.pool.ids, masks, strict=True))


@pytest.fixture
def path(tmp_path):
    experiment, masks = campaign(tmp_path / "r.db")
    first, second, third = list(masks)[:3]
    experiment.tell({first: masks[first], second: masks[second], third: masks[third]}, unasked=True, source="2025")
    experiment.reject(third, "another patient")
    experiment.fit()
    return experiment.path


def said(path):
    store = Store(path)
    try:
        answers = [(one.id, one.source, one.label, one.rejected) for one in store.answers()]
        return answers, [(one.n_labels, one.n_unasked) for one in store.rounds()], store.snapshot().unasked
    finally:
        store.close()


@pytest.mark.sqlite
@pytest.mark.parametrize("gone", ["r.db", "r.db.journal", "r.db.backups"])
def test_a_repair_brings_them_back_with_their_source_and_what_was_sent_back_stays_so(path, gone):
    before = said(path)
    assert before[1] == [(2, 2)]
    assert len(before[2]) == 2
    there = path.with_name(gone)
    shutil.rmtree(there) if there.is_dir() else there.unlink()
    found = repair(path, path.with_name("new.db"))
    assert not found.lost
    assert said(found.path) == before
    assert check(found.path).damage == ()


@pytest.mark.sqlite
def test_a_repair_without_proof_does_not_count_them_until_they_are_imported_again(path):
    lines = path.with_name("r.db.journal").read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"2025"' in line)
    path.with_name("r.db.journal").write_bytes(b"".join([*lines[:at], b"damaged\n", *lines[at + 1 :]]))
    path.unlink()
    shutil.rmtree(path.with_name("r.db.backups"))
    found = repair(path, path.with_name("new.db"))
    assert found.unknown
    experiment, masks = campaign(found.path)
    assert not any(answer.counts for answer in experiment.answers())
    first, second = list(masks)[:2]
    experiment.tell({first: masks[first], second: masks[second]}, unasked=True, source="2025")
    assert experiment.fit().n_unasked == 2


@pytest.mark.sqlite
def test_a_label_whose_file_is_lost_does_not_count(path):
    store = Store(path)
    (file, *_) = [one.label for one in store.answers()]
    store.close()
    path.with_name("r.db.files").joinpath(file).unlink()
    found = repair(path, path.with_name("new.db"))
    assert len(found.lost) == 1
    store = Store(found.path)
    assert len(store.snapshot().unasked) == 1


def import_until_killed(path, moment):
    """Tell labels one after the other, and die in the middle of the write at a counted moment."""
    from alkit.record import journal

    count, write = iter(range(10**6)), journal._write

    def dying(file, content, length):
        if next(count) == moment:
            file.write(content[: len(content) // 2])
            os.kill(os.getpid(), 9)
        write(file, content, length)

    journal._write = dying
    experiment, masks = campaign(path)
    for id, mask in masks.items():
        experiment.tell({id: mask}, unasked=True, source="2025")


@pytest.mark.sqlite
def test_an_import_that_is_killed_at_any_write_can_be_repeated(tmp_path):
    whole, masks = campaign(tmp_path / "whole.db")
    whole.tell(masks, unasked=True, source="2025")
    expected = np.array([*whole.fit().metrics.values()]), said(whole.path)[2]
    context = multiprocessing.get_context("fork")
    deaths = 0
    for moment in range(1, 12):
        path = tmp_path / f"{moment}.db"
        child = context.Process(target=import_until_killed, args=(path, moment))
        child.start()
        child.join()
        deaths += child.exitcode == -9
        again, _ = campaign(path)
        again.tell(masks, unasked=True, source="2025")
        assert len(again.answers()) == len(masks)
        assert check(path).damage == ()
        again.fit()
        assert said(path)[2] == expected[1]
        assert [one.source for one in again.answers()] == ["2025"] * len(masks)
    assert deaths >= 6
