"""Kills, failing system calls and damaged files: nothing is lost, nothing is silent, and no error is raw.

A small campaign runs through Python and by commands in processes that are killed, or whose calls fail, at counted calls
(:mod:`torture.points`), and its files are damaged (:mod:`torture.damage`). ``python -m benchmarks.durability`` makes a
table of what the slow tests find.
"""

import json
import os
from pathlib import Path

import pytest
from torture.shim import compiler
from torture.start import torture

PROCESSES = 2

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler, to disturb system calls")


def keep(campaign, part, found, seed=None):
    """Write what was found into the folder that ALKIT_TORTURE_RESULTS names, for the committed table."""
    if folder := os.environ.get("ALKIT_TORTURE_RESULTS"):
        counts = found[part]["counts"]
        if part == "points":
            counts = {"calls of the campaign": found["calls"]["in all"], **counts}
        facts = {"campaign": campaign, "part": part, "seed": seed, "counts": counts}
        facts |= {"faults": len(found[part]["faults"]), "cpu_s": round(found["cpu_seconds"])}
        (Path(folder) / f"{campaign}-{part}.json").write_text(json.dumps(facts))


def show(*parts):
    """Print what was counted and the faults, and return the faults of some parts."""
    for part in parts:
        for name, value in part.items():
            if name != "faults":
                print(f"{name}: {value}")
    faults = [fault for part in parts for fault in part["faults"]]
    print(*(f"FAULT {fault}" for fault in faults), sep="\n")
    return faults


def test_a_few_kills_failures_and_damages_lose_nothing():
    found = torture("points", "moments", "damage", "--every", 331, "--number", 8, "--seed", 7)
    assert not show(found["points"], found["moments"], found["damage"])
    assert sum(found["points"]["counts"].values()) >= 8
    assert found["moments"]["counts"]["kill at a moment"] >= 8
    assert sum(found["damage"]["counts"].values()) >= 8


@pytest.mark.slow
def test_every_call_of_a_campaign_in_python_may_kill_or_fail(capsys):
    with capsys.disabled():
        found = torture("points", processes=PROCESSES)
    points, calls = found["points"], found["calls"]
    faults = show(points)
    routine = sum(number for kind, number in points["kinds"].items() if kind.endswith("at opening"))
    others = calls["in all"] - routine
    for mode in ("kill", "EIO", "ENOSPC", "ENOSPC until space returns"):
        assert points["counts"][mode] >= others, mode
    assert {kind.partition(": ")[2] for kind in points["kinds"]} >= {
        "pwrite", "write", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "mkdir", "open",
    }  # fmt: skip
    keep("Python", "points", found)
    assert not faults


@pytest.mark.slow
def test_hundreds_of_calls_of_commands_may_kill_or_fail(capsys):
    with capsys.disabled():
        found = torture("points", "--scenario", "commands", "--every", 17, processes=PROCESSES)
    faults = show(found["points"])
    assert sum(found["points"]["counts"].values()) >= 500
    keep("commands", "points", found)
    assert not faults


@pytest.mark.slow
@pytest.mark.parametrize(("campaign", "number"), [("Python", 200), ("commands", 100)])
def test_processes_killed_at_random_moments_end_as_an_undisturbed_one(capsys, campaign, number):
    with capsys.disabled():
        found = torture("moments", "--scenario", campaign, "--number", number, "--seed", 1, processes=PROCESSES)
    faults = show(found["moments"])
    assert found["moments"]["counts"]["kill at a moment"] >= number
    keep(campaign, "moments", found, seed=1)
    assert not faults


@pytest.mark.slow
def test_commands_killed_in_cold_starts_end_as_undisturbed_ones(capsys):
    with capsys.disabled():
        found = torture("cold", "--scenario", "commands", "--number", 39, "--seed", 3)
    faults = show(found["cold"])
    assert found["cold"]["counts"]["kill of a cold start"] == 39
    keep("commands", "cold", found, seed=3)
    assert not faults


@pytest.mark.slow
def test_a_thousand_damages_are_noticed_or_change_nothing(capsys):
    with capsys.disabled():
        found = torture("damage", "--number", 1000, "--seed", 2, processes=PROCESSES)
    faults = show(found["damage"])
    kinds = {what.partition(": ")[0] for what in found["damage"]["counts"]}
    assert kinds >= {
        "database", "write-ahead log", "shared memory", "journal", "backup", "mask", "model", "clusters",
        "index of the image cache", "rows of the image cache", "exchange folder",
    }  # fmt: skip
    assert sum(found["damage"]["counts"].values()) >= 1000
    keep("Python", "damage", found, seed=2)
    assert not faults
