from .factory import NetworkFactory as NetworkFactory
from .factory import dropout_layer as dropout_layer
from .factory import make_network as make_network
from .heads import DEEP_SUPERVISION as DEEP_SUPERVISION
from .heads import Heads as Heads
from .smp import SmpNetwork as SmpNetwork
from .unet import UNet as UNet
