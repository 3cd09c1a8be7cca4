"""Processes that are forked while a thread of their parent works."""

import os
import threading
import time
from io import BytesIO

import pytest
from PIL import Image
from torch import nn

from alkit._reading.images import _turn, open_image
from alkit.networks.turns import alone_with
from alkit.rng import Stream, keep_torch, seed_torch


def decode():
    file = BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG")
    with open_image(file, "a.png") as image:
        image.load()


def train():
    with seed_torch(Stream(0)):
        pass


NETWORK = nn.Identity()


def of_network():
    return alone_with(NETWORK)


def predict():
    with of_network():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize(("work", "turn"), [(decode, _turn), (train, keep_torch), (predict, of_network)])
def test_a_forked_process_does_not_wait_for_threads_of_its_parent(work, turn):
    begun, end = threading.Event(), threading.Event()

    def hold():
        with turn():
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(60)
    if not (child := os.fork()):
        try:
            work()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 5
    while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    end.set()
    thread.join()
    assert ended
