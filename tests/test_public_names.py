"""The public face: what ``import alkit`` offers, and what it costs."""

import json
import subprocess
import sys

import alkit

NAMES = """
Advice AlkitError Answer ArrayPool ClassificationLearner Clusters ColdStartError ConfigurationError ConflictError
DataError DatasetPool Deformation Deterministic Dropout DuplicatesLast Ensemble EstimatorLearner Experiment
FeatureExtractor Filter FittedExtractor FolderOracle FromFunction ImageError ImagePool Invalid LabelError LabelOracle
LabelSpec LabelStudioOracle Labelled Learner MaskOracle Members MissingDependencyError Mix Oracle OracleError PerCluster
Pool Posterior Predictions Predictor Progress Query QueryError Ranking Receipt Reconstruction Recorded ResumeError
RoundResult SKIP Sampler SegmentationLearner Selection SelectionError Skip SmpNetwork Standing State Stochastic
StoppingRule StoreBusyError StoreError Strategy Stream Then TrainedModel UNet Uncertainty UnknownNameError View
Withdrawal cluster_order export_model kmeans largest_remainder learning_curves predict_folder repair scores stands_for
statistics stopping_advice stopping_rule stopping_rules strategies strategy synthetic top_k trained_model
""".split()


def test_the_public_names_are_these():
    assert sorted(alkit.__all__) == sorted(NAMES)


def test_every_public_name_can_be_had_and_has_a_docstring():
    for name in NAMES:
        assert getattr(alkit, name).__doc__, name


def imported_by(code):
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(json.loads(said.splitlines()[-1]))


def test_importing_alkit_and_its_command_line_imports_nothing_heavy():
    heavy = {"torch", "numpy", "sqlalchemy", "faiss", "sklearn", "matplotlib", "lightning_fabric"}
    assert not imported_by("import alkit") & heavy
    assert not imported_by("import alkit.cli") & heavy


def test_strategies_by_name_need_no_torch():
    assert "torch" not in imported_by("import alkit; alkit.strategies(); alkit.strategy('random')")
