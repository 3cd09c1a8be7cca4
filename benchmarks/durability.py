"""What the torture test did to a campaign, as a table for ``docs/explanation/durability.md``.

``ALKIT_KEEP=1 pytest -m slow tests/system/test_torture.py`` writes the rows, ``python -m benchmarks.durability`` prints
the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks import rows

RESULTS = Path(__file__).with_name("results") / "durability.csv"

CAMPAIGNS = ("Python", "commands")

DONE = {
    "calls of the campaign": "Calls that change a file, in an undisturbed campaign",
    "kill": "Killed before a call that changes a file",
    "kill in a write": "Killed in the middle of a write",
    "kill at a moment": "Killed at a random moment",
    "kill of a cold start": "Killed before such a call, from a cold start",
    "EIO": "A call fails with EIO",
    "ENOSPC": "A call fails with ENOSPC",
    "ENOSPC until space returns": "All calls that need space fail with ENOSPC until space returns",
}
"""Sentences about what was done, in the order of the table."""


def table(found: Iterable[Mapping[str, str]]) -> str:
    """Return the table in Markdown: how often each thing was done to a campaign in Python and by commands.

    >>> print(table([{"campaign": "Python", "part": "damage", "what": "mask: flip", "number": "2"}]))
    | What was done | Campaign in Python | Campaign by commands |
    |---|---:|---:|
    | Damage: mask | 2 | |
    """
    counts = {campaign: Counter[str]() for campaign in CAMPAIGNS}
    for row in found:
        what = row["what"].partition(":")[0] if row["part"] == "damage" else row["what"]
        counts[row["campaign"]][DONE.get(what, f"Damage: {what}")] += int(row["number"])
    lines = ["| What was done | Campaign in Python | Campaign by commands |", "|---|---:|---:|"]
    known = [*DONE.values(), *sorted({what for own in counts.values() for what in own if what.startswith("Damage")})]
    for what in known:
        numbers = [counts[campaign][what] for campaign in CAMPAIGNS]
        if any(numbers):
            lines.append(f"| {what} | {' | '.join(f'{number:,}' if number else '' for number in numbers)} |")
    return "\n".join(line.replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    print(table(rows.read(RESULTS)))
