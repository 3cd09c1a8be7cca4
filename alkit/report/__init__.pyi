from .curves import learning_curves as learning_curves
from .progress import progress_bar as progress_bar
