"""Laws of the judge's questions: what is cut, what fits, what cannot be forged, which question is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.scoring.judge.clusterer import _distinct
from components.scoring.judge.params import JudgeParams
from components.scoring.judge.question import ask, defuse
from components.scoring.judge.reply import MalformedReplyError, parse_reply
from components.scoring.judge.shortening import fit, level, shorten
from tests.unit.scoring.fake_judge import attempts_of

TEXT = st.text(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("123x"), inner, max_size=4),
    max_leaves=12,
)


def size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


@given(TEXT, st.integers(60, 400))
def test_shortening_keeps_head_and_tail_within_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert size(short) <= limit
    whole = text.encode("utf-8", "replace").decode()
    if size(text) <= limit:
        assert short == whole
        return
    head, _, rest = short.partition("\n[... ")
    left_out, _, tail = rest.partition(" characters left out ...]\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + len(tail) + int(left_out) == len(whole)
    assert abs(size(head) - size(tail)) <= 4


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=12), st.integers(0, 6_000))
def test_the_level_is_the_highest_that_fits(lengths: list[int], budget: int) -> None:
    limit = level(lengths, budget)
    assert sum(min(length, limit) for length in lengths) <= budget or limit == 0
    if limit < max(lengths):
        assert sum(min(length, limit + 1) for length in lengths) > budget


@given(st.lists(TEXT, min_size=1, max_size=8), st.integers(100, 2_500))
def test_texts_fit_the_budget_and_only_the_longest_pay(texts: list[str], budget: int) -> None:
    fitted = fit(texts, budget, least=60)
    if fitted is None:
        assert sum(map(size, texts)) > budget
        return
    assert sum(map(size, fitted)) <= budget
    cut = [size(text) for text, short in zip(texts, fitted, strict=True) if short != text and size(text) != size(short)]
    whole = [size(text) for text, short in zip(texts, fitted, strict=True) if size(text) == size(short)]
    assert not cut or not whole or min(cut) > max(whole)


@settings(max_examples=60)
@given(
    st.lists(st.text(min_size=1, max_size=3_000).filter(defuse), min_size=1, max_size=6),
    st.sampled_from([2_400, 4_096]),
)
def test_a_question_fits_its_context_and_holds_every_attempt(texts: list[str], context: int) -> None:
    params = JudgeParams(context_tokens=context)
    question = ask("Compute.", texts, params)
    if question is None:
        return
    rubric, body = (message["content"] for message in question.messages)
    tokens = size(rubric) / 3.0 + size(body) / params.bytes_per_token + question.reply_tokens
    assert tokens <= context
    attempts = attempts_of({"messages": question.messages})
    assert len(attempts) == len(texts)
    assert question.schema["required"] == [str(number + 1) for number in range(len(texts))]
    if not question.shortened:
        assert attempts == [defuse(text).strip("\n") for text in texts]


@given(st.lists(st.sampled_from(["=== end {} ===", "=== attempt 1 {} ===", "a", "\n"]), max_size=8))
def test_no_completion_can_hold_its_own_fence(parts: list[str]) -> None:
    """A writer who knows the fence of one question finds another fence when the text that knows it is asked about."""
    first = ask("p", ["x", "y"], JudgeParams())
    assert first is not None
    fence = first.messages[1]["content"].split()[2]
    forged = "start " + "\n".join(parts).format(*[fence] * len(parts)).replace("{}", fence)
    question = ask("p", [forged, "y"], JudgeParams())
    assert question is not None
    assert attempts_of({"messages": question.messages}) == [defuse(forged), "y"]


@given(st.text(alphabet=st.sampled_from(list("<>|/[]INST_ab \n\x00\u202e｜")), max_size=60))
def test_defused_text_holds_no_control_token_and_stays_defused(text: str) -> None:
    once = defuse(text)
    assert not any(token in once for token in ("<|", "</", "<a", "<｜", "[INST]", "[/INST]", "\x00", "\u202e"))
    assert defuse(once) == once


@given(st.lists(TEXT, max_size=8), st.randoms())
def test_the_question_does_not_depend_on_order_or_repetition(texts: list[str], random: Any) -> None:
    shuffled = [*texts, *texts[:2]]
    random.shuffle(shuffled)
    assert _distinct(texts) == _distinct(shuffled)


@given(st.one_of(JSON.map(json.dumps), TEXT, st.none(), st.binary(max_size=20)), st.integers(1, 3))
def test_a_reply_is_whole_and_in_range_or_refused(reply: object, count: int) -> None:
    try:
        judged = parse_reply(reply, count)
    except MalformedReplyError:
        return
    assert len(judged) == count
    assert all(cluster == -1 or 1 <= cluster <= count for cluster, _ in judged)


@given(st.lists(st.tuples(st.sampled_from([-1, 1, 2, 3]), st.text(max_size=200)), min_size=3, max_size=3))
def test_a_reply_in_order_is_read_as_it_stands(entries: list[tuple[int, str]]) -> None:
    document = {str(n): {"strategy": text, "cluster": cluster} for n, (cluster, text) in enumerate(entries, start=1)}
    judged = parse_reply(json.dumps(document), 3)
    assert [cluster for cluster, _ in judged] == [cluster for cluster, _ in entries]
    assert all(len(text) <= 120 and text.isprintable() for _, text in judged)


def test_a_limit_below_the_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="must be above"):
        shorten("x" * 100, 40)
