"""The kit is tested itself: each broken strategy is caught, by name, and a right one passes everything."""

import inspect

import pytest
from broken_strategies import BROKEN, Right

from alkit.testing import StrategyKit

CHECKS = [name for name in dir(StrategyKit) if name.startswith("test_")]


def check(name, strategy, tmp_path, says_random=False):
    """Run one check of the kit as pytest would."""

    class Kit(StrategyKit):
        random = says_random

    method = getattr(Kit(), name)
    given = {"strategy": strategy, "tmp_path": tmp_path}
    method(**{key: given[key] for key in inspect.signature(method).parameters})


@pytest.mark.parametrize("name", CHECKS)
def test_a_right_strategy_passes(name, tmp_path):
    check(name, Right(), tmp_path)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_strategy_is_caught_by_the_check_of_its_bug(broken, tmp_path):
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        check(broken.caught_by, broken(), tmp_path, getattr(broken, "says_random", False))
    assert not isinstance(caught.value, (NotImplementedError, NameError, TypeError)), caught.value


def test_every_check_catches_something():
    helped = {broken.caught_by for broken in BROKEN}
    assert set(CHECKS) - helped == {"test_an_experiment_that_is_reopened_goes_on_as_before"}
