"""alkit's own strategies, compositions, pools, oracles and learners pass the kits that authors are given."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import alkit
from alkit import scores
from alkit.testing import Brightness, ExtractorKit, LearnerKit, OracleKit, PoolKit, RowMeans, StrategyKit
from alkit.values import Query
from alkit_baselines.badge import BADGE
from alkit_baselines.clasp_pe import ClaSPPE
from alkit_baselines.facility_location import FacilityLocation
from alkit_baselines.foreground_random import ForegroundRandom
from alkit_baselines.max_herding import MaxHerding
from alkit_baselines.prob_cover import ProbCover

PATCHY = alkit.strategies.Uncertainty(scores.bald, alkit.Dropout(4))


def first(view, n, rng):
    if n > len(view.candidates):
        raise alkit.errors.SelectionError("not so many")
    return view.candidates[:n]


def kit(make, chance=False):
    class Kit(StrategyKit):
        random = chance

        @pytest.fixture
        def strategy(self):
            return make()

    return Kit


class TestRandom(kit(lambda: alkit.strategy("random"), chance=True)):
    pass


class TestSSLCluster(kit(lambda: alkit.strategy("ssl-cluster", features=RowMeans(), clusters=3))):
    pass


class TestMCDropout(kit(lambda: alkit.strategy("mc-dropout", draws=4))):
    pass


class TestEnsembleS(kit(lambda: alkit.strategy("ensemble-s"))):
    pass


class TestEnsembleJS(kit(lambda: alkit.strategy("ensemble-js"))):
    pass


class TestWithTheFeaturesOfTheModel(
    kit(lambda: alkit.strategy("ssl-cluster", features=alkit.features.OfLearner(), clusters=3))
):
    pass


class TestCEAL(kit(lambda: alkit.strategy("ceal", draws=4), chance=True)):
    pass


class TestDSAL(kit(lambda: alkit.strategy("dsal"))):
    pass


class TestFacilityLocation(kit(lambda: FacilityLocation(RowMeans()))):
    pass


class TestMaxHerding(kit(lambda: MaxHerding(RowMeans()))):
    pass


class TestProbCover(kit(lambda: ProbCover(RowMeans(), clusters=3))):
    pass


class TestBADGE(kit(BADGE, chance=True)):
    pass


class TestClaSPPE(kit(ClaSPPE, chance=True)):
    pass


class TestForegroundRandom(kit(ForegroundRandom, chance=True)):
    pass


class TestUncertainty(kit(lambda: alkit.strategies.Uncertainty("margin"))):
    pass


class TestThen(kit(lambda: alkit.strategies.Then(alkit.strategy("random"), PATCHY, after=3), chance=True)):
    pass


class TestFilter(
    kit(lambda: alkit.strategies.Filter(PATCHY, then=alkit.strategy("ssl-cluster", features=RowMeans(), clusters=3)))
):
    pass


class TestMix(
    kit(lambda: alkit.strategies.Mix({alkit.strategy("random"): 0.5, alkit.strategy("dsal"): 0.5}), chance=True)
):
    pass


class TestStochastic(kit(lambda: alkit.strategies.Stochastic(PATCHY), chance=True)):
    pass


class TestPerSecond(kit(lambda: alkit.strategies.PerSecond(PATCHY))):
    pass


class TestPerCluster(kit(lambda: alkit.strategies.PerCluster(PATCHY, RowMeans(), clusters=3))):
    pass


class TestDuplicatesLast(kit(lambda: alkit.strategies.DuplicatesLast(PATCHY, RowMeans(), similarity=0.9))):
    pass


class TestFunction(kit(lambda: first)):
    pass


SSL = alkit.strategy("ssl-cluster", features=RowMeans(), clusters=3)


class TestDuplicatesLastAroundAMix(
    kit(
        lambda: alkit.strategies.DuplicatesLast(
            alkit.strategies.Mix({alkit.strategies.Filter(PATCHY, SSL): 2, alkit.strategy("dsal"): 1}),
            RowMeans(),
            similarity=0.9,
        )
    )
):
    pass


class TestThenFromFeaturesToAQuotaOfAFilteredRanking(
    kit(
        lambda: alkit.strategies.Then(
            SSL,
            alkit.strategies.Filter(PATCHY, alkit.strategies.PerCluster(PATCHY, RowMeans(), clusters=3), 2),
            after=3,
        )
    )
):
    pass


class TestMixOfMixes(
    kit(
        lambda: alkit.strategies.Mix(
            {
                alkit.strategies.Mix(
                    {alkit.strategies.Uncertainty("margin"): 1, alkit.strategies.FromFunction(first): 1}
                ): 0.6,
                alkit.strategies.Then(SSL, alkit.strategies.Stochastic(PATCHY), after=3): 0.4,
            }
        ),
        chance=True,
    )
):
    packages = ("tests",)  # of the function inside


class TestReconstruction(ExtractorKit):
    @pytest.fixture
    def extractor(self):
        return alkit.Reconstruction(partial(alkit.UNet, widths=(2, 4, 8)), epochs=1, batch=4)


class TestPretrained(ExtractorKit):
    @pytest.fixture
    def extractor(self):
        return alkit.features.Pretrained("test_efficientnet", "random", size=32)


class TestPretrainedTransformer(ExtractorKit):
    @pytest.fixture
    def extractor(self):
        return alkit.features.Pretrained("test_vit", "random", size=32, levels=(0, -1))


class TestEmbeddings(ExtractorKit):
    @pytest.fixture
    def extractor(self, pool, tmp_path):
        np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((12, 5)))
        (tmp_path / "rows.ids.txt").write_text("\n".join(pool.ids))
        return alkit.features.Embeddings(tmp_path / "rows.npy")


class TestTheKitsOwnExtractor(ExtractorKit):
    @pytest.fixture
    def extractor(self):
        return RowMeans()


class TestArrayPool(PoolKit):
    @pytest.fixture
    def pool(self):
        return alkit.ArrayPool(alkit.synthetic.lesions(5, size=16)[0])


class TestSubset(PoolKit):
    @pytest.fixture
    def pool(self):
        return alkit.ArrayPool(alkit.synthetic.lesions(9, size=16)[0]).subset(["0007", "0002", "0004"])


class TestImagePool(PoolKit):
    @pytest.fixture
    def pool(self, folders):
        return alkit.ImagePool(folders / "images")


class TestMaskOracle(OracleKit):
    @pytest.fixture
    def oracle(self, world):
        return alkit.MaskOracle(world.masks, classes=("skin", "lesion"))

    @pytest.fixture
    def queries(self, world):
        return [Query(id, 0, rank, ((16, 16),)) for rank, id in enumerate(list(world.masks)[:4])]


class TestLabelOracle(OracleKit):
    @pytest.fixture
    def oracle(self):
        return alkit.LabelOracle({"a": 0, "b": "dog"}, classes=("cat", "dog"))

    @pytest.fixture
    def queries(self):
        return [Query(id, 0, rank, ((16, 16),)) for rank, id in enumerate("ab")]


class TestLabelOracleOfSeveralClasses(TestLabelOracle):
    @pytest.fixture
    def oracle(self):
        return alkit.LabelOracle({"a": set(), "b": "dog|cat"}, classes=("cat", "dog"), multiple=True)


class TestSegmentationLearner(LearnerKit):
    @pytest.fixture
    def learner(self):
        return alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))


class TestStrongLearner(LearnerKit):
    @pytest.fixture
    def learner(self):
        parts = {"stop": alkit.learners.Stop(every=2), "class_weights": "frequency", "freeze": 2}
        changes = alkit.learners.Augment(affine=0.1, elastic=0.1, intensity=0.1)
        return alkit.learners.strong(Encoded, steps=4, augment=changes, **parts)


class TestStrongLearnerOfClasses(LearnerKit):
    per = "image"

    @pytest.fixture
    def learner(self):
        def network(in_channels, classes):
            return nn.Sequential(nn.Conv2d(in_channels, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(392, classes))

        return alkit.learners.strong(network, per="image", steps=4, loss="focal")


class Encoded(nn.Module):
    """A network with an encoder that can be frozen."""

    def __init__(self, in_channels, classes):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.5), nn.Conv2d(4, classes, 1)

    def forward(self, images):
        return self.head(self.drop(self.encoder(images)))


class TestEnsembleOfNetworks(LearnerKit):
    @pytest.fixture
    def learner(self):
        network = partial(alkit.UNet, widths=(2, 4, 4), heads={2: 0.3})
        return alkit.Ensemble(alkit.SegmentationLearner(network, epochs=(1, 1)), members=2)


class TestClassificationLearner(LearnerKit):
    per = "image"

    @pytest.fixture
    def learner(self):
        def network(in_channels, classes):
            return nn.Sequential(nn.Conv2d(in_channels, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(392, classes))

        return alkit.ClassificationLearner(network, epochs=(2, 1), batch=4)


class TestClassificationLearnerOfSeveralClasses(TestClassificationLearner):
    multiple = True


class TestEstimatorLearner(LearnerKit):
    per = "image"

    @pytest.fixture
    def learner(self):
        from sklearn.ensemble import RandomForestClassifier

        return alkit.EstimatorLearner(RandomForestClassifier(n_estimators=3))


class TestEstimatorLearnerOfSeveralClasses(TestEstimatorLearner):
    multiple = True


class TestTheKitsOwnLearner(LearnerKit):
    @pytest.fixture
    def learner(self):
        return Brightness()


def test_importing_alkit_brings_no_test_framework():
    import subprocess
    import sys

    code = (
        "import sys, alkit; alkit.Experiment; assert 'pytest' not in sys.modules and 'alkit.testing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_kits_model_tells_images_apart(world):
    model = Brightness().fit(
        type(
            "L",
            (),
            {
                "ids": ["0"],
                "images": lambda s, i: np.full((1, 1, 2, 2), 0.5),
                "labels": lambda s, i: np.ones((1, 2, 2)),
            },
        )(),
        np.random.default_rng(0),
    )
    spread = torch.from_numpy(model.probabilities(world.pool.read(world.pool.ids)))[:, 1].mean(dim=(1, 2)).std()
    assert spread > 0.01
