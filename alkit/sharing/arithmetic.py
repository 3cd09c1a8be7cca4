"""Settings and machines that change the last bits of results, and sometimes more."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from alkit.rng import threads

CUDNN = ("allow_tf32", "benchmark", "deterministic")
"""Settings of ``torch.backends.cudnn``."""


@dataclass(frozen=True)
class Arithmetic:
    """Settings of torch and of the linear algebra, and the process that has them.

    Parameters
    ----------
    threads, blas:
        Numbers of threads of torch and of the linear algebra. None: it is not loaded.
    precision:
        Precision of torch's products of matrices. None: torch is not loaded.
    cudnn:
        Settings of cuDNN.
    deterministic:
        Whether torch uses deterministic algorithms only.
    """

    threads: int | None
    blas: int | None
    precision: str | None
    cudnn: tuple[tuple[str, bool], ...] = ()
    deterministic: bool = False
    process: tuple[str, int] = field(default_factory=lambda: (socket.gethostname(), os.getpid()))

    @classmethod
    def of_this_process(cls) -> Arithmetic:
        """Return the settings of this process."""
        from threadpoolctl import threadpool_info

        blas = max([info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"], default=None)
        torch = sys.modules.get("torch")
        if torch is None:
            return cls(None, blas, None)
        cudnn = tuple((name, bool(getattr(torch.backends.cudnn, name))) for name in CUDNN)
        precision = torch.get_float32_matmul_precision()
        return cls(torch.get_num_threads(), blas, precision, cudnn, torch.are_deterministic_algorithms_enabled())

    @property
    def is_own(self) -> bool:
        """Whether this is the process that asked."""
        return self.process == (socket.gethostname(), os.getpid())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute with these settings inside a ``with`` block."""
        from threadpoolctl import threadpool_limits

        with ExitStack() as stack:
            if self.blas is not None and not self.is_own:
                stack.enter_context(threadpool_limits(self.blas, "blas"))
            if self.threads is not None:
                stack.enter_context(threads(self.threads))
                if not self.is_own:
                    self._set(stack)
            yield

    def _set(self, stack: ExitStack) -> None:
        """Set what torch computes by, and set it back at the end of the stack."""
        import torch

        now = Arithmetic.of_this_process()
        if now.precision != self.precision:
            torch.set_float32_matmul_precision(str(self.precision))
            stack.callback(torch.set_float32_matmul_precision, str(now.precision))
        if now.deterministic != self.deterministic:
            torch.use_deterministic_algorithms(self.deterministic)
            stack.callback(torch.use_deterministic_algorithms, now.deterministic)
        for (name, value), (_, before) in zip(self.cudnn, now.cudnn, strict=True):
            if before != value:
                setattr(torch.backends.cudnn, name, value)
                stack.callback(setattr, torch.backends.cudnn, name, before)

    def named(self) -> list[Any]:
        """Return the settings as values of JSON."""
        return [self.threads, self.blas, self.precision, list(self.cudnn), self.deterministic]


def machine(devices: Sequence[str] = ()) -> list[Any]:
    """Return the kind of this machine, as values of JSON: processors and GPUs of one kind give equal results.

    Parameters
    ----------
    devices:
        Kinds of devices that are used. The names of GPUs are asked for only if they may be, because that starts CUDA.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return [platform.machine()]
    found = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    if {"auto", "cuda"} & set(devices) and torch.cuda.is_available():
        found += sorted({torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())})
    return found


def runtime_values(thing: object) -> list[Any]:
    """Return what a learner, and those inside it, say about where and how they compute, which no written form has.

    >>> from alkit import Ensemble, SegmentationLearner
    >>> runtime_values(Ensemble(SegmentationLearner(device="cpu"), members=2))[:2]
    [['cpu'], ['compile', False]]
    """
    found = list(_runtime_values(thing))
    return [*found, machine([kind for own in found for kind in own if isinstance(kind, str)])] if found else []


def _runtime_values(thing: object) -> Iterator[list[Any]]:
    if not is_dataclass(thing) or isinstance(thing, type):
        return
    for entry in fields(thing):
        value = getattr(thing, entry.name, None)
        if entry.name == "compile":
            yield ["compile", bool(value)]
        elif entry.name in ("device", "devices"):
            yield kinds([value] if isinstance(value, str) else value or ())
        else:
            yield from _runtime_values(value)


def kinds(devices: Sequence[str]) -> list[str]:
    """Return the kinds of some devices: those of one kind give equal results.

    >>> kinds(["cuda:1", "cuda:0"])
    ['cuda']
    """
    return sorted({str(device).partition(":")[0] for device in devices})
