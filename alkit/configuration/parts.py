"""Alkit's own parts: their names in strategy files, and the addresses and roles under which records may name them."""

from __future__ import annotations

PARTS = {
    "deterministic": "alkit.samplers:Deterministic",
    "dropout": "alkit.samplers:Dropout",
    "duplicates-last": "alkit.strategies:DuplicatesLast",
    "filter": "alkit.strategies:Filter",
    "members": "alkit.samplers:Members",
    "mix": "alkit.strategies.toml:mix_tables",
    "per-cluster": "alkit.strategies:PerCluster",
    "per-second": "alkit.strategies:PerSecond",
    "stochastic": "alkit.strategies:Stochastic",
    "then": "alkit.strategies:Then",
    "uncertainty": "alkit.strategies:Uncertainty",
}
"""Compositions, samplers and the ranking by score: by their names in a strategy file the addresses of their classes."""

CLASSES: dict[str, tuple[str, dict[str, str]]] = {
    "alkit:ImagePool": ("pool", {}),
    "alkit:DatasetPool": ("pool", {}),
    "alkit:VolumePool": ("pool", {}),
    "alkit:TilePool": ("pool", {}),
    "alkit.pools:Subset": ("pool", {"pool": "pool"}),
    "alkit:SegmentationLearner": (
        "learner",
        {
            "network": "network",
            "warm_start": "feature extractor",
            "augment": "augmentation",
            "loss": "loss",
            "stop": "rule of early stopping",
        },
    ),
    "alkit:ClassificationLearner": (
        "learner",
        {"network": "network", "augment": "augmentation", "loss": "loss", "stop": "rule of early stopping"},
    ),
    "alkit.learners:NNUNetLearner": ("learner", {}),
    "alkit.learners:MonaiLoss": ("loss", {}),
    "alkit.networks:MonaiNetwork": ("network", {}),
    "alkit.learners:Augment": ("augmentation", {}),
    "alkit.learners:Stop": ("rule of early stopping", {}),
    "alkit:EstimatorLearner": ("learner", {"rows": "function of rows"}),
    "alkit:Ensemble": ("learner", {"learner": "learner"}),
    "alkit.strategies:Then": ("strategy", {"cold": "strategy", "warm": "strategy"}),
    "alkit.strategies:Filter": ("strategy", {"ranking": "strategy", "then": "strategy"}),
    "alkit.strategies:Mix": ("strategy", {"parts": "strategy"}),
    "alkit.strategies:Stochastic": ("strategy", {"ranking": "strategy"}),
    "alkit.strategies:PerCluster": ("strategy", {"ranking": "strategy", "features": "feature extractor"}),
    "alkit.strategies:PerSecond": ("strategy", {"ranking": "strategy"}),
    "alkit.strategies:DuplicatesLast": ("strategy", {"strategy": "strategy", "features": "feature extractor"}),
    "alkit.strategies:FromFunction": ("strategy", {"function": "function of a plugin"}),
    "alkit.strategies:Uncertainty": ("strategy", {"score": "score", "sampler": "sampler", "reduction": "reduction"}),
    "alkit.samplers:Deterministic": ("sampler", {}),
    "alkit:Dropout": ("sampler", {}),
    "alkit.samplers:Members": ("sampler", {}),
    "alkit:Reconstruction": ("feature extractor", {"network": "network", "deformation": "deformation"}),
    "alkit.features:Pretrained": ("feature extractor", {}),
    "alkit.features:Deformation": ("deformation", {}),
    "alkit.features:Embeddings": ("feature extractor", {}),
    "alkit.features:OfLearner": ("feature extractor", {}),
    "alkit.evaluation:PerGroup": ("metric", {"metric": "metric"}),
    "alkit.evaluation:SurfaceDice": ("metric", {}),
    "alkit:LabelSpec": ("label specification", {}),
    "alkit.record:Terms": ("set of terms", {"join": "join rule"}),
}
"""Dataclasses of alkit by address: the role of each, and the roles of its parameters that are not plain data."""
