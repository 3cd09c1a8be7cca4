"""The program ``alkit``, also ``python -m alkit``: the command line, and what happens at Ctrl-C.

Libraries that are interrupted while they are imported print tracebacks of their own or end the process, so an interrupt
during an import ends the program at once, with one line. A record is as safe as after any other sudden end.

Threads that wait for each other sleep: if the cores are busy with other work, threads that wait in a loop, the default
of OpenMP, take the time that the others need.

Processes that libraries start import nothing from the current folder, which may be that of a stranger.

The process ends without taking apart what libraries have made, which takes a second if torch was imported.
"""

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType


def main() -> None:
    """Run the command line as a program."""
    signal.signal(signal.SIGINT, stop)
    ended: list[int] = []
    atexit.register(_leave, ended)  # what is registered first is called last
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # is read when torch is imported
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        from alkit.cli import main as run

        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            ended.append(end.code or 0)
        raise
    finally:
        signal.signal(signal.SIGINT, _end)  # exit handlers of libraries print tracebacks, too


def stop(_: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or end the program if an import is running."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _leave(ended: list[int]) -> None:
    """End the process with the code of the command line, if it has ended with one."""
    with suppress(OSError, ValueError):  # the output is full or closed, which Python says in its own way
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if ended:
            os._exit(ended[0])


def _end(*_: object) -> None:
    if sys.stderr is not None:
        os.write(2, b"alkit: stopped\n")
    os._exit(130)


if __name__ == "__main__":
    main()
