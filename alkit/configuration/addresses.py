"""Addresses of classes and functions: how a record names them.

A class of alkit has its public name as its address, such as ``alkit:ImagePool`` or ``alkit.strategies:Then``, so a
record survives a move of the module. Everything else has its module and qualified name.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

FORMER = {
    "alkit.clustering:Clusters": "alkit.values:Clusters",
    "alkit.clustering:kmeans": "alkit.features:kmeans",
    "alkit.compose:DuplicatesLast": "alkit.strategies:DuplicatesLast",
    "alkit.compose:Filter": "alkit.strategies:Filter",
    "alkit.compose:FromFunction": "alkit.strategies:FromFunction",
    "alkit.compose:Mix": "alkit.strategies:Mix",
    "alkit.compose:PerCluster": "alkit.strategies:PerCluster",
    "alkit.compose:Ranking": "alkit.strategies:Ranking",
    "alkit.compose:Stochastic": "alkit.strategies:Stochastic",
    "alkit.compose:Then": "alkit.strategies:Then",
    "alkit.compose:Uncertainty": "alkit.strategies:Uncertainty",
    "alkit.compose:as_strategy": "alkit.strategies:as_strategy",
    "alkit.deform:Deformation": "alkit.features:Deformation",
    "alkit.draws:Deterministic": "alkit.samplers:Deterministic",
    "alkit.draws:Dropout": "alkit:Dropout",
    "alkit.draws:Members": "alkit.samplers:Members",
    "alkit.duplicates:originals": "alkit.features:find_duplicates",
    "alkit.errors:AlkitError": "alkit:AlkitError",
    "alkit.experiment:Experiment": "alkit:Experiment",
    "alkit.export:export_model": "alkit:export_model",
    "alkit.joining:majority": "alkit.labels:majority",
    "alkit.joining:one": "alkit.labels:one",
    "alkit.joining:staple": "alkit.labels:staple",
    "alkit.learners.classification:ClassificationLearner": "alkit:ClassificationLearner",
    "alkit.learners.ensemble:Ensemble": "alkit:Ensemble",
    "alkit.learners.estimators:EstimatorLearner": "alkit:EstimatorLearner",
    "alkit.learners.segmentation:SegmentationLearner": "alkit:SegmentationLearner",
    "alkit.networks:UNet": "alkit:UNet",
    "alkit.oracles.folder:FolderOracle": "alkit:FolderOracle",
    "alkit.oracles.labels:LabelOracle": "alkit:LabelOracle",
    "alkit.oracles.labelstudio:LabelStudioOracle": "alkit:LabelStudioOracle",
    "alkit.oracles.masks:MaskOracle": "alkit:MaskOracle",
    "alkit.plugins:strategy": "alkit:strategy",
    "alkit.pools:ArrayPool": "alkit:ArrayPool",
    "alkit.pools:DatasetPool": "alkit:DatasetPool",
    "alkit.pools:ImagePool": "alkit:ImagePool",
    "alkit.pools:Some": "alkit.pools:Subset",
    "alkit.prediction:predict_folder": "alkit:predict_folder",
    "alkit.pretext:FittedReconstruction": "alkit.features:FittedReconstruction",
    "alkit.pretext:Reconstruction": "alkit:Reconstruction",
    "alkit.protocols:View": "alkit:View",
    "alkit.report.curves:learning_curves": "alkit.report:learning_curves",
    "alkit.selection:cluster_order": "alkit.strategies:cluster_order",
    "alkit.selection:largest_remainder": "alkit.strategies:largest_remainder",
    "alkit.selection:stands_for": "alkit.strategies:stands_for",
    "alkit.selection:top_k": "alkit.strategies:top_k",
    "alkit.settings:Terms": "alkit.record:Terms",
    "alkit.smp:SmpNetwork": "alkit.networks:SmpNetwork",
    "alkit.states:Recorded": "alkit.record:Recorded",
    "alkit.states:Standing": "alkit.record:Standing",
    "alkit.store:Store": "alkit.record:Store",
    "alkit.strategy_file:read_strategy": "alkit.strategies:read_strategy",
    "alkit.trained:trained_model": "alkit:trained_model",
    "alkit.types:Answer": "alkit:Answer",
    "alkit.types:Invalid": "alkit.values:Invalid",
    "alkit.types:LabelSpec": "alkit:LabelSpec",
    "alkit.types:Predictions": "alkit:Predictions",
    "alkit.types:Progress": "alkit.values:Progress",
    "alkit.types:Query": "alkit:Query",
    "alkit.types:Receipt": "alkit.values:Receipt",
    "alkit.types:RoundResult": "alkit:RoundResult",
    "alkit.types:Selection": "alkit:Selection",
    "alkit.types:Skip": "alkit.values:Skip",
    "alkit.types:State": "alkit.values:State",
    "alkit.types:Withdrawal": "alkit.values:Withdrawal",
    "alkit.types:quiet": "alkit.values:quiet",
}
"""Present addresses by the addresses in records of schema 3 and earlier."""


def address_of(thing: Any) -> str:
    """Return the address of a class or function.

    >>> from alkit.values.label_spec import LabelSpec
    >>> address_of(LabelSpec), address_of(len)
    ('alkit:LabelSpec', 'builtins:len')
    """
    if inspect.ismethod(thing) and isinstance(thing.__self__, type):  # a subclass may inherit it
        return f"{address_of(thing.__self__)}.{thing.__name__}"
    module = str(getattr(thing, "__module__", "?"))
    name = str(getattr(thing, "__qualname__", type(thing).__qualname__))
    return f"{_public_module(module, name)}:{name}"


def _public_module(module: str, name: str) -> str:
    """Return the shortest package of alkit that exports the first part of `name`, else `module`."""
    parts, first = module.split("."), name.partition(".")[0]
    if parts[0] != "alkit" or module not in sys.modules:
        return module
    own = getattr(sys.modules[module], first, None)
    for length in range(1, len(parts)):
        package = sys.modules[".".join(parts[:length])]
        if first in getattr(package, "__all__", ()) and getattr(package, first) is own:
            return package.__name__
    return module
