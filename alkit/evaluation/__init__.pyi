from .chosen import Metrics as Metrics
from .chosen import PerGroup as PerGroup
from .chosen import SurfaceDice as SurfaceDice
from .chosen import lower_is_better as lower_is_better
from .fitness import LEAST_DICE as LEAST_DICE
from .fitness import Losses as Losses
