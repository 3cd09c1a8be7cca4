from .classification import ClassificationLearner as ClassificationLearner
from .ensemble import Ensemble as Ensemble
from .ensemble import EnsemblePredictor as EnsemblePredictor
from .estimators import EstimatorLearner as EstimatorLearner
from .estimators import EstimatorPredictor as EstimatorPredictor
from .network import NetworkPredictor as NetworkPredictor
from .segmentation import SegmentationLearner as SegmentationLearner
