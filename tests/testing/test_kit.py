"""The kits are tested themselves: each broken part is caught, by name, and a right one passes everything."""

import inspect
import time
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from broken_strategies import BROKEN, Right, SeedsNumpy, pick

import alkit
from alkit.testing import Brightness, LearnerKit, OracleKit, PoolKit, StrategyKit
from alkit.testing.learners import Labelled
from alkit.testing.worlds import BrightnessModel
from alkit.values import Answer, Invalid, LabelSpec, Query

ASSERTED = AssertionError, pytest.fail.Exception
"""How a check fails; anything else is an accident and counts as not caught."""

CRASHES = {
    "CrashesOnMore": IndexError,
    "CrashesOnNothing": IndexError,
    "Duplicates": alkit.errors.SelectionError,  # a Selection refuses it
    "NumbersForIds": alkit.errors.DataError,
    "AnotherClass": alkit.errors.LabelError,
}
"""Those of whom alkit, or Python, says by itself what is wrong."""


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
def test_parameters_that_are_partials_and_functions_survive_the_record(strategy, tmp_path):
    class Kit(StrategyKit):
        packages = ("tests",)

    check(Kit, "test_its_parameters_survive_the_record", {"strategy": strategy, "tmp_path": tmp_path})


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_strategy_is_caught_by_the_check_of_its_bug(broken, tmp_path):
    with pytest.raises(CRASHES.get(broken.__name__, ASSERTED)):
        check_strategy(broken.caught_by, broken(), tmp_path, getattr(broken, "says_random", False))


def test_who_seeds_the_same_again_is_caught_whatever_was_seeded_before(tmp_path):
    for _ in range(2):
        with pytest.raises(AssertionError, match="numpy"):
            check_strategy("test_global_generators_are_left_as_found", SeedsNumpy(), tmp_path)


def test_every_check_of_a_strategy_catches_something():
    assert {broken.caught_by for broken in BROKEN} == set(checks(StrategyKit))


def test_a_strategy_that_cannot_be_written_says_so_and_the_one_skip_gives_that_as_its_reason(tmp_path):
    @dataclass(frozen=True)
    class Weighed(Right):
        weigh: object = field(default=lambda row: row, compare=False)

    for name in checks(StrategyKit):
        if name == "test_another_process_gives_the_same_choice":
            with pytest.raises(pytest.skip.Exception, match="recordable = False"):
                check_strategy(name, Weighed(), tmp_path, writes=False)
        else:
            check_strategy(name, Weighed(), tmp_path, writes=False)


def test_to_say_that_it_cannot_be_written_when_it_can_fails(tmp_path):
    with pytest.raises(AssertionError, match="take the declaration away"):
        check_strategy("test_its_parameters_survive_the_record", Right(), tmp_path, writes=False)


class BrokenPool:
    """An array's pool, to be bent."""

    def __init__(self):
        self.whole = alkit.ArrayPool(alkit.synthetic.lesions(5, size=16, seed=3)[0])

    @property
    def ids(self):
        return self.whole.ids

    def read(self, ids):
        return self.whole.read(ids)


class IdsInAnotherOrderEachTime(BrokenPool):
    caught_by = "test_ids_are_different_strings_in_an_order_that_does_not_change"
    turn = 1

    @property
    def ids(self):
        self.turn = -self.turn
        return tuple(self.whole.ids)[:: self.turn]


class NumbersForIds(BrokenPool):
    caught_by = "test_ids_are_different_strings_in_an_order_that_does_not_change"
    ids = tuple(range(5))

    def read(self, ids):
        return super().read([self.whole.ids[id] for id in ids])


class Doubles(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids).astype(np.float64)


class WithoutChannels(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids)[:, 0]


class Bytes(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids) * np.float32(255)


class InTheOrderOfThePool(BrokenPool):
    """A query of a database without an order: rows that belong to other images. The bug of a released code."""

    caught_by = "test_images_come_in_the_order_asked_each_its_own"

    def read(self, ids):
        return super().read(sorted(ids))


