"""Strategy files."""

import os
import pkgutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from entry_points import point

import alkit
from alkit.cli.parts import make_strategy as strategy_of_run
from alkit.configuration.parts import PARTS
from alkit.errors import ConfigurationError
from alkit.features import Pretrained
from alkit.protocols import FeatureExtractor
from alkit.strategies import read_strategy
from alkit.strategies import toml as strategy_file
from alkit.strategies.toml import keeps_reconstruction

RANKING = '{ name = "uncertainty", score = "entropy", sampler = { name = "members" } }'
WHOLE = """
[strategy]
name = "then"
after = 300
cold = { name = "ssl-cluster", clusters = 5 }

[strategy.warm]
name = "mix"
parts = [
    { share = 3, strategy = { name = "duplicates-last", strategy = { name = "random" }, similarity = 0.9 } },
    { share = 1, strategy = { name = "stochastic", ranking = { name = "uncertainty", score = "margin" } } },
    { share = 1, strategy = { name = "mc-dropout", draws = 7, score = "bald" } },
    { share = 1, strategy = { name = "filter", then = { name = "alkit:random" }, ranking = %s } },
]
"""
PRETEXT = alkit.Reconstruction(epochs=3)


def written_to(folder, text):
    (folder / "s.toml").write_text(text)
    return folder / "s.toml"


def test_a_file_describes_a_nested_strategy(tmp_path):
    random = alkit.strategy("random")
    assert read_strategy(written_to(tmp_path, WHOLE % RANKING), PRETEXT) == alkit.strategies.Then(
        alkit.strategy("ssl-cluster", features=PRETEXT, clusters=5),
        alkit.strategies.Mix(
            {
                alkit.strategies.DuplicatesLast(random, PRETEXT, similarity=0.9): 3,
                alkit.strategies.Stochastic(alkit.strategies.Uncertainty("margin")): 1,
                alkit.strategy("mc-dropout", draws=7, score="bald"): 1,
                alkit.strategies.Filter(
                    alkit.strategies.Uncertainty("entropy", alkit.samplers.Members()), then=random
                ): 1,
            }
        ),
        after=300,
    )


def test_the_example_of_the_docstring_is_a_strategy(tmp_path):
    text = strategy_file.__doc__.partition("::")[2].partition("Names are")[0]
    strategy = read_strategy(written_to(tmp_path, "\n".join(line[4:] for line in text.splitlines())), PRETEXT)
    assert strategy.warm.ranking.sampler == alkit.Dropout(10)


def test_a_table_of_features_states_what_differs_from_the_default(tmp_path):
    base = alkit.Reconstruction(partial(alkit.UNet, widths=(2, 4)), epochs=100, device="cpu", cache="here")
    path = written_to(tmp_path, 'name = "ssl-cluster"\nfeatures = { name = "reconstruction", epochs = 3, lr = 0.1 }')
    features = read_strategy(path, base).features
    assert features == alkit.Reconstruction(base.network, epochs=3, lr=0.1)
    assert (features.device, features.cache) == ("cpu", "here")
    assert read_strategy(path).features == alkit.Reconstruction(epochs=3, lr=0.1)


@dataclass(frozen=True)
class Standard:
    """Brings the standard extractor."""

    needs: ClassVar[tuple[str, ...]] = ("features",)
    features: FeatureExtractor = field(default_factory=alkit.Reconstruction)

    def select(self, view, n, rng):
        return view.candidates[:n]


@dataclass(frozen=True)
class Required(Standard):
    """Has no default."""

    features: FeatureExtractor = field()


@dataclass(frozen=True)
class Own(Standard):
    """Brings an extractor of its own."""

    features: FeatureExtractor = field(default_factory=lambda: alkit.Reconstruction(pooling=1))


@dataclass(frozen=True)
class Counted(Standard):
    """Has a parameter of that name that is something else."""

    needs: ClassVar[tuple[str, ...]] = ()
    features: int = 64


def by_function(features: FeatureExtractor):
    """Make one by a function."""
    return Standard(features)


@dataclass(frozen=True)
class Asked(Standard):
    """Has a parameter of that name that is something else and must be given."""

    needs: ClassVar[tuple[str, ...]] = ()
    features: object = field()


def by_asking(features: int):
    """Make one of so many features."""
    return Counted(features)


def by_count(features: int = 3):
    """Make one of so many features."""
    return Counted(features)


@pytest.mark.parametrize(
    ("thing", "features"),
    [
        ("Standard", PRETEXT), ("Required", PRETEXT), ("Own", alkit.Reconstruction(pooling=1)), ("Counted", 64),
        ("by_function", PRETEXT), ("by_count", 3),
    ],
)  # fmt: skip
def test_default_features_are_passed_only_if_they_are_needed(tmp_path, installed, thing, features):
    installed(point("mine", "a", f"{__name__}:{thing}"))
    assert read_strategy(written_to(tmp_path, 'name = "mine"'), PRETEXT).features == features
    assert strategy_of_run("mine", PRETEXT, {}).features == features


