from __future__ import annotations

import random
import time

import pytest

from components.data.contamination import find_contamination, tokens
from components.data.params import (
    ANSWER_INSTRUCTION,
    MultiplicationSource,
    PolynomialSource,
    ReasoningGymSource,
    SourceParams,
)
from components.data.source import open_source

WORDS = ["red", "old", "hot", "wet", "big", "dry", "far", "low", "new", "sad", "top", "raw", "icy"]
PROBLEM = (
    "A farmer has 17 sheep and 24 goats in a field of 350 square metres. Each sheep needs twice the room that a goat "
    "needs, and no room is left over. How many square metres does one goat need?"
)
OTHERS = [
    f"Anna walks {n} kilometres to the {place} and takes the train home at {n + 3} o'clock in the evening. How long?"
    for n, place in enumerate(["school", "market", "harbour", "old mill", "library", "station", "lake"])
]


def test_an_equal_problem_is_found_whatever_its_case_spaces_and_punctuation() -> None:
    train = [*OTHERS, PROBLEM.upper().replace(" ", "  ").replace(",", "")]
    (overlap,) = find_contamination(train, [OTHERS[0].replace("Anna", "Bert"), PROBLEM])[-1:]
    assert (overlap.evaluated, overlap.train, overlap.equal, overlap.share) == (1, 7, True, 1.0)


@pytest.mark.parametrize(
    "changed",
    [
        f"Solve this: {PROBLEM}",
        PROBLEM.replace("farmer", "shepherd"),
        f"{PROBLEM} (2 points)",
        f"{PROBLEM}\n{ANSWER_INSTRUCTION}",
        PROBLEM.replace("How many", "So how many"),
    ],
)
def test_a_problem_hardly_changed_is_found(changed: str) -> None:
    (overlap,) = find_contamination([*OTHERS, changed], [PROBLEM])
    assert overlap.train == 7
    assert not overlap.equal
    assert 0.75 <= overlap.share <= 1.0


def test_other_numbers_make_another_problem() -> None:
    assert find_contamination([PROBLEM.replace("17", "19")], [PROBLEM]) == []


def test_signs_and_operators_count() -> None:
    assert find_contamination(["y=x^2+3x-5:"], ["y=x^2-3x+5:"]) == []
    assert len(find_contamination(["y=x^2+3x-5:"], [" Y = X^2 + 3x - 5"])) == 1


def test_wording_that_many_problems_share_is_no_overlap() -> None:
    template = "Read the following riddle about an animal with care and name the animal that it describes: "
    animals = [f"{template}it is as {word} as a {word} stone" for word in WORDS]
    assert find_contamination(animals[1:], animals[:1]) == []
    numbered = [f"{text}\n{ANSWER_INSTRUCTION}" for text in OTHERS]
    assert find_contamination(numbered[1:], numbered[:1]) == []


@pytest.mark.parametrize(
    "params",
    [
        PolynomialSource(),
        MultiplicationSource(kind="multiplication", size=2000),
        ReasoningGymSource(kind="reasoning_gym", task="chain_sum", size=600),
        ReasoningGymSource(kind="reasoning_gym", task="basic_arithmetic", size=600),
    ],
    ids=lambda params: getattr(params, "task", params.kind),
)
def test_generated_problems_are_not_flagged(params: SourceParams) -> None:
    prompts = list(dict.fromkeys(candidate.prompt for candidate in open_source(params).candidates(0)))
    half = len(prompts) // 2
    assert find_contamination(prompts[:half], prompts[half:]) == []


def test_each_problem_is_reported_once_with_its_best_match() -> None:
    worse = PROBLEM.replace("farmer", "shepherd").replace("room is left", "space is left")
    (overlap,) = find_contamination([worse, PROBLEM.replace("farmer", "shepherd")], [PROBLEM])
    assert overlap.train == 1


def test_hostile_and_empty_prompts() -> None:
    weird = ["", " ", "\x00\ud800", "a" * 10_000, "(" * 5_000, "💥 " * 300]
    assert [overlap.evaluated for overlap in find_contamination(weird, weird)] == [2, 3, 4, 5]
    assert find_contamination([], [PROBLEM]) == []
    assert find_contamination([PROBLEM], []) == []
    assert tokens("X₁ = 1.5, y") == ["x", "1", "=", "1.5", "y"]


def test_ten_thousand_prompts_against_a_thousand_are_quick() -> None:
    rng = random.Random(0)
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "ado", "iru", "ost", "ule")]
    prompts = [" ".join(rng.choices(words, k=60)) for _ in range(11_000)]
    started = time.process_time()
    assert find_contamination(prompts[:10_000], [*prompts[10_000:], prompts[5] + " more"])[0].train == 5
    assert time.process_time() - started < 30
