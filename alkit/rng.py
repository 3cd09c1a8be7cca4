"""Named random streams: one seed, and one independent stream of random numbers for each purpose.

Each use of randomness has a name, such as ``("round", 3, "select")``. A stream depends only on the seed and its name,
not on what other streams have drawn. So a run draws the same numbers if it is resumed, reordered or spread over
processes.

Some operations of torch draw from its global generators only. They run inside :func:`seed_torch`, which restores the
generators afterwards.
"""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit._turn import Turn
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

Name = str | int


@checked
@dataclass(frozen=True, slots=True)
class Stream:
    """A named random stream: a seed and a path of names.

    Parameters
    ----------
    seed:
        Any integer.
    path:
        Names of the stream, strings or integers. Streams with different paths are independent of each other.

    Raises
    ------
    TypeError
        `seed`, or a name that is not a string, is not an integer.

    Examples
    --------
    >>> root = Stream(0)
    >>> a = root.child("round", 3, "select").numpy().integers(1000)
    >>> _ = root.child("round", 2, "select").numpy().integers(1000)  # another stream changes nothing
    >>> bool(a == root.child("round", 3).child("select").numpy().integers(1000))
    True
    """

    seed: int
    path: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        # The hash is taken of the printed names, so numpy's integers must become Python's to give the same stream.
        plain = (name if isinstance(name, str) else operator.index(name) for name in self.path)
        object.__setattr__(self, "path", tuple(plain))
        object.__setattr__(self, "seed", operator.index(self.seed))

    @classmethod
    @checked
    def from_rng(cls, rng: np.random.Generator) -> Stream:
        """Return a stream without names whose seed is one number drawn from `rng`."""
        return cls(int(rng.integers(2**63)))

    @checked
    def child(self, *names: Name) -> Stream:
        """Return the stream whose path is this stream's path followed by `names`."""
        return Stream(self.seed, self.path + names)

    def integer(self) -> int:
        """Return the seed of this stream, in [0, 2**63), for the random generator of any library."""
        digest = hashlib.sha256(repr((self.seed, self.path)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def numpy(self) -> np.random.Generator:
        """Return a new numpy generator at the start of this stream."""
        return np.random.default_rng(self.integer())

    @checked
    def torch(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a new torch generator on `device`, at the start of this stream."""
        import torch

        try:
            return torch.Generator(device).manual_seed(self.integer())
        except RuntimeError as reason:
            raise ConfigurationError(
                f"device must be one that torch can use here ({str(reason).partition(chr(10))[0]})", got=repr(device)
            ) from reason


@contextmanager
@checked
def seed_torch(stream: Stream) -> Iterator[None]:
    """Seed torch's global generators, on CPU and GPUs, inside a ``with`` block, and restore them after it.

    Initial weights of layers and dropout masks need this, because torch draws them from the global generators only.

    >>> import torch
    >>> before = torch.random.get_rng_state()
    >>> with seed_torch(Stream(0).child("initial weights")):
    ...     layer = torch.nn.Linear(2, 2)
    >>> bool((before == torch.random.get_rng_state()).all())
    True
    """
    import torch

    with keep_torch():
        torch.manual_seed(stream.integer())
        yield


_torch = Turn()


@contextmanager
def keep_torch() -> Iterator[None]:
    """Restore torch's global generators after a ``with`` block. Only one thread at a time is in such a block.

    >>> import torch
    >>> before = torch.random.get_rng_state()
    >>> with keep_torch():
    ...     number = torch.rand(1)
    >>> bool((before == torch.random.get_rng_state()).all())
    True
    """
    import torch

    with _torch(), torch.random.fork_rng():
        yield


@contextmanager
def keep_random() -> Iterator[None]:
    """Restore the global generator of :mod:`random` after a ``with`` block, such as one that imports scikit-learn.

    Its import draws from the generator.

    >>> before = random.getstate()
    >>> with keep_random():
    ...     number = random.random()
    >>> before == random.getstate()
    True
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
@checked
def threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads inside a ``with`` block.

    The number of threads changes the order of additions, and so the last bits of the results.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
