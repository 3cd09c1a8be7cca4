"""What ``alkit strategies`` says: from metadata, signatures and docstrings."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
from test_plugins import installed, point  # noqa: F401

import alkit
from alkit.cli import main
from alkit.describe import describe, describe_all


def told(capsys, *arguments):
    """Return what the command line prints."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert not end.value.code
    return capsys.readouterr().out


@dataclass(frozen=True)
class Shy:
    """Choose what nobody looks at.

    Parameters
    ----------
    patience:
        How long it waits,
        in rounds.
    first, second: int
        Two of a kind.
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("dropout",)

    patience: int
    first: float = 0.5
    second: float | None = None
    untold: str = "x"

    def select(self, view, n, rng):
        return alkit.Selection(view.candidates[:n])


def make(depth: int = 2) -> Shy:
    """Make one by a function.

    Parameters
    ----------
    depth:
        How deep.
    """
    return Shy(depth)


def test_a_strategy_is_described_by_its_own_words(installed):  # noqa: F811
    installed(point("shy", "a", f"{__name__}:Shy"), point("made", "b", f"{__name__}:make"))
    shy, made = describe("shy"), describe("made")
    assert (shy.name, shy.distribution, shy.version, shy.object) == ("shy", "a", "1", f"{__name__}:Shy")
    assert (shy.summary, shy.starts_cold, shy.needs) == ("Choose what nobody looks at.", False, ("dropout",))
    assert [(p.name, p.kind, p.default, p.meaning) for p in shy.parameters] == [
        ("patience", "int", None, "How long it waits, in rounds."),
        ("first", "float", "0.5", "Two of a kind."),
        ("second", "float or None", "None", "Two of a kind."),
        ("untold", "str", "'x'", ""),
    ]
    assert [(p.name, p.default, p.meaning) for p in made.parameters] == [("depth", "2", "How deep.")]
    assert made.starts_cold


def test_a_plugin_that_cannot_be_imported_is_shown_with_its_reason_and_breaks_nothing(installed, capsys):  # noqa: F811
    installed(point("broken", "a", "no_such_module:Thing"), point("fine", "a"))
    broken, fine = describe_all()
    assert "no_such_module" in broken.problem
    assert fine.summary
    assert not fine.problem
    assert [entry["name"] for entry in json.loads(told(capsys, "strategies", "--json"))] == ["broken", "fine"]
    assert "cannot be imported" in " ".join(told(capsys, "strategies").replace("│", " ").split())
    assert "no_such_module" in told(capsys, "strategies", "broken")


def test_all_baselines_explain_each_of_their_parameters():
    found = {entry.name: entry for entry in describe_all()}
    assert {name for name, entry in found.items() if entry.starts_cold} >= {"random", "ssl-cluster"}
    for entry in found.values():
        if entry.distribution == "alkit":
            assert entry.summary.endswith(".")
            assert all(p.meaning and p.kind for p in entry.parameters), entry
    assert found["dsal"].needs == ("heads", "pseudo-labels")


def test_the_command_line_shows_parameters(capsys):
    said = told(capsys, "strategies", "mc-dropout")
    for word in ("draws", "20", "int", "Needs a trained model", "dropout"):
        assert word in said
    assert json.loads(told(capsys, "strategies", "mc-dropout", "--json"))["parameters"][0]["default"] == "20"
    assert "no parameters" in told(capsys, "strategies", "random")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(alkit.UnknownNameError, match="'random'"):
        describe("randm")
