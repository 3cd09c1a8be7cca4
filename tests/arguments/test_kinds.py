"""Kinds of values, from declared types."""

from typing import Any, Optional, TypeVar

import numpy as np
import pytest
from typing_extensions import TypeAliasType

from alkit.arguments import kinds
from alkit.arguments.kinds import kind_of

T = TypeVar("T")
NDArray = TypeAliasType("NDArray", np.ndarray[Any, np.dtype[T]], type_params=(T,))
"""How numpy declares its type of arrays since version 2.5."""

ArrayLike = TypeAliasType("ArrayLike", complex | bytes | str)


@pytest.fixture
def numpy_of_today(monkeypatch):
    monkeypatch.setattr(kinds.npt, "ArrayLike", ArrayLike)
    monkeypatch.setitem(kinds._PLAIN, ArrayLike, kinds._ARRAY_LIKE)
    kind_of.cache_clear()
    yield
    kind_of.cache_clear()


def test_an_alias_stands_for_the_type_that_it_names():
    kind = kind_of(NDArray[np.float32])
    assert kind.words == "a numpy array of numbers"
    assert kind.fault("images", np.zeros(2)) is None
    assert kind.fault("images", [0]).got == "[0]"


def test_unions_with_aliases_of_numpy_are_known(numpy_of_today):
    assert kind_of(ArrayLike).words == "an array of numbers"
    assert kind_of(Optional[ArrayLike]).words == "an array of numbers or None"  # noqa: UP045
    assert kind_of(int | str).words == "an integer or a string"
