from .class_files import folder_classes as folder_classes
from .class_files import read_classes as read_classes
from .folder.oracle import FolderOracle as FolderOracle
from .labelstudio.oracle import LabelStudioOracle as LabelStudioOracle
from .simulated import LabelOracle as LabelOracle
from .simulated import MaskOracle as MaskOracle
from .tile_masks import TileMasks as TileMasks
