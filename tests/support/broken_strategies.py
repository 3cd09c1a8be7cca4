"""Broken strategies with one bug each, and the check of the kit that must find it.

Most of the bugs were shipped by a library of the field; see docs/reference/conformance.md.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

import alkit
from alkit import scores
from alkit.testing import RowMeans


def pick(view, n):
    """The correct selection, which each bug changes: the darkest images first."""
    alkit.strategies.check_n(n, view.candidates)
    table = dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).tolist(), strict=True))
    return alkit.highest({id: -table[id] for id in view.candidates}, n).ids


@dataclass(frozen=True)
class Right:
    needs: ClassVar = ("features",)

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n))


class CandidateNumbersAsIds(Right):
    """Uses positions among the candidates as positions among all ids, as the greedy core-set of small-text."""

    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(tuple(view.ids[view.candidates.index(id)] for id in pick(view, n)))


class CentroidNumbersAsPositions(Right):
    """Uses cluster numbers as positions in the pool, and so chooses its first n images, as DeepAL+."""

    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.Selection(tuple(view.ids[:n]))


class NumbersAsIds(Right):
    """Returns positions, written as text."""

    caught_by = "test_it_uses_ids_and_not_positions"

    def select(self, view, n, rng):
        return alkit.Selection(tuple(str(view.ids.index(id)) for id in pick(view, n)))


class ReadsTheName(Right):
    """Chooses by the name of an image."""

    caught_by = "test_it_uses_ids_and_not_positions"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.highest({id: int(id[-4:]) % 7 for id in view.candidates}, n)


class RowsOfCandidates(Right):
    """Assigns rows of the features, which belong to all images, to the candidates."""

    caught_by = "test_rows_are_paired_with_images_by_id"

    def select(self, view, n, rng):
        alkit.strategies.check_n(n, view.candidates)
        light = view.features(RowMeans()).mean(axis=1)[: len(view.candidates)]
        return alkit.Selection(alkit.strategies.top_k(list(view.candidates), -light, n))


class RowsOfCandidatesDrawn(Right):
    """Does the same, with random numbers."""

    caught_by = "test_rows_are_paired_with_images_by_id"
    says_random = True

    def select(self, view, n, rng):
        alkit.strategies.check_n(n, view.candidates)
        light = view.features(RowMeans()).mean(axis=1)[: len(view.candidates)].astype(np.float64)
        drawn = rng.gumbel(size=len(light)) - 100 * light
        return alkit.Selection(alkit.strategies.top_k(list(view.candidates), drawn, n))


class ClustersOfCandidates(Right):
    """Assigns distances to the centres, which belong to all images, to the candidates."""

    caught_by = "test_rows_are_paired_with_images_by_id"

    def select(self, view, n, rng):
        far = dict(zip(view.candidates, view.clusters(RowMeans(), 3).distances.tolist(), strict=False))
        return alkit.highest(far, n)


class ScoresOfAll(Right):
    """Assigns scores, which belong to the candidates, to all images."""

    caught_by = "test_rows_are_paired_with_images_by_id"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        found = dict(zip(view.ids, view.scores(scores.entropy).values(), strict=False))
        return alkit.highest({id: found.get(id, 0.0) for id in view.candidates}, n)


class PredictionsOfAll(Right):
    """Assigns predictions, which come with their ids, to all images in turn."""

    caught_by = "test_rows_are_paired_with_images_by_id"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        sizes = [row for batch in view.predictions() for row in batch.probabilities[:, 1].mean(axis=(1, 2)).tolist()]
        found = dict(zip(view.ids, sizes, strict=False))
        return alkit.highest({id: found.get(id, 0.0) for id in view.candidates}, n)


class Duplicates(Right):
    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return alkit.Selection((*pick(view, n)[:-1], *pick(view, n)[:1]))


class TooFew(Right):
    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n)[: max(1, n - 1)])


class TooMany(Right):
    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, min(n + 1, len(view.candidates)) if n else 0))


class AsManyAsThereAre(Right):
    """Returns fewer images instead of an error."""

    caught_by = "test_too_large_a_batch_is_an_error_of_alkit"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, min(n, len(view.candidates))))


class CrashesOnMore(Right):
    """Raises an error that callers do not expect."""

    caught_by = "test_too_large_a_batch_is_an_error_of_alkit"

    def select(self, view, n, rng):
        order = pick(view, len(view.candidates))
        return alkit.Selection(tuple(order[place] for place in range(n)))


class CrashesOnNothing(Right):
    caught_by = "test_without_candidates_it_chooses_nothing"

    def select(self, view, n, rng):
        view.candidates[0]
        return alkit.Selection(pick(view, n))


class ChoosesLabelled(Right):
    caught_by = "test_labelled_images_are_never_chosen"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        return alkit.Selection((*chosen[1:], *view.labelled[:1]) if len(view.candidates) < 3 else chosen)


class SeedsNumpy(Right):
    """Draws from the global generator, as libact."""

    caught_by = "test_global_generators_are_not_changed"

    def select(self, view, n, rng):
        np.random.seed(0)  # noqa: NPY002
        return alkit.Selection(pick(view, n))


class DrawsFromTorch(Right):
    caught_by = "test_global_generators_are_not_changed"

    def select(self, view, n, rng):
        torch.rand(1)
        return alkit.Selection(pick(view, n))


class DrawsFromPython(Right):
    caught_by = "test_global_generators_are_not_changed"

    def select(self, view, n, rng):
        random.random()
        return alkit.Selection(pick(view, n))


class SeedsNumpyInTheFirstRounds(Right):
    """Seeds the global generator in one round only."""

    caught_by = "test_global_generators_are_not_changed"

    def select(self, view, n, rng):
        if view.round == 1:
            np.random.seed(0)  # noqa: NPY002
        return alkit.Selection(pick(view, n))


class DrawsTheStartSetFromNumpy(Right):
    caught_by = "test_global_generators_are_not_changed"

    def select(self, view, n, rng):
        if view.round == 0:
            np.random.rand()  # noqa: NPY002
        return alkit.Selection(pick(view, n))


class DrawsFromNowhere(Right):
    """Uses its own generator without a seed."""

    caught_by = "test_the_same_seed_gives_the_same_choice"

    def select(self, view, n, rng):
        chosen = list(pick(view, len(view.candidates)))
        random.Random().shuffle(chosen)
        return alkit.Selection(tuple(chosen[:n]))


class UndeclaredChance(Right):
    caught_by = "test_the_seed_matters_only_if_random_is_declared"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.Selection(tuple(rng.permutation(view.candidates)[:n]))


class UndeclaredChanceInTheStartSet(Right):
    """Draws the start set, and does not declare random = True."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        return alkit.Selection(chosen if view.round else tuple(rng.permutation(view.candidates)[:n]))


