"""Strategies that are wrong on purpose, one bug each, and the check of the kit that must catch it.

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
    """Positions among the candidates, looked up among all ids: small-text's greedy core-set."""

    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(tuple(view.ids[view.candidates.index(id)] for id in pick(view, n)))


class CentroidNumbersAsPositions(Right):
    """The numbers of the clusters, taken for the images' places in the pool: always its first n. DeepAL+."""

    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.Selection(tuple(view.ids[:n]))


class NumbersAsIds(Right):
    """Positions, written as if they were ids."""

    caught_by = "test_it_uses_ids_and_not_positions"

    def select(self, view, n, rng):
        return alkit.Selection(tuple(str(view.ids.index(id)) for id in pick(view, n)))


class ReadsTheName(Right):
    """Decides by what an image is called."""

    caught_by = "test_it_uses_ids_and_not_positions"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.highest({id: int(id[-4:]) % 7 for id in view.candidates}, n)


class RowsOfCandidates(Right):
    """Rows of the features, which are those of all images, taken for rows of the candidates."""

    caught_by = "test_rows_are_paired_with_images_by_id"

    def select(self, view, n, rng):
        alkit.strategies.check_n(n, view.candidates)
        light = view.features(RowMeans()).mean(axis=1)[: len(view.candidates)]
        return alkit.Selection(alkit.strategies.top_k(list(view.candidates), -light, n))


class RowsOfCandidatesDrawn(Right):
    """The same, hidden by chance."""

    caught_by = "test_rows_are_paired_with_images_by_id"
    says_random = True

    def select(self, view, n, rng):
        alkit.strategies.check_n(n, view.candidates)
        light = view.features(RowMeans()).mean(axis=1)[: len(view.candidates)].astype(np.float64)
        drawn = rng.gumbel(size=len(light)) - 100 * light
        return alkit.Selection(alkit.strategies.top_k(list(view.candidates), drawn, n))


class ClustersOfCandidates(Right):
    """Distances to the centres, which are those of all images, taken for distances of the candidates."""

    caught_by = "test_rows_are_paired_with_images_by_id"

    def select(self, view, n, rng):
        far = dict(zip(view.candidates, view.clusters(RowMeans(), 3).distances.tolist(), strict=False))
        return alkit.highest(far, n)


class ScoresOfAll(Right):
    """Scores, which are those of the candidates, taken for scores of all images."""

    caught_by = "test_rows_are_paired_with_images_by_id"
    starts_cold: ClassVar = False

    def select(self, view, n, rng):
        found = dict(zip(view.ids, view.scores(scores.entropy).values(), strict=False))
        return alkit.highest({id: found.get(id, 0.0) for id in view.candidates}, n)


class PredictionsOfAll(Right):
    """Predictions, whose batches say whose they are, taken for those of all images in turn."""

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
    """A smaller choice instead of an error."""

    caught_by = "test_too_large_a_batch_is_an_error_of_alkit"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, min(n, len(view.candidates))))


class CrashesOnMore(Right):
    """An error, but one that no caller expects."""

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
    """libact: randomness leaks under a fixed seed."""

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
    """Only where there is little to go by."""

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
    """A generator of its own, without a seed."""

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
    """Draws the start set, and says of itself that nothing is drawn."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        return alkit.Selection(chosen if view.round else tuple(rng.permutation(view.candidates)[:n]))


class UndeclaredChanceInWhatItTrusts(Right):
    """Queries the same images whatever the seed, and draws those that it trusts."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"

    def select(self, view, n, rng):
        chosen = pick(view, n)
        rest = sorted(set(view.candidates) - set(chosen))
        return alkit.Selection(chosen, pseudo_labels=tuple(rng.permutation(rest)[:3]) if view.round else ())


class IgnoresItsSeed(Right):
    """Says that it is random, and is not."""

    caught_by = "test_the_seed_matters_only_if_random_is_declared"
    says_random = True


class FollowsThePool(Right):
    caught_by = "test_the_order_of_the_pool_does_not_matter"

    def select(self, view, n, rng):
        left = set(view.candidates)
        pick(view, n)
        return alkit.Selection(tuple([id for id in view.pool.ids if id in left][:n]))


class TiesFollowThePool(Right):
    """A stable sort over the pool's own order."""

    caught_by = "test_ties_do_not_follow_the_order_of_the_pool"

    def select(self, view, n, rng):
        pick(view, n)
        table = dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).round(5).tolist(), strict=True))
        left = set(view.candidates)
        return alkit.Selection(tuple(sorted((id for id in view.pool.ids if id in left), key=table.__getitem__)[:n]))


