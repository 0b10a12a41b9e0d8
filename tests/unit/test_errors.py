from __future__ import annotations

import pickle

import pytest

from components.errors import PolyEpoError


def test_a_line_says_where_what_value_and_remedy() -> None:
    error = PolyEpoError("too large", where="params.yaml: a.b", value=9, remedy="use 3")
    assert str(error) == "params.yaml: a.b: too large (got 9) -> use 3"
    assert str(PolyEpoError("just this")) == "just this"


@pytest.mark.parametrize("hostile", ["a\nb", "a\r\nb", "\x1b[2J", "a\u2028b"])
def test_it_is_one_line_whatever_the_value(hostile: str) -> None:
    line = PolyEpoError(f"what {hostile}", where=f"x {hostile}", value=hostile, remedy=hostile).line()
    assert len(line.splitlines()) == 1
    assert repr(hostile) in line


def test_long_values_are_shortened() -> None:
    line = PolyEpoError("bad", value="x" * 10_000).line()
    assert len(line) < 250
    assert line.endswith("...)")


def test_it_survives_the_way_between_processes() -> None:
    error = PolyEpoError("what", where="where", value=[1], remedy="remedy")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.what, copy.where, copy.value, copy.remedy) == ("what", "where", [1], "remedy")
    assert copy.line() == error.line()
