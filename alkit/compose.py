"""Strategies made of strategies: each part and each whole keeps the one protocol, so they nest.

Two kinds of parts. A *strategy* chooses: it has ``select(view, n, rng)``, or is a plain function of these three that
returns ids. A *ranking* is a strategy that also gives every candidate a number, by ``scores(view)``:
:class:`Uncertainty` is one, and so is whatever has that verb.

References
----------
Kirsch et al. "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning". TMLR 2023.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from alkit.draws import DETERMINISTIC, Deterministic, Dropout
from alkit.duplicates import originals
from alkit.errors import AlkitError, ConfigurationError, SelectionError, UnknownNameError, nearest
from alkit.protocols import FeatureExtractor, Sampler, Strategy, View
from alkit.selection import largest_remainder, shares, top_k
from alkit.types import Predictions, Selection

if TYPE_CHECKING:
    from alkit.clustering import Clusters
    from alkit.scores import Reduction, Score

Choice = Callable[[View, int, np.random.Generator], Selection | Sequence[str]]
"""The smallest strategy: a function that returns exactly n of ``view.candidates``, the most wanted first."""


class Ranking(Strategy, Protocol):
    """A strategy that gives every candidate a number; higher is more wanted."""

    def scores(self, view: View) -> Mapping[str, float]:
        """Return one finite number for each of ``view.candidates``."""


@dataclass(frozen=True)
class FromFunction:
    """A strategy that is a plain function of view, n and rng.

    Wherever a strategy is taken, the function itself will do; this is what it becomes.

    Parameters
    ----------
    function:
        Returns ids, or a :class:`Selection`. Its attributes ``starts_cold`` and ``needs`` count, as any strategy's do;
        those of a :func:`functools.partial` are those of the function inside, unless it has its own.

    Raises
    ------
    ConfigurationError
        What it says it needs is no tuple of names.

    Examples
    --------
    >>> def first(view, n, rng):
    ...     return view.candidates[:n]
    >>> from types import SimpleNamespace
    >>> FromFunction(first).select(SimpleNamespace(candidates=["a", "b"]), 1, np.random.default_rng(0)).ids
    ('a',)
    """

    function: Choice

    def __post_init__(self) -> None:
        needs_of(self)

    def __repr__(self) -> str:
        return f"FromFunction({_name(self.function)})"

    @property
    def starts_cold(self) -> bool:
        """Whether the function says that it can choose before there is a model; it can where it says nothing."""
        return bool(self._said("starts_cold", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """What the function says it relies on."""
        needs: tuple[str, ...] = self._said("needs", ())
        return needs

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the function returns.

        Raises
        ------
        SelectionError
            That is no list of `n` different ids of candidates.
        """
        chosen, name = self.function(view, n, rng), _called(self)
        if isinstance(chosen, Selection):
            return _checked(name, chosen, view, n)
        if isinstance(chosen, str) or not isinstance(chosen, Sequence | np.ndarray):
            raise SelectionError(
                f"{name} chose nothing that is a list of ids",
                got=type(chosen).__name__,
                expected=f"{n} of view.candidates",
            )
        for id in chosen:
            if not isinstance(id, str):
                positions = isinstance(id, int | np.integer) and not isinstance(id, bool)
                raise SelectionError(
                    f"{name} chose no ids: ids are strings, these {'look like positions' if positions else 'are none'}",
                    got=repr(id),
                    hint="view.candidates[position]" if positions else None,
                )
        return _checked(name, Selection(tuple(chosen)), view, n)

    def _said(self, name: str, otherwise: Any) -> Any:
        """Return an attribute of the function, or of the function inside."""
        function: Any = self.function
        while isinstance(function, functools.partial) and not hasattr(function, name):
            function = function.func
        return getattr(function, name, otherwise)


def is_among(part: Strategy, others: Iterable[Strategy]) -> bool:
    """Whether a strategy is one of these; as no partial equals another, those inside are compared as written."""
    from alkit.declare import opaque_parts, written

    form = written(part)
    return any(part == other or (written(other) == form and not opaque_parts(form)) for other in others)


