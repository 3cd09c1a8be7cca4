"""Images that a record lists as left out, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alkit.pools.unusable import reason_for, repaired_in, unusable_images
from alkit.protocols import Pool

GONE = "it is missing"

REPAIRED = "it can be read again, and is not in the pool yet"
"""Reason for an image that was unusable at the start, see :attr:`alkit.Experiment.repaired`."""

LATE = "it could not be read when the rounds began, and their pool does not change"
"""Reason for such an image of a record whose rounds have a schedule."""


def left_out_now(
    pool: Pool, gone: Sequence[str], former: Mapping[str, str], offered: Sequence[str], *, scheduled: bool
) -> dict[str, str]:
    """Return the reason for each image that is left out, by its id.

    Parameters
    ----------
    pool:
        The images that are used.
    gone:
        Images of the record that the pool lacks.
    former:
        What the record listed before.
    offered:
        Images of the pool before it was restricted to those of the record.
    scheduled:
        Whether the rounds have a schedule.
    """
    own = unusable_images(pool)
    found = {**{id: reason_for(id, own, GONE) for id in gone}, **own}
    if waiting := [id for id in former if id not in found]:
        found |= dict.fromkeys(repaired_in(waiting, offered, pool.ids), LATE if scheduled else REPAIRED)
    return found
