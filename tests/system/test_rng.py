import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alkit.errors import ConfigurationError
from alkit.rng import Stream, seed_torch

names = st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=4)


@given(st.integers(0, 2**40), names)
def test_a_stream_depends_on_seed_and_name_alone(seed, path):
    alone = Stream(seed).child(*path).numpy().random(3)
    root = Stream(seed)
    root.child("another").numpy().random(7)
    assert (root.child(*path).numpy().random(3) == alone).all()


@given(names, names)
def test_different_names_give_different_streams(a, b):
    one, other = Stream(0).child(*a), Stream(0).child(*b)
    assert (one.integer() == other.integer()) == (one.path == other.path)


def test_a_number_and_its_text_are_different_names():
    assert Stream(0).child(1).integer() != Stream(0).child("1").integer()


def test_torch_and_numpy_generators_start_the_same_each_time():
    stream = Stream(3).child("x")
    assert torch.rand(4, generator=stream.torch()).equal(torch.rand(4, generator=stream.torch()))
    assert (stream.numpy().random(4) == stream.numpy().random(4)).all()


def test_a_stream_from_a_generator_takes_one_number():
    a, b = np.random.default_rng(0), np.random.default_rng(0)
    Stream.from_rng(a).child("x").numpy().random(100)
    b.integers(2**63)
    assert a.random() == b.random()


def test_seed_torch_restores_every_global_generator_even_after_an_error():
    before = torch.random.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    inside = []

    def fail():
        with seed_torch(Stream(1)):
            inside.append(torch.rand(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    after = torch.random.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    assert before[0].equal(after[0])
    assert before[1:] == after[1:]
    with seed_torch(Stream(1)):
        assert torch.rand(1).equal(inside[0])


def test_integers_of_numpy_give_the_same_stream_as_those_of_python():
    assert Stream(np.int64(3)).child(np.int32(1)).integer() == Stream(3).child(1).integer()
    with pytest.raises(ConfigurationError, match=r"seed must be an integer: got 0\.5"):
        Stream(0.5)
