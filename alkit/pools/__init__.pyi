from .arrays import ArrayPool as ArrayPool
from .base import PoolBase as PoolBase
from .base import Subset as Subset
from .datasets import DatasetPool as DatasetPool
from .digests import digest as digest
from .folder import ImagePool as ImagePool
from .scaling import Scale as Scale
from .sizes import mask_sizes as mask_sizes
