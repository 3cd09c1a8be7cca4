"""How many labels alkit saves: splits, the steps of the graphs, runs that continue, and the tables."""

from functools import partial

import numpy as np
import pytest
import torch

import alkit
from alkit.learners import Augment, paper, strong
from benchmarks.labels import command, curves, data, graphs, page, protocol, runs, schedule, split, tables, workers
from benchmarks.labels.tables import tables_of
from benchmarks.rows import read, read_as


def made_up_set(n=40):
    """Return ids, kinds and groups of `n` images; two images make a group."""
    return [f"{row:03}" for row in range(n)], ["a", "b"] * (n // 2), [f"g{row // 2}" for row in range(n)]


def made_up_pictures(n=40, size=16):
    """Return a data set with random images."""
    rng = np.random.default_rng(0)
    ids, kinds, groups = made_up_set(n)
    images = rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8)
    return data.Pictures(
        ("nuclei", size), tuple(ids), images, (images[:, 0] > 128).astype(np.uint8), tuple(kinds), tuple(groups),
        rng.random((n, 4), np.float32),
    )  # fmt: skip


def test_no_reported_run_sees_a_tuning_image(monkeypatch):
    ids, kinds, groups = made_up_set()
    tuning = frozenset(ids[:4])
    monkeypatch.setattr(split, "tuning_ids", lambda name: tuning)
    pool, test = split.split("nuclei", ids, kinds, groups, seed=0)
    assert sorted([*pool, *test]) == list(range(4, 40))
    assert not {groups[row] for row in pool} & {groups[row] for row in test}
    assert split.tuning_rows("nuclei", ids).tolist() == [0, 1, 2, 3]
    assert not np.array_equal(test, split.split("nuclei", ids, kinds, groups, seed=1)[1])


def test_an_archive_has_what_was_packed(tmp_path):
    given = made_up_pictures(7)
    data.save(tmp_path / "sets.npz", [given])
    found = data.load(tmp_path / "sets.npz", [given.key])[given.key]
    assert (found.ids, found.kinds, found.groups) == (given.ids, given.kinds, given.groups)
    assert np.array_equal(found.images, given.images)
    assert np.array_equal(found.masks, given.masks)
    assert found.features == pytest.approx(given.features, abs=1e-3)
    assert np.array_equal(found.read(given.ids[3:5]), given.images[3:5] / np.float32(255))


@pytest.mark.parametrize("turns", [True, False])
def test_a_step_of_the_graphs_is_a_step_of_the_learner(turns):
    pictures = made_up_pictures(12)
    labelled = runs.LabelledPictures(pictures, pictures.ids[:7])
    network = partial(alkit.UNet, widths=(2, 4), dropout=0.0)
    augment = Augment(quarter_turns=turns)
    learner = strong(network, steps=10, batch=4, lr=0.01, device="cpu", augment=augment)
    schedule.check_learner(learner)
    expected = learner.fit(labelled, runs.fit_generator(3)).network
    stream = runs.fit_stream(3)
    begun = learner.initial_model(labelled, stream).network.to(memory_format=torch.channels_last)
    weights, buffers = graphs.state_of(begun)
    slot = graphs.Slot(begun, learner, torch.from_numpy(pictures.images), torch.from_numpy(pictures.masks), 10)
    rows = schedule.rows_of(learner, pictures.rows(labelled.ids), stream)
    slot.load(weights, buffers, schedule.Tables(rows, schedule.mirrors_of(learner, stream), schedule.rates_of(learner)))
    slot.run(10)
    known = graphs.state_of(expected)
    assert slot.average == pytest.approx(known[0], abs=1e-6)
    assert slot.average_buffers == pytest.approx(known[1], abs=1e-6)
    assert float((slot.average - weights).abs().max()) > 1e-3


