from .classification import ClassificationLearner as ClassificationLearner
from .ensemble import Ensemble as Ensemble
from .estimators import EstimatorLearner as EstimatorLearner
from .segmentation import SegmentationLearner as SegmentationLearner
