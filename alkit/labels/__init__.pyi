from .joining import majority as majority
from .joining import one as one
from .joining import staple as staple
