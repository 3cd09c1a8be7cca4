"""Every call of the campaign that changes a file, disturbed in every way: killed, failed, and out of space."""

from __future__ import annotations

import errno
import gc
import random
import re
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit import _files
from alkit.errors import AlkitError

from . import campaign, child, commands, shim
from .campaign import Play, World
from .commands import Commands
from .shim import Action, Fault

MODES = {
    "kill": (Action.KILL, 0),
    "kill in a write": (Action.KILL_HALF, 0),
    "EIO": (Action.FAIL_ONCE, errno.EIO),
    "ENOSPC": (Action.FAIL_ONCE, errno.ENOSPC),
    "ENOSPC until space returns": (Action.FAIL_ON, errno.ENOSPC),
}
"""Ways to disturb a call."""

SAME_PROCESS = ("EIO", "ENOSPC until space returns")
"""After these errors the same process continues; after the others a new one does."""

TO_THE_END = 30
"""One of so many disturbed campaigns is led to its end; of the others, the disturbed step only is compared."""


Tell = Callable[[int, int, int], None]
Life = Play | Commands


@dataclass(frozen=True)
class Scenario:
    """A campaign, through Python or by commands.

    Parameters
    ----------
    steps:
        What is done in it, by name. Each step may be repeated.
    live:
        Called with the world; returns what the steps are called with.
    ending:
        Returns what the campaign has come to.
    """

    steps: Mapping[str, Callable[[Any], None]]
    live: Callable[[World], Life]
    ending: Callable[[World], dict[str, Any]]


SCENARIOS = {
    "Python": Scenario(campaign.STEPS, Play, campaign.ending),
    "commands": Scenario(commands.STEPS, Commands, commands.ending),
}


@dataclass
class Undisturbed:
    """The campaign as it goes without a fault: the files before each step, and the state after each."""

    scenario: Scenario
    world: World
    states: Path
    calls: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)

    def play(self) -> None:
        """Take all steps, each in a process of its own."""
        world = self.world
        for number, name in enumerate(self.scenario.steps):
            _copy(world.root, self.states / str(number))
            outcome = child.run(_take, self.scenario, self.life(number), world, name, folder=world.root, log=True)
            assert outcome.end == "done", (name, outcome)
            self.calls[name] = shim.calls()
            assert len(self.calls[name]) == shim.count(), "the log is too short"
            self.after[name] = campaign.state(world)
        self.end = self.scenario.ending(world)

    def restore(self, number: int) -> None:
        """Put the files back as they were before a step."""
        _copy(self.states / str(number), self.world.root)

    def life(self, number: int) -> Life | None:
        """Open the record before a step; None before there is one."""
        return self.scenario.live(self.world) if number else None


def _copy(old: Path, new: Path) -> None:
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(old, new, copy_function=shutil.copy2)


def _take(scenario: Scenario, life: Life | None, world: World, name: str, say: child.Say) -> None:
    """Take one step; the first is to create the record."""
    life = life or scenario.live(world)
    life.say = say
    scenario.steps[name](life)


def _fail(scenario: Scenario, world: World, name: str, fault: Fault, again: bool) -> child.Outcome:
    """Take a step in this process while a call fails; take it `again` in the same process if it was refused."""
    said: list[Any] = []
    errors: list[str] = []
    try:
        life = None if name == "create" else scenario.live(world)
        shim.arm(world.root, fault)
        for _ in range(2):
            try:
                life = life or scenario.live(world)
                life.say = said.append
                scenario.steps[name](life)
                break
            except AlkitError as reason:
                shim.disarm()  # space has returned
                if errors or not again:
                    return child.Outcome("refused", f"{type(reason).__name__}: {reason}", said)
                errors.append(f"{type(reason).__name__}: {reason}")
        return child.Outcome("done", errors, said)
    except Exception:
        return child.Outcome("raw", traceback.format_exc(), said)
    finally:
        shim.disarm()


