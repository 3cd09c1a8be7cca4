from .colours import CLASS_COLOURS as CLASS_COLOURS
from .colours import LINE_COLOURS as LINE_COLOURS
from .overlay import overlay as overlay
from .sheets import contact_sheet as contact_sheet
