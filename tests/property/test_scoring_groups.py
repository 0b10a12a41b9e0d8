"""The layout of a batch: rows to (P, N) arrays and back, whatever their order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.scoring.clusters import number_by_appearance
from components.scoring.groups import Layout
from components.scoring.metrics import distinct_per_problem

ids = st.lists(st.sampled_from("abcde"), min_size=1, max_size=40)


@given(ids)
def test_flat_is_the_inverse_of_dense(names: list[str]) -> None:
    layout = Layout.of(pa.chunked_array([names[: len(names) // 2], names[len(names) // 2 :]], pa.string()))
    values = np.arange(len(names), dtype=np.float64)
    dense = layout.dense(values, -1.0)
    assert layout.flat(dense).tolist() == values.tolist()
    assert (dense[~layout.mask()] == -1.0).all()
    assert layout.mask().sum() == len(names)


@given(ids)
def test_split_keeps_row_order_within_a_problem(names: list[str]) -> None:
    layout = Layout.of(pa.array(names, pa.string()))
    assert layout.problem_ids == list(dict.fromkeys(names))
    expected = [[row for row, name in enumerate(names) if name == problem] for problem in layout.problem_ids]
    assert layout.split(list(range(len(names)))) == expected


@given(st.lists(st.none() | st.sampled_from("xyz"), max_size=30))
def test_cluster_ids_are_small_and_in_order_of_appearance(names: list[str | None]) -> None:
    numbers = number_by_appearance(names)
    assert [number == -1 for number in numbers] == [name is None for name in names]
    seen = [number for number in dict.fromkeys(numbers) if number >= 0]
    assert seen == list(range(len(seen)))
    for number in seen:
        assert len({name for name, own in zip(names, numbers, strict=True) if own == number}) == 1


@given(st.lists(st.tuples(st.integers(-1, 5), st.booleans()), min_size=1, max_size=20))
def test_distinct_per_problem_counts_sets(cells: list[tuple[int, bool]]) -> None:
    clusters = np.array([[cluster for cluster, _ in cells]])
    counted = np.array([[flag for _, flag in cells]])
    expected = len({cluster for cluster, flag in cells if flag and cluster >= 0})
    assert distinct_per_problem(clusters, counted).tolist() == [expected]
