from .export import export_model as export_model
from .folder import Predicted as Predicted
from .folder import predict_folder as predict_folder
from .folder import predict_images as predict_images
from .model import TrainedModel as TrainedModel
from .model import trained_model as trained_model
from .volumes import predict_volumes as predict_volumes
