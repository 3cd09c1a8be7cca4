"""What the torture test did to a campaign, as a table for ``docs/explanation/durability.md``.

::

    mkdir found
    ALKIT_TORTURE_RESULTS=found pytest -m slow tests/system/test_torture.py
    python -m benchmarks.durability found

The last command replaces the rows of the parts that were run, and prints the table.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


def rows_of(found: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return the rows of one part of the test, from the file that it wrote."""
    return [
        {
            "campaign": found["campaign"],
            "part": found["part"],
            "what": what,
            "number": number,
            "faults_of_part": found["faults"],
            "cpu_s_of_part": found["cpu_s"],
            "seed": found["seed"],
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": rows.machine(),
            "commit": rows.commit(),
        }
        for what, number in sorted(found["counts"].items())
    ]


def main(folders: Sequence[str]) -> None:
    """Replace the rows of the parts whose results are in some folders, and print the table."""
    for path in sorted(path for folder in folders for path in Path(folder).glob("*.json")):
        new = rows_of(json.loads(path.read_text()))
        part = {(row["campaign"], row["part"]) for row in new}
        rows.write(RESULTS, [*(row for row in rows.read(RESULTS) if (row["campaign"], row["part"]) not in part), *new])
    print(table(rows.read(RESULTS)))


if __name__ == "__main__":
    main(sys.argv[1:])
