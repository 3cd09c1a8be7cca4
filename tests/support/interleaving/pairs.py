"""Run all pairs of steps: the second one at every point of the first."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit.errors import AlkitError, StoreBusyError

from . import judging
from .points import CACHE, FILES, WRITE, points
from .steps import STEPS, Step
from .worlds import Scene

PARTLY = " open. Try: close it"
"""Words of the error of a removal that is complete but for former values of rows."""

CHOOSE = "ask", "top_up", "review", "alkit ask -n 4", "alkit review -n 1"
"""Steps that choose as many images as were missing when they began. Withdrawals do not wait for them, nor they for
withdrawals, which take back what was open when they began."""

CACHE_WAIT = "waits for the image cache"
"""What a step says that waits for the lock of the image cache, which the first one holds for a moment."""

REPEAT = "repeat the command"
"""Words of the error of a command that has done a part, and finds that the record was changed since then."""

BUSY = "another process is w"
"""Words of the errors of a step that does not wait for another one."""


@dataclass(frozen=True)
class End:
    """What two steps have come to.

    Parameters
    ----------
    told:
        What each of them returned, or the error that it ended with.
    state:
        The record after both.
    """

    told: tuple[str, str]
    state: dict[str, Any]

    @property
    def key(self) -> tuple[str, tuple[str, str]]:
        return judging.mark(self.state), self.told


def take(scene: Scene, step: Step) -> str:
    """Take a step, and return what its caller is told."""
    try:
        found = step.do(scene.world)
        return judging.told(found) if step.tells else "done"
    except StoreBusyError as reason:
        return f"busy: {reason}"
    except AlkitError as reason:
        if "Deadlock" in str(reason):  # in another process it would wait for the lock of the image cache
            return CACHE_WAIT
        return f"{'busy' if BUSY in str(reason) else 'error'}: {judging.told(str(reason))}"
    except (AssertionError, Exception) as reason:
        if "Deadlock" in str(reason):
            return CACHE_WAIT
        return f"raw: {type(reason).__name__}: {reason}"


def both(scene: Scene, first: Step, second: Step) -> End:
    """Take one step after the other."""
    scene.restore()
    return End((take(scene, first), take(scene, second)), judging.state(scene.world.store))


@dataclass
class Tally:
    """What was tried, and what is wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    log: Path | None = None
    known: set[tuple[str, str]] = field(default_factory=set)

    def add(self, **fault: Any) -> None:
        """Add something that is wrong, and show it at once: a run takes long, and may be stopped."""
        self.wrong.append(fault)
        print(f"FAULT {fault}", file=sys.stderr, flush=True)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(fault) + "\n")


def names_of(scene: Scene, only: Sequence[str] = ()) -> list[str]:
    """Return the names of the steps of a scene that contain one of some words, or all."""
    return [
        name
        for name, step in STEPS.items()
        if scene.name in step.scenes
        and (not only or any(word == name or (word[-1:] == "*" and name.startswith(word[:-1])) for word in only))
    ]


@dataclass(frozen=True)
class Alone:
    """What a step does when no other one is taken.

    Parameters
    ----------
    told, state:
        As :class:`End`.
    touched, within:
        As :class:`points.Points` notes them, by point.
    deletes:
        Whether it deletes labels.
    """

    told: str
    state: dict[str, Any]
    touched: list[set[str]]
    within: list[int]
    deletes: bool


class Trials:
    """All steps of a scene, and what was found."""

    def __init__(self, scene: Scene, tally: Tally) -> None:
        self.scene, self.tally = scene, tally
        scene.restore()
        self.before = judging.state(scene.world.store)
        self._files = judging.label_files(scene.world)
        self._alone: dict[str, Alone] = {}

    def alone(self, name: str) -> Alone:
        """Return what a step does alone; it is taken once."""
        if name not in self._alone:
            self.scene.restore()
            take(self.scene, STEPS[name])  # the first time, modules are imported
            self.scene.restore()
            with points.armed():
                told = take(self.scene, STEPS[name])
            state, deletes = (
                judging.state(self.scene.world.store),
                self._files - judging.label_files(self.scene.world),
            )
            self._alone[name] = Alone(told, state, points.touched, points.within, bool(deletes))
        return self._alone[name]


