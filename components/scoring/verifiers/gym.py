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

    The problem's metadata is the JSON object ``{"task": name, "entry": {"question", "answer", "metadata"}}``
    that the data source reasoning_gym writes; the scorer gets the entry. The parsed answer is the stated one
    after ``normalise``. No strategy.

    Raises:
        PolyEpoError: the metadata names no data set of the installed reasoning_gym.
    """
    task, entry = _task(item.problem)
    stated = answer_tag(item.completion)
    if stated is None:
        return Verdict(None, 0.0, None)
    score = float(_scorer(task)(stated, entry))
    return Verdict(normalise(stated) or None, min(max(score, 0.0), 1.0), None)


def _task(problem: Problem) -> tuple[str, dict[str, Any]]:
    try:
        document = json.loads(problem.metadata)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("task") in DATASETS and isinstance(document.get("entry"), dict):
        return document["task"], document["entry"]
    raise PolyEpoError(
        "metadata names no reasoning_gym task with its entry",
        where=f"problem {problem.problem_id}",
        value=problem.metadata,
        remedy="make the problems with the data source reasoning_gym",
    )


@lru_cache(maxsize=256)
def _scorer(task: str) -> Callable[..., float]:
    scorer: Callable[..., float] = get_score_answer_fn(task)
    return scorer