@pytest.mark.parametrize("thing", ["Asked", "by_asking"])
def test_a_parameter_called_features_of_another_type_must_be_given(tmp_path, installed, thing):
    installed(point("mine", "a", f"{__name__}:{thing}"))
    with pytest.raises(alkit.errors.ConfigurationError, match="needs a value for features"):
        read_strategy(written_to(tmp_path, 'name = "mine"'), PRETEXT)
    assert read_strategy(written_to(tmp_path, 'name = "mine"\nfeatures = 3'), PRETEXT).features == 3


def test_the_reserved_names_are_those_of_the_parts(installed, tmp_path):
    assert all(callable(pkgutil.resolve_name(address)) for address in PARTS.values())
    installed(point("filter", "a"), point("random", "a"))
    ranking = '{ name = "uncertainty", score = "margin" }'
    text = f'name = "filter"\nranking = {ranking}\nthen = {{ name = "a:filter" }}'
    assert read_strategy(written_to(tmp_path, text)).then == alkit.strategy("random")


def test_a_file_is_read_as_utf_8_with_any_locale(tmp_path, monkeypatch):
    (tmp_path / "s.toml").write_bytes('name = "grün"'.encode())
    monkeypatch.setattr("io.text_encoding", lambda encoding, level=2: encoding or "ascii")
    with pytest.raises(alkit.errors.UnknownNameError, match="'grün'"):
        read_strategy(tmp_path / "s.toml")


def test_a_table_without_a_name_can_be_a_parameter(installed, tmp_path):
    installed(point("weighted", "a", f"{__name__}:Weighted"))
    text = 'name = "weighted"\nweights = { a = 1.5 }'
    assert read_strategy(written_to(tmp_path, text)).weights == {"a": 1.5}


@dataclass(frozen=True)
class Weighted:
    """Takes a table."""

    weights: Mapping[str, float]

    def select(self, view, n, rng):
        return view.candidates[:n]


class NoWeightsError(alkit.AlkitError):
    """An error of a plugin's own, made of other things than alkit's."""

    def __init__(self, path, code):
        super().__init__(f"no weights at {path}, {code}")


def own_error(path: str = "x.pt"):
    """Raise an error of its own."""
    raise NoWeightsError(path, 3)


def python_error():
    """Raise an error of Python."""
    raise KeyError("weights")


def test_an_error_of_a_plugin_is_reported_with_its_table(tmp_path, installed):
    installed(point("own", "plug-in", f"{__name__}:own_error"), point("python", "plug-in", f"{__name__}:python_error"))
    for name, words in (("own", "no weights at x.pt, 3"), ("python", "'python' of plug-in cannot be made .*weights")):
        text = f'name = "filter"\n{MARGIN}\nthen = {{ name = "{name}" }}'
        with pytest.raises(alkit.errors.ConfigurationError, match=rf"s\.toml, at then: .*{words}"):
            read_strategy(written_to(tmp_path, text))


