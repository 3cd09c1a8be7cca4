"""What a record was made with: declared once, and checked each time it is gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

from alkit.declare import Written, built, differences, written
from alkit.errors import ConfigurationError, ResumeError
from alkit.joining import Join, named
from alkit.pools import digest
from alkit.protocols import Pool
from alkit.rng import threads
from alkit.store import Store
from alkit.types import LabelSpec


@dataclass(frozen=True)
class Terms:
    """On which terms answers are gathered and used; see :class:`alkit.Experiment` for each."""

    annotators: int = 1
    join: str | Join = "one"
    hold_out: float = 0.0
    stop_set: int = 0

    def __post_init__(self) -> None:
        named(self.join)
        for name, least in (("annotators", 1), ("stop_set", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(
                    f"{name} cannot be this", got=repr(value), expected=f"a whole number, {least} or more"
                )
        if isinstance(self.hold_out, bool) or not isinstance(self.hold_out, int | float) or not 0 <= self.hold_out < 1:
            raise ConfigurationError("hold_out cannot be this", got=repr(self.hold_out), expected="0 <= hold_out < 1")
        object.__setattr__(self, "hold_out", float(self.hold_out))


class Settings:
    """The settings in a record.

    While nothing was asked they may still change: nothing hangs on them yet. Afterwards other settings are refused,
    and the difference is shown.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def declare(self, parts: Mapping[str, object], pool: Pool, seed: int) -> None:
        """Declare the parts of an experiment, its terms among them, or check that they are those declared before.

        Raises
        ------
        ResumeError
            They are others.
        """
        declared = {**{name: written(part) for name, part in parts.items()}, "pool": written(pool)}
        # Where a pool lies does not matter, what it shows does.
        configuration = {**declared, "pool": described(pool), "seed": seed}
        if self._store.fact("configuration") == configuration:
            return
        with self._store.exclusive():
            if not self._store.ever_asked():
                facts = {"configuration": configuration, "declared": declared, "seed": seed, "threads": _threads()}
                self._store.declare(facts, anew=True)
            self._settle("configuration", configuration)

    def schedule(self, start: int, batch: int, test: Pool | None) -> None:
        """Declare a schedule of rounds, or check that it is the one declared before."""
        with self._store.exclusive():
            if not self._store.ever_asked():
                self._store.forget("schedule")
            shown = None if test is None else described(test)
            self._settle("schedule", {"start": start, "batch": batch, "test": shown})

    def measures_on(self, test: Pool) -> bool:
        """Whether figures on `test` are those of the rounds: there is no schedule, or it has this test set or none."""
        schedule = self._store.fact("schedule")
        return schedule is None or schedule["test"] in (None, described(test))

    def adopt(self, classes: LabelSpec | Sequence[str]) -> None:
        """Declare what the labels look like, or check that it is what was declared before."""
        spec = classes if isinstance(classes, LabelSpec) else LabelSpec(cast("tuple[str, ...]", classes))
        if self._store.fact("classes") != (form := written(spec)):
            with self._store.exclusive():
                self._settle("classes", form)

    @property
    def spec(self) -> LabelSpec:
        """What the labels look like; a :class:`ConfigurationError` while nobody has said."""
        form = self._store.fact("classes")
        if form is None:
            raise ConfigurationError(
                "nobody has said yet which classes there are",
                hint='Experiment(..., classes=("background", "object"))',
            )
        return cast(LabelSpec, built(form))

    def threads(self) -> AbstractContextManager[None]:
        """Compute with the number of threads the record was begun with."""
        return threads(self._store.fact("threads"))

    def _settle(self, name: str, value: Written) -> None:
        recorded = self._store.fact(name)
        if recorded is None:
            self._store.declare({name: value})
        elif lines := differences(recorded, value):
            raise ResumeError(
                f"{self._store.path} was made with other settings ({name}): {'; '.join(lines)}",
                hint="what it was made with, or another store",
            )


def described(pool: Pool) -> Written:
    """Return how many images a pool has, of which shape, and a digest of what they show."""
    channels, height, width = pool.read(list(pool.ids)[:1]).shape[1:]
    shape = {"channels": channels, "height": height, "width": width}
    return {"images": len(pool.ids), **shape, "content": digest(pool)}


def _threads() -> int:
    import torch

    return torch.get_num_threads()
