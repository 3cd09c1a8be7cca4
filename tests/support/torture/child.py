"""Functions that run in a forked child, which may be killed or meet errors of the file system."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit.errors import AlkitError

from . import shim


@dataclass
class Outcome:
    """What became of a child.

    Parameters
    ----------
    end:
        ``done``, ``refused`` (an :class:`AlkitError`), ``raw`` (another error) or ``killed``.
    value:
        What the function returned, or the text of the error.
    said:
        What the function acknowledged before its end, by `say`.
    """

    end: str
    value: Any = None
    said: list[Any] = field(default_factory=list)


Say = Callable[[Any], None]


def run(
    function: Callable[..., Any],
    *arguments: Any,
    folder: Path,
    fault: shim.Fault | None = None,
    kill_after: float | None = None,
    log: bool = False,
) -> Outcome:
    """Run ``function(*arguments, say)`` in a child, let a fault happen or kill it after some seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _run_and_leave(function, arguments, writing, folder, fault or shim.Fault(), log)
    os.close(writing)
    received = bytearray()
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while True:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([reading], [], [], patience)[0]:
            os.kill(child, signal.SIGKILL)
            deadline = None
        elif piece := os.read(reading, 1 << 20):
            received += piece
        else:
            break
    os.close(reading)
    _, status = os.waitpid(child, 0)
    words = _split(bytes(received))
    last = words[-1] if words and words[-1][0] != "said" else None
    said = [value for kind, value in words if kind == "said"]
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            return Outcome("raw", f"the process died of signal {os.WTERMSIG(status)}", said)
        return Outcome("killed", None, said)
    if last is None:
        return Outcome("raw", f"the process left with {os.WEXITSTATUS(status)} and without a word", said)
    return Outcome(last[0], last[1], said)


def _run_and_leave(
    function: Callable[..., Any], arguments: tuple[Any, ...], writing: int, folder: Path, fault: shim.Fault, log: bool
) -> None:
    def tell(kind: str, value: Any) -> None:
        content = pickle.dumps((kind, value))
        message = len(content).to_bytes(8, "little") + content
        while message:
            message = message[os.write(writing, message) :]

    try:
        gc.disable()  # it would copy the memory of the parent
        shim.arm(folder, fault, log)
        value = function(*arguments, lambda word: tell("said", word))
        shim.disarm()
        tell("done", value)
    except AlkitError as reason:
        shim.disarm()
        tell("refused", f"{type(reason).__name__}: {reason}")
    except BaseException:
        shim.disarm()
        tell("raw", traceback.format_exc())
    finally:
        os._exit(0)


def _split(received: bytes) -> list[tuple[str, Any]]:
    words, at = [], 0
    while at + 8 <= len(received):
        size = int.from_bytes(received[at : at + 8], "little")
        if at + 8 + size > len(received):
            break
        words.append(pickle.loads(received[at + 8 : at + 8 + size]))
        at += 8 + size
    return words
