"""The question about one group: its messages, the JSON schema of the answer, and how much of each text fits.

Completions are hostile text. They are numbered by us, fenced with a word that is made from the digest of all of
them (none can contain it), and freed of what a chat template would take for its own control tokens. What they
talk the judge into can at worst be a clustering in range: numbers and clusters are checked against the group.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.scoring.judge.params import JudgeParams
from components.scoring.judge.rubric import RUBRIC
from components.scoring.judge.shortening import fit, shorten

__all__ = ["DESCRIPTION_PATTERN", "Question", "ask", "defuse", "schema"]

DESCRIPTION_PATTERN = "^[A-Za-z0-9 ,.;:()+*/=_-]{1,120}$"
"""Descriptions are plain and short: no quote or backslash that a constrained decoder could leave unescaped, and no
class or escape that some servers' grammars do not know."""

_REPLY_BYTES = 160  # reserved per completion for its number, its description at its longest, and its cluster
_RUBRIC_BYTES_PER_TOKEN = 3.0  # plain English is nearer to 4 and more
_FENCE_BYTES = 64
_LEAST_BYTES = 120  # of a completion that was shortened
_PROBLEM_SHARE = 0.5  # at most this share of the room for text goes to the problem itself

# <|im_start|>, </s>, <think>, <start_of_turn>, their full-width kin, and [INST] and the like.
_CONTROL_TOKEN = re.compile(r"<(?=[|/!a-zA-Z_\uff5c])|\[(?=/?[A-Z][A-Z_]{2,}\])")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class Question:
    """One call to the judge.

    Attributes:
        messages: chat messages.
        schema: JSON schema of the reply.
        reply_tokens: room for the reply, tokens.
        shortened: whether any text was cut.
    """

    messages: list[dict[str, str]]
    schema: dict[str, Any]
    reply_tokens: int
    shortened: bool


def ask(problem: str, completions: Sequence[str], params: JudgeParams, *, room: float = 1.0) -> Question | None:
    """The question about ``completions``, numbered from 1 in their order; None where they cannot fit the context.

    Args:
        problem: the problem's text.
        completions: one or more distinct texts.
        params: section ``scoring.judge``.
        room: share of the estimated room that texts may take; below 1 after a server found a question too long.
    """
    reply_tokens = math.ceil(_REPLY_BYTES / params.bytes_per_token) * (len(completions) + 1)
    rubric_tokens = len(RUBRIC.encode()) / max(_RUBRIC_BYTES_PER_TOKEN, params.bytes_per_token)
    free = params.context_tokens - reply_tokens - rubric_tokens
    budget = int(room * free * params.bytes_per_token) - _FENCE_BYTES * (2 * len(completions) + 4)
    problem, defused = defuse(problem), [defuse(completion) for completion in completions]
    problem_limit = int(_PROBLEM_SHARE * budget)
    if problem_limit < _LEAST_BYTES:
        return None
    stated = shorten(problem, problem_limit)
    texts = fit(defused, budget - len(stated.encode()), least=_LEAST_BYTES)
    if texts is None:
        return None
    return Question(
        messages=[{"role": "system", "content": RUBRIC}, {"role": "user", "content": _body(stated, texts)}],
        schema=schema(len(texts)),
        reply_tokens=reply_tokens,
        shortened=stated != problem or texts != defused,
    )


def schema(count: int) -> dict[str, Any]:
    """JSON schema of a reply about ``count`` completions: every number once, every cluster in range.

    Objects with all keys required are what every constrained decoder knows; an array could leave numbers out.
    """
    entry = {
        "type": "object",
        "properties": {
            "strategy": {"type": "string", "pattern": DESCRIPTION_PATTERN},
            "cluster": {"type": "integer", "enum": [-1, *range(1, count + 1)]},
        },
        "required": ["strategy", "cluster"],
        "additionalProperties": False,
    }
    numbers = [str(number) for number in range(1, count + 1)]
    return {
        "type": "object",
        "properties": dict.fromkeys(numbers, entry),
        "required": numbers,
        "additionalProperties": False,
    }


def defuse(text: str) -> str:
    """``text`` without control characters, and with a space inside whatever could be a control token of a template.

    Servers tokenise the messages' text together with the template: an ``<|im_end|>`` in a completion would end the
    user's turn.
    """
    return _CONTROL_TOKEN.sub(r"\g<0> ", _CONTROL_CHARACTER.sub("", text)).strip()


def _body(problem: str, texts: Sequence[str]) -> str:
    fence = hashlib.sha256("\0".join([problem, *texts]).encode()).hexdigest()[:12]
    parts = [f"=== problem {fence} ===", problem]
    for number, text in enumerate(texts, start=1):
        parts += [f"=== attempt {number} {fence} ===", text]
    parts += [
        f"=== end {fence} ===",
        f"Sort the {len(texts)} attempts by strategy. Only lines with {fence} separate them.",
    ]
    return "\n".join(parts)
