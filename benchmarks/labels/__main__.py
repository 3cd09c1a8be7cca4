"""Start the benchmark: ``python -m benchmarks.labels``."""

import time
from functools import partial

if __name__ == "__main__":
    STARTED = time.time()  # before the imports of torch, which count in the limit

    from benchmarks.labels.command import main
    from benchmarks.terminal import start

    start(partial(main, started=STARTED))