class UndeclaredChanceInWhatItTrusts(Right):
    """Queries the same images with every seed, and draws those with pseudo-labels."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        rest = sorted(set(view.candidates) - set(chosen))
        return alkit.Selection(chosen, pseudo_labels=tuple(rng.permutation(rest)[:3]) if view.round else ())


class IgnoresItsSeed(Right):
    """Declares random = True, and is not random."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"
    says_random = True


class FollowsThePool(Right):
    caught_by = "test_the_order_of_the_pool_does_not_matter"

    def select(self, view, n, rng):
        left = set(view.candidates)
        pick(view, n)
        return alkit.Selection(tuple([id for id in view.pool.ids if id in left][:n]))


class TiesFollowThePool(Right):
    """Sorts stably in the order of the pool."""

    caught_by = "test_ties_do_not_follow_the_order_of_the_pool"

    def select(self, view, n, rng):
        pick(view, n)
        table = dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).round(5).tolist(), strict=True))
        left = set(view.candidates)
        return alkit.Selection(tuple(sorted((id for id in view.pool.ids if id in left), key=table.__getitem__)[:n]))


class HashOrder(Right):
    """Depends on the order of a set of strings, which differs between processes."""

    caught_by = "test_another_process_gives_the_same_choice"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.Selection(tuple(list(set(view.candidates))[:n]))


