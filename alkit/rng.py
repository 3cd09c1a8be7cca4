"""One seed, many named streams.

Every use of chance names what it is for, such as ``("round", 3, "select")``. The stream behind a name depends on
the seed and the name alone, never on what was drawn before: a run that is resumed, reordered or spread over
processes draws the same numbers.

What torch offers only through its global generators runs inside :func:`seed_torch`, which leaves them as found.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Name = str | int


@dataclass(frozen=True, slots=True)
class Stream:
    """A named source of chance: a seed and a path of names below it.

    Examples
    --------
    >>> root = Stream(0)
    >>> a = root.child("round", 3, "select").numpy().integers(1000)
    >>> _ = root.child("round", 2, "select").numpy().integers(1000)  # other streams change nothing
    >>> bool(a == root.child("round", 3).child("select").numpy().integers(1000))
    True
    """

    seed: int
    path: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        # Plain numbers, so that numpy's give the same stream: the names are hashed as they are printed.
        plain = (name if isinstance(name, str) else operator.index(name) for name in self.path)
        object.__setattr__(self, "path", tuple(plain))
        object.__setattr__(self, "seed", operator.index(self.seed))

    @classmethod
    def from_rng(cls, rng: np.random.Generator) -> Stream:
        """Return a root whose seed is drawn from `rng`: one number is taken, whatever is built on it."""
        return cls(int(rng.integers(2**63)))

    def child(self, *names: Name) -> Stream:
        """Return the stream of these names below this one."""
        return Stream(self.seed, self.path + names)

    def integer(self) -> int:
        """Return this stream's own seed, in [0, 2**63), for a generator of any library."""
        digest = hashlib.sha256(repr((self.seed, self.path)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def numpy(self) -> np.random.Generator:
        """Return a fresh numpy generator at the start of this stream."""
        return np.random.default_rng(self.integer())

    def torch(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a fresh torch generator at the start of this stream, on `device`."""
        import torch

        return torch.Generator(device).manual_seed(self.integer())


@contextmanager
def seed_torch(stream: Stream) -> Iterator[None]:
    """Seed torch's global generators, CPU and GPU, from `stream` inside the block; afterwards they are as found.

    For what torch draws from nowhere else: the initial weights of a layer and the masks of dropout.

    >>> import torch
    >>> before = torch.random.get_rng_state()
    >>> with seed_torch(Stream(0).child("initial weights")):
    ...     layer = torch.nn.Linear(2, 2)
    >>> bool((before == torch.random.get_rng_state()).all())
    True
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(stream.integer())
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on `count` threads inside the block: sums depend on their number in the last bits."""
    import torch

    found = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(found)
