"""Whatever a second process does in the middle of a step, the record ends as if one had followed the other.

A step is everything that reads or writes a record: :mod:`interleaving.steps`. It is interrupted at a point, another
step is taken completely, and the first one goes on. The record then must be that of one order or the other, or one of
the steps ended in an error and changed nothing. It must be intact, nothing of a removed image is left, a repair without
the database gives the same, and the next steps work.
"""

import pytest
from interleaving.start import interleave

PROCESSES = 2
REMOVALS = "remove*;alkit remove"


def show(counts, wrong):
    print(dict(counts))
    print(*(f"FAULT {fault}" for fault in wrong), sep="\n")
    return wrong


def test_a_few_steps_of_two_processes_act_as_one_after_the_other():
    first, second = "reject;open with other groups (classes)", "remove trained"
    counts, wrong = interleave("--light", "--scenes", "classes", "--first", first, "--second", second, "--every", 11)
    assert not show(counts, wrong)
    assert counts["pairs"] == 2
    assert counts["points"] >= 5


@pytest.mark.slow
def test_every_step_meets_a_removal(capsys):
    with capsys.disabled():
        counts, wrong = interleave("--either", REMOVALS, "--every", 8, processes=PROCESSES)
        assert not show(counts, wrong)
    assert counts["pairs"] >= 1400
    assert counts["points"] >= 4000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_steps_that_are_drawn_meet_each_other(capsys, seed):
    with capsys.disabled():
        counts, wrong = interleave("--number", 150, "--every", 4, "--seed", seed, processes=PROCESSES)
        assert not show(counts, wrong)
    assert counts["points"] >= 1000


@pytest.mark.slow
def test_steps_of_a_record_with_files_elsewhere_meet_a_removal(capsys):
    with capsys.disabled():
        counts, wrong = interleave("--elsewhere", "--scenes", "classes", "--either", REMOVALS, "--every", 16)
        assert not show(counts, wrong)
    assert counts["pairs"] >= 300