def test_graphs_refuse_a_learner_with_other_parts():
    with pytest.raises(ValueError, match="schedule='one-cycle'"):
        schedule.check_learner(strong(alkit.UNet, schedule="cosine"))
    with pytest.raises(ValueError, match="mirrored and turned"):
        schedule.check_learner(strong(alkit.UNet, augment=Augment(affine=0.1)))


class Counting:
    """A fitter that makes a learner of the paper train one epoch, and counts."""

    engine, machine = "fit", "a machine"

    def __init__(self, carry_on):
        self.learner = paper(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu", carry_on=carry_on)
        self.labels = []

    def carries_on(self, task):
        return self.learner.carry_on

    def fit(self, task, labelled, number, previous):
        self.labels.append(len(labelled.ids))
        return self.learner.fit(labelled, runs.fit_generator(task.seed), previous)


@pytest.mark.parametrize(
    ("arm", "carry_on", "again"),
    [("random", False, [8]), ("random", True, [4, 8]), ("mc-dropout", False, [8]), (protocol.FULL, False, [])],
)
def test_a_run_that_was_stopped_continues(arm, carry_on, again, tmp_path):
    pictures, book, fitter = made_up_pictures(), runs.Book(tmp_path), Counting(carry_on)
    task = protocol.Task("nuclei", 16, "paper", arm, 0, length=1 if arm == protocol.FULL else 0)
    turns = iter([True, False])
    runs.play(task, pictures, fitter, book, "abc", goes_on=lambda: next(turns), budgets=(4, 8))
    first = book.rows()
    assert [row.labels for row in first] == ([30] if arm == protocol.FULL else [4])
    with book.rows_file.open("a") as file:
        file.write('{"data": "nuc')  # the process was killed in the middle of a line
    fitter.labels.clear()
    done, known = workers.done_in(book), book.choices()
    runs.play(task, pictures, fitter, book, "abc", done=done[task], known=known.get(task), budgets=(4, 8))
    assert fitter.labels == again
    assert book.rows()[:1] == first
    assert [row.labels for row in book.rows()] == ([30] if arm == protocol.FULL else [4, 8])


def test_choices_made_ahead_are_those_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(protocol.BUDGETS, "nuclei", (4, 8))
    pictures, task = made_up_pictures(), protocol.Task("nuclei", 16, "paper", "maxherding", 0)
    ahead, own = runs.Book(tmp_path / "ahead"), runs.Book(tmp_path / "own")
    for _ in range(2):
        runs.choose_ahead(task, pictures, ahead)
    runs.play(task, pictures, Counting(carry_on=False), own, "abc")
    assert ahead.choices() == own.choices()
    assert len(ahead.choices_file.read_text().splitlines()) == 2


@pytest.mark.parametrize("arm", protocol.ARMS)
def test_every_arm_chooses_and_begins_as_random_if_it_needs_a_model(arm, monkeypatch):
    pictures = made_up_pictures(24)
    fitter = Counting(carry_on=False)
    task = protocol.Task("nuclei", 16, "strong", arm, 0)
    ids = pictures.ids[2:]
    first = runs.choose(task, pictures, ids, (), 20, 0, None)
    model = fitter.fit(task, runs.LabelledPictures(pictures, first), 0, None)
    both = runs.choose(task, pictures, ids, first, 22, 1, model)
    assert both[:20] == first
    assert len(set(both)) == 22
    assert set(both) <= set(ids)
    if arm in ("mc-dropout", "clasp-pe", "foreground-random"):
        assert first == runs.choose(protocol.Task("nuclei", 16, "paper", "random", 0), pictures, ids, (), 20, 0, None)


def made_up_rows(seeds=range(5), arms=(("random", 0.0), ("maxherding", 0.0503), ("clasp-pe", -0.0503))):
    """Yield rows of two learners on two data sets: maxherding gains, clasp-pe loses, and the ceiling is 0.9."""
    rng = np.random.default_rng(0)
    for learner, level in (("strong", 0.8), ("paper", 0.6)):
        for name in ("isic", "nuclei"):
            for seed in seeds:
                for length, dice in zip(protocol.CEILINGS[learner], (0.85, 0.9), strict=True):
                    yield row_of(name, learner, "full", seed, 500, level + dice - 0.8, length)
                for arm, more in arms:
                    for labels in protocol.BUDGETS[name]:
                        value = level + more + np.log10(labels) / 50 + rng.normal(0, 0.001)
                        yield row_of(name, learner, arm, seed, labels, value)


def row_of(name, learner, arm, seed, labels, dice, length=0):
    dice = round(float(dice), 5)
    return runs.Row(
        name, 64, learner, arm, seed, length, labels, dice, dice, dice, "a 0.5", "a 5", 1.0, "fit", "a machine", "abc"
    )


def test_the_tables_name_the_winner_the_loser_and_the_ceiling():
    found = tables_of(curves.Results(made_up_rows()))
    areas = {line[:2]: line[2] for line in found["areas"].rows}
    assert areas["ISIC 2017 at 64 pixels, strong learner", "maxherding"].startswith("+0.05")
    assert areas["Nuclei at 64 pixels, paper's learner", "clasp-pe"].startswith("-0.05")
    assert found["ceilings"].rows[0][3:5] == ("0.900", "yes")
    reach = {line[:2]: line[2:] for line in found["isic-64-strong-reach"].rows}
    assert {measure for measure, _ in reach} == set(curves.MEASURES.values())
    assert reach["mean over images", "random"][0] == "at most 10 (5 of 5)"
    assert reach["mean over images", "clasp-pe"][2:] == ("more than 615 (0 of 5)", "more than 615 (0 of 5)")


def test_a_seed_without_all_budgets_does_not_count():
    given = list(made_up_rows())
    cut = [row for row in given if (row.arm, row.seed, row.labels) != ("maxherding", 4, 615) or row.data != "isic"]
    results = curves.Results(cut)
    assert sorted(results.finished(("isic", 64, "strong"), "maxherding")) == [0, 1, 2, 3]
    gained = curves.gain(results, ("isic", 64, "strong"), "maxherding")
    assert gained.n == 4
    assert gained.p is None


def test_the_page_says_first_what_holds(monkeypatch):
    text = page.page_of(curves.Results(made_up_rows()))
    assert text.startswith("# How many labels does alkit save?\n\n**A part of the grid is measured: with at most 10 ")
    assert "it does not reach 97 % of the Dice of all 500 labels with 615;" in text
    assert "some strategy beats random selection on 2 of 2 data sets (ISIC 2017 and Nuclei)" in text
    assert "Hippocampus: too few seeds are finished to compare strategies." in text
    assert "**The grid of 10 seeds is not complete.**" in text
    plain = page.page_of(curves.Results(made_up_rows(arms=(("random", 0.0), ("clasp-pe", -0.05)))))
    assert "(`clasp-pe`) beats random selection on two data sets (on none of ISIC 2017 and Nuclei, after" in plain
    one = page.headline(curves.Results(row for row in made_up_rows() if row.data == "isic"))
    assert one.endswith("enough seeds, a strategy beats random selection (`maxherding` and `clasp-pe` were compared).")
    few = page.headline(curves.Results(made_up_rows(seeds=range(3))))
    assert few.endswith("whether a strategy beats random selection is open, because too few seeds are finished.")
    assert page.headline(curves.Results([])) == "Nothing has been measured yet."


@pytest.mark.parametrize(("seeds", "said"), [(4, False), (5, True)])
def test_more_steps_are_compared_if_enough_seeds_have_them(seeds, said):
    more = [
        row_of("isic", "long", "random", seed, labels, 0.95)
        for seed in range(seeds)
        for labels in protocol.BUDGETS["isic"]
    ]
    results = curves.Results([*made_up_rows(), *more])
    assert ("if it takes 900 steps" in page.headline(results)) == said
    assert any("with the strong learner with 900 steps" in line for line in page.findings(results)) == said
    words = "4 seeds" if seeds == 4 else "5 seeds"
    assert f"strong learner with 900 steps: {words} of each strategy" in page.coverage(results)
    assert "Hippocampus, strong learner: no seeds of each strategy" in page.coverage(results)


def test_the_committed_page_follows_from_the_committed_rows():
    rows = read_as(runs.Row, command.OUT / page.ROWS)
    assert rows
    tables = tables_of(curves.Results(rows))
    assert {path.stem for path in command.OUT.glob("*.md")} == set(tables)
    for name, table in tables.items():
        assert (command.OUT / f"{name}.md").read_text() == f"{table.caption}\n\n{table.markdown()}\n"
    assert page.PAGE.read_text() == page.page_of(curves.Results(rows), read(command.OUT / page.TRIALS))
    assert not {row.seed for row in rows} - set(protocol.SEEDS)


def test_the_settings_that_were_tried_are_a_table():
    dice = {(300, 10): (0.5, 0.6), (900, 10): (0.6, 0.7), (900, 20): (0.8,)}
    trials = [
        {"data": "isic", "steps": str(steps), "lr": "0.001", "labels": str(labels), "seed": str(seed), "dice": str(own)}
        for (steps, labels), found in dice.items()
        for seed, own in enumerate(found)
    ]
    found = tables.settings(trials)
    assert found.header == ("steps", "learning rate", "ISIC 2017, 10", "ISIC 2017, 20")
    assert found.rows == [("300", "0.001", "0.550", ""), ("900", "0.001", "0.650", "0.800")]


def test_runs_in_processes_finish_and_are_not_repeated(tmp_path):
    data.save(tmp_path / "sets.npz", [made_up_pictures()])
    todo = [protocol.Task("nuclei", 16, "paper", arm, 0) for arm in ("random", "clasp-pe")]
    work = workers.Work(tmp_path / "sets.npz", tmp_path / "work", "cpu", float("inf"), steps=5, budgets=(4, 8))
    book = runs.Book(tmp_path / "work")
    assert workers.left(todo, book, work.budgets) == todo
    workers.run_in_processes(todo, work, 1)
    assert workers.left(todo, book, work.budgets) == []
    assert [row.labels for row in book.rows()] == [4, 8, 4, 8]


def test_the_graphs_of_a_process_train_one_model_after_another(tmp_path, monkeypatch):
    pictures, small = made_up_pictures(), partial(alkit.UNet, widths=(2, 4))
    monkeypatch.setattr(graphs, "learner_of", lambda task, device: strong(small, device=device))
    work = workers.Work(tmp_path, tmp_path, "cpu", float("inf"), steps=5)
    monkeypatch.setattr(workers, "_GRAPHS", [])
    fitter = workers.graph_fitter(work, {pictures.key: pictures})
    assert fitter is workers.graph_fitter(work, {pictures.key: pictures})
    task, book = protocol.Task("nuclei", 16, "strong", "maxherding, then bald", 0), runs.Book(tmp_path)
    runs.play(task, pictures, fitter, book, "abc", budgets=(20, 24))
    assert [(row.labels, row.engine) for row in book.rows()] == [(20, "graphs"), (24, "graphs")]
    images = pictures.read(pictures.ids[:2])
    first, again = (
        fitter.fit(task, runs.LabelledPictures(pictures, pictures.ids[:n]), 0, None).probabilities(images)
        for n in (9, 9)
    )
    assert np.array_equal(first, again)


def test_a_process_without_graphs_trains_by_the_learner(tmp_path, monkeypatch, capsys):
    pictures = made_up_pictures()
    monkeypatch.setattr(graphs, "learner_of", lambda task, device: strong(alkit.UNet, schedule="cosine"))
    monkeypatch.setattr(workers, "_GRAPHS", [])
    work = workers.Work(tmp_path, tmp_path, "cpu", float("inf"))
    assert workers.graph_fitter(work, {pictures.key: pictures}) is None
    assert "no graphs in this process: ValueError: graphs need a learner" in capsys.readouterr().out
