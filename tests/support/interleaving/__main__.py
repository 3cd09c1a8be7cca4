"""Run pairs of steps, print how far it is, and write what was counted and found as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

from memory import memory_folder
from torture import light

LIGHT = "--light" in sys.argv
if LIGHT:
    light.stand_in()

import torch  # noqa: E402

from . import pairs, parts, points, steps, worlds  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="interleaving", description=__doc__)
    parser.add_argument("--scenes", default=",".join(worlds.SCENES))
    parser.add_argument("--first", default="", help="names of steps, with semicolons; NAME* for a beginning")
    parser.add_argument("--second", default="")
    parser.add_argument("--either", default="", help="steps of which one must be in the pair")
    parser.add_argument("--every", type=int, default=1, help="interrupt at one point of so many")
    parser.add_argument("--at", type=int, help="interrupt at this point only")
    parser.add_argument("--number", type=int, help="most pairs of a scene, which are drawn")
    parser.add_argument("--elsewhere", action="store_true", help="labels and models in another folder")
    parser.add_argument("--skip", type=int, default=0, help="pairs of a scene to leave out, from the first")
    parser.add_argument("--seed", type=int, default=0, help="order of the pairs")
    parser.add_argument("--share", default="0/1", help="2/3: the last of three processes that share the work")
    parser.add_argument("--out", type=Path, help="file for the results")
    parser.add_argument("--log", type=Path, help="file to which each fault is written as soon as it is found")
    parser.add_argument("--light", action="store_true", help="without torch, for pairs that measure nothing")
    parser.add_argument("--count", action="store_true", help="only count the pairs and their points")
    parser.add_argument("--list", action="store_true", help="print the steps and their points")
    given = parser.parse_args()
    number, _, of = given.share.partition("/")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if LIGHT:
        light.preload()
    else:
        torch.set_num_threads(1)
    light.trust_schemas()
    begun, cpu = time.monotonic(), sum(os.times()[:4])
    tally = pairs.Tally(log=given.log)
    with tempfile.TemporaryDirectory(prefix="interleaving-", dir=memory_folder()) as place:
        folder = Path(place)
        register(folder / "plugin")
        points.install()
        parts.reached[0] = points.points.reach
        points.points.folders = (str(folder / "root"),)
        chosen = [name for name in given.scenes.split(",") if name]
        last = time.monotonic()
        for name in chosen:
            scene = worlds.build(name, folder, elsewhere=given.elsewhere)
            words = [[word for word in text.split(";") if word] for text in (given.first, given.second, given.either)]
            firsts, seconds = pairs.names_of(scene, words[0]), pairs.names_of(scene, words[1])
            either = set(pairs.names_of(scene, words[2]))
            if given.list:
                _list(scene, firsts)
                continue
            every = [(one, two) for one in firsts for two in seconds if {one, two} & either]
            random.Random(given.seed).shuffle(every)
            every, trials = every[: given.number], pairs.Trials(scene, tally)
            for place_of, (one, two) in enumerate(every):
                if place_of < given.skip or place_of % int(of) != int(number):
                    continue
                trial = pairs.Trial(trials, one, two)
                if given.count:
                    trial.count()
                    continue
                trial.run(given.every, given.at, place_of)
                if time.monotonic() - last > 30:
                    last = time.monotonic()
                    print(
                        f"{name}: {place_of} of {len(every)} after {last - begun:.0f} s, {len(tally.wrong)} wrong",
                        file=sys.stderr,
                        flush=True,
                    )
    result = {"counts": dict(tally.counts), "wrong": tally.wrong}
    result |= {"seconds": round(time.monotonic() - begun, 1), "cpu_seconds": round(sum(os.times()[:4]) - cpu, 1)}
    text = json.dumps(result, indent=1)
    if given.out:
        given.out.write_text(text)
    elif not given.list:
        print(text)
    sys.stdout.flush()
    os._exit(0)  # without the complaints of libraries at their end


def _list(scene: worlds.Scene, names: list[str]) -> None:
    for name in names:
        scene.restore()
        begun = time.monotonic()
        with points.points.armed() as seen:
            end = pairs.take(scene, steps.STEPS[name])
        print(f"{scene.name} {name}: {len(seen)} points, {time.monotonic() - begun:.3f} s: {end[:150]}", flush=True)


def register(folder: Path) -> None:
    """Write the metadata of a plugin with the parts into a folder, and put it on the path."""
    metadata = folder / "interleaving_parts-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: interleaving-parts\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(parts.ENTRY_POINTS)
    sys.path.insert(0, str(folder))


if __name__ == "__main__":
    main()
