from .clustering import kmeans as kmeans
from .deformation import Deformation as Deformation
from .duplicates import find_duplicates as find_duplicates
from .reconstruction import FittedReconstruction as FittedReconstruction
from .reconstruction import Reconstruction as Reconstruction
