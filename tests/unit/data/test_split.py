"""Splitting: seeded, de-duplicated, and no held-out problem in train."""

import pytest

from components.data.source import Candidate
from components.data.split import normalise_prompt, split_candidates
from components.errors import PolyEpoError


def candidate(number: int, prompt: str = "", split: str | None = None, answer: str = "1") -> Candidate:
    return Candidate(
        f"p{number}", prompt or f"prompt {number}", answer, "math", split=split, origin=f"f.jsonl line {number}"
    )


def split(candidates, **sizes):
    return split_candidates(candidates, **{"seed": 0, "validation": 2, "test": 3, **sizes})


def test_sizes_and_disjointness():
    result = split([candidate(number) for number in range(20)])
    ids = [{problem.problem_id for problem in problems} for problems in result.by_split().values()]
    assert [len(part) for part in ids] == [15, 2, 3]
    assert len(set.union(*ids)) == 20
    assert all(problem.split == name for name, problems in result.by_split().items() for problem in problems)


def test_the_seed_decides():
    candidates = [candidate(number) for number in range(20)]
    assert split(candidates) == split(candidates)
    assert split(candidates).test != split(candidates, seed=1).test


def test_duplicates_are_told_by_the_normalised_prompt_and_the_first_is_kept():
    result = split(
        [candidate(1, "What is  x²?"), candidate(2, "what is x2?\n", answer="7")] + [candidate(n) for n in range(3, 12)]
    )
    kept = {problem.problem_id for problems in result.by_split().values() for problem in problems}
    assert (result.duplicates, result.conflicting_answers) == (1, 1)
    assert "p1" in kept
    assert "p2" not in kept


def test_max_train_leaves_the_rest_unused():
    result = split([candidate(number) for number in range(20)], max_train=4)
    assert (len(result.train), result.unused) == (4, 11)


def test_named_splits_are_kept_and_only_the_missing_one_is_drawn():
    named = [candidate(1, split="test"), *(candidate(number, split="train") for number in range(2, 10))]
    result = split(named)
    assert [problem.problem_id for problem in result.test] == ["p1"]
    assert (len(result.validation), len(result.train)) == (2, 6)


def test_a_leak_is_refused_with_both_rows_named():
    rows = [candidate(1, "Same problem", "train"), candidate(2, split="train"), candidate(3, "same  PROBLEM", "test")]
    with pytest.raises(PolyEpoError, match=r"f.jsonl line 1 \(train\) and f.jsonl line 3 \(test\).*-> remove one"):
        split(rows)


def test_duplicate_ids_are_refused_with_both_rows_named():
    rows = [candidate(1), candidate(2), Candidate("p1", "other", "1", "math", origin="f.jsonl line 3")]
    with pytest.raises(PolyEpoError, match=r"f.jsonl line 1 and f.jsonl line 3 share it.*'p1'"):
        split(rows)


@pytest.mark.parametrize("sizes", [{"test": 20}, {"test": 10, "validation": 10}, {"test": 18, "validation": 2}])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(PolyEpoError, match=r"data\.(test|validation): .*20 distinct problems.*-> lower"):
        split([candidate(number) for number in range(20)], **sizes)


def test_normalisation_ignores_form_case_and_white_space():
    assert normalise_prompt(" Ａ  b\n") == "a b"
