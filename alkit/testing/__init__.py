"""Conformance kits: tests that every strategy, pool, oracle, learner and extractor must pass, for authors to inherit.

::

    import pytest
    from alkit.testing import StrategyKit
    from my_package import Mine

    class TestMine(StrategyKit):
        @pytest.fixture
        def strategy(self):
            return Mine()

pytest collects every check of the kit. An attribute of the class declares what a plugin cannot do; no check is skipped
silently. ``docs/reference/conformance.md`` lists the bugs that each check finds.
"""

from alkit.testing.extractors import ExtractorKit
from alkit.testing.learners import LearnerKit
from alkit.testing.oracles import OracleKit
from alkit.testing.pools import PoolKit
from alkit.testing.strategies import StrategyKit
from alkit.testing.worlds import Brightness, RowMeans

__all__ = ["Brightness", "ExtractorKit", "LearnerKit", "OracleKit", "PoolKit", "RowMeans", "StrategyKit"]
