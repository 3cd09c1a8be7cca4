from .framing import to_original as to_original
from .framing import to_working as to_working
from .joining import majority as majority
from .joining import one as one
from .joining import staple as staple
from .masks import read_mask as read_mask
from .masks import resize_mask as resize_mask