def as_strategy(name: str, part: object) -> Strategy:
    """Return a strategy as it is, and a function as a strategy.

    Raises
    ------
    ConfigurationError
        It is neither; `name` says which argument it was.
    """
    if isinstance(part, type):
        raise ConfigurationError(
            f"{name} is no strategy", got=f"the class {part.__name__}", hint=f"make one: {part.__name__}()"
        )
    if callable(getattr(part, "select", None)):
        return cast(Strategy, part)
    if callable(part):
        return FromFunction(part)
    raise ConfigurationError(
        f"{name} is no strategy",
        got=repr(part),
        expected="an object with a method select(), or a function of view, n and rng",
        hint="alkit.strategy(NAME)" if isinstance(part, str) else None,
    )


@dataclass(frozen=True)
class Uncertainty:
    """The candidates with the highest acquisition score: sampler x score x reduction, and the plainest batch rule.

    Parameters
    ----------
    score:
        One of :mod:`alkit.scores`, as a function or by name such as ``"bald"``, or any function of the same kind. A
        function that has a name is kept by it: the two are the same strategy.
    sampler:
        What draws predictions; by default the prediction itself is the one draw.
    reduction:
        From an image's pixels to one number: ``"mean"``, ``"total"`` or a function. The mean is the default, and is
        kept as None however it was given.

    Raises
    ------
    UnknownNameError
        There is no score or no reduction of that name.
    ConfigurationError
        One of the three is nothing of its kind; or the score is about what several draws disagree on, and there is one.

    Examples
    --------
    >>> import alkit
    >>> Uncertainty(alkit.scores.bald, alkit.Dropout(draws=10)).needs
    ('dropout',)
    """

    score: str | Score
    sampler: Sampler = DETERMINISTIC
    reduction: str | Reduction | None = None

    def __post_init__(self) -> None:
        from alkit.scores import check_draws, kept

        object.__setattr__(self, "score", kept(self.score))
        if isinstance(self.sampler, type) or not callable(getattr(self.sampler, "sample", None)):
            raise ConfigurationError("sampler is no sampler", got=repr(self.sampler), hint="such as alkit.Dropout(20)")
        if isinstance(self.sampler, Deterministic | Dropout):
            check_draws(self.score, getattr(self.sampler, "draws", 1))
        _reduction(self.reduction)
        reduction = next((name for name, known in _reductions().items() if known is self.reduction), self.reduction)
        object.__setattr__(self, "reduction", None if reduction == "mean" else reduction)

    def __repr__(self) -> str:
        parts = [_name(self.score), *([] if self.sampler == DETERMINISTIC else [repr(self.sampler)])]
        parts += [] if self.reduction is None else [f"reduction={_name(self.reduction)}"]
        return f"Uncertainty({', '.join(parts)})"

    @property
    def starts_cold(self) -> bool:
        """No: there is nothing to be uncertain before there is a model."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """What the sampler and the score rely on."""
        from alkit.scores import moments_of, named

        moments = moments_of(named(self.score))
        drawn = {"mean", "mean_entropy", "variance"}.intersection(moments)
        return (*(needs_of(self.sampler) if drawn else ()), *(["heads"] if "heads" in moments else []))

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score of each candidate."""
        from alkit.scores import named

        return view.scores(named(self.score), self.sampler, _reduction(self.reduction))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` highest; equal scores go by id."""
        return _highest(self.scores(view), n)


@dataclass(frozen=True)
class Then:
    """Begin with one strategy and go on with another.

    Parameters
    ----------
    cold:
        Chooses while there are fewer than `after` labels; it should be able to start without a model.
    warm:
        Chooses from then on.
    after:
        How many labels, at least 1. A selection is made by one of the two: one that begins below `after` is the cold
        one's to the end.

    Examples
    --------
    >>> import alkit
    >>> both = Then(alkit.strategy("random"), alkit.strategy("mc-dropout"), after=300)
    >>> both.starts_cold
    True
    """

    cold: Strategy
    warm: Strategy
    after: int

    def __post_init__(self) -> None:
        _adopt(self, "cold", "warm")
        _whole("after", self.after, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether the first of the two can choose before there is a model."""
        return _cold(self.cold)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return needs_of(self.cold, self.warm)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the strategy whose turn it is chooses."""
        _check_n(view, n)
        return _asked(self.cold if len(view.labelled) < self.after else self.warm, view, n, rng)


@dataclass(frozen=True)
class Filter:
    """Let a ranking offer the best candidates, and another strategy choose among them.

    ``Filter(Uncertainty(scores.entropy), then=alkit.strategy("ssl-cluster"))``: uncertain, and diverse among those.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    then:
        Chooses from the ``factor * n`` highest; the other candidates are hidden from it.
    factor:
        At least 1. With fewer candidates than that all are offered.

    Examples
    --------
    >>> import alkit
    >>> both = Filter(Uncertainty(alkit.scores.entropy), then=alkit.strategy("random"), factor=5)
    >>> both.starts_cold
    False
    """

    ranking: Ranking
    then: Strategy
    factor: int = 10

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        _adopt(self, "then")
        _whole("factor", self.factor, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether both can choose before there is a model."""
        return _cold(self.ranking, self.then)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return needs_of(self.ranking, self.then)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the second strategy chooses of what the ranking offers."""
        _check_n(view, n)
        scores = _ranked(self.ranking, view)
        offered = top_k(list(scores), list(scores.values()), min(self.factor * n, len(scores)))
        return _asked(self.then, Among(view, offered), n, rng)


@dataclass(frozen=True)
class Mix:
    """Several strategies share each batch in given proportions.

    Parameters
    ----------
    parts:
        By strategy its share, positive; what they sum to does not matter. The batch is shared by largest remainder,
        ties going to the earlier part. The order counts: the same parts in another order are another mix.

    Raises
    ------
    ConfigurationError
        No parts, one that is no strategy, two that are the same strategy, or a share that is not positive.

    Notes
    -----
    The strategies choose one after the other, in the order given, each among what the earlier ones have left. Their
    picks are then interleaved, so that the beginning of the batch has nearly the same proportions. A batch of fewer
    images than strategies goes to those with the largest shares.

    A part sees which images have a label and which are left, not what the earlier parts took: a
    :class:`DuplicatesLast` inside a mix may choose near-duplicates of their picks. Put it around the mix to have none.

    Examples
    --------
    >>> import alkit
    >>> half = Mix({alkit.strategy("random"): 1, Uncertainty(alkit.scores.margin): 1})
    >>> half.starts_cold
    False
    """

    parts: Mapping[Strategy, float]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not self.parts:
            raise ConfigurationError("a mix has parts", got=repr(self.parts), expected="{strategy: share, ...}")
        adopted: dict[Strategy, float] = {}
        for given, share in self.parts.items():
            part = as_strategy("a part of the mix", given)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < float("inf"):
                raise ConfigurationError("a share is a positive number", got=repr(share))
            if is_among(part, adopted):
                raise ConfigurationError(
                    "a part of the mix is there already", got=repr(part), hint="one part with the sum of the shares"
                )
            adopted[part] = share
        object.__setattr__(self, "parts", adopted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mix) and tuple(self.parts.items()) == tuple(other.parts.items())

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    @property
    def starts_cold(self) -> bool:
        """Whether all can choose before there is a model."""
        return _cold(*self.parts)

    @property
    def needs(self) -> tuple[str, ...]:
        """What any of them relies on."""
        return needs_of(*self.parts)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the interleaved picks, each with what its own strategy says of it."""
        _check_n(view, n)
        left, picked = list(view.candidates), list[tuple[float, str, str]]()
        trusted: list[str] = []
        for part, share in zip(self.parts, shares(n, list(self.parts.values())), strict=True):
            if share == 0:
                continue
            chosen = _asked(part, Among(view, left), share, rng)
            meanings = chosen.stands_for or ("",) * len(chosen.ids)
            picked += [
                ((rank + 0.5) / share, id, meaning)
                for rank, (id, meaning) in enumerate(zip(chosen.ids, meanings, strict=True))
            ]
            trusted += chosen.pseudo_labels
            taken = set(chosen.ids)
            left = [id for id in left if id not in taken]
        picked.sort(key=lambda pick: pick[0])  # stable: of equals the earlier strategy's comes first
        ids = tuple(id for _, id, _ in picked)
        words = tuple(meaning for _, _, meaning in picked)
        return Selection(ids, stands_for=words if any(words) else None, pseudo_labels=_others(trusted, ids))


@dataclass(frozen=True)
class Stochastic:
    """A batch drawn at random, the likelier the higher the score, instead of the very highest.

    Images are drawn without replacement with probability proportional to ``score ** power``, by taking the highest of
    ``power * log(score) + Gumbel noise`` (Kirsch et al. 2023, "power" acquisition). A batch of the very highest scores
    tends to be the same image many times over; a drawn one is not.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    power:
        0 is uniform over the candidates with a positive score; the higher, the closer to the very highest. Default: 1.

    Notes
    -----
    Scores of 0 or less are never drawn while there are positive ones, whatever the power, and then at random.

    Examples
    --------
    >>> import alkit
    >>> Stochastic(Uncertainty(alkit.scores.bald, alkit.Dropout(10)), power=2.0).power
    2.0
    """

    ranking: Ranking
    power: float = 1.0

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        if isinstance(self.power, bool) or not isinstance(self.power, int | float) or not 0 <= self.power < 1e9:
            raise ConfigurationError("there is no such power", got=repr(self.power), expected="0 or more")

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return _cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on."""
        return needs_of(self.ranking)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` drawn candidates with their scores."""
        scores = _ranked(self.ranking, view)
        ids = sorted(scores)
        top_k(ids, [scores[id] for id in ids], n)  # checks them
        values = np.array([scores[id] for id in ids], np.float64)
        noise = rng.gumbel(size=len(ids))
        positive = values > 0
        keys = np.where(positive, self.power * np.log(np.where(positive, values, 1)) + noise, 0)
        order = np.lexsort((-noise, -keys, ~positive))[:n]
        return Selection(tuple(ids[i] for i in order), scores=tuple(values[order]))


@dataclass(frozen=True)
class PerCluster:
    """From each cluster of the pool its share of the batch, the highest scores of the cluster first.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    features:
        What the images are clustered by.
    clusters:
        K of K-means, at least 1. The clusters belong to the experiment: every round sees the same.

    Notes
    -----
    Shares are in proportion to the candidates that are left in each cluster, by largest remainder.

    Examples
    --------
    >>> import alkit
    >>> pretext = alkit.Reconstruction(epochs=20)
    >>> both = PerCluster(Uncertainty(alkit.scores.entropy, alkit.Dropout(10)), pretext, clusters=10)
    >>> both.needs
    ('dropout', 'features')
    """

    ranking: Ranking
    features: FeatureExtractor
    clusters: int = 10

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        _check_features(self.features)
        _whole("clusters", self.clusters, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return _cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on, and features."""
        return tuple(dict.fromkeys([*needs_of(self.ranking), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the shares of all clusters, ordered by score, and which cluster each image stands for."""
        _check_n(view, n)
        found, scores = view.clusters(self.features, self.clusters), _ranked(self.ranking, view)
        label = dict(zip(found.ids, found.labels.tolist(), strict=True))
        groups: list[list[str]] = [[] for _ in range(found.k)]
        for id in view.candidates:
            groups[label[id]].append(id)
        chosen: list[str] = []
        for members, share in zip(groups, largest_remainder(n, [len(group) for group in groups]), strict=True):
            chosen += top_k(members, [scores[id] for id in members], share)
        ids = top_k(chosen, [scores[id] for id in chosen], len(chosen))
        return Selection(
            ids,
            scores=tuple(scores[id] for id in ids),
            stands_for=tuple(
                f"cluster {label[id] + 1} of {found.k}, {len(groups[label[id]])} candidates" for id in ids
            ),
        )


@dataclass(frozen=True)
class DuplicatesLast:
    """Leave near-duplicates out as long as there is anything else.

    A candidate is a near-duplicate where its features are nearly those of an image that has a label, or of another
    candidate, of which the one with the lowest id counts as the original. The strategy chooses among the others;
    only when these do not suffice is the batch filled up with near-duplicates, and the selection says so.

    Parameters
    ----------
    strategy:
        Chooses.
    features:
        What the images are compared by.
    similarity:
        From which cosine of two images' features on they are near-duplicates, in (-1, 1]. The features are centred at
        the pool's mean first. Which value is right depends on the features: look at some pairs. Identical features
        are always near-duplicates.

    Notes
    -----
    Inside a :class:`Mix` it does not see what the earlier parts took, and may choose near-duplicates of their picks;
    around the mix it sees to all of them.

    Examples
    --------
    >>> import alkit
    >>> strategy = DuplicatesLast(alkit.strategy("random"), alkit.Reconstruction(epochs=20), similarity=0.98)
    >>> strategy.needs
    ('features',)
    """

    strategy: Strategy
    features: FeatureExtractor
    similarity: float = 0.98

    def __post_init__(self) -> None:
        _adopt(self, "strategy")
        _check_features(self.features)
        if isinstance(self.similarity, bool) or not isinstance(self.similarity, int | float):
            raise ConfigurationError("similarity is no number", got=repr(self.similarity))
        if not -1 < self.similarity <= 1:
            raise ConfigurationError("there is no such cosine", got=self.similarity, expected="-1 < similarity <= 1")

    @property
    def starts_cold(self) -> bool:
        """Whether the strategy can choose before there is a model."""
        return _cold(self.strategy)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the strategy relies on, and features."""
        return tuple(dict.fromkeys([*needs_of(self.strategy), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the strategy's choice of originals and, if these are too few, of near-duplicates after them."""
        _check_n(view, n)
        known = self._originals(view)
        unlike = [id for id in view.candidates if id not in known]
        first = Selection(())
        if unlike and n:
            first = _asked(self.strategy, Among(view, unlike), min(n, len(unlike)), rng)
        missing = n - len(first.ids)
        if not missing:
            return first
        rest = _asked(self.strategy, Among(view, sorted(known)), missing, rng)
        words = [*(first.stands_for or [""] * len(first.ids))]
        words += [f"nothing else is left: near-duplicate of {known[id]}" for id in rest.ids]
        ids = first.ids + rest.ids
        pseudo = _others(first.pseudo_labels + rest.pseudo_labels, ids)
        return Selection(ids, stands_for=tuple(words), pseudo_labels=pseudo)

    def _originals(self, view: View) -> dict[str, str]:
        """Return for each near-duplicate among the candidates the image that it is a duplicate of."""
        features = view.features(self.features)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise SelectionError(f"the features of {view.ids[int(np.argmin(finite))]!r} are not finite")
        return originals(features, view.ids, view.labelled, view.candidates, self.similarity)


class Among:
    """A view of fewer candidates: the rest of the state is that of the view below.

    Parameters
    ----------
    view:
        The whole view.
    candidates:
        Some of its candidates.
    """

    def __init__(self, view: View, candidates: Sequence[str]) -> None:
        self._view = view
        self.candidates: Sequence[str] = tuple(sorted(candidates))

    @property
    def ids(self) -> Sequence[str]:
        """All ids of the pool, sorted."""
        return self._view.ids

    @property
    def labelled(self) -> Sequence[str]:
        """Ids that have a label, in the order they were chosen."""
        return self._view.labelled

    @property
    def round(self) -> int:
        """The round that is being selected for."""
        return self._view.round

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of :attr:`ids`."""
        return self._view.features(extractor)

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        return self._view.clusters(extractor, k)

    def scores(
        self, score: Score, sampler: Sampler = DETERMINISTIC, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the acquisition score of each of these candidates."""
        scores = self._view.scores(score, sampler, reduction)
        return {id: scores[id] for id in self.candidates}

    def predictions(self) -> Iterator[Predictions]:
        """Yield the last model's predictions of these candidates, in batches."""
        wanted = set(self.candidates)
        for batch in self._view.predictions():
            rows = [row for row, id in enumerate(batch.ids) if id in wanted]
            if rows:
                yield Predictions(tuple(batch.ids[row] for row in rows), batch.probabilities[rows])


def _name(part: object) -> str:
    if isinstance(part, functools.partial):
        given = [*map(repr, part.args), *(f"{key}={value!r}" for key, value in part.keywords.items())]
        return f"partial({', '.join([_name(part.func), *given])})"
    return getattr(part, "__name__", None) or repr(part)


def _highest(scores: Mapping[str, float], n: int) -> Selection:
    ids = top_k(list(scores), list(scores.values()), n)
    return Selection(ids, scores=tuple(scores[id] for id in ids))


def _reductions() -> dict[str, Reduction]:
    from alkit.scores import mean, total

    return {"mean": mean, "total": total}


def _reduction(reduction: str | Reduction | None) -> Reduction | None:
    """Return the reduction of this name; a function, and None, are their own."""
    known = _reductions()
    if isinstance(reduction, str):
        if reduction not in known:
            raise UnknownNameError(f"there is no reduction {reduction!r}", hint=nearest(reduction, known))
        return known[reduction]
    if reduction is not None and (isinstance(reduction, type) or not callable(reduction)):
        raise ConfigurationError(
            "this is no reduction", got=repr(reduction), expected=f"a function, or one of {', '.join(known)}"
        )
    return reduction


def _ranked(ranking: Ranking, view: View) -> dict[str, float]:
    """Return the ranking's number for each candidate; one of no other image is looked at."""
    with blamed(ranking):
        scores = ranking.scores(view)
    if not isinstance(scores, Mapping):
        raise SelectionError(
            f"{_called(ranking)} returned no scores by id", got=type(scores).__name__, expected="{id: number, ...}"
        )
    if without := [id for id in view.candidates if id not in scores]:
        raise SelectionError(
            f"{_called(ranking)} gave {len(without)} candidates no score",
            got=without[:3],
            expected="one for each of view.candidates",
        )
    return {id: scores[id] for id in view.candidates}


def _asked(part: Strategy, view: View, n: int, rng: np.random.Generator) -> Selection:
    """Return what a part chooses of what it is offered, if that is `n` of these and nothing else."""
    with blamed(part):
        selection = part.select(view, n, rng)
    return _checked(_called(part), selection, view, n)


def _checked(name: str, selection: Selection, view: View, n: int) -> Selection:
    """Return the selection unless it breaks its promise; that no id is there twice, it has checked itself."""
    if not isinstance(selection, Selection):
        raise SelectionError(f"{name} returned no selection", got=type(selection).__name__, expected="alkit.Selection")
    if len(selection.ids) != n:
        raise SelectionError(f"{name} chose another number of images", got=len(selection.ids), expected=n)
    if strangers := {*selection.ids, *selection.pseudo_labels} - set(view.candidates):
        raise SelectionError(f"{name} chose images it was not offered", got=sorted(strangers)[:3])
    return selection


@contextmanager
def blamed(part: object) -> Iterator[None]:
    """Turn whatever else than an error of alkit comes out of a part's code into one that names the part.

    Raises
    ------
    SelectionError
        The part failed; the cause is kept.
    """
    try:
        yield
    except AlkitError:
        raise
    except Exception as reason:
        from alkit.plugins import whose

        raise SelectionError(
            f"{_called(part)}{whose(innermost(part))} failed ({type(reason).__name__}: {reason})",
            hint="see the traceback, which alkit --debug shows",
        ) from reason


def _called(part: object) -> str:
    """Name a part in a sentence."""
    if not isinstance(part, FromFunction):
        return (part if isinstance(part, type) else type(part)).__name__
    function = innermost(part)
    return f"the function {getattr(function, '__name__', type(function).__name__)}"


def innermost(part: Any) -> Any:
    """Return the function that a strategy is made from, without what is given to it; any other strategy as it is."""
    while isinstance(part, FromFunction | functools.partial):
        part = part.function if isinstance(part, FromFunction) else part.func
    return part


def _others(trusted: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """Return, once each, the ids to be trusted that are not chosen."""
    asked = set(chosen)
    return tuple(id for id in dict.fromkeys(trusted) if id not in asked)


def _check_n(view: View, n: int) -> None:
    if not 0 <= n <= len(view.candidates):
        raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(view.candidates)}")


def _check_ranking(ranking: object) -> None:
    if isinstance(ranking, type) or not callable(getattr(ranking, "scores", None)):
        raise ConfigurationError(
            "this gives no scores",
            got=repr(ranking),
            expected="an object with a method scores(view)",
            hint="alkit.Uncertainty(alkit.scores.entropy)",
        )


def _check_features(features: object) -> None:
    if isinstance(features, type) or not callable(getattr(features, "fit", None)):
        raise ConfigurationError(
            "features is no feature extractor", got=repr(features), expected="such as alkit.Reconstruction()"
        )


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} cannot be this", got=repr(value), expected=f"a whole number, {least} or more")


def _adopt(whole: Any, *names: str) -> None:
    """Turn the parts of these names that are functions into strategies."""
    for name in names:
        object.__setattr__(whole, name, as_strategy(name, getattr(whole, name)))


def _cold(*parts: object) -> bool:
    return all(getattr(part, "starts_cold", True) for part in parts)


def needs_of(*parts: object) -> tuple[str, ...]:
    """Return what parts say that they need, each once.

    Raises
    ------
    ConfigurationError
        One says something else than a tuple of names.
    """
    said = [(part, getattr(part, "needs", ())) for part in parts]
    for part, needs in said:
        if not isinstance(needs, tuple | list) or not all(isinstance(need, str) for need in needs):
            raise ConfigurationError(
                f"what {_called(part)} needs is no tuple of names", got=repr(needs), expected='such as ("dropout",)'
            )
    return tuple(dict.fromkeys(need for _, needs in said for need in needs))