class Augmented(BrokenPool):
    caught_by = "test_reading_twice_gives_the_same"
    reads = 0

    def read(self, ids):
        self.reads += 1
        return np.roll(super().read(ids), self.reads, axis=-1)


class HandsOutItsOwnMemory(BrokenPool):
    caught_by = "test_reading_twice_gives_the_same"

    def __init__(self):
        super().__init__()
        self.memory = self.whole.read(self.ids).copy()

    def read(self, ids):
        return self.memory if list(ids) == list(self.ids) else super().read(ids)


class BlackWhereThereIsNone(BrokenPool):
    caught_by = "test_an_unknown_id_is_an_error"

    def read(self, ids):
        return super().read([id if id in self.whole.ids else self.whole.ids[0] for id in ids])


class WrongSizes(BrokenPool):
    caught_by = "test_every_image_has_sizes_its_mask_may_have"

    def sizes(self, ids):
        return [((400, 300),) for _ in ids]


class DrawsToRead(BrokenPool):
    caught_by = "test_global_generators_are_left_as_found"

    def read(self, ids):
        np.random.rand()  # noqa: NPY002
        return super().read(ids)


class BrokenOracle:
    """Answers class ids, to be bent."""

    spec = LabelSpec(("cat", "dog"), per="image")

    def __init__(self):
        self.asked = []

    def ask(self, queries):
        self.asked += queries

    def poll(self):
        asked, self.asked = self.asked, []
        return [Answer(query.id, 1) for query in asked]


class NamesAsItsSpec(BrokenOracle):
    caught_by = "test_it_says_what_its_labels_look_like"
    spec = ("cat", "dog")


class TalksUnasked(BrokenOracle):
    caught_by = "test_before_it_is_asked_it_says_nothing"

    def poll(self):
        return [*super().poll(), Answer("b", 1)]


