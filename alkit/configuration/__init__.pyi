from .addresses import address_of as address_of
from .addresses import former as former
from .addresses import present as present
from .forms import built as built
from .forms import differences as differences
from .forms import opaque_parts as opaque_parts
from .forms import runtime as runtime
from .forms import written as written
