"""Check that committed rows agree with each other.

The configuration hash does not cover the code. But some runs of a seed must agree to the last digit: round 0 within
each group of :data:`~benchmarks.isic2017.protocol.ONE_START`, and the images that SSL-cluster chooses, which do not
depend on the network. Runs that should agree and do not come from code or arithmetic that computes differently. Their
differences are not differences between methods, and they must be measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.isic2017.protocol import ONE_START
from benchmarks.isic2017.results import OTHER_ROWS, Chosen, Row, read_choices, read_other_rows, read_rows


def disagreements(out: Path) -> list[str]:
    """Return a sentence for each contradiction in a results folder."""
    other = [f"{OTHER_ROWS}: {text}" for text in _different_starts(read_other_rows(out))]
    return [*_different_starts(read_rows(out)), *other, *_different_choices(read_choices(out))]


def _different_starts(measured: Sequence[Row]) -> Iterator[str]:
    starts: dict[tuple[str, str, int, int], dict[str, float]] = {}
    for row in measured:
        for group, methods in enumerate(ONE_START):
            if row.method in methods and not row.round and not row.variant.startswith("full"):
                starts.setdefault((row.weights, row.variant, row.seed, group), {})[row.method] = row.dice
    for (weights, variant, seed, _), dice in starts.items():
        if len(set(dice.values())) > 1:
            arm = " ".join(part for part in (weights, variant, f"seed {seed}") if part)
            yield f"{arm}: same networks and same start set, but different Dice in round 0: {dice}"


def _different_choices(chosen: Sequence[Chosen]) -> Iterator[str]:
    by_features: dict[tuple[str, int, int], dict[str, str]] = {}
    for choice in chosen:
        if choice.method == "ssl-cluster":
            features = choice.variant if choice.variant.startswith("k") else ""
            arm = " ".join(part for part in (choice.weights, choice.variant) if part)
            by_features.setdefault((features, choice.seed, choice.round), {})[arm] = choice.ids
    different: dict[tuple[str, int], set[str]] = {}
    for (features, seed, _), ids in by_features.items():
        if len(set(ids.values())) > 1:
            different.setdefault((features, seed), set()).update(ids)
    for (_, seed), arms in different.items():
        yield f"seed {seed}: SSL-cluster chose different images from the same features: {', '.join(sorted(arms))}"
