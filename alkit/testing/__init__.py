"""Conformance kits: what every strategy, pool, oracle and learner must do, as tests that an author inherits.

::

    import pytest
    from alkit.testing import StrategyKit
    from my_package import Mine

    class TestMine(StrategyKit):
        @pytest.fixture
        def strategy(self):
            return Mine()

pytest then collects every check of the kit. What a plugin cannot do is declared by an attribute of the class, never
skipped in silence. Which bug each check would have caught: ``docs/reference/conformance.md``.
"""

from alkit.testing.learners import LearnerKit
from alkit.testing.oracles import OracleKit
from alkit.testing.pools import PoolKit
from alkit.testing.strategies import StrategyKit
from alkit.testing.worlds import Brightness, RowMeans

__all__ = ["Brightness", "LearnerKit", "OracleKit", "PoolKit", "RowMeans", "StrategyKit"]
