from .curves import draw_curves as draw_curves
from .curves import learning_curves as learning_curves
from .page import Picture as Picture
from .page import Section as Section
from .page import Table as Table
from .page import write_page as write_page
from .progress import progress_bar as progress_bar
