"""Descriptions of strategies: from metadata, signatures and docstrings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from entry_points import point

import alkit
from alkit.cli import main
from alkit.strategies import describe
from alkit.strategies.described import describe_all


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

    when_to_use: ClassVar[str] = """Use it never: in a study of
        nobody it was last."""

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


def test_a_description_comes_from_the_signature_and_docstring(installed):
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
    assert made.starts_cold is None
    assert (shy.when_to_use, made.when_to_use) == ("Use it never: in a study of nobody it was last.", "")


def test_a_plugin_that_cannot_be_imported_is_listed_with_the_reason(installed, capsys):
    installed(point("broken", "a", "no_such_module:Thing"), point("fine", "a"))
    broken, fine = describe_all()
    assert "no_such_module" in broken.problem
    assert fine.summary
    assert not fine.problem
    assert [entry["name"] for entry in json.loads(told(capsys, "strategies", "--json"))] == ["broken", "fine"]
    assert "cannot be imported" in " ".join(told(capsys, "strategies").replace("│", " ").split())
    assert "no_such_module" in told(capsys, "strategies", "broken")
    said = json.loads(told(capsys, "strategies", "broken", "--json"))
    assert (said["starts_cold"], said["needs"]) == (None, None)  # nobody knows


def test_text_that_a_plugin_prints_during_import_is_not_in_the_json(installed, capsys, tmp_path, monkeypatch):
    (tmp_path / "talks.py").write_text("print('hello')\ndef make():\n    'Talk.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed(point("talks", "a", "talks:make"))
    with pytest.raises(SystemExit):
        main(["strategies", "--json"])
    said = capsys.readouterr()
    assert [entry["name"] for entry in json.loads(said.out)] == ["talks"]
    assert "hello" in said.err


class NeedsText:
    """Says a word where it should say words."""

    needs = "members"


class NeedsByProperty:
    """Needs this or that."""

    @property
    def needs(self):
        return ("members",)


def test_needs_that_are_text_are_a_problem_and_a_property_depends(installed, capsys):
    installed(point("text", "a", f"{__name__}:NeedsText"), point("property", "a", f"{__name__}:NeedsByProperty"))
    assert "the attribute needs of NeedsText must be a tuple of names" in describe("text").problem
    assert (describe("property").needs, describe("property").problem) == (None, "")
    assert "depends" in told(capsys, "strategies")
    assert "What it needs depends on its parameters." in told(capsys, "strategies", "property")


class Mute:
    """Says a number where it should say a sentence."""

    when_to_use = 3


class UsedByProperty:
    """Says it only of an instance."""

    @property
    def when_to_use(self):
        return "Use it now."


def test_a_use_that_is_not_a_text_is_a_problem_and_that_of_an_instance_is_not_shown(installed):
    installed(point("mute", "a", f"{__name__}:Mute"), point("property", "a", f"{__name__}:UsedByProperty"))
    assert "the attribute when_to_use of 'mute' must be a text: got 3" in describe("mute").problem
    assert (describe("property").when_to_use, describe("property").problem) == ("", "")


def test_the_command_line_says_when_to_use_a_strategy(installed, capsys):
    installed(point("shy", "a", f"{__name__}:Shy"))
    for arguments in (["strategies"], ["strategies", "shy"], ["strategies", "--json"]):
        assert "Use it never: in a study of nobody it was last." in " ".join(told(capsys, *arguments).split())


def test_alkit_says_of_each_of_its_strategies_when_to_use_it_and_the_reference_does_too():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "strategies.md").read_text()
    for entry in describe_all():
        if entry.distribution == "alkit":
            said = entry.when_to_use
            assert said.startswith("Use it "), entry.name
            assert said.endswith("."), entry.name
            assert said.count(". ") == 0, entry.name
            assert f"- **`{entry.name}`**: {said}\n" in page, entry.name


def test_a_docstring_is_shown_without_the_roles_of_sphinx(capsys):
    assert ":class:" not in told(capsys, "strategies", "ssl-cluster")
    assert "alkit.Reconstruction, the" in describe("ssl-cluster").parameters[0].meaning


def test_all_baselines_document_each_parameter():
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
    with pytest.raises(alkit.errors.UnknownNameError, match="'random'"):
        describe("randm")


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


def silent(inner=Unprintable()):  # noqa: B008
    """A default that cannot be shown."""


def odd(*names: str, depth: "1 / 0" = 2, width: "Nowhere" = 3, **more: int):  # noqa: F821
    """Types that cannot be found."""


class Depends:
    """Cold or not by a property."""

    @property
    def starts_cold(self):
        return False


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{__name__}:silent", "RuntimeError: no words"),
        ("builtins:max", "does not say what parameters"),
        (__name__, "got a module"),
        (f"{__name__}:__name__", "got a str"),
    ],
)
def test_a_broken_plugin_does_not_affect_others(installed, capsys, value, words):
    installed(point("bad", "a", value), point("fine", "a"))
    bad, fine = describe_all()
    assert words in bad.problem
    assert (fine.problem, fine.starts_cold) == ("", True)
    assert len(json.loads(told(capsys, "strategies", "--json"))) == 2
    assert words in " ".join(told(capsys, "strategies", "bad").split())


def test_types_that_cannot_be_found_are_shown_as_the_source_writes_them(installed):
    installed(point("odd", "a", f"{__name__}:odd"))
    assert [(p.name, p.kind, p.default) for p in describe("odd").parameters] == [
        ("depth", "1 / 0", "2"),
        ("width", "Nowhere", "3"),
    ]


def test_a_start_that_only_the_made_strategy_knows_depends(installed, capsys):
    installed(point("by-function", "a", f"{__name__}:make"), point("by-property", "a", f"{__name__}:Depends"))
    assert [entry.starts_cold for entry in describe_all()] == [None, None]
    assert told(capsys, "strategies").count("depends") == 3  # what the function's need, too
    assert "depends on its parameters" in told(capsys, "strategies", "by-property")
    assert json.loads(told(capsys, "strategies", "by-property", "--json"))["starts_cold"] is None


def test_names_that_look_like_markup_are_printed_unchanged(installed, capsys):
    installed(point("p-[red]x", "d-[bold]y"))
    for said in (told(capsys, "strategies"), told(capsys, "strategies", "p-[red]x")):
        assert "p-[red]x" in said
        assert "d-[bold]y" in said
