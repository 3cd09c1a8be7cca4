"""Labels that nobody asked for, such as those of an earlier project: what their answers need beside the labels.

Such an answer has no query. Its source says where it comes from, and the pool says which sizes its mask may have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from alkit.errors import ConfigurationError, ConflictError, one_line
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool
from alkit.record.states import Recorded, latest
from alkit.values.label_spec import Size

LONGEST = 200
"""Greatest number of characters of a source."""

TOLD = "told"
"""The source of labels if none is given."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """The source of labels that nobody asked for.

    Parameters
    ----------
    source:
        Where the labels come from, in one line.
    sizes:
        By id the sizes that a mask of an image may have. Other images are not in the pool.
    """

    source: str
    sizes: Mapping[str, tuple[Size, ...]]

    def of(self, id: str) -> tuple[Size, ...]:
        """Return the sizes that a mask of an image may have; empty if it is not in the pool."""
        return self.sizes.get(id, ()) if isinstance(id, str) else ()


def unasked_labels(source: str, pool: Pool, ids: Iterable[object], known: Collection[str]) -> Unasked:
    """Return what the answers to some images of a pool need.

    Parameters
    ----------
    source:
        Where the labels come from; empty if that is unknown.
    ids:
        Ids of the labels; those that are not in the pool are left out.
    known:
        All ids of the pool.

    Raises
    ------
    ConfigurationError
        `source` is not text in one line.
    """
    if one_line(source, LONGEST) != source:
        raise ConfigurationError(
            f"source must be text in one line of at most {LONGEST} characters", got=one_line(ascii(source), LONGEST)
        )
    there = [id for id in dict.fromkeys(ids) if isinstance(id, str) and id in known]
    return Unasked(source.strip() or TOLD, dict(zip(there, mask_sizes(pool, there), strict=True)))


def check_unasked(id: str, answers: Iterable[Recorded]) -> None:
    """Raise a :class:`ConflictError` if an image has a label that was asked for: another one must not join it silently.

    Parameters
    ----------
    answers:
        All answers to the image.
    """
    own = latest(answers).get(id, {})
    names = [name for name, answer in sorted(own.items()) if answer.counts and not answer.source]
    if names:
        whose = f" of {', '.join(map(repr, filter(None, names)))}" if any(names) else ""
        raise ConflictError(
            f"{id!r} was asked for and has an answer{whose} already",
            got="a different label that nobody asked for",
            hint="tell(..., revise=True), which records it too",
        )
