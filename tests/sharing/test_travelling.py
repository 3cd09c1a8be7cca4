"""Models on their way to workers."""

from dataclasses import dataclass

from alkit.sharing.travelling import open_model, pack_model


@dataclass(frozen=True)
class Model:
    """A model whose factor is not among its bytes."""

    factor: float

    def probabilities(self, images):
        return images * self.factor

    def dumps(self):
        return b"weights"


@dataclass(frozen=True)
class Learner:
    """Makes models with a factor."""

    factor: float

    def fit(self, labelled, rng, previous, report):
        return Model(self.factor)

    def loads(self, dumped):
        return Model(self.factor)


def test_a_worker_does_not_take_the_model_of_another_learner_with_the_same_bytes(tmp_path):
    packed = [pack_model(Model(factor), Learner(factor), tmp_path) for factor in (1.0, 2.0, 1.0)]
    assert [open_model(one).factor for one in packed] == [1.0, 2.0, 1.0]
    assert open_model(packed[0]) is open_model(packed[2])
