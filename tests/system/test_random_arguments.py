"""Every public callable with odd values of the declared types, such as absurd numbers and shapes.

A call returns, or ends in an error of alkit. Several arguments may be odd at once. ``ALKIT_RANDOM_ARGUMENTS`` sets the
seconds, ``ALKIT_RANDOM_SEED`` the seed.
"""

from __future__ import annotations

import inspect
import os
import random
import resource
import sqlite3
import time
import warnings
from contextlib import closing

import pytest

from alkit.errors import AlkitError
from tests.support.odd_arguments import odd_value
from tests.support.time_limit import at_most
from tests.support.valid_arguments import Things, example_of
from tests.system.test_arguments import PUBLIC, call

MOST_MEMORY = 24 * 2**30

LEFT_OUT = {
    "alkit.LabelStudioOracle.": "its methods need a server",
    "alkit.learners.DataParallel.fit": "it starts processes",
    "alkit.testing.ExtractorKit": "its tests fail for parts that are wrong",
    "alkit.testing.LearnerKit": "its tests fail for parts that are wrong",
    "alkit.testing.OracleKit": "its tests fail for parts that are wrong",
    "alkit.testing.PoolKit": "its tests fail for parts that are wrong",
    "alkit.testing.StrategyKit": "its tests fail for parts that are wrong",
    "alkit.UNet.": "torch checks the shapes of tensors in networks",
    "alkit.networks.Heads.": "torch checks the shapes of tensors in networks",
    "alkit.networks.Classifier": "torch checks the shapes of tensors in networks",
    "alkit.networks.SmpNetwork": "torch checks the shapes of tensors in networks",
    "alkit.record.Store.": "it records what the loop above it has checked",
}
"""Beginnings of addresses that are not tried."""

STATEFUL = {"alkit.Experiment.run", "alkit.Experiment.rounds"}
"""What may record something before it finds that the record does not fit, for example that another query is open."""

TRIED = [public for public in PUBLIC if not public.address.startswith(tuple(LEFT_OUT))]


def faults(things, version, seconds, seed):
    """Yield a sentence about each call that neither returned nor ended in an error of alkit."""
    rng, end, seen = random.Random(seed), time.monotonic() + seconds, set()
    while time.monotonic() < end:
        for public in rng.sample(TRIED, len(TRIED)):
            entries = inspect.signature(public.thing).parameters
            names = [name for name in public.declared if entries[name].kind is not inspect.Parameter.VAR_KEYWORD]
            if not names or time.monotonic() > end:
                continue
            try:
                given = {name: example_of(public.address, name)(things) for name in public.declared}
            except LookupError:  # an earlier call has closed the queries of the shared experiment
                continue
            odd = rng.sample(names, min(len(names), rng.choice([1, 1, 1, 2, 3])))
            given |= {name: odd_value(rng, public.declared[name], given[name]) for name in odd}
            shown = ", ".join(f"{name}={repr(given[name])[:120]}" for name in odd)
            before, said = version(), f"{public.address}({shown})"
            try:
                with at_most(120), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call(public, things, given)
            except AlkitError:
                if version() != before and public.address not in STATEFUL:
                    yield f"{said} changed the record"
            except NotImplementedError:
                continue
            except TimeoutError:
                yield f"{said} hangs"
            except Exception as error:
                kind = (public.address, type(error).__name__, str(error)[:40])
                if kind not in seen:
                    seen.add(kind)
                    yield f"{said}: {type(error).__name__}: {error}"


@pytest.mark.slow
def test_odd_arguments_end_in_errors_of_alkit(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, before[1]))
    try:
        things = Things(tmp_path)
        with closing(sqlite3.connect(things.experiment.path)) as looking:
            found = list(
                faults(
                    things,
                    lambda: looking.execute("pragma data_version").fetchone()[0],
                    float(os.environ.get("ALKIT_RANDOM_ARGUMENTS", "120")),
                    int(os.environ.get("ALKIT_RANDOM_SEED", "0")),
                )
            )
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert not found, "\n".join(found)
