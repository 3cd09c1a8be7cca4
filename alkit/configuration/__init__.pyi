from .addresses import address_of as address_of
from .addresses import to_former as to_former
from .addresses import to_present as to_present
from .forms import build as build
from .forms import differences as differences
from .forms import opaque_parts as opaque_parts
from .forms import runtime as runtime
from .forms import written_form as written_form
