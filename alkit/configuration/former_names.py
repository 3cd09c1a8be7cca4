"""Names that were at the top level in version 0.1 and are now in a namespace; the next release removes them."""

from __future__ import annotations

NAMESPACES = {
    "errors": (
        "ColdStartError ConfigurationError ConflictError DataError ImageError LabelError MissingDependencyError "
        "OracleError QueryError ResumeError SelectionError StoreBusyError StoreError UnknownNameError"
    ),
    "features": "Deformation kmeans",
    "networks": "SmpNetwork",
    "protocols": ("FeatureExtractor FittedExtractor Labelled Learner Oracle Pool Posterior Predictor Sampler Strategy"),
    "record": "Recorded Standing",
    "report": "learning_curves",
    "rng": "Stream",
    "samplers": "Deterministic Members",
    "stopping": "Advice StoppingRule stopping_advice",
    "strategies": (
        "DuplicatesLast Filter FromFunction Mix PerCluster Ranking Stochastic Then Uncertainty cluster_order "
        "largest_remainder stands_for top_k"
    ),
    "trained": "TrainedModel",
    "values": "Clusters Invalid Progress Receipt Skip State Withdrawal",
}

FORMER = {
    **{name: f"alkit.{namespace}.{name}" for namespace, names in NAMESPACES.items() for name in names.split()},
    "repair": "alkit.record.repair",
    "stopping_rule": "alkit.stopping.rule",
    "stopping_rules": "alkit.stopping.installed",
}
"""By the former name under ``alkit`` the present one."""
