"""Start the measurements of a GPU: ``python -m benchmarks.gpu``."""

from benchmarks.gpu.command import main
from benchmarks.terminal import start

if __name__ == "__main__":
    start(main)
