"""Run a part of the torture, print how far it is, and write what was counted and found as JSON.

The process needs the library of :mod:`torture.shim` preloaded: :func:`torture.start.torture` starts it so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from memory import memory_folder

from . import light

light.stand_in()

from . import campaign, child, commands, damage, points  # noqa: E402
from .campaign import World  # noqa: E402

PARTS = ("points", "moments", "cold", "damage")


def main() -> None:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--scenario", choices=[*points.SCENARIOS], default="Python")
    parser.add_argument("--modes", default=",".join(points.MODES), help="ways to disturb a call")
    parser.add_argument("--every", type=int, default=1, help="disturb one call of so many")
    parser.add_argument("--only", help="disturb this step only")
    parser.add_argument("--number", type=int, default=1000, help="moments or damages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", default="0/1", help="2/3: the last of three processes that share the work")
    parser.add_argument("--out", type=Path, help="file for the results")
    given = parser.parse_args()
    first, _, of = given.share.partition("/")
    share = int(first), int(of)
    logging.disable(logging.WARNING)
    light.preload()
    if "damage" not in given.parts:
        light.trust_schemas()
    if given.scenario == "commands":
        commands.preload()
    begun, cpu = time.monotonic(), _cpu()
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory_folder()) as folder:
        result = _run(given, share, Path(folder))
    result |= {"seconds": round(time.monotonic() - begun, 1), "cpu_seconds": round(_cpu() - cpu, 1)}
    text = json.dumps(result, indent=1)
    if given.out:
        given.out.write_text(text)
    else:
        print(text)
    sys.stdout.flush()
    os._exit(0)  # without the complaints of libraries at their end


def _run(given: argparse.Namespace, share: tuple[int, int], folder: Path) -> dict[str, Any]:
    outside, root = folder / "outside", folder / "root"
    outside.mkdir()
    root.mkdir()
    world, scenario = World(outside, root), points.SCENARIOS[given.scenario]
    assert child.run(lambda say: campaign.draw(outside), folder=folder).end == "done"
    commands.register(folder / "plugin")
    campaign.warm_up(world, scenario.steps, scenario.live)
    tell, found = Teller(), dict[str, Any]()
    whole = points.Undisturbed(scenario, world, folder / "states")
    if {*given.parts} - {"damage"}:
        whole.play()
        names = Counter(name for own in whole.calls.values() for name, _ in own)
        found["calls"] = {"in all": names.total(), **names}
    for part in given.parts:
        tally: points.Tally | damage.Tally
        if part == "damage":
            patients = damage.patients(world, folder / "patients")
            tally = damage.run(world, patients, given.number, given.seed, share, tell)
        elif part == "points":
            tally = points.run(whole, given.modes.split(","), given.every, share, tell, given.only)
        else:
            kill = points.kill_at_moments if part == "moments" else points.kill_cold_starts
            tally = kill(whole, given.number, given.seed, share, tell)
        found[part] = vars(tally)
    return found


class Teller:
    """Prints every half minute how far the work is."""

    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()

    def __call__(self, done: int, of: int, faults: int) -> None:
        if time.monotonic() - self.last > 30:
            self.last = time.monotonic()
            print(f"{done} of {of} after {self.last - self.begun:.0f} s, {faults} faults", file=sys.stderr, flush=True)


def _cpu() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
