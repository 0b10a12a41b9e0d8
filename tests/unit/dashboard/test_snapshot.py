"""A kept value is made again behind the page's back, never twice at once."""

from __future__ import annotations

import threading

from components.dashboard.snapshot import Snapshot


def test_it_is_made_once_while_fresh() -> None:
    made: list[int] = []
    snapshot = Snapshot(lambda: made.append(1) or len(made), fresh=1000)  # type: ignore[func-returns-value]
    assert [snapshot.get() for _ in range(3)] == [1, 1, 1]


def test_an_old_value_is_given_while_the_next_is_made() -> None:
    go, begun, made = threading.Event(), threading.Event(), []

    def make() -> int:
        made.append(1)
        if len(made) == 2:
            begun.set()
            go.wait(10)
        return len(made)

    snapshot = Snapshot(make, fresh=0.0, stale=1000)
    assert snapshot.get() == 1
    assert snapshot.get() == 1
    assert begun.wait(10)
    assert snapshot.get() == 1
    assert len(made) == 2
    go.set()
    deadline = threading.Event()
    while snapshot.get() < 2:
        deadline.wait(0.01)


def test_a_value_too_old_is_waited_for() -> None:
    made: list[int] = []
    snapshot = Snapshot(lambda: made.append(1) or len(made), fresh=0.0, stale=-1.0)  # type: ignore[func-returns-value]
    assert [snapshot.get() for _ in range(3)] == [1, 2, 3]
