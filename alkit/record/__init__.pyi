from .repairing import repair as repair
from .states import Recorded as Recorded
from .states import Standing as Standing
from .store import Store as Store
from .terms import Terms as Terms
