from .export import export_model as export_model
from .folder import predict_folder as predict_folder
from .model import TrainedModel as TrainedModel
from .model import trained_model as trained_model
