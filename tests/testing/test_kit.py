"""Checks of the conformance kits find every broken part, and correct parts pass all checks."""

import inspect
from dataclasses import dataclass, field
from functools import partial

import pytest
from broken_extractors import BrokenExtractor
from broken_learners import BrokenLearner
from broken_oracles import BrokenOracle
from broken_pools import BrokenPool, Part
from broken_strategies import BROKEN, Right, SeedsNumpy, pick

import alkit
from alkit.testing import ExtractorKit, LearnerKit, OracleKit, PoolKit, StrategyKit
from alkit.testing.learners import Labelled
from alkit.values import LabelSpec, Query

ASSERTED = AssertionError, pytest.fail.Exception
"""Failures of a check; another exception does not count as found."""

CRASHES = {
    "CrashesOnMore": IndexError,
    "CrashesOnNothing": IndexError,
    "Duplicates": alkit.errors.SelectionError,  # a Selection refuses it
    "NumbersForIds": alkit.errors.DataError,
    "AnotherClass": alkit.errors.LabelError,
    "RefusesOnlyWhatItGave": KeyError,
}
"""Errors of alkit or Python for parts whose bug raises one."""


def checks(kit):
    return [name for name in dir(kit) if name.startswith("test_")]


def check(kit, name, given):
    """Run one check of a kit as pytest would."""
    method = getattr(kit(), name)
    method(**{key: given[key] for key in inspect.signature(method).parameters})


def check_strategy(name, strategy, tmp_path, says_random=False, writes=True):
    class Kit(StrategyKit):
        random = says_random
        recordable = writes

    check(Kit, name, {"strategy": strategy, "tmp_path": tmp_path})


@pytest.mark.parametrize("name", checks(StrategyKit))
def test_a_right_strategy_passes(name, tmp_path):
    check_strategy(name, Right(), tmp_path)


def darkest(view, n, rng, most=False):
    """A strategy that is a plain function."""
    chosen = pick(view, n)
    return chosen[::-1] if most else chosen


darkest.needs = ("features",)


@dataclass(frozen=True)
class Weighed(Right):
    """A strategy with a function for a parameter."""

    weigh: object = darkest


FUNCTIONS = [
    darkest,
    partial(darkest, most=True),
    alkit.strategies.FromFunction(partial(darkest, most=True)),
    Weighed(),
]


@pytest.mark.parametrize("strategy", FUNCTIONS, ids=["function", "partial", "from-function", "parameter"])
@pytest.mark.parametrize("name", checks(StrategyKit))
def test_a_right_function_and_partial_pass(name, strategy, tmp_path):
    check_strategy(name, strategy, tmp_path)


def quantile(maps, q):
    return maps.flatten(1).quantile(q, dim=1)


SMALL = alkit.Reconstruction(partial(alkit.UNet, widths=(2, 4)), epochs=1)


@pytest.mark.parametrize(
    "strategy",
    [
        alkit.strategy("ssl-cluster", features=SMALL),
        alkit.strategies.Uncertainty("entropy", reduction=partial(quantile, q=0.5)),
        alkit.strategy("mc-dropout", score=alkit.scores.entropy),
    ],
    ids=["of-features", "of-a-reduction", "of-a-score"],
)
def test_a_record_keeps_partials_and_functions_as_parameters(strategy, tmp_path):
    class Kit(StrategyKit):
        packages = ("tests",)

    check(Kit, "test_a_record_keeps_its_parameters", {"strategy": strategy, "tmp_path": tmp_path})


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_strategy_fails_the_check_of_its_bug(broken, tmp_path):
    with pytest.raises(CRASHES.get(broken.__name__, ASSERTED)):
        check_strategy(broken.caught_by, broken(), tmp_path, getattr(broken, "says_random", False))


def test_a_global_seed_is_found_even_if_it_was_the_same_before(tmp_path):
    for _ in range(2):
        with pytest.raises(AssertionError, match="numpy"):
            check_strategy("test_global_generators_are_not_changed", SeedsNumpy(), tmp_path)


def test_every_check_of_a_strategy_finds_a_bug():
    assert {broken.caught_by for broken in BROKEN} == set(checks(StrategyKit))


def test_only_the_check_in_another_process_is_skipped_and_gives_the_reason(tmp_path):
    @dataclass(frozen=True)
    class Weighed(Right):
        weigh: object = field(default=lambda row: row, compare=False)

    for name in checks(StrategyKit):
        if name == "test_another_process_gives_the_same_choice":
            with pytest.raises(pytest.skip.Exception, match="recordable = False"):
                check_strategy(name, Weighed(), tmp_path, writes=False)
        else:
            check_strategy(name, Weighed(), tmp_path, writes=False)


def test_a_wrong_declaration_of_recordable_fails(tmp_path):
    with pytest.raises(AssertionError, match="remove the declaration"):
        check_strategy("test_a_record_keeps_its_parameters", Right(), tmp_path, writes=False)


class QuickOracleKit(OracleKit):
    patience = at_once = 0.1


def given(part):
    """Return what the checks of a part ask for, by name."""
    if isinstance(part, BrokenPool):
        return PoolKit, {"pool": part}
    if isinstance(part, BrokenOracle):
        return QuickOracleKit, {"oracle": part, "queries": [Query(id, 0, rank, ()) for rank, id in enumerate("ab")]}
    images, masks = alkit.synthetic.lesions(20, size=16, seed=2)
    if isinstance(part, BrokenExtractor):
        images[5] = images[2]
        return ExtractorKit, {"extractor": part, "pool": alkit.ArrayPool(images[:12])}
    pool = alkit.ArrayPool(images)
    known = dict(zip(pool.ids, masks, strict=True))
    return LearnerKit, {
        "learner": part,
        "labelled": Labelled(pool, tuple(pool.ids)[:12], known, LabelSpec(("skin", "lesion"))),
    }


RIGHT = [BrokenPool, Part, BrokenOracle, BrokenLearner, BrokenExtractor]


def broken(right):
    """Return the classes below a right one that name the check of their bug."""
    return [part for base in right.__subclasses__() for part in [base, *broken(base)] if hasattr(part, "caught_by")]


BROKEN_PARTS = [part for right in (BrokenPool, BrokenOracle, BrokenLearner, BrokenExtractor) for part in broken(right)]


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_pool_oracle_and_learner_pass(right):
    kit, _ = given(right())
    for name in checks(kit):
        check(kit, name, given(right())[1])


@pytest.mark.parametrize("part", BROKEN_PARTS, ids=lambda part: part.__name__)
def test_a_broken_pool_oracle_or_learner_fails_the_check_of_its_bug(part):
    kit, arguments = given(part())
    with pytest.raises(CRASHES.get(part.__name__, ASSERTED)):
        check(kit, part.caught_by, arguments)


@pytest.mark.parametrize("right", [BrokenPool, BrokenOracle, BrokenLearner, BrokenExtractor])
def test_every_check_of_a_pool_an_oracle_a_learner_and_an_extractor_finds_a_bug(right):
    kit, _ = given(right())
    assert {part.caught_by for part in broken(right)} == set(checks(kit))
