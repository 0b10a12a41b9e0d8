"""The verifier ``reasoning_gym``: the scorer that the package's own data set brings, in a child process."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from reasoning_gym.factory import DATASETS, get_score_answer_fn

from components.domains import Verdict
from components.errors import PolyEpoError
from components.records import Problem
from components.scoring.answers import answer_tag, normalise
from components.scoring.verifiers.base import Item

__all__ = ["verify_gym"]


def verify_gym(item: Item) -> Verdict:
    """The data set's own score, in [0, 1], of the content of the answer tag; 0 without a complete tag.

    The problem's metadata is a JSON object whose ``source_dataset`` names the data set; it is handed to the
    scorer as the entry's metadata. The parsed answer is the stated one after ``normalise``. No strategy.

    Raises:
        PolyEpoError: the metadata names no data set of the installed reasoning_gym.
    """
    metadata = _metadata(item.problem)
    stated = answer_tag(item.completion)
    if stated is None:
        return Verdict(None, 0.0, None)
    entry = {"question": item.problem.prompt, "answer": item.problem.answer, "metadata": metadata}
    score = float(_scorer(metadata["source_dataset"])(stated, entry))
    return Verdict(normalise(stated) or None, min(max(score, 0.0), 1.0), None)


def _metadata(problem: Problem) -> dict[str, Any]:
    try:
        document = json.loads(problem.metadata)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("source_dataset") in DATASETS:
        return document
    raise PolyEpoError(
        "metadata names no reasoning_gym data set",
        where=f"problem {problem.problem_id}",
        value=problem.metadata,
        remedy='metadata must hold {"source_dataset": NAME, ...} as the data source reasoning_gym writes it',
    )


@lru_cache(maxsize=256)
def _scorer(dataset: str) -> Callable[..., float]:
    scorer: Callable[..., float] = get_score_answer_fn(dataset)
    return scorer
