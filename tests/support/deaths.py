"""Processes that are killed after a few steps, and started again, until each has come to its end."""

import multiprocessing
import random
import time
from collections import Counter
from multiprocessing.connection import wait

# Children fork from a server that has imported everything, so that kills hit the work and not the imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    "alkit.experiment.loop alkit.learners.segmentation alkit.evaluation.metrics alkit.oracles.folder.oracle "
    "alkit.labels.resizing alkit.scores.streamed "
    "alkit_baselines.mc_dropout alkit_baselines.random "
    "alkit.learners.losses torch._dynamo".split()
)


def start(play, *arguments):
    """Start ``play(*arguments, events)`` and return the process and what it says."""
    receiving, sending = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=play, args=(*arguments, sending), daemon=True)
    child.start()
    sending.close()
    return child, receiving


class Mortals:
    """Several processes at work at the same time.

    `plays` are functions by role, each called with `arguments`, the number of its life, and a pipe. Into the pipe it
    puts pairs: the name of the step it is about to take, and None; or what it has to tell, and more.
    """

    def __init__(self, plays, arguments, seed):
        self.plays, self.arguments = plays, arguments
        self.chance = random.Random(seed)
        self.deaths, self.lives = Counter(), 0
        self.heard = []  # all that was told

    def run(self, seconds, meanwhile=lambda: None):
        """Let all play to the end; `meanwhile` is called again and again."""
        deadline = time.monotonic() + seconds
        living = {role: self._born(role) for role in self.plays}
        try:
            while living:
                assert time.monotonic() < deadline, (self.deaths, self.lives)
                meanwhile()
                heard = wait([events for _, events, _ in living.values()], timeout=0.05)
                for role in [role for role, (_, events, _) in living.items() if events in heard]:
                    if (now := self._listened(role, *living.pop(role))) is not None:
                        living[role] = now
        finally:
            for child, _, _ in living.values():
                child.kill()
        return self

    def _listened(self, role, child, events, patience):
        try:
            step, more = events.recv()
        except (EOFError, ConnectionResetError):
            child.join()
            assert child.exitcode in (0, -9), (role, child.exitcode)
            events.close()
            return self._born(role) if child.exitcode else None
        if more is not None:
            self.heard += more
        elif patience == 1 and step != "end":
            time.sleep(self.chance.random() * self.chance.choice([0.0, 0.003, 0.02, 0.1]))
            child.kill()  # SIGKILL; nothing happens to a child that has just ended
            self.deaths[step] += 1
        return child, events, patience - (more is None)

    def _born(self, role):
        self.lives += 1
        patience = self.chance.choice([1, 2, 3, 4, 5, 30])  # so many steps later, and then a moment more
        return *start(self.plays[role], *self.arguments, self.lives), patience
