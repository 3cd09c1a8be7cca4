"""Start the ISIC 2017 benchmark by its first path; the code is in the package of the same name.

``python benchmarks/isic2017.py`` takes the options of ``python -m benchmarks.isic2017``, from any folder. The package
takes precedence over this file on import.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.isic2017.command import main
    from benchmarks.terminal import start

    start(main)
