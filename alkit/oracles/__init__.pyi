from .folder.oracle import FolderOracle as FolderOracle
from .labelstudio.oracle import LabelStudioOracle as LabelStudioOracle
from .simulated import LabelOracle as LabelOracle
from .simulated import MaskOracle as MaskOracle
from .tile_masks import TileMasks as TileMasks