MARGIN = 'ranking = { name = "uncertainty", score = "margin" }'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "randm"', r"s\.toml: strategy or part 'randm' is not installed"),
        ('strategy = { name = "randm" }', r"s\.toml, at strategy: strategy or part"),
        ("strategy = { x = 3 }", r"s\.toml, at strategy must be a strategy"),
        (
            f'name = "filter"\n{MARGIN}\nthen = {{ nam = "random" }}',
            r"s\.toml: then has no name: got {'nam': 'random'}",
        ),
        (f'name = "filter"\n{MARGIN}\nthen = {{ name = "random", x = 1 }}', r"s\.toml, at then: .* no parameter 'x'"),
        (
            'name = "mix"\nparts = [{ share = 1, strategy = { nam = "random" } }]',
            r"s\.toml: parts\[0\]\.strategy has no",
        ),
        (
            'name = "mix"\nparts = [{ share = 1, strategy = { name = "random" } }, { share = 2, '
            'strategy = { name = "random" } }]',
            r"s\.toml: parts\[1\]\.strategy is the same as .*: got Random\(\)",
        ),
        (
            'name = "mix"\nparts = [{ share = 1, strategy = { name = "stochastic", ranking = { name = "uncertainty", '
            'score = "margin", sampler = { name = "dropout", draws = "3" } } } }]',
            r"s\.toml, at parts\[0\]\.strategy\.ranking\.sampler: draws",
        ),
        ('name = "ssl-cluster"\nfeatures = { name = "reconstruction", epochs = "3" }', r"s\.toml, at features: epochs"),
        ('name = "ssl-cluster"\nfeatures = { name = "reconstruction", epochs = 0 }', r"s\.toml, at features: epochs"),
        ('name = "ssl-cluster"\nfeatures = { name = "reconstruction", network = "x" }', "cannot be written in a file"),
        ('name = "ssl-cluster"\nfeatures = { epochs = 3 }', r"s\.toml: features has no name"),
        ('name = "reconstruction"', r"s\.toml must be a strategy"),
    ],
)
def test_a_mistake_is_reported_with_its_file_and_table(tmp_path, text, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        read_strategy(written_to(tmp_path, text), PRETEXT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "randm"', "'random'"),
        ('name = "filtr"', "'filter'"),
        ('name = "mc-dropout"\ndrws = 3', "'draws'"),
        ('name = "mc-dropout"\ndraws = 3.5', "draws .*must be of type int: got 3.5"),
        ('name = "mc-dropout"\nscore = "bold"', "'bald'"),
        ('name = "uncertainty"\nscore = "bald"', "sampler must make at least 2 draws for the score 'bald'"),
        ('name = "then"\nafter = 3', "needs a value for cold, warm"),
        ('name = "dropout"', "must be a strategy"),
        ('name = "mix"\nparts = [{ share = 1 }]', "tables"),
        (
            'name = "filter"\nranking = { name = "random" }\nthen = { name = "random" }',
            "ranking must have a method",
        ),
        ("strategy = 3", "must be a table"),
        ("x = 3", "must be a strategy"),
        ("name = ", "TOML"),
    ],
)
def test_the_message_of_a_mistake_names_it(tmp_path, text, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        read_strategy(written_to(tmp_path, text), PRETEXT)


def test_a_missing_file_is_an_error_of_alkit(tmp_path):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"none\.toml does not exist\. Try: check the path"):
        read_strategy(tmp_path / "none.toml")


@pytest.mark.parametrize("entry", ['cache = "/tmp/elsewhere"', 'device = "cuda"'])
@pytest.mark.parametrize("default", [None, PRETEXT])
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_cannot_say_where_to_compute(tmp_path, entry, default, nested):
    text = f'name = "ssl-cluster"\nfeatures = {{ name = "reconstruction", {entry} }}'
    if nested:
        text = f'name = "then"\nafter = 3\nwarm = {{ name = "random" }}\ncold = {{ {text.replace(chr(10), ", ")} }}'
    message = f"{entry.partition(' ')[0]} of 'reconstruction' says where to compute, and a strategy file may not set it"
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        read_strategy(written_to(tmp_path, text), default)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("default", [None, Pretrained()])
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('weights = "w.pth"', "cannot name a path"),
        ("weights = 3", "cannot name a path"),
        ('factory = "os:system"', "factory is code"),
        ("download = true", "download of 'pretrained' says where to compute"),
        ('model = "local-dir:/somewhere"', "model must be the name of a model of timm"),
    ],
)
def test_a_file_cannot_name_weights_by_a_path_or_download_them(tmp_path, entry, message, default):
    text = f'name = "ssl-cluster"\nfeatures = {{ name = "pretrained", {entry} }}'
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        read_strategy(written_to(tmp_path, text), default)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 10_000,
        "a" + ".a" * 8_000 + " = 1",
        'name = "then"\n' + "cold" + ".cold" * 3_000 + ' = { name = "random" }',
        "name = 1" + "0" * 1_000_000,
        'name = "random"\nseed = ' + "9" * 5000,
        'name = "os:system"',
        'name = "alkit.strategies.toml:mix_tables"',
        'name = "uncertainty"\nscore = "os:system"',
        'name = "uncertainty"\nscore = "alkit:export_model"',
    ],
    ids=["brackets", "dots", "tables", "digits", "number", "module", "address", "score", "function"],
)
def test_a_hostile_file_is_refused(tmp_path, text):
    with pytest.raises(alkit.errors.AlkitError) as refused:
        read_strategy(written_to(tmp_path, text))
    assert len(str(refused.value)) <= 4000


@pytest.mark.parametrize("read", [read_strategy, keeps_reconstruction])
def test_a_file_with_a_gap_does_not_fill_the_memory(tmp_path, monkeypatch, read):
    monkeypatch.setattr(Path, "read_bytes", None)  # which reads it whole
    (tmp_path / "s.toml").write_text('name = "ssl-cluster"')
    assert read(str(tmp_path / "s.toml"))
    os.truncate(tmp_path / "s.toml", 2**40)
    with nullcontext() if read is keeps_reconstruction else pytest.raises(ConfigurationError, match="more than 16384"):
        assert not read(str(tmp_path / "s.toml"))


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "s.toml")
    assert not keeps_reconstruction(str(tmp_path / "s.toml"))
    with pytest.raises(ConfigurationError, match="it is a pipe"):
        read_strategy(tmp_path / "s.toml")