class HashOrder(Right):
    """The order of a set of strings: another one in every process."""

    caught_by = "test_another_process_gives_the_same_choice"

    def select(self, view, n, rng):
        pick(view, n)
        return alkit.Selection(tuple(list(set(view.candidates))[:n]))


class RepairsNaN(Right):
    """baal: a score that is NaN becomes 0."""

    caught_by = "test_nan_is_an_error_of_alkit"

    def select(self, view, n, rng):
        pick_from = np.nan_to_num(view.features(RowMeans())).mean(axis=1)
        table = dict(zip(view.ids, pick_from.tolist(), strict=True))
        return alkit.highest({id: table[id] for id in view.candidates}, n)


class LeavesOutWhatIsNotFinite(Right):
    """An image with NaN in its features is never chosen, and nobody is told, as long as there are others."""

    caught_by = "test_nan_is_an_error_of_alkit"

    def select(self, view, n, rng):
        table = dict(zip(view.ids, view.features(RowMeans()).mean(axis=1).tolist(), strict=True))
        return alkit.highest({id: table[id] for id in view.candidates if np.isfinite(table[id])}, n)


class GuessesWhereTheModelDiverged(Right):
    """Catches the error that names the image, and goes on without the model."""

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
    """They come in the order they were chosen, which is then lost."""

    caught_by = "test_the_view_is_not_changed"

    def select(self, view, n, rng):
        view.labelled.sort()
        return alkit.Selection(pick(view, n))


class DependsOnTheBatch(Right):
    """Normalises inside each batch."""

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
    """Says that it needs one, catches the error and chooses anyhow."""

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
    """A sampler that alkit has never seen."""

    def sample(self, posterior, stream):
        return posterior.dropout(2, stream)


class DrawsDropoutItselfAndDoesNotSay(Right):
    """Asks the model by a sampler of its own."""

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
    """Declared, in a word that nobody looks for: nothing is checked before people label."""

    caught_by = "test_it_declares_its_needs"
    needs: ClassVar = ("features", "drop-out")


class DoesWithoutDropout(Right):
    """A model without dropout has no uncertainty: taken for certainty."""

    caught_by = "test_a_missing_need_is_an_error_of_alkit"
    starts_cold: ClassVar = False
    needs: ClassVar = ("features", "dropout")

    def select(self, view, n, rng):
        with contextlib.suppress(alkit.errors.ConfigurationError):
            view.scores(scores.bald, alkit.Dropout(2))
        return alkit.Selection(pick(view, n))


class TrustsWhatItAsks(Right):
    """Pseudo-labels of images that are queried in the same round: CEAL's released code mixes them up."""

    caught_by = "test_pseudo_labels_are_other_candidates"
    needs: ClassVar = ("features", "pseudo-labels")

    def select(self, view, n, rng):
        chosen = pick(view, n)
        selection = alkit.Selection(chosen)
        object.__setattr__(selection, "pseudo_labels", chosen[:2])
        return selection


class TrustsTheLabelled(Right):
    """Pseudo-labels of images that people have labelled: a prediction in the place of an answer."""

    caught_by = "test_pseudo_labels_are_other_candidates"

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n), pseudo_labels=tuple(view.labelled[:2]))


class ReturnsAList(Right):
    caught_by = "test_it_chooses_exactly_n_distinct_candidates"

    def select(self, view, n, rng):
        return list(pick(view, n))


@dataclass(frozen=True, eq=False)
class EqualsNothing(Right):
    """Comes back from the record, and nobody can tell that it is the same."""

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
    """Comes back from the record as nothing at all."""

    caught_by = "test_a_record_keeps_its_parameters"
    needs = ("features",)

    def __init__(self):
        self.k = 3

    def select(self, view, n, rng):
        return alkit.Selection(pick(view, n))


@dataclass(frozen=True)
class Remembers(Right):
    """Skips what it chose before: right in one process, wrong after a restart."""

    caught_by = "test_it_keeps_no_state_between_calls"
    seen: list = field(default_factory=list, compare=False, metadata={"runtime": True})

    def select(self, view, n, rng):
        chosen = pick(view, n)
        turned = chosen[::-1] if self.seen else chosen
        self.seen.append(n)
        return alkit.Selection(turned)


@dataclass(frozen=True)
class RemembersTheLastRound(Right):
    """What it noted in a round changes the next: gone when the record is opened in a new process."""

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
    """Rows of the features, one for each image of the pool."""

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
