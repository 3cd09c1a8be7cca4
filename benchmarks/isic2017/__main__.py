"""Start the ISIC 2017 benchmark: ``python -m benchmarks.isic2017``."""

from benchmarks.isic2017.command import main
from benchmarks.terminal import start

if __name__ == "__main__":
    start(main)
