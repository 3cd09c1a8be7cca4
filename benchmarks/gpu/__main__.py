"""Start the measurements of a GPU: ``python -m benchmarks.gpu``."""

import time
from functools import partial

if __name__ == "__main__":
    STARTED = time.monotonic()  # before the imports of torch, which count in the limit

    from benchmarks.gpu.command import main
    from benchmarks.terminal import start

    start(partial(main, started=STARTED))
