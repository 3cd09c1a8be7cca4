"""Lists of plugins can be read on a terminal of 80 columns."""

import pytest
from commandline import alkit as command


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [
        (["strategies"], 7),  # what it does, when to use it, and what it needs
        (["strategies", "ceal"], 6),
        (["features"], 3),
        (["features", "reconstruction"], 5),
        (["learners"], 3),
        (["learners", "segmentation"], 6),
    ],
)
def test_a_list_uses_the_width_and_has_few_lines_for_each_entry(monkeypatch, capfd, arguments, longest):
    monkeypatch.setenv("COLUMNS", "80")
    assert command(*arguments) == 0
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    entries = [number for number, line in enumerate(lines) if line[:1].islower() and "   " in line.strip()]
    assert entries
    ends = [*entries[1:], len(lines)]
    assert max(end - begin for begin, end in zip(entries, ends, strict=True)) <= longest
    assert "``" not in "".join(lines)


def test_the_list_of_strategies_says_how_they_start_and_what_they_need(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    command("strategies")
    shown = " ".join(capfd.readouterr().out.split())
    assert "starts with a model; needs dropout, pseudo-labels" in shown
    assert "starts cold; needs features" in shown