class RepairsNaN(Right):
    """Replaces a NaN score by 0, as baal."""

    caught_by = "test_nan_is_an_error_of_alkit"

    def select(self, view, n, rng):
        pick_from = np.nan_to_num(view.features(RowMeans())).mean(axis=1)
        table = dict(zip(view.ids, pick_from.tolist(), strict=True))
        return alkit.highest({id: table[id] for id in view.candidates}, n)


class LeavesOutWhatIsNotFinite(Right):
    """Silently leaves out images with NaN in their features while others are left."""

    caught_by = "test_nan_is_an_error_of_alkit"

    def select(self, view, n, rng):
        table = dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).tolist(), strict=True))
        return alkit.highest({id: table[id] for id in view.candidates if np.isfinite(table[id])}, n)


class GuessesWhereTheModelDiverged(Right):
    """Catches the error that names the image, and continues without the model."""

    caught_by = "test_nan_is_an_error_of_alkit"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        with contextlib.suppress(alkit.errors.SelectionError):
            view.scores(scores.entropy)
        return alkit.Selection(pick(view, n))


class WritesIntoTheCandidates(Right):
    caught_by = "test_the_view_is_not_changed"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        for id in chosen:
            view.candidates.remove(id)
        return alkit.Selection(chosen)


class WritesIntoTheFeatures(Right):
    caught_by = "test_the_view_is_not_changed"

    def select(self, view, n, rng):
        features = view.features(RowMeans())
        features -= features.mean(axis=0)
        return alkit.Selection(pick(view, n))


class SortsTheLabelled(Right):
    """Sorts the labelled ids of the view in place."""

    caught_by = "test_the_view_is_not_changed"

    def select(self, view, n, rng):
        view.labelled.sort()
        return alkit.Selection(pick(view, n))


class DependsOnTheBatch(Right):
    """Normalises scores within each batch."""

    caught_by = "test_the_batch_size_does_not_matter"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        alkit.strategies.check_n(n, view.candidates)
        found = {}
        for batch in view.predictions():
            lesion = batch.probabilities[:, 1].mean(axis=(1, 2))
            found.update(zip(batch.ids, (lesion - lesion.mean()).tolist(), strict=True))
        return alkit.highest(found, n)


class NeedsAModelAndDoesNotSay(Right):
    caught_by = "test_it_starts_cold_or_declares_that_it_cannot"

    def select(self, view, n, rng):
        view.scores(scores.entropy)
        return alkit.Selection(pick(view, n))


class GuessesWithoutAModel(Right):
    """Declares that it needs a model, catches the error and chooses without one."""

    caught_by = "test_it_starts_cold_or_declares_that_it_cannot"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        try:
            view.scores(scores.entropy)
        except alkit.errors.ColdStartError:
            return alkit.Selection(tuple(view.candidates[:n]))
        return alkit.Selection(pick(view, n))


class NeedsFeaturesAndDoesNotSay(Right):
    caught_by = "test_it_declares_its_needs"
    needs: ClassVar = ()


class NeedsDropoutAndDoesNotSay(Right):
    caught_by = "test_it_declares_its_needs"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        view.scores(scores.bald, alkit.Dropout(2))
        return alkit.Selection(pick(view, n))


@dataclass(frozen=True)
class OwnSampler:
    """Is a sampler that alkit does not know."""

    def sample(self, posterior, stream):
        return posterior.dropout(2, stream)


class DrawsDropoutItselfAndDoesNotSay(Right):
    """Draws from the model with its own sampler."""

    caught_by = "test_it_declares_its_needs"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        view.scores(scores.bald, OwnSampler())
        return alkit.Selection(pick(view, n))