class ForgetsSome(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return super().poll()[:1]


class RefusesWithoutAReason(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return [replace(answer, label=Invalid("")) for answer in super().poll()]


class AnotherClass(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return [replace(answer, label=2) for answer in super().poll()]


class WaitsForPeople(BrokenOracle):
    caught_by = "test_asking_returns_at_once"

    def ask(self, queries):
        time.sleep(0.2)
        super().ask(queries)


class AnswersMore(BrokenOracle):
    caught_by = "test_only_what_was_asked_is_answered"

    def poll(self):
        return [Answer(id, 1) for id in "ab"] if super().poll() else []


class ThrowsACoin(BrokenOracle):
    """A simulated annotator whose errors are drawn for each call and not for each image."""

    caught_by = "test_a_query_handed_over_twice_has_one_answer"
    coin = 0

    def poll(self):
        self.coin = 1 - self.coin
        return [replace(answer, label=self.coin) for answer in super().poll()]


class ThrowsNumpysCoin(BrokenOracle):
    caught_by = "test_global_generators_are_left_as_found"

    def poll(self):
        return [replace(answer, label=np.random.randint(2)) for answer in super().poll()]  # noqa: NPY002


class Counts(BrightnessModel):
    def probabilities(self, images):
        return 2 * super().probabilities(images)


class InDoubles(BrightnessModel):
    def probabilities(self, images):
        return super().probabilities(images).astype(np.float64)


class OnlyTheLesion(BrightnessModel):
    def probabilities(self, images):
        return np.ones((len(images), 1, *images.shape[-2:]), np.float32)


class BelowZero(BrightnessModel):
    def probabilities(self, images):
        return (3 * super().probabilities(images) - 1).astype(np.float32)  # they still sum to 1


class ByItsCompany(BrightnessModel):
    """Batch statistics of what it is asked about."""

    def probabilities(self, images):
        return super().probabilities(images - images.mean() + np.float32(0.5))


@dataclass(frozen=True)
class BrokenLearner(Brightness):
    """The kit's learner, with models that are wrong."""

    model = BrightnessModel

    def fit(self, labelled, rng, previous=None, report=None):
        return self.model(super().fit(labelled, rng, previous).level)

    def loads(self, dumped):
        return self.model(super().loads(dumped).level)


class GivesNoProbabilities(BrokenLearner):
    caught_by = "test_its_model_gives_class_probabilities"
    model = Counts


class GivesDoubles(BrokenLearner):
    caught_by = "test_its_model_gives_class_probabilities"
    model = InDoubles


class GivesOneClass(BrokenLearner):
    caught_by = "test_its_model_gives_class_probabilities"
    model = OnlyTheLesion


class GivesLessThanNothing(BrokenLearner):
    caught_by = "test_its_model_gives_class_probabilities"
    model = BelowZero


class PredictsByTheCompany(BrokenLearner):
    caught_by = "test_the_prediction_of_an_image_does_not_depend_on_its_company"
    model = ByItsCompany


class IgnoresItsGenerator(BrokenLearner):
    caught_by = "test_the_same_chance_gives_the_same_model"

    def fit(self, labelled, rng, previous=None, report=None):
        return super().fit(labelled, np.random.default_rng(), previous)


class RoundsWhatItKeeps(BrokenLearner):
    caught_by = "test_a_model_comes_back_number_for_number"

    def loads(self, dumped):
        return BrightnessModel(round(super().loads(dumped).level, 2))


class TrainsTheEarlierModel(BrokenLearner):
    """Carries on in place: the model of the last round, which others still hold, changes under them."""

    caught_by = "test_a_model_that_was_loaded_carries_on_like_one_that_was_kept"

    def fit(self, labelled, rng, previous=None, report=None):
        model = super().fit(labelled, rng, previous)
        if previous is not None:
            object.__setattr__(previous, "level", 0.9)
        return model


class CarriesOnWithWhatIsNotKept(BrokenLearner):
    """The state of its optimiser: a model that was loaded has none."""

    caught_by = "test_a_model_that_was_loaded_carries_on_like_one_that_was_kept"

    def fit(self, labelled, rng, previous=None, report=None):
        model = super().fit(labelled, rng, previous)
        model = BrightnessModel(model.level + getattr(previous, "momentum", 0.0))
        object.__setattr__(model, "momentum", 0.1)
        return model


class SeedsToTrain(BrokenLearner):
    caught_by = "test_global_generators_are_left_as_found"

    def fit(self, labelled, rng, previous=None, report=None):
        np.random.seed(3)  # noqa: NPY002
        return super().fit(labelled, rng, previous)


class QuickOracleKit(OracleKit):
    patience = at_once = 0.1


def given(part):
    """Return what the checks of a part ask for, by name."""
    if isinstance(part, BrokenPool):
        return PoolKit, {"pool": part}
    if isinstance(part, BrokenOracle):
        return QuickOracleKit, {"oracle": part, "queries": [Query(id, 0, rank, ()) for rank, id in enumerate("ab")]}
    images, masks = alkit.synthetic.lesions(20, size=16, seed=2)
    pool = alkit.ArrayPool(images)
    known = dict(zip(pool.ids, masks, strict=True))
    return LearnerKit, {
        "learner": part,
        "labelled": Labelled(pool, tuple(pool.ids)[:12], known, LabelSpec(("skin", "lesion"))),
    }


RIGHT = [BrokenPool, BrokenOracle, BrokenLearner]
BROKEN_PARTS = [part for base in RIGHT for part in base.__subclasses__()]


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_pool_oracle_and_learner_pass(right):
    kit, _ = given(right())
    for name in checks(kit):
        check(kit, name, given(right())[1])


@pytest.mark.parametrize("broken", BROKEN_PARTS, ids=lambda broken: broken.__name__)
def test_a_broken_pool_oracle_or_learner_is_caught_by_the_check_of_its_bug(broken):
    kit, arguments = given(broken())
    with pytest.raises(CRASHES.get(broken.__name__, ASSERTED)):
        check(kit, broken.caught_by, arguments)


@pytest.mark.parametrize("right", RIGHT)
def test_every_check_of_a_pool_an_oracle_and_a_learner_catches_something(right):
    kit, _ = given(right())
    assert {part.caught_by for part in right.__subclasses__()} == set(checks(kit))
