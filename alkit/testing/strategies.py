"""The kit of strategies."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import alkit
from alkit.arguments.checked import checked
from alkit.configuration.construct import rebuild
from alkit.configuration.forms import opaque_parts, written_form
from alkit.configuration.registry import plugin_packages
from alkit.errors import AlkitError, ColdStartError
from alkit.oracles.simulated import MaskOracle
from alkit.pools.arrays import ArrayPool
from alkit.protocols import DeclaresNeeds, HasScores
from alkit.strategies.asking import start_cold
from alkit.strategies.functions import as_strategy, innermost, needs_of
from alkit.testing.worlds import (
    DECLARABLE,
    Brightness,
    Broken,
    KitView,
    N,
    Silent,
    ids_of,
    images_of,
    unchanged_generators,
    view_in,
    view_of,
)
from alkit.values.selection import Selection

ROUNDS = (1, 7)
"""Rounds to check, because strategies may change later on."""


class StrategyKit:
    """Checks of a strategy. Inherit them, and write a fixture ``strategy``.

    Attributes
    ----------
    random:
        Whether another `rng` gives another choice. The checks confirm it in both cases.
    recordable:
        Whether a record can keep its parameters. If a parameter is a lambda or an array, the strategy cannot be built
        from a record or sent to another process.
    packages:
        Other packages that contain classes of its parameters.
    """

    random: ClassVar[bool] = False
    recordable: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def strategy(self) -> Any:
        """Return the strategy to check; the author writes this fixture."""
        raise NotImplementedError("write a fixture `strategy` that returns the strategy to check")

    def test_it_chooses_exactly_n_distinct_candidates(self, strategy: Any) -> None:
        """For n = 0, 1, some and all."""
        for round in ROUNDS:
            for n in (0, 1, 5, N - 6):
                view = view_of(round=round)
                chosen = choose(strategy, view, n)
                assert isinstance(chosen, Selection), f"select() returned {type(chosen).__name__}, not a Selection"
                assert len(chosen.ids) == n, f"select() chose {len(chosen.ids)} images instead of {n}"
                strangers = set(chosen.ids) - set(view.candidates)
                assert not strangers, f"{sorted(strangers)[:3]} are not candidates: are they positions?"

    def test_labelled_images_are_never_chosen(self, strategy: Any) -> None:
        """If two candidates or one are left."""
        for labelled in (N - 2, N - 1):
            view = view_of(labelled=labelled)
            chosen = choose(strategy, view, len(view.candidates))
            assert sorted(chosen.ids) == view.candidates

    def test_too_large_a_batch_is_an_error_of_alkit(self, strategy: Any) -> None:
        """It must not return fewer images."""
        with pytest.raises(AlkitError):
            self._checked(choose(strategy, view_of(), N - 5), N - 5)

    def test_without_candidates_it_chooses_nothing(self, strategy: Any) -> None:
        """It returns an empty selection."""
        view = view_of(labelled=N)
        assert not view.candidates
        assert choose(strategy, view, 0).ids == ()

    def test_the_same_seed_gives_the_same_choice(self, strategy: Any) -> None:
        """On two views of the same state."""
        for round in ROUNDS:
            assert choose(strategy, view_of(round=round), 7) == choose(strategy, view_of(round=round), 7)

    def test_it_keeps_no_state_between_calls(self, strategy: Any) -> None:
        """An earlier call does not affect the next one."""
        first = choose(strategy, view_of(), 7)
        choose(strategy, view_of(labelled=12, round=2), 4)
        assert choose(strategy, view_of(), 7) == first

    def test_another_process_gives_the_same_choice(self, strategy: Any) -> None:
        """In which sets of strings have another order."""
        if not self.recordable:
            pytest.skip("declared: recordable = False")
        assert elsewhere(tuple(sys.path)).submit(decisions, strategy).result() == decisions(strategy), (
            "the choice depends on the process: on the order of a set, or on id()?"
        )

    def test_the_seed_matters_only_if_random_is_declared(self, strategy: Any) -> None:
        """See :attr:`random`."""
        moved = [
            round
            for round in rounds_of(strategy)
            if len({decision(choose(strategy, view_in(round), 7, seed)) for seed in range(8)}) > 1
        ]
        if self.random:
            assert moved, "random = True is declared, but eight seeds give the same choice: does it use rng?"
        else:
            assert not moved, f"the seed changes the choice in round {moved[0]}: declare random = True"

    def test_the_order_of_the_pool_does_not_matter(self, strategy: Any) -> None:
        """Of the same images in reverse order."""
        for round in ROUNDS:
            forwards, backwards = (choose(strategy, view_of(round=round, backwards=b), 7) for b in (False, True))
            assert decision(forwards) == decision(backwards), (
                "the choice depends on the order in which the pool lists its images"
            )

    def test_ties_do_not_follow_the_order_of_the_pool(self, strategy: Any) -> None:
        """If identical images are listed in reverse order."""
        for round in ROUNDS:
            first, second = (
                decision(choose(strategy, view_of(round=round, identical=True, backwards=b), 7)) for b in (False, True)
            )
            assert first == second, "of identical images it chooses those that the pool lists first"

    def test_it_uses_ids_and_not_positions(self, strategy: Any) -> None:
        """If the images have other names in the same order, it chooses the same images."""
        ids = ids_of(N)
        other = {id: f"ward/{7919 * place + 13:07}" for place, id in enumerate(sorted(ids))}  # no digit is kept
        plain = choose(strategy, view_of(), 7)
        renamed = choose(strategy, view_of_renamed(other), 7)
        strangers = set(plain.ids) - set(ids)
        assert not strangers, f"{sorted(strangers)[:3]} are not ids of the pool: are they positions?"
        assert renamed.ids == tuple(other[id] for id in plain.ids), "the choice depends on the names of images"

    def test_rows_are_paired_with_images_by_id(self, strategy: Any) -> None:
        """It chooses the same candidates if the names of labelled images sort behind all others.

        A random strategy must choose each candidate about as often, over many seeds.
        """
        taken = set(view_of().labelled)
        behind = [f"z{id}" if id in taken else id for id in ids_of(N)]  # all others begin with a digit
        seeds, slack = (64, 28) if self.random else (1, 0)  # 28 of 64 is five standard deviations
        for round in ROUNDS:
            plain, moved = (tally(strategy, round, ids, seeds) for ids in (ids_of(N), behind))
            worst = max(abs(plain[id] - moved[id]) for id in {*plain, *moved})
            assert worst <= slack, (
                "the choice depends on the names of labelled images: rows of features and clusters belong to view.ids, "
                "and those of predictions to the ids beside them, not to view.candidates"
            )

    def test_the_batch_size_does_not_matter(self, strategy: Any) -> None:
        """Images are scored one at a time, or all at once."""
        for round in ROUNDS:
            one, many = (choose(strategy, view_of(round=round, at_once=k), 7) for k in (1, 64))
            assert decision(one) == decision(many), "the choice depends on which images share a batch"

    def test_the_view_is_not_changed(self, strategy: Any) -> None:
        """Neither candidates, nor labelled ids, nor features."""
        for round in ROUNDS:
            view = view_of(round=round)
            choose(strategy, view, 5)
            assert not view.changed(), f"the strategy changed {view.changed()} of the view"

    def test_global_generators_are_not_changed(self, strategy: Any) -> None:
        """All random numbers come from `rng`."""
        with unchanged_generators():
            for round in rounds_of(strategy):
                choose(strategy, view_in(round), 5)

    def test_nan_is_an_error_of_alkit(self, strategy: Any) -> None:
        """In the features and in the predictions, if it uses them; nothing is repaired silently."""
        asked = self._asked(strategy)
        if "features" in asked:
            for n in (5, N - 6):  # without the images with NaN, 5 are still left
                with pytest.raises(AlkitError):
                    choose(strategy, view_of(spoilt_features=True), n)
        if "model" in asked:
            with pytest.raises(AlkitError):
                choose(strategy, view_of(model=Broken()), 5)

    def test_it_starts_cold_or_declares_that_it_cannot(self, strategy: Any) -> None:
        """In round 0, without a model and labels."""
        view = view_in(0)
        if starts_cold(strategy):
            try:
                self._checked(choose(strategy, view, 5), 5)
            except ColdStartError:
                pytest.fail("it needs a model in round 0: declare starts_cold = False")
        else:
            with pytest.raises(ColdStartError):
                choose(strategy, view, 5)

    def test_it_declares_its_needs(self, strategy: Any) -> None:
        """``needs`` lists those of features, model-features, dropout, members, heads and pseudo-labels that it uses."""
        part = as_strategy("strategy", strategy)
        declared: Any = part.needs if isinstance(part, DeclaresNeeds) else ()
        asked = self._asked(strategy) - {"model"}
        assert not isinstance(declared, str), f"needs must be a tuple: ({declared!r},)"
        needs = needs_of(part)  # with those of a feature extractor among its parameters
        unknown = sorted(set(needs) - DECLARABLE)
        assert not unknown, f"needs must contain only {', '.join(sorted(DECLARABLE))}: got {', '.join(unknown)}"
        undeclared = sorted(asked - set(needs))
        assert not undeclared, f"it uses {', '.join(undeclared)}: declare needs = {tuple(sorted(asked))}"

    def test_scores_are_one_finite_number_per_candidate(self, strategy: Any) -> None:
        """If it has a method ``scores``."""
        strategy = as_strategy("strategy", strategy)
        if not isinstance(strategy, HasScores):
            return
        for round in ROUNDS:
            view = view_of(round=round)
            scores = strategy.scores(view)
            assert sorted(scores) == view.candidates, "scores() must return one number for each of view.candidates"
            assert np.isfinite(list(scores.values())).all(), "scores() must return finite numbers"

    def test_a_missing_need_is_an_error_of_alkit(self, strategy: Any) -> None:
        """If the model has no features, dropout, members or heads."""
        if self._asked(strategy) & {"model-features", "dropout", "members", "heads"}:
            with pytest.raises(AlkitError):
                choose(strategy, view_of(model=Silent(), round=7), 5)
        else:
            self._checked(choose(strategy, view_of(model=Silent(), round=7), 5), 5)

    def test_pseudo_labels_are_other_candidates(self, strategy: Any) -> None:
        """Not those that it queries, in any round."""
        for round in range(1, 10):
            view = view_of(round=round)
            chosen = choose(strategy, view, 5)
            assert not set(chosen.pseudo_labels) & set(chosen.ids)
            assert set(chosen.pseudo_labels) <= set(view.candidates)

    def test_a_record_keeps_its_parameters(self, strategy: Any) -> None:
        """The strategy from the record is equal, and has a readable ``repr``."""
        strategy = as_strategy("strategy", strategy)
        form = json.loads(json.dumps(written_form(strategy)))
        opaque = opaque_parts(form)
        if self.recordable:
            assert not opaque, (
                f"a record cannot keep {', '.join(opaque)}: use named functions, or declare recordable = False"
            )
            again = self._from_the_record(strategy)
            assert written_form(again) == form
            if '"partial":' not in json.dumps(form):  # no partial equals another
                assert again == strategy, "the strategy from the record is not equal: make it a frozen dataclass"
        else:
            assert opaque, "recordable = False is declared, but a record can keep it: remove the declaration"
        assert repr(strategy) != object.__repr__(strategy), "it needs a readable repr: a dataclass has one"

    @checked
    def test_a_resumed_experiment_chooses_the_same_images(self, strategy: Any, tmp_path: Path) -> None:
        """As one that runs three rounds without a stop; the strategy comes from the record, too."""
        images, masks = images_of(N)
        ids = ids_of(N)
        pool = ArrayPool(images, ids=ids)
        oracle = MaskOracle(dict(zip(ids, masks, strict=True)), classes=("skin", "lesion"))

        def opened(name: str) -> alkit.Experiment:
            again = self._from_the_record(strategy)  # without attributes that it set on itself
            return alkit.Experiment(pool, Brightness(), again, store=tmp_path / name, classes=("skin", "lesion"))

        whole = opened("whole.db").run(oracle, start=6, batch=4, rounds=2)
        for n in (6, 4, 4):
            asked = opened("steps.db").ask(n)
            assert opened("steps.db").ask(n) == asked
            opened("steps.db").tell({id: masks[ids.index(id)] for id in asked})
            opened("steps.db").fit()
        steps = opened("steps.db").history
        assert [(r.ids, r.n_pseudo) for r in steps] == [(r.ids, r.n_pseudo) for r in whole], (
            "after a restart it chooses other images: it must keep no state outside the view"
        )

    def _from_the_record(self, strategy: Any) -> Any:
        """Return the strategy as a new process builds it; a copy if a record cannot keep it."""
        if not self.recordable:
            return copy.deepcopy(strategy)
        strategy = as_strategy("strategy", strategy)
        own = str(innermost(strategy).__module__).split(".")[:1]
        packages = {"alkit", "segmentation_models_pytorch", *plugin_packages(), *own, *self.packages}
        return rebuild(json.loads(json.dumps(written_form(strategy))), packages)

    def _asked(self, strategy: Any) -> set[str]:
        """Return the needs that it shows in any round, and ``model`` if it uses the model."""
        asked: set[str] = set()
        for round in range(0 if starts_cold(strategy) else 1, 10):
            view = view_in(round)
            if choose(strategy, view, 5).pseudo_labels:
                asked.add("pseudo-labels")
            asked |= view.asked
        return asked

    def _checked(self, chosen: Selection, n: int) -> None:
        """Fail if an experiment would refuse the selection."""
        if len(chosen.ids) != n:
            pytest.fail(f"select() chose {len(chosen.ids)} images instead of {n}, without an error")


def starts_cold(strategy: Any) -> bool:
    """Return whether a strategy, or the function in a partial, declares that it can select without a model."""
    return start_cold(as_strategy("strategy", strategy))


def rounds_of(strategy: Any) -> tuple[int, ...]:
    """Return the rounds to check, with round 0 if the strategy starts cold."""
    return (0, *ROUNDS) if starts_cold(strategy) else ROUNDS


def choose(strategy: Any, view: KitView, n: int, seed: int = 0) -> Selection:
    """Return the selection of a strategy or a plain function."""
    return as_strategy("strategy", strategy).select(view, n, np.random.default_rng(seed))


def decision(chosen: Selection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the queried images and those with a pseudo-label."""
    return chosen.ids, chosen.pseudo_labels


def tally(strategy: Any, round: int, ids: Sequence[str], seeds: int) -> Counter[str]:
    """Return how often each image is queried or gets a pseudo-label, over many seeds."""
    return Counter(
        id
        for seed in range(seeds)
        for some in decision(choose(strategy, view_of(round=round, ids=ids), 5, seed))
        for id in some
    )


def decisions(strategy: Any) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the choices from fixed views; another process runs this, too."""
    return [decision(choose(strategy, view_of(round=round), 7)) for round in ROUNDS]


@cache
def elsewhere(path: tuple[str, ...]) -> ProcessPoolExecutor:
    """Return another process for all checks, because starting one takes seconds.

    Parameters
    ----------
    path:
        ``sys.path``, which the process inherits; another path needs another process.
    """
    seed = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "2" if seed == "1" else "1"  # another order of sets, even if the seed is fixed here
    try:
        process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        process.submit(os.getpid).result()  # the process starts with the first task
        return process
    finally:
        if seed is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = seed


def view_of_renamed(names: dict[str, str]) -> KitView:
    """Return the default view with other names."""
    return view_of(ids=[names[id] for id in ids_of(N)])