class Trial:
    """All interleavings of two steps in a scene."""

    def __init__(self, trials: Trials, first: str, second: str) -> None:
        self.scene, self.names, self.tally = trials.scene, (first, second), trials.tally
        self.first, self.second, self.before = STEPS[first], STEPS[second], trials.before
        self.alone = trials.alone(first), trials.alone(second)
        gone = {self.scene.world.roles[step.removes] for step in (self.first, self.second) if step.removes}
        self.labels = {id: judging.labels_of(self.before, id) for id in gone}

    def count(self) -> None:
        """Count the pair and its points, and try nothing."""
        reads = all(one.state == self.before for one in self.alone)
        self.tally.counts["pairs that only read" if reads else "pairs"] += 1
        self.tally.counts["points"] += 0 if reads else len(self._chosen())

    def run(self, every: int = 1, at: int | None = None, phase: int = 0) -> None:
        """Take the second step at one point of so many."""
        first, second = self.alone
        if first.state == second.state == self.before:
            self.tally.counts["pairs that only read"] += 1
            return
        serial = both(self.scene, self.first, self.second)
        self._judge_end("after", serial.state, serial.told)
        turned = both(self.scene, self.second, self.first)
        reverse = End((turned.told[1], turned.told[0]), turned.state)
        self._judge_end("before", reverse.state, reverse.told)
        chosen = self._chosen()
        self.tally.counts["pairs"] += 1
        self.tally.counts["points of the first steps"] += len(first.touched)
        waits: set[int] = set()  # locks of the first step for which the second one waits
        for point in [at] if at is not None else chosen[phase % every :: every]:
            if first.within[point] in waits:
                self.tally.counts["points at which the second one waits, too"] += 1
                continue
            self.scene.restore()
            said: list[str] = []
            with points.armed(point, lambda said=said: said.append(take(self.scene, self.second))) as reached:
                own = take(self.scene, self.first)
            name = reached[point] if point < len(reached) else "not reached"
            self.tally.counts["points"] += 1
            if not said:
                self._wrong(point, name, "the point was not reached", [])
                continue
            if said[0].startswith("busy:") and first.within[point] and name != "commit" and PARTLY not in said[0]:
                waits.add(first.within[point])
            own, other = self._finish(own, said[0])
            if CACHE_WAIT in (own, other):
                self.tally.counts["the second one waits for the image cache"] += 1
                continue
            end = End((own, other), judging.state(self.scene.world.store))
            self._judge(point, name, end, serial, reverse, (first.told, first.state), second.state)

    def _finish(self, own: str, other: str) -> tuple[str, str]:
        """Complete a removal that could not delete everything while another step had the record open: take it again."""
        if self.second.removes and PARTLY in other:
            take(self.scene, self.second)
            other = "removed, in two calls"
        if self.first.removes and PARTLY in own:
            take(self.scene, self.first)
            own = "removed, in two calls"
        return own, other

    def _chosen(self) -> list[int]:
        """Return the points to try: those before which the first step did something that concerns the second one.

        At the first point the second step would come before the first one, and behind the last one after it.
        """
        touched, other, one = self.alone[0].touched, self.alone[1].state, self.before
        changed = {table for table in one if one[table] != other[table]}
        facts = {*one["facts"], *other["facts"]}
        names = {name for name in facts if one["facts"].get(name) != other["facts"].get(name)}
        changed |= {f"facts.{name}" for name in names} | {f"totals.{table}" for table in changed}
        concerns = {WRITE, *changed, *({"facts.*"} if names else ())}
        if self.second.removes:
            concerns |= {CACHE}
        if self.alone[1].deletes or one["rounds"] != other["rounds"]:
            concerns |= {FILES}
        return [point for point in range(1, len(touched)) if touched[point - 1] & concerns]

    def _judge(
        self,
        point: int,
        name: str,
        end: End,
        serial: End,
        reverse: End,
        alone: tuple[str, dict[str, Any]],
        only_second: dict[str, Any],
    ) -> None:
        own, other = end.told
        if own.startswith("raw:") or other.startswith("raw:"):
            self._wrong(point, name, "raw error", [own[:600], other[:600]])
        if other.startswith("busy:"):
            self.tally.counts["the second one is told to wait"] += 1
            if (own, end.state) != alone:
                self._wrong(
                    point,
                    name,
                    "a refused step changed something",
                    judging.difference(alone[1], end.state) or [alone[0][:500], own[:500]],
                )
        elif own.startswith("busy:"):
            self.tally.counts["the first one is told to wait"] += 1
            if end.state != only_second:
                self._wrong(point, name, "state after busy", [own[:300], *judging.difference(only_second, end.state)])
        elif end.key in (serial.key, reverse.key):
            self.tally.counts["as one after the other"] += 1
        elif own.startswith("error:") and end.state == only_second:
            self.tally.counts["the first one ends in an error"] += 1
        elif other.startswith("error:") and end.state == alone[1]:
            self.tally.counts["the second one ends in an error"] += 1
        elif end.state in (serial.state, reverse.state) and all(
            word in (one, two, "removed, in two calls")
            for word, one, two in zip(end.told, serial.told, reverse.told, strict=True)
        ):
            self.tally.counts["as one after the other"] += 1
        elif own.startswith("error:") and REPEAT in own:
            again = take(self.scene, self.first)
            self.tally.counts["the first one was repeated"] += 1
            if again.startswith(("busy:", "error:", "raw:")):
                self._wrong(point, name, "cannot be repeated", [own[:300], again[:300]])
            end = End((again, other), judging.state(self.scene.world.store))
        elif any(one in CHOOSE and "withdraw" in two for one, two in (self.names, self.names[::-1])):
            self.tally.counts["a query was withdrawn while others were chosen"] += 1
        elif end.state in (serial.state, reverse.state):
            which = serial if end.state == serial.state else reverse
            self._wrong(
                point,
                name,
                "told something else",
                [f"{a[:400]} || {b[:400]}" for a, b in zip(which.told, end.told, strict=True) if a != b],
            )
        else:
            closer = min(
                (judging.difference(one.state, end.state) for one in (serial, reverse)), key=lambda d: len(str(d))
            )
            self._wrong(point, name, "another state", [*closer, own[:300], other[:300]])
        self._judge_end(name, end.state, end.told, point)

    def _judge_end(self, name: str, found: dict[str, Any], said: tuple[str, str], point: int = -1) -> None:
        world = self.scene.world
        if damage := list(judging.damage_of(world)):
            self._wrong(point, name, "damage", damage)
        done = [
            world.roles[step.removes]
            for step, word in zip((self.first, self.second), said, strict=True)
            if step.removes and not word.startswith(("busy", "error", "raw"))
        ]
        for id in done:
            if left := sorted(set(judging.left_of(world, id, self.labels[id], found))):
                self._wrong(point, name, "left of a removed image", left)
        key = self.scene.name, judging.mark(found)
        if key not in self.tally.known:
            self.tally.known.add(key)
            self.tally.counts["ends looked at closely"] += 1
            for check in (
                judging.wrong_figures(world),
                judging.unlike_after_repair(world, found),
                judging.goes_on(world),
            ):
                if lines := _all(check):
                    self._wrong(point, name, "afterwards", [*lines, *said])

    def _wrong(self, point: int, name: str, what: str, lines: Sequence[str]) -> None:
        first, second = self.names
        lines = [line[:700] for line in lines]
        scene = self.scene.name
        self.tally.add(scene=scene, first=first, second=second, point=point, at=name, what=what, lines=lines)


def _all(lines: Iterator[str]) -> list[str]:
    try:
        return list(lines)
    except Exception as reason:
        return [f"raw: {type(reason).__name__}: {reason}"]
