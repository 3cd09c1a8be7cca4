"""Strategies in TOML: the same parts, the same checks."""

import pytest

import alkit
from alkit import strategy_file
from alkit.strategy_file import read_strategy

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
    assert read_strategy(written_to(tmp_path, WHOLE % RANKING), PRETEXT) == alkit.Then(
        alkit.strategy("ssl-cluster", features=PRETEXT, clusters=5),
        alkit.Mix(
            {
                alkit.DuplicatesLast(random, PRETEXT, similarity=0.9): 3,
                alkit.Stochastic(alkit.Uncertainty("margin")): 1,
                alkit.strategy("mc-dropout", draws=7, score="bald"): 1,
                alkit.Filter(alkit.Uncertainty("entropy", alkit.Members()), then=random): 1,
            }
        ),
        after=300,
    )


def test_the_example_of_the_docstring_is_one(tmp_path):
    text = strategy_file.__doc__.partition("::")[2].partition("Names are")[0]
    strategy = read_strategy(written_to(tmp_path, "\n".join(line[4:] for line in text.splitlines())), PRETEXT)
    assert strategy.warm.ranking.sampler == alkit.Dropout(10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "randm"', "'random'"),
        ('name = "filtr"', "'filter'"),
        ('name = "mc-dropout"\ndrws = 3', "'draws'"),
        ('name = "mc-dropout"\ndraws = 3.5', "draws .*another type"),
        ('name = "mc-dropout"\nscore = "bold"', "'bald'"),
        ('name = "then"\nafter = 3', "needs a value for cold, warm"),
        ('name = "dropout"', "no strategy"),
        ('name = "mix"\nparts = [{ share = 1 }]', "tables"),
        ('name = "filter"\nranking = { name = "random" }\nthen = { name = "random" }', "gives no scores"),
        ("strategy = 3", "no table"),
        ("x = 3", "no strategy"),
        ("name = ", "TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path, text, words):
    with pytest.raises(alkit.ConfigurationError, match=words):
        read_strategy(written_to(tmp_path, text), PRETEXT)


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path):
    with pytest.raises(alkit.ConfigurationError, match="can be read"):
        read_strategy(tmp_path / "none.toml")