class NeedsHeadsAndDoesNotSay(Right):
    caught_by = "test_it_declares_its_needs"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        view.scores(scores.head_disagreement)
        return alkit.Selection(pick(view, n))


class MisspeltNeed(Right):
    """Declares its need by an unknown word, so that nothing is checked before people label."""

    caught_by = "test_it_declares_its_needs"
    needs: ClassVar = ("features", "drop-out")


class DoesWithoutDropout(Right):
    """Treats a model without dropout as certain."""

    caught_by = "test_a_missing_need_is_an_error_of_alkit"
    starts_cold: ClassVar = False
    needs: ClassVar = ("features", "dropout")

    def select(self, view, n, rng):
        with contextlib.suppress(alkit.errors.ConfigurationError):
            view.scores(scores.bald, alkit.Dropout(2))
        return alkit.Selection(pick(view, n))


class TrustsWhatItAsks(Right):
    """Asks for pseudo-labels of queried images, as the released code of CEAL."""

    caught_by = "test_pseudo_labels_are_other_candidates"
    needs: ClassVar = ("features", "pseudo-labels")

    def select(self, view, n, rng):
        chosen = pick(view, n)
        selection = alkit.Selection(chosen)
        object.__setattr__(selection, "pseudo_labels", chosen[:2])
        return selection


class TrustsTheLabelled(Right):
    """Asks for pseudo-labels of labelled images, so that predictions replace answers."""

    caught_by = "test_pseudo_labels_are_other_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n), pseudo_labels=tuple(view.labelled[:2]))


class ReturnsAList(Right):
    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return list(pick(view, n))


@dataclass(frozen=True, eq=False)
class EqualsNothing(Right):
    """Is not equal to itself when a record rebuilds it."""

    caught_by = "test_a_record_keeps_its_parameters"
    k: int = 3

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True, repr=False)
class Unreadable(Right):
    caught_by = "test_a_record_keeps_its_parameters"

    __repr__ = object.__repr__


@dataclass(frozen=True)
class NotWritable(Right):
    caught_by = "test_a_record_keeps_its_parameters"
    weight: object = field(default_factory=lambda: np.ones(3), compare=False)


class NoDataclass:
    """Cannot be built from a record."""

    caught_by = "test_a_record_keeps_its_parameters"
    needs = ("features",)

    def __init__(self):
        self.k = 3

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n))


@dataclass(frozen=True)
class Remembers(Right):
    """Remembers earlier choices in its process, and forgets them at a restart."""

    caught_by = "test_it_keeps_no_state_between_calls"
    seen: list = field(default_factory=list, compare=False, metadata={"runtime": True})

    def select(self, view, n, rng):
        chosen = pick(view, n)
        turned = chosen[::-1] if self.seen else chosen
        self.seen.append(n)
        return alkit.Selection(turned)


@dataclass(frozen=True)
class RemembersTheLastRound(Right):
    """Keeps state between rounds, which is lost when a new process opens the record."""

    caught_by = "test_a_resumed_experiment_chooses_the_same_images"
    noted: dict = field(default_factory=dict, compare=False, metadata={"runtime": True})

    def select(self, view, n, rng):
        chosen = pick(view, n)
        ranked = pick(view, len(view.candidates))
        if view.round - 1 in self.noted:
            chosen = ranked[len(ranked) - n :]
        self.noted[view.round] = n
        return alkit.Selection(chosen)


class ScoresTheWholePool(Right):
    """Returns a score for each image of the pool, labelled images included."""

    caught_by = "test_scores_are_one_finite_number_per_candidate"

    def scores(self, view):
        return dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).tolist(), strict=True))


class ScoresThatAreNotFinite(Right):
    caught_by = "test_scores_are_one_finite_number_per_candidate"

    def scores(self, view):
        return dict.fromkeys(view.candidates, float("-inf"))


BROKEN = [
    thing for thing in list(globals().values()) if isinstance(thing, type) and getattr(thing, "caught_by", "") != ""
]
