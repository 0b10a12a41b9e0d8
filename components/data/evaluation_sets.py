"""The named evaluation sets: data alone, one entry each. ``components.data.sets`` makes them.

Hub sets are pinned to a commit: the same problems for everyone, for ever. The publishers of AIME, HMMT and MATH are
those that public evaluation code uses; ``problems`` is the number of rows at that commit, checked when a set is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.data.params import ANSWER_INSTRUCTION, ChampSource, HubSource

__all__ = ["EVALUATION_SETS", "EvaluationSet"]


@dataclass(frozen=True)
class EvaluationSet:
    """A set of problems that nothing is trained on.

    Attributes:
        title: for people.
        source: where its problems come from.
        problems: how many there are.
    """

    title: str
    source: HubSource | ChampSource
    problems: int


def _hub(
    name: str, revision: str, *, split: str = "train", prompt: str = "problem", identifier: str | None = "problem_idx"
) -> HubSource:
    return HubSource(
        kind="hub",
        name=name,
        revision=revision,
        split=split,
        prompt_column=prompt,
        answer_column="answer",
        id_column=identifier,
        instruction=ANSWER_INSTRUCTION,
    )


EVALUATION_SETS: dict[str, EvaluationSet] = {
    "champ": EvaluationSet("CHAMP, competition problems with concept labels", ChampSource(kind="champ"), 188),
    "aime_2025": EvaluationSet(
        "AIME 2025, I and II", _hub("MathArena/aime_2025", "c94da77eb22bbd6439e62a323bec18493a421302"), 30
    ),
    "aime_2026": EvaluationSet(
        "AIME 2026, I and II", _hub("MathArena/aime_2026", "d2de22f3c656b4f56cf8981212186377d1e23bc3"), 30
    ),
    "hmmt_feb_2025": EvaluationSet(
        "HMMT February 2025", _hub("MathArena/hmmt_feb_2025", "6fdc4277120810ff75aa22d2d5489b91f7a262a1"), 30
    ),
    # No public code that pins this one was found: the commit is looked up when the set is made, and kept with it.
    "hmmt_nov_2025": EvaluationSet("HMMT November 2025", _hub("MathArena/hmmt_nov_2025", "main"), 30),
    "beyond_aime": EvaluationSet(
        "BeyondAIME",
        _hub(
            "ByteDance-Seed/BeyondAIME",
            "c705198ae1043810b1e1693bd879250b51a7a523",
            split="test",
            identifier=None,
        ),
        100,
    ),
    "minerva": EvaluationSet(
        "Minerva, undergraduate science",
        _hub(
            "math-ai/minervamath",
            "ee46ddc498933b1977577953250ca5c66be64f96",
            split="test",
            prompt="question",
            identifier=None,
        ),
        272,
    ),
    "math_500": EvaluationSet(
        "MATH-500",
        _hub(
            "HuggingFaceH4/MATH-500",
            "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
            split="test",
            identifier="unique_id",
        ),
        500,
    ),
}
"""Name for ``poly-epo evaluate --set NAME`` -> the set."""
