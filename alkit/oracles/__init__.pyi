from .folder.oracle import FolderOracle as FolderOracle
from .labels import LabelOracle as LabelOracle
from .labelstudio.oracle import LabelStudioOracle as LabelStudioOracle
from .simulated import MaskOracle as MaskOracle
