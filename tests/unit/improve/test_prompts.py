from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import PolyEpoError
from components.improve.prompts import prompt_rows

SIZES = st.integers(1, 60).flatmap(lambda problems: st.tuples(st.just(problems), st.integers(1, problems)))


@given(SIZES, st.integers(1, 200), st.integers(0, 5))
def test_an_iteration_takes_distinct_rows_that_depend_on_seed_and_iteration_alone(
    sizes: tuple[int, int], iteration: int, seed: int
) -> None:
    rows = prompt_rows(*sizes, iteration, seed)
    assert len(rows) == len(set(rows)) == sizes[1]
    assert all(type(row) is int and 0 <= row < sizes[0] for row in rows)
    assert rows == prompt_rows(*sizes, iteration, seed)


@given(SIZES, st.integers(0, 3), st.integers(0, 5))
def test_within_an_epoch_no_prompt_stands_twice(sizes: tuple[int, int], epoch: int, seed: int) -> None:
    problems, per_iteration = sizes
    per_epoch = problems // per_iteration
    iterations = range(epoch * per_epoch + 1, (epoch + 1) * per_epoch + 1)
    rows = [row for iteration in iterations for row in prompt_rows(problems, per_iteration, iteration, seed)]
    assert len(rows) == len(set(rows)) == per_epoch * per_iteration


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    assert prompt_rows(50, 50, 1, 0) != prompt_rows(50, 50, 2, 0)
    assert prompt_rows(50, 50, 1, 0) != prompt_rows(50, 50, 1, 1)
    # The rest that an epoch leaves out is another one each time: every prompt is seen.
    assert {row for iteration in range(1, 60) for row in prompt_rows(7, 4, iteration, 0)} == set(range(7))


def test_more_prompts_than_problems_are_refused() -> None:
    with pytest.raises(
        PolyEpoError, match=r"prompts_per_iteration: .*the 3 training problems.*\(got 4\) -> use at most 3"
    ):
        prompt_rows(3, 4, 1, 0)
