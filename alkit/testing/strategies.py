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
from alkit.configuration.forms import build, opaque_parts, written_form
from alkit.configuration.registry import trusted_packages
from alkit.errors import AlkitError, ColdStartError
from alkit.oracles.simulated import MaskOracle
from alkit.pools.arrays import ArrayPool
from alkit.protocols import DeclaresNeeds, HasScores
from alkit.strategies.asking import start_cold
from alkit.strategies.functions import as_strategy, innermost
from alkit.testing.worlds import (
    DECLARABLE,
    Brightness,
    Broken,
    KitView,
    N,
    Silent,
    generators_left_as_found,
    ids_of,
    images_of,
    view_in,
    view_of,
)
from alkit.values.selection import Selection

ROUNDS = (1, 7)
"""The rounds that are tried: strategies may do other things later on."""


class StrategyKit:
    """What every strategy must do. Inherit, and give a fixture ``strategy``.

    Attributes
    ----------
    random:
        Whether another `rng` gives another choice. Either way it is checked.
    recordable:
        Whether its parameters can be written down and read back. One of whom they cannot, because a parameter is a
        lambda or an array, cannot be rebuilt from a record or sent to another process.
    packages:
        Packages, besides the strategy's own, that its parameters come from.
    """

    random: ClassVar[bool] = False
    recordable: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def strategy(self) -> Any:
        """Return the strategy to check: the one thing an author writes."""
        raise NotImplementedError("give a fixture `strategy` that returns the strategy to check")

    def test_it_chooses_exactly_n_different_candidates(self, strategy: Any) -> None:
        """For n = 0, 1, some and all."""
        for round in ROUNDS:
            for n in (0, 1, 5, N - 6):
                view = view_of(round=round)
                chosen = choose(strategy, view, n)
                assert isinstance(chosen, Selection), f"select() returned {type(chosen).__name__}, not a Selection"
                assert len(chosen.ids) == n, f"{len(chosen.ids)} images where {n} were asked for"
                strangers = set(chosen.ids) - set(view.candidates)
                assert not strangers, f"{sorted(strangers)[:3]} are no candidates: ids, not positions?"

    def test_labelled_images_are_never_chosen(self, strategy: Any) -> None:
        """With few candidates left, down to one."""
        for labelled in (N - 2, N - 1):
            view = view_of(labelled=labelled)
            chosen = choose(strategy, view, len(view.candidates))
            assert sorted(chosen.ids) == view.candidates

    def test_more_than_there_are_is_an_error_of_alkit(self, strategy: Any) -> None:
        """And not a smaller choice."""
        with pytest.raises(AlkitError):
            self._checked(choose(strategy, view_of(), N - 5), N - 5)

    def test_without_candidates_it_chooses_nothing(self, strategy: Any) -> None:
        """An empty selection, and no crash."""
        view = view_of(labelled=N)
        assert not view.candidates
        assert choose(strategy, view, 0).ids == ()

    def test_the_same_seed_gives_the_same_choice(self, strategy: Any) -> None:
        """On a fresh view of the same state."""
        for round in ROUNDS:
            assert choose(strategy, view_of(round=round), 7) == choose(strategy, view_of(round=round), 7)

    def test_it_remembers_nothing_between_calls(self, strategy: Any) -> None:
        """What it chose from one pool has no influence on the next."""
        first = choose(strategy, view_of(), 7)
        choose(strategy, view_of(labelled=12, round=2), 4)
        assert choose(strategy, view_of(), 7) == first

    def test_another_process_gives_the_same_choice(self, strategy: Any) -> None:
        """Where sets and dictionaries of strings may come in another order."""
        if not self.recordable:
            pytest.skip("declared: recordable = False")
        assert elsewhere(tuple(sys.path)).submit(decisions, strategy).result() == decisions(strategy), (
            "the choice depends on the process: on the order of a set, or on id()?"
        )

    def test_seeds_matter_just_where_it_is_random(self, strategy: Any) -> None:
        """``random`` says whether they should."""
        moved = [
            round
            for round in rounds_of(strategy)
            if len({decision(choose(strategy, view_in(round), 7, seed)) for seed in range(8)}) > 1
        ]
        if self.random:
            assert moved, "declared random = True, and eight seeds give one choice: is rng used?"
        else:
            assert not moved, f"seeds change the choice in round {moved[0]}: declare random = True"

    def test_the_order_of_the_pool_does_not_matter(self, strategy: Any) -> None:
        """The same images, listed backwards."""
        for round in ROUNDS:
            forwards, backwards = (choose(strategy, view_of(round=round, backwards=b), 7) for b in (False, True))
            assert decision(forwards) == decision(backwards), (
                "the choice depends on the order in which the pool lists its images"
            )

    def test_ties_do_not_follow_the_order_of_the_pool(self, strategy: Any) -> None:
        """Identical images, listed backwards."""
        for round in ROUNDS:
            first, second = (
                decision(choose(strategy, view_of(round=round, identical=True, backwards=b), 7)) for b in (False, True)
            )
            assert first == second, "of equal images those that the pool lists first are taken"

    def test_it_speaks_of_ids_and_not_of_positions(self, strategy: Any) -> None:
        """Other names in the same order give the same images under their other names."""
        ids = ids_of(N)
        other = {id: f"ward/{7919 * place + 13:07}" for place, id in enumerate(sorted(ids))}  # no digit is kept
        plain = choose(strategy, view_of(), 7)
        renamed = choose(strategy, view_of_renamed(other), 7)
        strangers = set(plain.ids) - set(ids)
        assert not strangers, f"{sorted(strangers)[:3]} are no ids of the pool: positions, or numbers of clusters?"
        assert renamed.ids == tuple(other[id] for id in plain.ids), "the choice depends on how images are called"

    def test_rows_are_paired_with_images_by_id(self, strategy: Any) -> None:
        """Labelled images under names behind those of all candidates: the same candidates are chosen.

        Where seeds change the choice, each candidate has to be chosen about as often, over many seeds.
        """
        taken = set(view_of().labelled)
        behind = [f"z{id}" if id in taken else id for id in ids_of(N)]  # all others begin with a digit
        seeds, slack = (64, 28) if self.random else (1, 0)  # 28 of 64 is five standard deviations
        for round in ROUNDS:
            plain, moved = (tally(strategy, round, ids, seeds) for ids in (ids_of(N), behind))
            worst = max(abs(plain[id] - moved[id]) for id in {*plain, *moved})
            assert worst <= slack, (
                "the choice depends on how labelled images are called: rows of features, clusters and predictions "
                "belong to view.ids, or to the ids that come with them, and not to view.candidates"
            )

    def test_batches_do_not_matter(self, strategy: Any) -> None:
        """Images may be scored one at a time or all at once."""
        for round in ROUNDS:
            one, many = (choose(strategy, view_of(round=round, at_once=k), 7) for k in (1, 64))
            assert decision(one) == decision(many), "the choice depends on which images share a batch"

    def test_the_view_is_left_as_found(self, strategy: Any) -> None:
        """Candidates, labelled ids and features belong to the experiment."""
        for round in ROUNDS:
            view = view_of(round=round)
            choose(strategy, view, 5)
            assert not view.changed(), f"the strategy wrote to the view's {view.changed()}"

    def test_global_generators_are_left_as_found(self, strategy: Any) -> None:
        """All chance comes from `rng`."""
        with generators_left_as_found():
            for round in rounds_of(strategy):
                choose(strategy, view_in(round), 5)

    def test_what_is_not_finite_is_an_error_of_alkit(self, strategy: Any) -> None:
        """NaN in the features or in the model's predictions, if it looks at them, is never repaired in silence."""
        asked = self._asked(strategy)
        if "features" in asked:
            for n in (5, N - 6):  # whoever leaves the spoilt ones out has enough for 5
                with pytest.raises(AlkitError):
                    choose(strategy, view_of(spoilt_features=True), n)
        if "model" in asked:
            with pytest.raises(AlkitError):
                choose(strategy, view_of(model=Broken()), 5)

    def test_it_starts_cold_or_says_that_it_cannot(self, strategy: Any) -> None:
        """In round 0 there is no model and no label."""
        view = view_in(0)
        if starts_cold(strategy):
            try:
                self._checked(choose(strategy, view, 5), 5)
            except ColdStartError:
                pytest.fail("it needs a model to choose the start set: declare starts_cold = False")
        else:
            with pytest.raises(ColdStartError):
                choose(strategy, view, 5)

    def test_it_declares_what_it_asks_for(self, strategy: Any) -> None:
        """``needs`` lists features, dropout, members, heads and pseudo-labels, as far as it asks for them."""
        part = as_strategy("strategy", strategy)
        needs: Any = part.needs if isinstance(part, DeclaresNeeds) else ()
        asked = self._asked(strategy) - {"model"}
        assert not isinstance(needs, str), f"needs is a tuple of words: ({needs!r},)"
        unknown = sorted(set(needs) - DECLARABLE)
        assert not unknown, f"needs has unknown words, {', '.join(unknown)}; known: {', '.join(sorted(DECLARABLE))}"
        undeclared = sorted(asked - set(needs))
        assert not undeclared, f"it asks for {', '.join(undeclared)}: declare needs = {tuple(sorted(asked))}"

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

    def test_what_it_lacks_is_an_error_of_alkit(self, strategy: Any) -> None:
        """A model without dropout, members and heads."""
        if self._asked(strategy) & {"dropout", "members", "heads"}:
            with pytest.raises(AlkitError):
                choose(strategy, view_of(model=Silent(), round=7), 5)
        else:
            self._checked(choose(strategy, view_of(model=Silent(), round=7), 5), 5)

    def test_pseudo_labels_are_further_candidates(self, strategy: Any) -> None:
        """Never among those that are queried, in no round."""
        for round in range(1, 10):
            view = view_of(round=round)
            chosen = choose(strategy, view, 5)
            assert not set(chosen.pseudo_labels) & set(chosen.ids)
            assert set(chosen.pseudo_labels) <= set(view.candidates)

    def test_its_parameters_survive_the_record(self, strategy: Any) -> None:
        """Written down, read back, equal; and it can be read by people."""
        strategy = as_strategy("strategy", strategy)
        form = json.loads(json.dumps(written_form(strategy)))
        opaque = opaque_parts(form)
        if self.recordable:
            assert not opaque, f"cannot be written down: {', '.join(opaque)}; or declare recordable = False"
            again = self._from_the_record(strategy)
            assert written_form(again) == form
            if '"partial":' not in json.dumps(form):  # no partial equals another
                assert again == strategy, "what comes back is not equal: make it a frozen dataclass"
        else:
            assert opaque, "declared recordable = False, and it can be: take the declaration away"
        assert repr(strategy) != object.__repr__(strategy), "give it a readable repr: a dataclass has one"

    def test_an_experiment_that_is_reopened_goes_on_as_before(self, strategy: Any, tmp_path: Path) -> None:
        """Three rounds in one go, and the same three with the record opened anew, and the strategy with it."""
        images, masks = images_of(N)
        ids = ids_of(N)
        pool = ArrayPool(images, ids=ids)
        oracle = MaskOracle(dict(zip(ids, masks, strict=True)), classes=("skin", "lesion"))

        def opened(name: str) -> alkit.Experiment:
            anew = self._from_the_record(strategy)  # what it noted about itself ends with its process
            return alkit.Experiment(pool, Brightness(), anew, store=tmp_path / name, classes=("skin", "lesion"))

        whole = opened("whole.db").run(oracle, start=6, batch=4, rounds=2)
        for n in (6, 4, 4):
            asked = opened("steps.db").ask(n)
            assert opened("steps.db").ask(n) == asked
            opened("steps.db").tell({id: masks[ids.index(id)] for id in asked})
            opened("steps.db").fit()
        steps = opened("steps.db").history
        assert [(r.ids, r.n_pseudo) for r in steps] == [(r.ids, r.n_pseudo) for r in whole], (
            "after a restart it chooses other images: all it knows must come from the view"
        )

    def _from_the_record(self, strategy: Any) -> Any:
        """Return the strategy as a new process would have it; a copy where it cannot be written down."""
        if not self.recordable:
            return copy.deepcopy(strategy)
        strategy = as_strategy("strategy", strategy)
        own = str(innermost(strategy).__module__).split(".")[:1]
        return build(json.loads(json.dumps(written_form(strategy))), {*trusted_packages(), *own, *self.packages})

    def _asked(self, strategy: Any) -> set[str]:
        """Return what it asks of the view in any round, and whether it asks for pseudo-labels."""
        asked: set[str] = set()
        for round in range(0 if starts_cold(strategy) else 1, 10):
            view = view_in(round)
            if choose(strategy, view, 5).pseudo_labels:
                asked.add("pseudo-labels")
            asked |= view.asked
        return asked

    def _checked(self, chosen: Selection, n: int) -> None:
        """Refuse what an experiment would refuse, with an error of alkit."""
        if len(chosen.ids) != n:
            pytest.fail(f"{len(chosen.ids)} images where {n} were asked for, and no error")


