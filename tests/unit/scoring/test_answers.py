from __future__ import annotations

import pytest

from components.scoring.answers import MAX_ANSWER_CHARACTERS, answer_tag, normalise


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("so <answer>12</answer>", "12"),
        ("<answer> 1 2 </answer> and then some", "1 2"),
        ("<answer>1</answer> no, <answer>2</answer>", "2"),
        ("<answer>1</answer> hmm <answer>2", "1"),  # the last complete tag
        ("<answer>1<answer>2</answer>", "2"),
        ("the answer is 12", None),
        ("<answer>12", None),  # truncated
        ("12</answer>", None),
        ("</answer>12<answer>", None),
        ("<answer>  </answer>", None),
        ("", None),
    ],
)
def test_the_last_complete_tag_states_the_answer(completion: str, answer: str | None) -> None:
    assert answer_tag(completion) == answer


def test_an_endless_answer_is_none() -> None:
    assert answer_tag(f"<answer>{'9' * MAX_ANSWER_CHARACTERS}</answer>") == "9" * MAX_ANSWER_CHARACTERS
    assert answer_tag(f"<answer>{'9' * (MAX_ANSWER_CHARACTERS + 1)}</answer>") is None


def test_hostile_repetition_is_read_in_linear_time() -> None:
    assert answer_tag("<answer>" * 200_000) is None
    assert answer_tag("</answer>" * 200_000) is None


def test_normalise_folds_case_width_and_white_space() -> None:
    assert normalise("  New\n\tYork ") == normalise("ｎｅｗ york")
    assert normalise("New York") != normalise("NewYork")
