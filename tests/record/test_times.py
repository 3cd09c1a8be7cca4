"""How long labels took, from what the answers say or from the times of files."""

import pytest

from alkit.record.states import Recorded
from alkit.record.times import labelling_times

START = 1_700_000_000 * 10**9


def answers(gaps, annotator="ann", kinds=None, **more):
    """Return answers with these gaps in seconds before each but the first."""
    at, found = START, []
    for n, gap in enumerate([0, *gaps]):
        at += int(gap * 1e9)
        kind = (kinds or {}).get(n, "label")
        found.append(Recorded(f"{annotator}-{n}", annotator, at, kind, number=n + 1, **more))
    return found


def test_seconds_that_a_tool_states_are_not_estimated():
    told = [Recorded("a", "ann", 1, "label", seconds=12.0, number=1), Recorded("b", "ann", 2, "label", number=2)]
    found = labelling_times(told)
    assert (found.seconds, found.estimated) == ({1: 12.0}, frozenset())


def test_a_correction_is_not_a_further_label_also_if_a_tool_states_its_seconds():
    told = [Recorded("a", "ann", n, "label", seconds=12.0 * n, number=n) for n in (1, 2)]
    told.append(Recorded("a", "ben", 1, "label", seconds=5.0, number=3))
    assert labelling_times(told).seconds == {1: 12.0, 3: 5.0}


def test_gaps_between_files_are_times_and_breaks_are_left_out():
    found = labelling_times(answers([30, 40, 35, 3600, 50, 45, 0.2]))
    assert found.seconds == pytest.approx({2: 30, 3: 40, 4: 35, 6: 50, 7: 45})
    assert found.estimated == {2, 3, 4, 6, 7}


def test_annotators_have_their_own_gaps():
    found = labelling_times([*answers([30] * 6), *answers([300] * 6, "ben")])
    assert sorted(set(found.seconds.values())) == [300]  # both have the same numbers here, and ben comes last


def test_skips_end_a_gap_and_corrections_are_not_first_labels():
    told = answers([30, 30, 30, 30, 30, 30, 30], kinds={3: "skip"})
    told.append(Recorded("ann-1", "ann", told[-1].revision + 20 * 10**9, "label", number=99))
    found = labelling_times(told)
    assert 4 not in found.seconds
    assert 99 not in found.seconds
    assert found.seconds[5] == 30


@pytest.mark.parametrize(
    "told",
    [
        answers([0.01] * 30),
        answers([0.01] * 30 + [400] * 6),
        answers([30, 30]),
        [Recorded(str(n), "ann", n, "label", number=n) for n in range(20)],
        [Recorded(str(n), "ann", START + n * 10**10, "label", reason="hospital", number=n) for n in range(20)],
        [Recorded(str(n), "ann", START + n * 10**10, "label", rejected="wrong", number=n) for n in range(20)],
    ],
    ids=["copied", "copied in heaps", "few", "counters", "imported", "sent back"],
)
def test_nothing_is_estimated_from(told):
    assert labelling_times(told).seconds == {}


def test_an_answer_without_a_revision_has_no_time_although_it_is_numbered_behind_one_that_has():
    told = answers([60] * 7)
    corrected = [Recorded(one.id, "lead", one.revision + 1, "label", number=9 + n) for n, one in enumerate(told)]
    found = labelling_times([*told, *corrected])
    assert found.seconds.keys() == {2, 3, 4, 5, 6, 7, 8}