def starts_cold(strategy: Any) -> bool:
    """Return whether a strategy, or the function in a partial, declares that it can select without a model."""
    return start_cold(as_strategy("strategy", strategy))


def rounds_of(strategy: Any) -> tuple[int, ...]:
    """Return the rounds to try: round 0 too, where the strategy chooses the start set."""
    return (0, *ROUNDS) if starts_cold(strategy) else ROUNDS


def choose(strategy: Any, view: KitView, n: int, seed: int = 0) -> Selection:
    """Return what a strategy, or a plain function, chooses."""
    return as_strategy("strategy", strategy).select(view, n, np.random.default_rng(seed))


def decision(chosen: Selection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a selection decides: which images are queried, and which are trusted."""
    return chosen.ids, chosen.pseudo_labels


def tally(strategy: Any, round: int, ids: Sequence[str], seeds: int) -> Counter[str]:
    """Return how often each image is queried or trusted, over so many seeds, where the images are called so."""
    return Counter(
        id
        for seed in range(seeds)
        for some in decision(choose(strategy, view_of(round=round, ids=ids), 5, seed))
        for id in some
    )


def decisions(strategy: Any) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return what is chosen from fixed views: also run in another process."""
    return [decision(choose(strategy, view_of(round=round), 7)) for round in ROUNDS]


@cache
def elsewhere(path: tuple[str, ...]) -> ProcessPoolExecutor:
    """Return another process, one for all checks: starting it takes seconds.

    Parameters
    ----------
    path:
        ``sys.path``, which it has inherited: with another one there is another process.
    """
    seed = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "2" if seed == "1" else "1"  # a fixed seed would give it the same order of sets
    try:
        process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        process.submit(os.getpid).result()  # it starts with the first task
        return process
    finally:
        if seed is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = seed


def view_of_renamed(names: dict[str, str]) -> KitView:
    """Return the standard view under other names."""
    return view_of(ids=[names[id] for id in ids_of(N)])
