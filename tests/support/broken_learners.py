"""Broken learners with one bug each, and the check of the kit that must find it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from alkit.rng import Stream
from alkit.testing import Brightness
from alkit.testing.worlds import BrightnessModel, BrightnessPosterior


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
    """Uses the batch statistics of the images that it predicts."""

    def probabilities(self, images):
        return super().probabilities(images - images.mean() + np.float32(0.5))


@dataclass(frozen=True)
class BrokenLearner(Brightness):
    """The learner of the kit, whose models have a bug in each subclass."""

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
    caught_by = "test_predictions_do_not_depend_on_the_batch"
    model = ByItsCompany


class IgnoresItsGenerator(BrokenLearner):
    caught_by = "test_the_same_seed_gives_the_same_model"

    def fit(self, labelled, rng, previous=None, report=None):
        return super().fit(labelled, np.random.default_rng(), previous)


class RoundsWhatItKeeps(BrokenLearner):
    caught_by = "test_a_loaded_model_predicts_the_same_numbers"

    def loads(self, dumped):
        return BrightnessModel(round(super().loads(dumped).level, 2))


class TrainsTheEarlierModel(BrokenLearner):
    """Trains the model of the last round in place, although others still use it."""

    caught_by = "test_training_continues_alike_from_a_loaded_model"

    def fit(self, labelled, rng, previous=None, report=None):
        model = super().fit(labelled, rng, previous)
        if previous is not None:
            object.__setattr__(previous, "level", 0.9)
        return model


class CarriesOnWithWhatIsNotKept(BrokenLearner):
    """Continues with optimiser state, which a loaded model does not have."""

    caught_by = "test_training_continues_alike_from_a_loaded_model"

    def fit(self, labelled, rng, previous=None, report=None):
        model = super().fit(labelled, rng, previous)
        model = BrightnessModel(model.level + getattr(previous, "momentum", 0.0))
        object.__setattr__(model, "momentum", 0.1)
        return model


class SeedsToTrain(BrokenLearner):
    caught_by = "test_global_generators_are_not_changed"

    def fit(self, labelled, rng, previous=None, report=None):
        np.random.seed(3)  # noqa: NPY002
        return super().fit(labelled, rng, previous)


class OfAnotherLevel(BrightnessModel):
    def posterior(self, images):
        return BrightnessPosterior(self.level + 0.1, torch.from_numpy(images))


class PosteriorOfAnotherModel(BrokenLearner):
    caught_by = "test_a_posterior_agrees_with_the_prediction"
    model = OfAnotherLevel


class OneDrawLess(BrightnessPosterior):
    def dropout(self, draws, stream):
        return super().dropout(draws - 1, stream)


class DrawsByItself(BrightnessPosterior):
    def dropout(self, draws, stream):
        return super().dropout(draws, Stream(int(np.random.default_rng().integers(1 << 30))))


class FinalHeadLast(BrightnessPosterior):
    def heads(self):
        return super().heads()[::-1]


class MembersAsCounts(BrightnessPosterior):
    def members(self):
        return (2 * member for member in super().members())


def with_posterior(kind):
    class Model(BrightnessModel):
        def posterior(self, images):
            return kind(self.level, torch.from_numpy(images))

    return Model


class DrawsTooFew(BrokenLearner):
    caught_by = "test_a_posterior_agrees_with_the_prediction"
    model = with_posterior(OneDrawLess)


class DrawsWithoutItsStream(BrokenLearner):
    caught_by = "test_a_posterior_agrees_with_the_prediction"
    model = with_posterior(DrawsByItself)


class GivesTheFinalHeadLast(BrokenLearner):
    caught_by = "test_a_posterior_agrees_with_the_prediction"
    model = with_posterior(FinalHeadLast)


class GivesMembersAsCounts(BrokenLearner):
    caught_by = "test_a_posterior_agrees_with_the_prediction"
    model = with_posterior(MembersAsCounts)


class SeesMaps(BrightnessModel):
    def features(self, images):
        return np.asarray(images[:, 0] - self.level, np.float32)


class SeesInDoubles(BrightnessModel):
    def features(self, images):
        return super().features(images).astype(np.float64)


class SeesTheCompany(BrightnessModel):
    def features(self, images):
        return super().features(images - images.mean())


class GivesMapsAsFeatures(BrokenLearner):
    caught_by = "test_features_are_one_finite_row_per_image"
    model = SeesMaps


class GivesFeaturesInDoubles(BrokenLearner):
    caught_by = "test_features_are_one_finite_row_per_image"
    model = SeesInDoubles


class GivesFeaturesByTheCompany(BrokenLearner):
    caught_by = "test_features_are_one_finite_row_per_image"
    model = SeesTheCompany


class OfItsFirstMember(BrightnessModel):
    @property
    def members(self):
        return BrightnessModel(self.level), BrightnessModel(self.level + 0.2)


class PredictsByItsFirstMember(BrokenLearner):
    caught_by = "test_an_ensemble_predicts_the_mean_of_its_members"
    model = OfItsFirstMember


class WithoutRoom(BrightnessModel):
    def images_at_once(self, images):
        return 0


class HasRoomForNoImage(BrokenLearner):
    caught_by = "test_the_batch_limit_is_a_number"
    model = WithoutRoom


class ExportsAnotherLevel(BrightnessModel):
    def export_module(self):
        other = BrightnessModel(self.level + 0.1)

        class Module(torch.nn.Module):
            def forward(self, images):
                return torch.from_numpy(other.probabilities(images.numpy()))

        return Module()


class ExportsAnotherModel(BrokenLearner):
    caught_by = "test_an_exported_module_gives_the_same_probabilities"
    model = ExportsAnotherLevel