@dataclass
class Tally:
    """What was done and what was found."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def disturb(
    whole: Undisturbed, life: Life | None, number: int, name: str, mode: str, call: int, tally: Tally, to_the_end: bool
) -> None:
    """Disturb one call of one step, and see that nothing is lost, silent or raw."""
    scenario, world, action = whole.scenario, whole.world, MODES[mode]
    whole.restore(number)
    fault_at = Fault(call, *action)
    if mode.startswith("kill"):
        outcome = child.run(_take, scenario, life, world, name, folder=world.root, fault=fault_at)
    else:
        outcome = _fail(scenario, world, name, fault_at, mode in SAME_PROCESS)
    hits, (kind, file) = shim.hits(), whole.calls[name][call - 1]
    tally.counts[mode] += 1
    tally.kinds[f"{mode}: {kind}{', at opening' if is_routine(kind, file) else ''}"] += 1
    where = f"{mode} at call {call} of {name!r} ({kind} {file})"

    def fault(text: str) -> None:
        tally.faults.append(f"{where}: {text}")

    if not hits and mode != "ENOSPC until space returns":  # the last calls may need no space
        return fault("the call did not happen")
    if outcome.end == "raw":
        return fault(f"raw error: {outcome.value}")
    if (outcome.end == "killed") != mode.startswith("kill"):
        return fault(f"{outcome.end}: {outcome.value}")
    if outcome.end == "refused" and mode in SAME_PROCESS:
        return fault(f"refused when space had returned: {outcome.value}")
    for text in [outcome.value] if outcome.end == "refused" else outcome.value or []:
        tally.messages[_plain(text, world)] += 1
    try:
        if loss := lost(world, outcome.said):
            return fault(f"lost: {loss}")
        _files._swept.clear()  # as in a new process, which looks for files of killed ones
        life = scenario.live(world)
        scenario.steps[name](life)
        compare(campaign.state(world), whole.after[name], fault)
        if to_the_end:
            for step in list(scenario.steps)[number + 1 :]:
                scenario.steps[step](life)
            compare(scenario.ending(world), whole.end, fault)
            left = [str(path) for path in world.root.rglob(".writing-*")]
            if left := [path for path in left if ".backups/" not in path]:  # the next backup deletes its own
                fault(f"temporary files are left: {left}")
    except Exception as reason:
        fault(f"cannot be continued: {type(reason).__name__}: {reason}")


def lost(world: World, said: list[Any]) -> list[Any]:
    """Return what was acknowledged and is not in the record."""
    known = campaign.names(world.store) if said else {}
    rejected = {name[:3] for name, why in known.items() if why}
    have = {"taken": known, "rejected": rejected}
    return [line for what, lines in said if what in have for line in lines if line not in have[what]]


def compare(found: dict[str, Any], right: dict[str, Any], fault: Callable[[str], None]) -> None:
    """Report the first difference between two states."""
    for part in sorted(found.keys() | right.keys()):
        one, other = found.get(part), right.get(part)
        if one != other:
            fault(f"{part} differs: {_first_difference(one, other)}")
            return


def _first_difference(found: Any, right: Any) -> str:
    if isinstance(found, list) and isinstance(right, list):
        for one, other in zip(found, right, strict=False):
            if one != other:
                return f"{one} instead of {other}"
        return f"{found[len(right) :]} more, {right[len(found) :]} fewer"
    return f"{found} instead of {right}"


def _plain(text: str, world: World) -> str:
    """Return a message without what differs between runs."""
    return re.sub(r"[0-9a-f]{16,}|\d{3,}", "N", text.replace(str(world.root), "")).strip()


def enumerate_points(whole: Undisturbed, name: str, modes: list[str]) -> Iterator[tuple[str, int]]:
    """Yield mode and number of each call of a step.

    Every call is disturbed in every way, with two exceptions. Only a write of several bytes can be killed half-way. And
    a campaign opens and closes its database more than a hundred times, each time with the same 14 calls: each of these
    is disturbed in one way, in turn, so that each is disturbed in all ways some dozens of times.
    """
    for call, (kind, file) in enumerate(whole.calls[name], 1):
        routine = is_routine(kind, file)
        own = [mode for mode in modes if mode != "kill in a write" or (kind in ("write", "pwrite") and not routine)]
        for mode in [own[(call + call // len(own)) % len(own)]] if routine and own else own:
            yield mode, call


def is_routine(kind: str, file: str) -> bool:
    """Whether a call belongs to the opening or closing of the database."""
    return file.endswith("-shm") or (kind, file.rpartition(".")[2]) in {
        ("open", "db"),
        ("open", "db-wal"),
        ("unlink", "db-wal"),
    }


def run(
    whole: Undisturbed, modes: list[str], every: int, share: tuple[int, int], tell: Tell, only: str | None = None
) -> Tally:
    """Disturb the campaign at every point, or at one of `every`; `share` is the part of several processes."""
    tally, place = Tally(), 0
    steps = {number: name for number, name in enumerate(whole.scenario.steps) if only in (None, name)}
    points = {number: list(enumerate_points(whole, name, modes)) for number, name in steps.items()}
    total = sum(map(len, points.values())) // every
    for number, name in steps.items():
        whole.restore(number)
        life = whole.life(number)
        gc.collect()
        gc.freeze()
        for mode, call in points[number]:
            place += 1
            turn, rest = divmod(place, every)
            if not rest and turn % share[1] == share[0]:
                disturb(whole, life, number, name, mode, call, tally, turn // share[1] % TO_THE_END == 0)
                tell(turn, total, len(tally.faults))
    return tally


def kill_at_moments(whole: Undisturbed, number: int, seed: int, share: tuple[int, int], tell: Tell) -> Tally:
    """Kill processes that play the whole campaign after a random time, one after the other, until one ends.

    Each process begins with the step in which the last one was killed.
    """
    scenario, world, tally = whole.scenario, whole.world, Tally()
    chance = random.Random(f"{seed} {share}")

    def play(names: list[str], say: child.Say) -> None:
        life = scenario.live(world)
        life.say = say
        for name in names:
            say(("step", [name]))
            scenario.steps[name](life)

    begun = time.monotonic()
    whole.restore(0)
    names = [*scenario.steps]
    assert child.run(play, names, folder=world.root).end == "done"
    length = time.monotonic() - begun
    while tally.counts["kill at a moment"] < number // share[1]:
        whole.restore(0)
        said: list[Any] = []
        left, outcome = names, child.Outcome("killed")
        while outcome.end == "killed":
            wait = chance.random() * chance.choice([1, 0.5]) * length
            outcome = child.run(play, left, folder=world.root, kill_after=wait)
            said += outcome.said
            begun_steps = [lines[0] for what, lines in outcome.said if what == "step"]
            left = left[left.index(begun_steps[-1]) :] if begun_steps else left
            if outcome.end == "killed":
                tally.counts["kill at a moment"] += 1
                tally.kinds[f"kill at a moment: {left[0]}"] += 1
            if loss := lost(world, said):
                tally.faults.append(f"killed in {left[0]!r}: lost: {loss}")
        tell(tally.counts["kill at a moment"], number // share[1], len(tally.faults))
        if outcome.end != "done":
            tally.faults.append(f"{outcome.end}: {outcome.value}")
            continue
        compare(campaign.state(world), whole.after[[*scenario.steps][-1]], tally.faults.append)
        compare(scenario.ending(world), whole.end, tally.faults.append)
    return tally


class _Arguments(Commands):
    """Notes the arguments of a command instead of running it."""

    def run(self, *arguments: object) -> str:
        raise _NotedError(arguments)


class _NotedError(Exception):
    """Carries the arguments of a command."""


def kill_cold_starts(whole: Undisturbed, number: int, seed: int, share: tuple[int, int], tell: Tell) -> Tally:
    """Kill commands at random calls, each in a process that begins with the imports; a warm one continues."""
    scenario, world, tally = whole.scenario, whole.world, Tally()
    # The first ask is left out: a cold process computes clusters by K-means, and this one by a stand-in.
    names = [name for name in scenario.steps if name.startswith("alkit") and name != "alkit ask"]
    for place in range(number):
        if place % share[1] != share[0]:
            continue
        name, chance = names[place % len(names)], random.Random(f"{seed} {place}")
        step, call = [*scenario.steps].index(name), chance.randint(1, len(whole.calls[name]))
        whole.restore(step)
        try:
            scenario.steps[name](_Arguments(world))
        except _NotedError as noted:
            (arguments,) = noted.args
        done = commands.run_cold(world, Fault(call, Action.KILL), *arguments)
        where = f"{name} from a cold start, killed at call {call}"
        if done.returncode != -signal.SIGKILL:
            tally.faults.append(f"{where}: ended with {done.returncode}: {done.stderr}")
        tally.counts["kill of a cold start"] += 1
        tally.kinds[f"kill of a cold start: {name}"] += 1
        tell(place, number, len(tally.faults))
        try:
            scenario.steps[name](scenario.live(world))
            found = list[str]()
            compare(campaign.state(world), whole.after[name], found.append)
            tally.faults += [f"{where}: {text}" for text in found]
        except Exception as reason:
            tally.faults.append(f"{where}: cannot be continued: {type(reason).__name__}: {reason}")
    return tally
