from .arrays import ArrayPool as ArrayPool
from .base import PoolBase as PoolBase
from .base import Some as Some
from .base import Subset as Subset
from .base import digest as digest
from .datasets import DatasetPool as DatasetPool
from .folder import ImagePool as ImagePool
from .scaling import Scale as Scale
